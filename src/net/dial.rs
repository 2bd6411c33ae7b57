//! Making a TCP connection: resolve, then try each address, all of it interruptible. Nothing is remembered of the
//! connection before, so that each new one follows the name.
//!
//! Neither name resolution nor a connect can be called off, so a thread does both while the caller waits for it, for
//! the stop and for the deadline, whichever comes first. One short thread a connection, none a request; one that is
//! left behind ends by itself when the system gives up.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, select};

use super::{HttpError, HttpErrorKind, Resolver, Stop};

/// Connects to a host and port before `deadline`.
pub(super) fn dial(to: Place<'_>, resolver: &Resolver, deadline: Instant, stop: &Stop) -> Result<TcpStream, HttpError> {
    let is_resolved = Arc::new(AtomicBool::new(false));
    let (host, port) = (to.host.to_owned(), to.port);
    let (resolver, resolved) = (resolver.clone(), Arc::clone(&is_resolved));
    let work = move || {
        resolve(&resolver, &host, port).and_then(|addresses| {
            // Relaxed: it only chooses the word for a timeout.
            resolved.store(true, Ordering::Relaxed);
            connect(&addresses, deadline)
        })
    };
    await_work(work, deadline, stop, || {
        if is_resolved.load(Ordering::Relaxed) {
            HttpError::new(HttpErrorKind::Unreachable, "no connection in time")
        } else {
            HttpError::new(HttpErrorKind::Dns, "the name did not resolve in time")
        }
    })
}

/// A host, without brackets, and a port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
}

/// Does it on a thread of its own, and waits no longer than until `deadline` or the stop.
pub(super) fn await_work<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
    deadline: Instant,
    stop: &Stop,
    too_late: impl FnOnce() -> HttpError,
) -> Result<T, HttpError> {
    let (done, made) = bounded(1);
    let work = move || {
        // Nobody waits any more: a connection closes here.
        drop(done.send(work()));
    };
    let spawned = thread::Builder::new().name("siem-connect".to_owned()).spawn(work);
    spawned.map_err(|error| HttpError::new(HttpErrorKind::Unreachable, error.to_string()))?;

    select! {
        recv(made) -> connected => connected
            .unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Unreachable, "the connecting thread ended"))),
        recv(stop.receiver()) -> _ => Err(HttpError::stopped_before_sending()),
        default(left(deadline)) => Err(too_late()),
    }
}

pub(super) fn resolve(resolver: &Resolver, host: &str, port: u16) -> Result<Vec<SocketAddr>, HttpError> {
    match resolver.resolve(host, port) {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(HttpError::new(HttpErrorKind::Dns, format!("{host} has no address"))),
        Err(error) => Err(HttpError::new(HttpErrorKind::Dns, format!("{host}: {error}"))),
    }
}

