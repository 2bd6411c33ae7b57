//! T22: Datadog says 202 to a log that is too old or too large, and drops or cuts it without a word. Such an event is stopped
//! here, and its record says why; and no request is larger than Datadog takes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::time::{Duration, Instant};

use siem_forward::policy::{BreakerConfig, BreakerState, Jitter, RetryConfig};
use siem_forward::receiver::{Play, Receiver};
use siem_forward::{AuditEvent, Emitter, EventId, EventType, Severity, Timestamp};

use crate::hec::{
    Letter, TIMEOUT, assert_balanced, builder, datadog, faults, free_address, ids, playing, wait_for_fates,
};
use crate::support::{PATIENCE, send, unasked, until};

const HOUR_NANOS: i64 = 3_600_000_000_000;

fn send_of(emitter: &Emitter, hours_ago: i64, text: &str) -> EventId {
    let then = Timestamp::from_unix_nanos(Timestamp::now().unix_nanos() - hours_ago * HOUR_NANOS);
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).timestamp(then).detail("text", text).build();
    let id = event.id();
    emitter.send_timeout(event, PATIENCE).unwrap();
    id
}

/// Every third is 19 hours old, the others are young or 17 hours old.
fn send_mixed(emitter: &Emitter) -> (Vec<EventId>, Vec<String>) {
    let sent: Vec<EventId> = (0..300).map(|index| send_of(emitter, [0, 19, 17][index % 3], "")).collect();
    let mut old: Vec<String> = sent.iter().skip(1).step_by(3).map(ToString::to_string).collect();
    old.sort();
    (sent, old)
}

#[test]
fn an_event_that_is_too_old_goes_to_the_dead_letter_and_its_neighbours_are_delivered() {
    let receiver = playing(Play::Datadog, &[]);
    let letter = Letter::new();
    let forwarder = builder(datadog(receiver.url(), TIMEOUT), &letter).start().unwrap();
    let (sent, old) = send_mixed(&forwarder.emitter());
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    let dead = letter.records();
    assert_eq!(dead.keys().collect::<Vec<_>>(), old.iter().collect::<Vec<_>>(), "{report}");
    for record in dead.values() {
        assert_eq!((&record["cause"], &record["attempts"]), (&"too_old".into(), &0.into()));
        assert_eq!(record["possible_duplicate"], false);
        assert!(record["words"].as_str().unwrap().starts_with("older than 64800 s"), "{record}");
    }
    assert!(ids(&[&receiver]).values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// What others do: all is called delivered, and a third is not there.
#[test]
fn without_the_limit_the_trap_is_met() {
    let receiver = playing(Play::Datadog, &[]);
    let letter = Letter::new();
    let careless = datadog(receiver.url(), TIMEOUT).age_max(Duration::ZERO);
    let forwarder = builder(careless, &letter).start().unwrap();
    let (sent, _) = send_mixed(&forwarder.emitter());
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.delivered, sent.len() as u64);
    assert_eq!((receiver.counts().unindexed, receiver.counts().unique), (100, 200));
}

/// The long outage: what has become too old while it waited is not sent when the destination is back.
#[test]
fn what_grows_too_old_while_it_waits_is_not_sent() {
    let receiver = playing(Play::Datadog, &["503"]);
    let letter = Letter::new();
    let datadog = datadog(receiver.url(), TIMEOUT).age_max(Duration::from_millis(1500));
    let forwarder = builder(datadog, &letter).start().unwrap();
    let begun = Instant::now();
    let mut sent = send(&forwarder.emitter(), 120);
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests > 0));
    assert!(begun.elapsed() < Duration::from_millis(1500), "the machine is too slow for this test");
    wait_for_fates(&forwarder, sent.len());
    receiver.set_faults(faults(&[]));
    let fresh = send(&forwarder.emitter(), 10);
    sent.extend(&fresh);
    let report = forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.dead_lettered, report.ledger.delivered), (120, 10), "{report}");
    assert!(letter.records().values().all(|record| record["cause"] == "too_old"));
    assert!(fresh.iter().all(|id| receiver.contains(id.as_u128())));
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// Nobody is asked anything for such a batch, so it says nothing about the destination either.
#[test]
fn a_batch_that_is_not_sent_does_not_close_the_breaker() {
    let letter = Letter::new();
    let mut breaker = BreakerConfig::default();
    (breaker.failure_threshold, breaker.recovery_timeout) = (1, Duration::from_millis(1));
    // What has failed once does not come again in this test, and so cannot open it anew.
    let mut retry = RetryConfig::default();
    (retry.retry_backoff_base, retry.retry_backoff_max) = (60.0, PATIENCE);
    retry.retry_jitter = Jitter::None;
    let url = format!("http://{}", free_address());
    let builder = builder(datadog(url, TIMEOUT), &letter).breaker(breaker).health(unasked()).retry(retry);
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 1);
    until(|| forwarder.metrics().breaker.state != BreakerState::Closed);
    sent.extend((0..200).map(|_| send_of(&emitter, 19, "")));
    wait_for_fates(&forwarder, 200);
    assert_ne!(forwarder.metrics().breaker.state, BreakerState::Closed);
    assert_eq!(forwarder.metrics().events_sent, 0);
    let report = forwarder.drain(Duration::from_millis(100));
    let dead = letter.records();
    assert_eq!(dead.values().filter(|record| record["cause"] == "too_old").count(), 200);
    assert_eq!((dead.len(), report.ledger.dead_lettered), (sent.len(), 201), "{report}");
}

fn assert_never_refused(receiver: &Receiver) {
    let counts = receiver.counts();
    assert_eq!((counts.requests_failed, counts.unindexed), (0, 0), "{counts:?}");
}

#[test]
fn no_request_is_larger_than_datadog_takes() {
    let receiver = playing(Play::Datadog, &[]);
    let letter = Letter::new();
    let many = builder(datadog(receiver.url(), PATIENCE), &letter).batch_size(50_000).start().unwrap();
    let sent = send(&many.emitter(), 2_500);
    let report = many.drain(PATIENCE);
    assert_never_refused(&receiver);
    assert_eq!(receiver.counts().requests, 3, "1,000 logs each");
    assert_balanced(&sent, &receiver, &letter, &report);

    let (receiver, letter) = (playing(Play::Datadog, &[]), Letter::new());
    let builder = builder(datadog(receiver.url(), PATIENCE), &letter).batch_size(100);
    let large = builder.batch_bytes_max(100_000_000).event_bytes_max(2_000_000).start().unwrap();
    let emitter = large.emitter();
    let mut sent: Vec<EventId> = (0..12).map(|_| send_of(&emitter, 0, &"x".repeat(900_000))).collect();
    let too_large = send_of(&emitter, 0, &"x".repeat(1_000_000));
    sent.push(too_large);
    let report = large.drain(PATIENCE);
    assert_never_refused(&receiver);
    assert!(receiver.counts().requests >= 3, "5 MB each");
    let dead = letter.records();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[&too_large.to_string()]["cause"], "too_large");
    assert_balanced(&sent, &receiver, &letter, &report);
}
