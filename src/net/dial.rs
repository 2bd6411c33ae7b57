//! Making a TCP connection: resolve, then try each address, all of it interruptible.
//!
//! Neither name resolution nor a connect can be called off, so a thread does both while the caller waits for it, for
//! the stop and for the deadline, whichever comes first. One short thread a connection, none a request; one that is
//! left behind ends by itself when the system gives up.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, select};

use super::{BaseUrl, HttpError, HttpErrorKind, Stop};

/// Connects to the URL's host and port before `deadline`.
pub(super) fn dial(url: &BaseUrl, deadline: Instant, stop: &Stop) -> Result<TcpStream, HttpError> {
    let (done, made) = bounded(1);
    let is_resolved = Arc::new(AtomicBool::new(false));
    let (host, port) = (url.bare_host().to_owned(), url.port());
    let resolved = Arc::clone(&is_resolved);
    let work = move || {
        let connected = resolve(&host, port).and_then(|addresses| {
            // Relaxed: it only chooses the word for a timeout.
            resolved.store(true, Ordering::Relaxed);
            connect(&addresses, deadline)
        });
        // Nobody waits any more: the connection closes here.
        drop(done.send(connected));
    };
    let spawned = thread::Builder::new().name("siem-connect".to_owned()).spawn(work);
    spawned.map_err(|error| HttpError::new(HttpErrorKind::Unreachable, error.to_string()))?;

    select! {
        recv(made) -> connected => connected
            .unwrap_or_else(|_| Err(HttpError::new(HttpErrorKind::Unreachable, "the connecting thread ended"))),
        recv(stop.receiver()) -> _ => Err(HttpError::stopped_before_sending()),
        default(left(deadline)) => Err(if is_resolved.load(Ordering::Relaxed) {
            HttpError::new(HttpErrorKind::Unreachable, "no connection in time")
        } else {
            HttpError::new(HttpErrorKind::Dns, "the name did not resolve in time")
        }),
    }
}

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, HttpError> {
    let found: io::Result<Vec<SocketAddr>> = (host, port).to_socket_addrs().map(Iterator::collect);
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(HttpError::new(HttpErrorKind::Dns, format!("{host} has no address"))),
        Err(error) => Err(HttpError::new(HttpErrorKind::Dns, format!("{host}: {error}"))),
    }
}

/// Tries each address in the resolver's order. Each gets half of the time that is left, the last one all of it.
fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, HttpError> {
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
