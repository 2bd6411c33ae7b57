//! The other side, played: a Splunk HTTP Event Collector, Datadog's Logs API, Elasticsearch's bulk API, or a webhook, on loopback, that counts what it is sent
//! and misbehaves on request.
//!
//! Threads that block, one a connection; it imports from no other room, so that it cannot share a mistake with what it
//! checks. Its CPU time is known, so that it can be subtracted. No TLS, no `/raw`.
//!
//! Used by the commands `demo` and `receive` and by the tests.
//!
//! ```
//! use siem_forward::receiver::{Receiver, ReceiverConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let faults = vec!["503:every=3".parse()?];
//! let receiver = Receiver::start(ReceiverConfig { faults, ..ReceiverConfig::default() })?;
//! println!("send to {}", receiver.url());
//! assert_eq!(receiver.counts().events, 0);
//! # Ok(())
//! # }
//! ```

mod answer;
mod stop;
mod marks;
mod json;
mod ids;
mod runs;
mod acks;
mod envelope;
mod collector;
mod logs;
mod bulk;
mod hooks;
mod play;
mod kind;
mod fault;
mod config;
mod reply;
mod poll;
mod schedule;
mod inflate;
mod request;
mod books;
mod connection;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

pub use books::Counts;
pub use config::{Keep, ReceiverConfig};
pub use fault::{Fault, FaultError};
pub use ids::id_of;
pub use play::Play;

use books::{Books, ThreadClock};
use connection::{Connection, Next, Shared};
use ids::Flag;
use play::Part;
use schedule::Schedule;
use stop::Stop;

/// A running collector. Dropping it stops it: every connection is shut down and every thread joined, within
/// milliseconds, in the midst of a fault too.
pub struct Receiver {
    shared: Arc<Shared>,
    open: Arc<Open>,
    listener: Arc<TcpListener>,
    address: SocketAddr,
    accept: Option<JoinHandle<()>>,
}

/// The connections that are open, by number.
type Open = Mutex<HashMap<u64, (Arc<TcpStream>, JoinHandle<()>)>>;

