//! An event's own time is carried and never counted with: not for the age of its batch, nor for its latency, nor for the
//! wait before the next attempt. So neither a clock that steps nor a caller's wrong one delays, loses or storms.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{self, NONE_DEAD, PATIENCE, Received, assert_one_fate_each, drain_in_time};
use siem_forward::policy::{Jitter, RetryConfig};
use siem_forward::{AuditEvent, Cause, EventType, Severity, Timestamp, Verdict};

const BATCH_TIMEOUT: Duration = Duration::from_millis(300);
const WAIT: Duration = Duration::from_millis(200);
/// Far above what the machine needs, far below what any of the times would make of it.
const SOON: Duration = Duration::from_secs(10);

/// The first second that Unix counts, one that lies ahead, and the ends of what can be said.
fn times() -> [Timestamp; 4] {
    let text = |text: &str| text.parse().unwrap();
    let ends = [i64::MIN, i64::MAX].map(Timestamp::from_unix_nanos);
    [text("1970-01-01T00:00:00Z"), text("2100-01-01T00:00:00Z"), ends[0], ends[1]]
}

fn event(timestamp: Timestamp) -> AuditEvent {
    AuditEvent::builder(EventType::UserLogin, Severity::High).timestamp(timestamp).build()
}

fn retry() -> RetryConfig {
    let mut retry = RetryConfig::default();
    (retry.retry_backoff_max, retry.retry_jitter) = (WAIT, Jitter::None);
    retry
}

#[test]
fn a_time_far_away_changes_no_age_no_latency_and_no_wait() {
    for timestamp in times() {
        let (received, attempts) = (Received::default(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&attempts);
        let destination = support::scripted(&received, move |batch| {
            let mut seen = seen.lock().unwrap();
            seen.push((Instant::now(), batch.marks()[0].timestamp, String::from_utf8_lossy(batch.body()).into_owned()));
            if seen.len() <= 2 { Verdict::retry(Cause::http(500)) } else { Verdict::Accept }
        });
        let builder = support::builder(destination).batch_timeout(BATCH_TIMEOUT).retry(retry());
        let forwarder = builder.start().unwrap();
        let event = event(timestamp);
        let (id, begun) = (event.id(), Instant::now());
        forwarder.emitter().try_send(event).unwrap();
        support::wait_until(&forwarder, |metrics| metrics.events_sent == 1);

        let attempts = attempts.lock().unwrap();
        assert!(
            attempts.iter().all(|(_, carried, body)| *carried == timestamp && body.contains(&timestamp.to_string()))
        );
        let moments: Vec<Instant> = std::iter::once(begun).chain(attempts.iter().map(|(at, ..)| *at)).collect();
        let waits: Vec<Duration> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (wait, at_least) in waits.iter().zip([BATCH_TIMEOUT, WAIT, WAIT]) {
            assert!(*wait >= at_least && *wait < SOON, "{timestamp}: {waits:?}");
        }
        assert_eq!(waits.len(), 3);

        let latency = forwarder.metrics().delivery_latency;
        // The histogram rounds by 1 %.
        let at_least = (BATCH_TIMEOUT + WAIT * 2).mul_f64(0.98);
        assert!(latency.count == 1 && latency.p50 >= at_least && latency.max < SOON, "{timestamp}: {latency:?}");
        let report = drain_in_time(&forwarder, PATIENCE);
        assert_one_fate_each(&[id], &received.ids(), &NONE_DEAD, &report);
    }
}

/// Of a batch that is closed by its age, the times of its events decide nothing either, in whatever order they come.
#[test]
fn times_that_run_backwards_share_a_batch() {
    let (received, sizes) = (Received::default(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&sizes);
    let destination = support::scripted(&received, move |batch| {
        seen.lock().unwrap().push(batch.len());
        Verdict::Accept
    });
    // Handed over by count alone, so that a busy machine does not cut it in two.
    let builder = support::builder(destination).batch_size(400).batch_timeout(Duration::from_secs(60));
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let events = times().into_iter().cycle().take(400).map(event);
    let sent: Vec<_> = events
        .map(|event| {
            let id = event.id();
            emitter.send_timeout(event, PATIENCE).unwrap();
            id
        })
        .collect();
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 400);
    assert_eq!(*sizes.lock().unwrap(), [400]);
    assert!(forwarder.metrics().delivery_latency.max < SOON * 2, "{:?}", forwarder.metrics().delivery_latency);
    let report = drain_in_time(&forwarder, PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}
