//! T18: however much waits, a SIEM that is down sees one connection attempt a second, and one that comes back is met by
//! the probes of the breaker before it is met by the rest.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
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
    assert_one_a_second(&attempts, begun.elapsed());
    let report = forwarder.abort();
    assert_eq!((report.ledger.delivered, report.ledger.lost_total()), (0, BATCHES as u64), "{report}");
    assert!(report.ledger.balances(sent.len() as u64), "{:?}", report.ledger);
}

fn assert_one_a_second(attempts: &[Instant], watched: Duration) {
    let seconds = usize::try_from(watched.as_secs()).unwrap();
    assert!(attempts.len() <= seconds + 1, "{} attempts in {seconds} s", attempts.len());
    assert!(attempts.len() > 1, "nothing was tried again in {seconds} s");
    for pair in attempts.windows(2) {
        let apart = pair[1].duration_since(pair[0]);
        assert!(apart + NOTED_LATE >= Duration::from_secs(1), "{apart:?} between two attempts");
    }
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

/// T18: nobody listens.
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

/// Answers requests over connections that stay, until it is down: then it ends them all, and whoever comes later is noted
/// and sent away.
struct GoesDown {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    is_down: Arc<AtomicBool>,
    attempts: Attempts,
}

impl GoesDown {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            is_down: Arc::default(),
            attempts: Attempts::default(),
        };
        let (connections, is_down) = (Arc::clone(&this.connections), Arc::clone(&this.is_down));
        let attempts = Arc::clone(&this.attempts);
        // They end with the process.
        thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                if is_down.load(Ordering::SeqCst) {
                    attempts.lock().unwrap().push(Instant::now());
                    continue;
                }
                connections.lock().unwrap().push(stream.try_clone().unwrap());
                thread::spawn(move || answer_all(stream));
            }
        });
        this
    }

    fn go_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
        for connection in self.connections.lock().unwrap().iter() {
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

/// Takes each request, whose body is one event, and says that all is well.
fn answer_all(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            drop(reader.read_exact(&mut vec![0; length]));
            let body = "{\"text\":\"Success\",\"code\":0}";
            drop(write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        }
        line.clear();
    }
}

/// Also those who had a connection each when it went down, and find it closed: they do not all come back at once.
#[test]
fn senders_whose_connections_are_closed_make_one_attempt_a_second() {
    const SENDERS: usize = 4;
    let siem = GoesDown::start();
    let splunk = Splunk::new(format!("http://{}", siem.address), "token").unwrap();
    let builder = Forwarder::builder(splunk).health(unasked()).senders(SENDERS).batch_size(1).retry(impatient());
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    wait_until(&forwarder, |_| {
        sent.extend(send(&emitter, 20));
        siem.connections.lock().unwrap().len() == SENDERS
    });
    wait_until(&forwarder, |metrics| metrics.events_sent == sent.len() as u64);
    siem.go_down();
    let begun = Instant::now();
    sent.extend(send(&emitter, 1_000));
    thread::sleep(WATCHED.saturating_sub(begun.elapsed()));
    let attempts = siem.attempts.lock().unwrap().clone();
    assert_one_a_second(&attempts, begun.elapsed());
    let report = forwarder.abort();
    assert!(report.ledger.balances(sent.len() as u64), "{:?}", report.ledger);
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

    /// How many requests came within a second of the first, as far as a busy machine tells a second.
    fn requests_at_first(&self) -> usize {
        let requests = self.requests.lock().unwrap();
        let first = requests.iter().min().unwrap();
        requests.iter().filter(|request| request.duration_since(*first) + NOTED_LATE < Duration::from_secs(1)).count()
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
    assert!(at_first <= probes, "{at_first} requests in the first second");
    assert_eq!(forwarder.metrics().breaker.state, BreakerState::Closed);
    let report = forwarder.drain(PATIENCE);
    assert!(outage.received.ids().values().all(|times| *times == 1));
    assert_one_fate_each(&sent, &outage.received.ids(), &NONE_DEAD, &report);
}

/// T18: nor is one that comes back met by all that waited.
#[test]
fn a_siem_that_answers_again_is_met_by_probes_alone() {
    comes_back_to_probes(FailsAt::Request);
}

#[test]
fn a_siem_that_listens_again_is_met_by_probes_alone() {
    comes_back_to_probes(FailsAt::Connect);
}

/// One that was away so shortly that the breaker never opened.
#[test]
fn a_siem_that_was_away_for_a_moment_is_met_by_probes_alone() {
    let outage = Outage::default();
    let builder = Forwarder::builder(outage.siem(FailsAt::Connect)).health(unasked()).senders(4).batch_size(1);
    let forwarder = builder.retry(impatient()).start().unwrap();
    let sent = send(&forwarder.emitter(), 2_000);
    wait_until(&forwarder, |metrics| metrics.batches_failed >= 2);
    assert_eq!(forwarder.metrics().breaker.transitions, 0);
    outage.is_over.store(true, Ordering::SeqCst);
    wait_until(&forwarder, |metrics| metrics.events_sent == 2_000);
    let at_first = outage.requests_at_first();
    assert!(at_first <= 2, "{at_first} requests in the first second");
    assert_eq!(forwarder.metrics().breaker.state, BreakerState::Closed);
    let report = forwarder.drain(PATIENCE);
    assert_one_fate_each(&sent, &outage.received.ids(), &NONE_DEAD, &report);
}