impl Receiver {
    /// Listens, and serves from then on.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or no thread can be started.
    pub fn start(config: ReceiverConfig) -> io::Result<Self> {
        let listener = Arc::new(TcpListener::bind(config.address)?);
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            part: Part { play: config.play, id_field: config.id_field },
            books: Books::new(config.keep, config.ack.filter(|_| config.play == Play::Splunk)),
            stop: Stop::default(),
            token: RwLock::new(config.token),
            schedule: RwLock::new(Arc::new(Schedule::new(config.faults))),
            content_length_max: config.content_length_max,
        });
        let open = Arc::new(Open::default());
        let accept = std::thread::Builder::new().name("hec-accept".to_owned()).spawn({
            let (listener, shared, open) = (Arc::clone(&listener), Arc::clone(&shared), Arc::clone(&open));
            move || accept(&listener, &shared, &open, config.connections_max)
        })?;
        Ok(Self { shared, open, listener, address, accept: Some(accept) })
    }

    /// Where it listens, with the port that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address for a sender: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was received so far. An event is counted before its answer is sent.
    pub fn counts(&self) -> Counts {
        self.shared.books.counts()
    }

    /// The ids of all events that were taken and how often each came, in no order. An id that is no UUID stands as
    /// [`id_of`] it. With [`Keep::Runs`] nothing.
    pub fn ids(&self) -> Vec<(u128, u32)> {
        self.shared.books.ids()
    }

    /// Whether an event with this id was indexed.
    pub fn contains(&self, id: u128) -> bool {
        self.missing([id]) == 0
    }

    /// How many of these ids were not indexed.
    pub fn missing(&self, expected: impl IntoIterator<Item = u128>) -> u64 {
        self.shared.books.count_without(expected, Flag::Indexed)
    }

    /// How many of these ids were not acknowledged: nobody was told that they are indexed, by a channel's number.
    pub fn unacknowledged(&self, expected: impl IntoIterator<Item = u128>) -> u64 {
        self.shared.books.count_without(expected, Flag::Acknowledged)
    }

    /// Restarts the indexer, now: what was taken and is not yet indexed is lost, acknowledgements are forgotten, and their
    /// numbers begin at 0 again. Connections stay, as through a load balancer. Without indexer acknowledgement nothing is
    /// waiting, and nothing happens.
    pub fn restart_indexer(&self) {
        self.shared.books.restart();
    }

    /// The envelopes of all events that were taken as they came, in order of arrival; with [`Keep::Bodies`] only.
    pub fn events(&self) -> Vec<String> {
        self.shared.books.bodies()
    }

    /// Misbehaves like this from the next request on, and counts requests anew.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        *self.shared.schedule.write() = Arc::new(Schedule::new(faults));
    }

    /// How many requests the faults in force have hit, each once for every fault.
    pub fn fault_hits(&self) -> u64 {
        self.shared.schedule.read().hits()
    }

    /// Asks for this token from the next request on; `None` accepts any.
    pub fn set_token(&self, token: Option<String>) {
        *self.shared.token.write() = token;
    }

    /// CPU time of all threads, ended ones included, up to the latest answer of each.
    pub fn cpu_time(&self) -> Duration {
        self.shared.books.cpu_time()
    }

    /// Waits until the counters satisfy `predicate`; false if that takes longer than `timeout`.
    ///
    /// The predicate is asked after each request, under the lock of the counters: it must not call the receiver.
    pub fn wait_until(&self, timeout: Duration, predicate: impl Fn(&Counts) -> bool) -> bool {
        self.shared.books.wait_until(timeout, predicate)
    }

    /// Stops, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.stop();
        // The accept thread must return from its call to see the flag. Linux ends that call when the listener is shut
        // down; elsewhere it takes a connection, which is not served.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        drop(TcpStream::connect_timeout(&within_reach(self.address), Duration::from_millis(100)));
        if let Some(accept) = self.accept.take() {
            drop(accept.join());
        }
        let open = std::mem::take(&mut *self.open.lock());
        for (stream, _) in open.values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        for (_, thread) in open.into_values() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Receiver")
            .field("address", &self.address)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// Where to connect to what listens on `address`.
fn within_reach(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, open: &Arc<Open>, connections_max: usize) {
    let mut clock = ThreadClock::default();
    let mut number = 0;
    loop {
        let accepted = listener.accept();
        if shared.stop.is_stopped() {
            break;
        }
        match accepted {
            Ok((stream, _)) => {
                number += 1;
                let served = u64::from(open.lock().len() < connections_max);
                // Counted first: whoever has an answer finds its connection in the books.
                shared.books.count(&Counts {
                    connections: served,
                    connections_refused: 1 - served,
                    ..Counts::default()
                });
                if served == 1 {
                    // Without a thread the connection is closed, which is all that can be done about it.
                    drop(serve(number, stream, shared, open));
                }
            }
            // Out of file descriptors, most likely: it may pass, and must not burn the CPU until then.
            Err(_) => drop(shared.stop.wait(Duration::from_millis(10))),
        }
        clock.publish(&shared.books);
    }
    clock.publish(&shared.books);
}

fn serve(number: u64, stream: TcpStream, shared: &Arc<Shared>, open: &Arc<Open>) -> io::Result<()> {
    let stream = Arc::new(stream);
    // Held until the thread is entered in the list: it takes itself off that list at its end.
    let mut list = open.lock();
    let thread = std::thread::Builder::new().name(format!("hec-{number}")).spawn({
        let (shared, open, stream) = (Arc::clone(shared), Arc::clone(open), Arc::clone(&stream));
        move || {
            let next = Connection::new(shared, Arc::clone(&stream)).run();
            if next == Next::Reset {
                let _ = rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO));
            }
            let entry = open.lock().remove(&number);
            // The last to hold the socket closes it.
            drop((entry, stream));
        }
    })?;
    list.insert(number, (stream, thread));
    Ok(())
}
