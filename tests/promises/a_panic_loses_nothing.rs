//! A panic in a destination's code loses nothing silently: the threads go on, health turns red, the books balance.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{
    self, PATIENCE, Played, Received, assert_one_fate_each, dead_letter, drain_in_time, impatient, panic_quietly, send,
    send_one,
};
use siem_forward::net::Stop;
use siem_forward::policy::RetryConfig;
use siem_forward::siem::FormatError;
use siem_forward::{
    AuditEvent, Batch, Cause, DeadLetterConfig, EventId, Forwarder, Health, Report, Siem, Verdict, format,
};

struct Bench {
    received: Received,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        panic_quietly();
        let directory = tempfile::tempdir().unwrap();
        Self { received: Received::default(), path: directory.path().join("dead.ndjson"), _directory: directory }
    }

    fn start(&self, siem: impl Siem) -> Forwarder {
        self.start_with(siem, impatient())
    }

    /// For destinations that fail at random: no batch is to blame.
    fn start_patient(&self, siem: impl Siem) -> Forwarder {
        let mut retry = impatient();
        retry.retry_attempts = 1000;
        self.start_with(siem, retry)
    }

    fn start_with(&self, siem: impl Siem, retry: RetryConfig) -> Forwarder {
        let builder = support::builder(siem).dead_letter(DeadLetterConfig::new(&self.path));
        builder.batch_size(10).retry(retry).start().unwrap()
    }

    fn dead(&self) -> BTreeMap<String, serde_json::Value> {
        dead_letter(&self.path)
    }

    fn assert_one_fate_each(&self, sent: &[EventId], report: &Report) {
        assert_one_fate_each(sent, &self.received.ids(), &self.dead(), report);
    }
}

/// Panics every third time.
fn now_and_then() -> impl Fn() + Send + Sync {
    let calls = AtomicU32::new(0);
    move || assert!(!calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(3), "now and then")
}

fn assert_red(forwarder: &Forwarder, place: &str) {
    let health = forwarder.health();
    assert!(!health.healthy);
    assert!(health.error_message.as_ref().unwrap().contains(place), "{health:?}");
}

/// T1: what the panic interrupted has no answer, which is no delivery.
#[test]
fn in_send_batch_now_and_then() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    let (send_batch, trip) = (played.send_batch, now_and_then());
    played.send_batch = Box::new(move |batch| {
        trip();
        send_batch(batch)
    });
    let forwarder = bench.start_patient(played);
    let sent = send(&forwarder.emitter(), 1000);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.delivered, 1000, "{report}");
    assert!(report.metrics.error_counts["panic"] > 0);
    assert_red(&forwarder, "panic in send_batch");
    bench.assert_one_fate_each(&sent, &report);
}

/// T1: nor is it one at the end.
#[test]
fn in_send_batch_until_drained() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    played.send_batch = Box::new(|_| panic!("always"));
    let forwarder = bench.start(played);
    let sent = send(&forwarder.emitter(), 100);
    support::wait_until(&forwarder, |metrics| metrics.batches_failed > 20);
    assert!(!forwarder.health().healthy);
    assert_eq!(forwarder.metrics().ledger.dead_lettered, 0, "without evidence no event is given up");
    let report = drain_in_time(&forwarder, std::time::Duration::from_millis(100));
    for record in bench.dead().values() {
        assert_eq!(record["cause"], "undelivered");
        // What was cut off a batch counts its attempts anew, and may have been sent before.
        let was_sent = record["attempts"] != 0;
        assert!(!was_sent || record["possible_duplicate"] == true, "nobody knows how far the destination got");
    }
    assert_eq!(bench.dead().len(), 100);
    bench.assert_one_fate_each(&sent, &report);
}