/// Tries each address in the resolver's order. Each gets half of the time that is left, the last one all of it.
pub(super) fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, HttpError> {
    let mut first_error = None;
    for (index, address) in addresses.iter().enumerate() {
        let is_last = index + 1 == addresses.len();
        let budget = if is_last { left(deadline) } else { left(deadline) / 2 };
        // A connect without any time is an error of its own.
        match TcpStream::connect_timeout(address, budget.max(Duration::from_millis(1))) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| HttpError::of_connect(&error))?;
                return Ok(stream);
            }
            Err(error) => {
                // The resolver puts addresses that have no route last: the first error says most.
                first_error.get_or_insert_with(|| HttpError::of_connect(&error));
            }
        }
    }
    Err(first_error.unwrap_or_else(|| HttpError::new(HttpErrorKind::Dns, "the name has no address")))
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use crossbeam_channel::Receiver;

    use super::*;
    use crate::net::script::{Request, Script, reply, serve};
    use crate::net::{Http, HttpConfig};

    const NAMED: &str = "http://siem.test:8088";
    const PLACE: Place<'_> = Place { host: "siem.test", port: 8088 };

    /// What a name stands for, as the test says at each moment, and how often it was asked.
    #[derive(Clone, Default)]
    struct Zone(Arc<Mutex<(Vec<SocketAddr>, u32)>>);

    impl Zone {
        fn point_to(&self, scripts: &[&Script]) {
            let addresses = scripts.iter().map(|script| script.url.trim_start_matches("http://").parse().unwrap());
            self.0.lock().unwrap().0 = addresses.collect();
        }

        fn asked(&self) -> u32 {
            self.0.lock().unwrap().1
        }

        fn resolver(&self) -> Resolver {
            let zone = self.clone();
            Resolver::new(move |host, port| {
                assert_eq!((host, port), ("siem.test", 8088));
                let mut zone = zone.0.lock().unwrap();
                zone.1 += 1;
                Ok(zone.0.clone())
            })
        }
    }

    fn named(name: &'static str) -> Script {
        // Asked to end, it closes without a word.
        serve(move |request: &Request, stream| match request.body.as_slice() {
            b"end" => Err(io::ErrorKind::Other.into()),
            _ => reply(stream, "200 OK", name.as_bytes()),
        })
    }

    fn client(resolver: Resolver) -> Http {
        let timeout = Duration::from_secs(5);
        let config = HttpConfig { timeout, resolver, ..HttpConfig::default() };
        Http::new(&NAMED.parse().unwrap(), &config, &Stop::new()).unwrap()
    }

    fn answered_by(http: &mut Http) -> String {
        String::from_utf8(http.post("/", &[], b"body").unwrap().body).unwrap()
    }

    /// T20: the engine replaces a connection, or it ends by itself.
    #[test]
    fn each_new_connection_asks_for_the_address_again() {
        let (one, other, zone) = (named("one"), named("other"), Zone::default());
        zone.point_to(&[&one]);
        let mut http = client(zone.resolver());
        assert_eq!((answered_by(&mut http), answered_by(&mut http), zone.asked()), ("one".into(), "one".into(), 1));
        zone.point_to(&[&other]);
        assert_eq!((answered_by(&mut http), zone.asked()), ("one".into(), 1), "a connection that stands is kept");
        assert_eq!(http.post("/", &[], b"end").unwrap_err().kind(), HttpErrorKind::Reset);
        assert_eq!((answered_by(&mut http), zone.asked()), ("other".into(), 2));

        zone.point_to(&[&one]);
        assert_eq!((answered_by(&mut client(zone.resolver())), zone.asked()), ("one".into(), 3));
    }

    #[test]
    fn an_address_where_nobody_listens_is_passed_over() {
        let (gone, here, zone) = (named("gone"), named("here"), Zone::default());
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        zone.point_to(&[&Script { url: format!("http://{free}"), ..gone }, &here]);
        assert_eq!(answered_by(&mut client(zone.resolver())), "here");
    }

    #[test]
    fn a_name_without_an_address_is_not_resolved_until_it_has_one() {
        let (script, zone) = (named("here"), Zone::default());
        let mut http = client(zone.resolver());
        for asked in 1..4 {
            assert_eq!(http.post("/", &[], b"body").unwrap_err().kind(), HttpErrorKind::Dns);
            assert_eq!(zone.asked(), asked);
        }
        zone.point_to(&[&script]);
        assert_eq!(answered_by(&mut http), "here");

        let fails = Resolver::new(|_, _| Err(io::Error::other("SERVFAIL")));
        let error = client(fails).get("/", &[]).unwrap_err();
        assert_eq!((error.kind(), error.words()), (HttpErrorKind::Dns, "siem.test: SERVFAIL"));
    }

    fn hanging() -> (Resolver, crossbeam_channel::Sender<()>, Receiver<()>) {
        let ((release, held), (enter, entered)) = (bounded::<()>(0), bounded(1));
        let resolver = Resolver::new(move |_, _| {
            enter.send(()).unwrap();
            assert!(held.recv().is_err(), "it ends by the release alone");
            Ok(Vec::new())
        });
        (resolver, release, entered)
    }

    #[test]
    fn a_resolver_that_hangs_holds_nobody_beyond_the_timeout_or_the_stop() {
        let (resolver, _release, _entered) = hanging();
        let began = Instant::now();
        let deadline = began + Duration::from_millis(100);
        let error = dial(PLACE, &resolver, deadline, &Stop::new()).unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Dns);
        assert!(began.elapsed() >= Duration::from_millis(100) && began.elapsed() < Duration::from_secs(1));

        let (resolver, _release, entered) = hanging();
        let (stop, deadline) = (Stop::new(), Instant::now() + Duration::from_secs(60));
        let theirs = stop.clone();
        let caller = thread::spawn(move || dial(PLACE, &resolver, deadline, &theirs).map(drop));
        entered.recv().unwrap();
        stop.stop();
        let stopped = Instant::now();
        assert_eq!(caller.join().unwrap().unwrap_err().kind(), HttpErrorKind::Unreachable);
        assert!(stopped.elapsed() < Duration::from_millis(500));
    }

    /// It runs on a thread of its own: nobody but the request learns of it.
    #[test]
    fn a_resolver_that_panics_is_a_connection_that_failed() {
        let panics = Resolver::new(|_, _| std::panic::resume_unwind(Box::new("of the test's own")));
        let mut http = client(panics);
        for _ in 0..2 {
            assert_eq!(http.get("/", &[]).unwrap_err().kind(), HttpErrorKind::Unreachable);
        }
    }
}
