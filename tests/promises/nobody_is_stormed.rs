//! T18: however much waits, a SIEM that is down sees one connection attempt a second, and one that comes back is met by
//! the probes of the breaker before it is met by the rest.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, impatient, send, unasked, wait_until,
};
use rustix::net::sockopt::set_socket_linger;
use siem_forward::policy::{BreakerConfig, BreakerState};
use siem_forward::siem::{CauseKind, Splunk};
use siem_forward::{Builder, Cause, Forwarder, Siem, Verdict};

/// Batches that wait.
const BATCHES: usize = 10_000;
/// How long attempts are counted.
const WATCHED: Duration = Duration::from_secs(4);

/// What a busy machine may make of a second between two attempts: the first of them noted late.
const NOTED_LATE: Duration = Duration::from_millis(250);

/// When each attempt was noted.
type Attempts = Arc<Mutex<Vec<Instant>>>;

/// Ten thousand batches before a destination that is down, with a breaker and connects as they are by default.
fn attempts_of_ten_thousand_batches(siem: impl Siem, attempts: &Attempts) {
    let forwarder = Forwarder::builder(siem).health(unasked()).senders(4).batch_size(1).start().unwrap();
    let begun = Instant::now();
    let sent = send(&forwarder.emitter(), BATCHES);
    thread::sleep(WATCHED.saturating_sub(begun.elapsed()));
    // Taken before the clock is read: an attempt in between is too few, never too many.
    let attempts = attempts.lock().unwrap().clone();
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(attempts.len() <= seconds + 1, "{} attempts in {seconds} s", attempts.len());
    assert!(attempts.len() > 1, "nothing was tried again in {seconds} s");
    for pair in attempts.windows(2) {
        let apart = pair[1].duration_since(pair[0]);
        assert!(apart + NOTED_LATE >= Duration::from_secs(1), "{apart:?} between two attempts");
    }
    let report = forwarder.abort();
    assert_eq!((report.ledger.delivered, report.ledger.lost_total()), (0, BATCHES as u64), "{report}");
    assert!(report.ledger.balances(sent.len() as u64), "{:?}", report.ledger);
}

/// The same over TCP, before one that accepts and closes in this way.
fn attempts_before_a_socket(close: fn(TcpStream)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let splunk = Splunk::new(format!("http://{}", listener.local_addr().unwrap()), "token").unwrap();
    let attempts = Attempts::default();
    let noted = Arc::clone(&attempts);
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            noted.lock().unwrap().push(Instant::now());
            close(stream.unwrap());
        }
    });
    attempts_of_ten_thousand_batches(splunk, &attempts);
}

#[test]
fn ten_thousand_batches_make_one_attempt_a_second_where_connections_are_closed() {
    attempts_before_a_socket(drop);
}

#[test]
fn ten_thousand_batches_make_one_attempt_a_second_where_connections_are_reset() {
    attempts_before_a_socket(|stream| set_socket_linger(&stream, Some(Duration::ZERO)).unwrap());
}

#[test]
fn ten_thousand_batches_make_one_attempt_a_second_where_connections_are_refused() {
    let attempts = Attempts::default();
    let mut down = Played::new(&Received::default());
    let noted = Arc::clone(&attempts);
    down.connect = Box::new(move || {
        noted.lock().unwrap().push(Instant::now());
        Err(Verdict::retry(Cause::new(CauseKind::ConnectionRefused)))
    });
    attempts_of_ten_thousand_batches(down, &attempts);
}

/// A destination that is down until it is well, and then notes when each request came.
#[derive(Clone, Default)]
struct Outage {
    is_over: Arc<AtomicBool>,
    received: Received,
    requests: Arc<Mutex<Vec<Instant>>>,
}

impl Outage {
    fn siem(&self, fails_at: FailsAt) -> Played {
        let mut siem = Played::new(&self.received);
        let is_over = Arc::clone(&self.is_over);
        if fails_at == FailsAt::Connect {
            siem.connect = Box::new(move || {
                let refused = || Verdict::retry(Cause::new(CauseKind::ConnectionRefused));
                is_over.load(Ordering::SeqCst).then_some(()).ok_or_else(refused)
            });
        }
        let this = self.clone();
        siem.send_batch = Box::new(move |batch| {
            if !this.is_over.load(Ordering::SeqCst) {
                return Verdict::retry(Cause::http(503));
            }
            this.requests.lock().unwrap().push(Instant::now());
            this.received.take_all(batch);
            Verdict::Accept
        });
        siem
    }

    /// How many requests came within half a second of the first.
    fn requests_at_first(&self) -> usize {
        let requests = self.requests.lock().unwrap();
        let first = requests.iter().min().unwrap();
        requests.iter().filter(|request| request.duration_since(*first) < Duration::from_millis(500)).count()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FailsAt {
    Connect,
    Request,
}

fn comes_back_to_probes(fails_at: FailsAt) {
    let outage = Outage::default();
    let mut breaker = BreakerConfig::default();
    breaker.recovery_timeout = Duration::from_secs(1);
    // One connection attempt a second: no more than these few are waited for.
    breaker.failure_threshold = 2;
    let builder: Builder = Forwarder::builder(outage.siem(fails_at)).breaker(breaker);
    let builder = builder.health(unasked()).senders(4).batch_size(1).retry(impatient());
    let forwarder = builder.start().unwrap();
    let sent = send(&forwarder.emitter(), 2_000);
    // Open, and open again: a probe has failed too.
    wait_until(&forwarder, |metrics| metrics.breaker.transitions >= 3 && metrics.breaker.state == BreakerState::Open);
    outage.is_over.store(true, Ordering::SeqCst);
    wait_until(&forwarder, |metrics| metrics.events_sent == 2_000);

    let probes = usize::try_from(breaker.success_threshold).unwrap();
    let at_first = outage.requests_at_first();
    assert!(at_first <= probes, "{at_first} requests in the first half second");
    assert_eq!(forwarder.metrics().breaker.state, BreakerState::Closed);
    let report = forwarder.drain(PATIENCE);
    assert!(outage.received.ids().values().all(|times| *times == 1));
    assert_one_fate_each(&sent, &outage.received.ids(), &NONE_DEAD, &report);
}

#[test]
fn a_siem_that_answers_again_is_met_by_probes_alone() {
    comes_back_to_probes(FailsAt::Request);
}

#[test]
fn a_siem_that_listens_again_is_met_by_probes_alone() {
    comes_back_to_probes(FailsAt::Connect);
}
