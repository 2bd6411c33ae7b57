//! A connection is replaced at its age, each at one of its own, and no event notices.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{self, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, send_one, until};
use siem_forward::net::Stop;
use siem_forward::siem::FormatError;
use siem_forward::{AuditEvent, Batch, ConnectionConfig, EventId, Forwarder, Health, Siem, Verdict};

const AGE_MAX: Duration = Duration::from_millis(200);
/// What the machine may add between the moment that the engine notes and the one that we note.
const NOTED_LATE: Duration = Duration::from_millis(10);

/// Of each connection, when it was made.
type Births = Arc<Mutex<Vec<Instant>>>;

/// A destination that knows which of its connections a batch comes over, and how old that is.
struct Aging {
    played: Played,
    births: Births,
    alive: Arc<AtomicUsize>,
    oldest: Arc<Mutex<Duration>>,
}

struct Connection {
    born: Instant,
    alive: Arc<AtomicUsize>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Siem for Aging {
    type Connection = Connection;

    fn connect(&self, _stop: &Stop) -> Result<Connection, Verdict> {
        let born = Instant::now();
        self.births.lock().unwrap().push(born);
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Connection { born, alive: Arc::clone(&self.alive) })
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        self.played.format_event(event, body)
    }

    fn send_batch(&self, connection: &mut Connection, batch: &Batch) -> Verdict {
        let mut oldest = self.oldest.lock().unwrap();
        *oldest = oldest.max(connection.born.elapsed());
        self.played.send_batch(&mut (), batch)
    }

    fn health_check(&self, _connection: &mut Connection) -> Health {
        Health::healthy()
    }
}

fn aging(received: &Received) -> Aging {
    let (births, alive, oldest) = Default::default();
    Aging { played: Played::new(received), births, alive, oldest }
}

fn start(siem: Aging, senders: usize) -> Forwarder {
    let mut connection = ConnectionConfig::default();
    connection.age_max = AGE_MAX;
    support::builder(siem).connection(connection).senders(senders).batch_size(5).start().unwrap()
}

/// Sends a batch each millisecond or so until `enough`; the ids.
fn load(forwarder: &Forwarder, enough: impl Fn() -> bool) -> Vec<EventId> {
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !enough() {
        assert!(Instant::now() < deadline, "never");
        sent.extend((0..5).map(|index| send_one(&emitter, "tool", index)));
        thread::sleep(Duration::from_millis(1));
    }
    sent
}

#[test]
fn new_connections_under_load_lose_and_double_nothing() {
    let received = Received::default();
    let siem = aging(&received);
    let (births, alive) = (Arc::clone(&siem.births), Arc::clone(&siem.alive));
    let most = AtomicUsize::new(0);
    let forwarder = start(siem, 3);
    let sent = load(&forwarder, || {
        most.fetch_max(alive.load(Ordering::SeqCst), Ordering::Relaxed);
        births.lock().unwrap().len() >= 20
    });
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_eq!((report.metrics.retry_count, report.metrics.batches_failed), (0, 0), "{report}");
    assert!(received.ids().values().all(|times| *times == 1));
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
    assert!(most.into_inner() <= 3, "the old one is gone before the new one is made");
    assert_eq!(alive.load(Ordering::SeqCst), 0, "none outlives the drain");
}

#[test]
fn each_lives_three_quarters_of_the_age_up_to_all_of_it() {
    let received = Received::default();
    let siem = aging(&received);
    let (births, oldest) = (Arc::clone(&siem.births), Arc::clone(&siem.oldest));
    let forwarder = start(siem, 1);
    load(&forwarder, || births.lock().unwrap().len() > 20);
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    let births = births.lock().unwrap();
    let mut ages: Vec<Duration> = births.windows(2).map(|pair| pair[1] - pair[0]).collect();
    ages.sort();
    assert!(ages[0] + NOTED_LATE >= AGE_MAX.mul_f64(0.75), "{ages:?}");
    // Each is as likely to end early as late: that twenty all fall on one side is one chance in 10^9.
    assert!(ages[0] < AGE_MAX.mul_f64(0.9), "none ended early: {ages:?}");
    assert!(ages[ages.len() - 1] > AGE_MAX.mul_f64(0.85), "none ended late: {ages:?}");
    // A batch comes each millisecond or so; a machine that stalls makes single ones late, not half of them.
    assert!(ages[ages.len() / 2] <= AGE_MAX + NOTED_LATE, "{ages:?}");
    drop(births);
    assert!(*oldest.lock().unwrap() > AGE_MAX / 2, "it is used as long as it lives");
}

/// Tickets or not, an idle connection is not replaced for its age alone: the next batch does that.
#[test]
fn one_that_idles_is_replaced_with_the_next_batch() {
    let received = Received::default();
    let siem = aging(&received);
    let births = Arc::clone(&siem.births);
    let forwarder = start(siem, 1);
    let is_sent = AtomicBool::new(false);
    let mut sent = load(&forwarder, || is_sent.swap(true, Ordering::Relaxed));
    until(|| received.len() == 5);
    thread::sleep(2 * AGE_MAX);
    assert_eq!(births.lock().unwrap().len(), 1);
    is_sent.store(false, Ordering::Relaxed);
    sent.extend(load(&forwarder, || is_sent.swap(true, Ordering::Relaxed)));
    until(|| received.len() == 10);
    assert_eq!(births.lock().unwrap().len(), 2);
    let report = forwarder.drain(PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}
