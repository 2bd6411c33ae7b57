//! Attempts are spaced as the original spaces them, and a Retry-After holds back every sender of the pipeline. Lower bounds
//! only: how late a thread wakes is the system's business.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{self, NONE_DEAD, PATIENCE, Received, assert_one_fate_each, send};
use siem_forward::policy::{Jitter, RetryConfig};
use siem_forward::{Batch, Cause, Verdict, siem};

type Times = Arc<Mutex<Vec<Instant>>>;

/// Answers `failures` requests with `verdict`, all others with Accept, and keeps when each came.
fn failing_at_first(
    received: &Received,
    times: &Times,
    failures: usize,
    verdict: Verdict,
) -> siem::FromFn<impl Fn(&Batch) -> Verdict + Send + Sync + 'static> {
    let (times, requests) = (Arc::clone(times), AtomicUsize::new(0));
    support::scripted(received, move |_| {
        times.lock().unwrap().push(Instant::now());
        if requests.fetch_add(1, Ordering::Relaxed) < failures { verdict.clone() } else { Verdict::Accept }
    })
}

fn exact(base: f64, max: Duration) -> RetryConfig {
    let mut retry = RetryConfig::default();
    retry.retry_backoff_base = base;
    retry.retry_backoff_max = max;
    retry.retry_jitter = Jitter::None;
    retry
}

/// One event and `failures` failures before it is delivered; the time from each attempt to the next.
fn spacing(retry: RetryConfig, failures: usize) -> Vec<Duration> {
    let (received, times) = (Received::default(), Times::default());
    let destination = failing_at_first(&received, &times, failures, Verdict::retry(Cause::http(500)));
    let forwarder = support::builder(destination).batch_size(1).retry(retry).start().unwrap();
    let sent = send(&forwarder.emitter(), 1);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 1);
    let report = forwarder.drain(PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
    assert_eq!(report.metrics.retry_count, failures as u64);
    times.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// `min(base^(n-1), max)` seconds before attempt n: 2 s, then 3 s where 4 would be due.
#[test]
fn the_wait_grows_by_its_base_up_to_its_maximum() {
    let spacing = spacing(exact(2.0, Duration::from_secs(3)), 2);
    assert!(spacing[0] >= Duration::from_secs(2) && spacing[1] >= Duration::from_secs(3), "{spacing:?}");
    assert!(spacing[0] < Duration::from_secs(3), "the first wait is not the longest yet: {spacing:?}");
}

#[test]
fn no_wait_is_longer_than_the_maximum_asks_for() {
    let max = Duration::from_millis(300);
    let spacing = spacing(exact(2.0, max), 4);
    assert!(spacing.len() == 4 && spacing.iter().all(|wait| *wait >= max), "{spacing:?}");
    assert!(
        spacing.iter().sum::<Duration>() < Duration::from_secs(8),
        "the waits of base 2 would be 30 s: {spacing:?}"
    );
}

/// One sender is asked for patience, and all four have it, with old batches and new ones.
#[test]
fn a_retry_after_holds_back_every_sender() {
    let (received, times) = (Received::default(), Times::default());
    let asked = Duration::from_secs(1);
    let throttled = Verdict::Retry { after: Some(asked), cause: Cause::http(429) };
    let destination = failing_at_first(&received, &times, 1, throttled);
    let forwarder = support::builder(destination)
        .batch_size(1)
        .senders(4)
        .retry(exact(2.0, Duration::from_millis(1)))
        .start()
        .unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 1);
    support::wait_until(&forwarder, |metrics| metrics.retry_count == 1);
    sent.extend(send(&emitter, 30));
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 31);
    let report = forwarder.drain(PATIENCE);
    let times = times.lock().unwrap();
    let early: Vec<_> = times[1..].iter().map(|at| *at - times[0]).filter(|wait| *wait < asked).collect();
    assert!(early.is_empty(), "{early:?} after the destination had asked for {asked:?}");
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

/// A Retry-After has a ceiling of its own, whatever the destination asks for.
#[test]
fn a_retry_after_is_honoured_up_to_its_ceiling() {
    let (received, times) = (Received::default(), Times::default());
    let throttled = Verdict::Retry { after: Some(Duration::from_secs(86_400)), cause: Cause::http(503) };
    let destination = failing_at_first(&received, &times, 1, throttled);
    let mut retry = exact(2.0, Duration::from_millis(1));
    retry.retry_after_max = Duration::from_millis(400);
    let forwarder = support::builder(destination).batch_size(1).retry(retry).start().unwrap();
    let sent = send(&forwarder.emitter(), 1);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 1);
    let report = forwarder.drain(PATIENCE);
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_millis(400));
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}
