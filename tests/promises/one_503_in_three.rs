//! One request in three is answered with 503, and 50,000 events are all there within five seconds.
//!
//! The figure, with its time: `cargo test --release --test promises one_503_in_three -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what cannot go on fails its test, and a measurement prints"
)]

use std::time::{Duration, Instant};

use siem_forward::DeadLetterConfig;
use siem_forward::policy::{Jitter, RetryConfig};
use siem_forward::siem::Splunk;

use crate::hec::{Letter, TOKEN, assert_balanced, ids, receiver, wait_for_fates};
use crate::support::{self, PATIENCE, send};

const EVENTS: usize = 50_000;

/// The promise is for optimized code on a machine of its own; here it may be neither.
const AT_MOST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 5 });

/// Others lose a third of them, or take twice as long.
#[test]
fn fifty_thousand_events_are_delivered_in_time() {
    let receiver = receiver(&["503:every=3"]);
    let letter = Letter::new();
    let mut retry = RetryConfig::default();
    retry.retry_backoff_base = 1.0;
    retry.retry_backoff_max = Duration::from_millis(100);
    retry.retry_jitter = Jitter::None;
    let forwarder = support::builder(Splunk::new(receiver.url(), TOKEN).unwrap())
        // Full batches, whatever the machine does meanwhile.
        .batch_timeout(PATIENCE)
        .retry(retry)
        .dead_letter(DeadLetterConfig::new(&letter.path))
        .start()
        .unwrap();
    let begun = Instant::now();
    let sent = send(&forwarder.emitter(), EVENTS);
    // Before the drain, which would cut the waits short.
    wait_for_fates(&forwarder, EVENTS);
    let elapsed = begun.elapsed();

    let report = forwarder.drain(PATIENCE);
    let counts = receiver.counts();
    println!(
        "{EVENTS} events in {:.2} s, {} of {} requests answered with 503",
        elapsed.as_secs_f64(),
        counts.requests_failed,
        counts.requests
    );
    assert!(report.all_delivered(), "{report}");
    // Every third: as many were put off as half of the batches.
    assert_eq!((counts.requests, counts.requests_failed), (149, 49));
    assert_eq!(report.metrics.retry_count, 49);
    let indexed = ids(&[&receiver]);
    assert!(indexed.len() == EVENTS && indexed.values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
    assert!(elapsed < AT_MOST, "{elapsed:?}");
}