/// One event whose batch always panics is found and given up alone.
#[test]
fn in_send_batch_over_one_event() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    let send_batch = played.send_batch;
    played.send_batch = Box::new(move |batch| {
        assert!(memchr::memmem::find(batch.body(), b"poison").is_none(), "poisoned");
        send_batch(batch)
    });
    let forwarder = bench.start(played);
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 95);
    let poison = send_one(&emitter, "poison", 0);
    sent.push(poison);
    sent.extend(send(&emitter, 95));
    let report = forwarder.drain(PATIENCE);
    let dead = bench.dead();
    assert_eq!(dead.keys().collect::<Vec<_>>(), [&poison.to_string()]);
    assert!(dead.values().all(|record| record["cause"] == "panic"));
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn in_connect_now_and_then() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    let trip = now_and_then();
    played.connect = Box::new(move || {
        trip();
        Ok(())
    });
    let (send_batch, calls) = (played.send_batch, AtomicU32::new(0));
    // Connections break, so that there is more than one to be made.
    played.send_batch = Box::new(move |batch| match calls.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => Verdict::retry(Cause::new(siem_forward::siem::CauseKind::Unreachable)),
        _ => send_batch(batch),
    });
    let forwarder = bench.start_patient(played);
    let sent = send(&forwarder.emitter(), 500);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.delivered, 500, "{report}");
    assert_red(&forwarder, "panic in connect");
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn in_connect_until_drained() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    played.connect = Box::new(|| panic!("always"));
    let forwarder = bench.start(played);
    let sent = send(&forwarder.emitter(), 100);
    support::wait_until(&forwarder, |metrics| metrics.batches_failed > 20);
    let report = drain_in_time(&forwarder, std::time::Duration::from_millis(100));
    assert_eq!(bench.dead().len(), 100);
    assert!(bench.dead().values().all(|record| record["possible_duplicate"] == false), "nothing was ever sent");
    assert_red(&forwarder, "connect panicked");
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn in_format_event_now_and_then() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    let (format_event, trip) = (played.format_event, now_and_then());
    played.format_event = Box::new(move |event, body| {
        format_event(event, body)?;
        trip();
        Ok(())
    });
    let forwarder = bench.start(played);
    let sent = send(&forwarder.emitter(), 300);
    let report = forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.delivered, bench.dead().len()), (200, 100), "{report}");
    assert!(bench.dead().values().all(|record| record["cause"] == "panic" && record["possible_duplicate"] == false));
    assert_red(&forwarder, "panic in format_event");
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn in_format_event_until_drained() {
    let bench = Bench::new();
    let mut played = Played::new(&bench.received);
    played.format_event = Box::new(|_, _| panic!("always"));
    let forwarder = bench.start(played);
    let sent = send(&forwarder.emitter(), 50);
    let report = forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.delivered, bench.dead().len()), (0, 50), "{report}");
    assert_eq!(report.metrics.batches_sent + report.metrics.batches_failed, 0, "an empty batch is never sent");
    bench.assert_one_fate_each(&sent, &report);
}

/// A destination whose connection panics when it is dropped, as it is after every failure and at the end.
struct Brittle {
    received: Received,
    calls: AtomicU32,
}

struct Connection;

impl Drop for Connection {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "brittle");
    }
}

impl Siem for Brittle {
    type Connection = Connection;

    fn connect(&self, _stop: &Stop) -> Result<Connection, Verdict> {
        Ok(Connection)
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        format::json::write(event, body);
        Ok(())
    }

    fn send_batch(&self, _connection: &mut Connection, batch: &Batch) -> Verdict {
        match self.calls.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => panic!("a panic, and then another one"),
            1 => Verdict::retry(Cause::new(siem_forward::siem::CauseKind::Timeout)),
            _ => {
                self.received.take_all(batch);
                Verdict::Accept
            }
        }
    }

    fn health_check(&self, _connection: &mut Connection) -> Health {
        Health::healthy()
    }
}

#[test]
fn in_the_drop_of_a_connection() {
    let bench = Bench::new();
    let forwarder = bench.start_patient(Brittle { received: bench.received.clone(), calls: AtomicU32::new(0) });
    let sent = send(&forwarder.emitter(), 500);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.delivered, 500, "{report}");
    assert!(!report.deadline_reached);
    assert_red(&forwarder, "panic in send_batch");
    bench.assert_one_fate_each(&sent, &report);
}
