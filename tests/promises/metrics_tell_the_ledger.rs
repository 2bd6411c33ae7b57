//! The original's metrics agree with the ledger at rest, and at no moment has more fates than events.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{self, NONE_DEAD, PATIENCE, Received, assert_one_fate_each, dead_letter, impatient, scripted};
use siem_forward::ledger::{LostReason, RefusedReason};
use siem_forward::siem::{CauseKind, Partial};
use siem_forward::{Cause, DeadLetterConfig, Emitter, EventType, Forwarder, Severity, Snapshot, Verdict};

/// What must hold at any moment.
fn assert_never_negative(metrics: &Snapshot) {
    let ledger = &metrics.ledger;
    let fates = ledger.delivered + ledger.dead_lettered + ledger.lost_total();
    assert!(ledger.accepted >= fates, "{ledger:?}");
    assert_eq!(ledger.accepted, fates + ledger.in_flight, "{ledger:?}");
    assert_eq!(metrics.events_sent, ledger.delivered);
    assert_eq!(metrics.events_failed, ledger.dead_lettered + ledger.lost_total());
    assert_eq!(metrics.events_dropped, ledger.refused_total());
    assert_eq!(metrics.batches_failed, metrics.error_counts.values().sum::<u64>());
    assert!((0.0..=100.0).contains(&metrics.success_rate));
}

#[test]
fn at_any_moment_under_load_no_event_has_a_fate_before_it_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let requests = AtomicUsize::new(0);
    let theirs = received.clone();
    let moody =
        siem_forward::siem::from_fn("moody", move |batch| match requests.fetch_add(1, Ordering::Relaxed) % 50 {
            7 => Verdict::retry(Cause::http(503)),
            9 => {
                theirs.take(batch, 1..batch.len());
                Verdict::Partial(Partial::new().reject(0, Cause::new(CauseKind::Rejected)))
            }
            _ => {
                theirs.take_all(batch);
                Verdict::Accept
            }
        });
    let forwarder = support::builder(moody)
        .batchers(2)
        .max_queue_size(500)
        .batch_size(20)
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let (done, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let sent = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            let mut before = forwarder.metrics().ledger;
            while !done.load(Ordering::Relaxed) {
                let metrics = forwarder.metrics();
                assert_never_negative(&metrics);
                let ledger = metrics.ledger;
                assert!(ledger.accepted >= before.accepted && ledger.delivered >= before.delivered);
                before = ledger;
                looks += 1;
            }
            looks
        });
        let produce = || {
            let mut sent = Vec::new();
            let emitter = forwarder.emitter();
            for _ in 0..10_000 {
                let event = siem_forward::AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
                let id = event.id();
                match emitter.try_send(event) {
                    Ok(()) => sent.push(id),
                    Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
            }
            sent
        };
        let producers = [(); 3].map(|()| scope.spawn(produce));
        let sent: Vec<_> = producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect();
        forwarder.drain(PATIENCE);
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 10);
        sent
    });
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.refused["full"], refused.into_inner());
    assert!(report.ledger.dead_lettered > 0 && report.metrics.retry_count > 0);
    assert_one_fate_each(&sent, &received.ids(), &dead_letter(&path), &report);
}

/// Each of the original's names, by a run in which each is known.
#[test]
fn at_rest_every_name_says_what_happened() {
    let received = Received::default();
    let requests = AtomicUsize::new(0);
    let destination = scripted(&received, move |_| match requests.fetch_add(1, Ordering::Relaxed) {
        1 => Verdict::retry(Cause::http(503)),
        2 => Verdict::retry(Cause::new(CauseKind::Timeout)),
        5 => Verdict::Reject(Cause::http(400)),
        _ => {
            std::thread::sleep(Duration::from_millis(2));
            Verdict::Accept
        }
    });
    let forwarder =
        support::builder(destination).senders(1).batch_size(1).event_bytes_max(300).retry(impatient()).start().unwrap();
    let emitter = forwarder.emitter();
    let empty = forwarder.metrics();
    assert_never_negative(&empty);
    assert_eq!((empty.success_rate, empty.average_latency_ms, empty.queue_size), (100.0, 0.0, 0));
    // The zeroes are there, so that who watches a reason need not wait for its first event.
    assert_eq!(
        empty.ledger.refused.keys().copied().collect::<Vec<_>>(),
        sorted(RefusedReason::ALL, RefusedReason::label)
    );
    assert_eq!(empty.ledger.lost.keys().copied().collect::<Vec<_>>(), sorted(LostReason::ALL, LostReason::label));

    // One at a time, so that the requests come in this order: accepted, two failures and accepted, accepted, refused; and
    // at the end our own, which tells of the one that was too large.
    let sent: Vec<_> = (0..4).map(|index| one_at_a_time(&forwarder, &emitter, index)).collect();
    let large = emitter.event(EventType::UserLogin, Severity::Critical).user_agent("x".repeat(400)).try_send();
    assert!(large.is_err());
    let report = forwarder.drain(PATIENCE);
    let metrics = &report.metrics;
    assert_never_negative(metrics);
    assert_eq!((metrics.events_sent, metrics.events_failed, metrics.events_dropped), (4, 1, 1));
    assert_eq!((report.ledger.accepted, report.ledger.gaps), (5, 1));
    let dropped: Vec<_> = metrics.events_dropped_by.iter().filter(|(_, count)| **count > 0).collect();
    assert_eq!(dropped, [(&(RefusedReason::TooLarge, Severity::Critical), &1)]);
    assert_eq!((metrics.batches_sent, metrics.batches_failed, metrics.retry_count), (4, 3, 2));
    assert!((metrics.success_rate - 400.0 / 7.0).abs() < 1e-9);
    let errors = [("http_400", 1), ("http_503", 1), ("timeout", 1)].map(|(label, count)| (label.to_owned(), count));
    assert_eq!(metrics.error_counts, BTreeMap::from(errors));
    assert_eq!((metrics.queue_size, metrics.current_batch_size), (0, 0));
    assert_eq!((report.ledger.lost["no_dead_letter"], report.ledger.refused["too_large"]), (1, 1));
    assert_eq!(metrics.send_latency.count, 7);
    assert_eq!(metrics.delivery_latency.count, 4);
    assert!(metrics.delivery_latency.p50 >= Duration::from_millis(1) && metrics.average_latency_ms >= 0.9);
    assert!(metrics.worker_cpu_time > Duration::ZERO);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

fn one_at_a_time(forwarder: &Forwarder, emitter: &Emitter, index: u64) -> siem_forward::EventId {
    let id = support::send_one(emitter, "tool", 0);
    support::wait_until(forwarder, |metrics| metrics.events_sent + metrics.events_failed == index + 1);
    id
}

fn sorted<T: Copy>(all: &[T], label: impl Fn(T) -> &'static str) -> Vec<&'static str> {
    let mut labels: Vec<_> = all.iter().map(|one| label(*one)).collect();
    labels.sort_unstable();
    labels
}

/// What waits is told while it waits: in the ring, in the batch that is being filled, and while draining too.
#[test]
fn what_waits_is_told_while_it_waits() {
    let received = Received::default();
    let mut played = support::Played::new(&received);
    let mut hang = support::Hang::new();
    let (hook, format) = (hang.hook(), played.format_event);
    played.format_event = Box::new(move |event, body| {
        if event.tool_name() == Some("hangs") {
            hook();
        }
        format(event, body)
    });
    let forwarder = support::builder(played).batch_timeout(Duration::from_secs(3600)).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = support::send(&emitter, 7);
    support::wait_until(&forwarder, |metrics| metrics.current_batch_size == 7);
    sent.push(support::send_one(&emitter, "hangs", 0));
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 8);
    sent.extend(support::send(&emitter, 30));
    let metrics = forwarder.metrics();
    assert_eq!((metrics.queue_size, metrics.ledger.queued, metrics.ledger.in_flight), (30, 30, 8));
    let report = std::thread::scope(|scope| {
        let drain = scope.spawn(|| forwarder.drain(PATIENCE));
        support::until(|| emitter.event(EventType::UserLogin, Severity::Low).try_send().is_err());
        let metrics = forwarder.metrics();
        assert!(metrics.queue_size >= 30, "it waits still: {}", metrics.queue_size);
        hang.release();
        drain.join().unwrap()
    });
    assert_eq!((report.ledger.queued, report.ledger.delivered), (0, report.ledger.accepted));
    assert!(sent.iter().all(|id| received.ids().contains_key(id)));
    assert!(report.ledger.balances(received.len() as u64));
}
