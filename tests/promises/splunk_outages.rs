//! What a SIEM does to those who rely on it: absent, restarted, refusing, too small. Nothing is lost, over real HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::time::Duration;

use siem_forward::policy::BreakerConfig;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::{AuditEvent, EventId, EventType, Forwarder, Severity};

use crate::hec::{Letter, TOKEN, assert_balanced, builder, faults, free_address, ids, receiver, receiver_at, splunk};
use crate::hec::{impatient, wait_for_fates};
use crate::support::{PATIENCE, assert_one_fate_each, send, send_one, wait_until};

#[test]
fn a_receiver_that_appears_later_gets_everything() {
    let address = free_address();
    let letter = Letter::new();
    let forwarder = builder(splunk(format!("http://{address}")), &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 2_000);
    wait_until(&forwarder, |metrics| metrics.error_counts.get("connection_refused").is_some_and(|times| *times >= 6));
    let health = forwarder.health();
    assert!(!health.healthy && health.error_message.as_ref().unwrap().contains("connection_refused"), "{health:?}");
    assert_eq!(forwarder.metrics().events_failed, 0);

    let receiver = receiver_at(address);
    wait_for_fates(&forwarder, sent.len());
    assert!(forwarder.health().healthy);
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert!(ids(&[&receiver]).values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
}

#[test]
fn a_receiver_that_never_appears_leaves_everything_in_the_dead_letter() {
    let letter = Letter::new();
    let forwarder = builder(splunk(format!("http://{}", free_address())), &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 2_000);
    let deadline = Duration::from_millis(700);
    let report = forwarder.drain(deadline);
    assert!(report.elapsed <= deadline + Duration::from_millis(500), "{:?}", report.elapsed);
    let dead = letter.records();
    assert_eq!(dead.len(), sent.len(), "{report}");
    for record in dead.values() {
        assert_eq!((&record["cause"], &record["possible_duplicate"]), (&"undelivered".into(), &false.into()));
    }
    assert_one_fate_each(&sent, &ids(&[]), &dead, &report);
}

#[test]
fn a_receiver_that_is_killed_and_restarted_misses_nothing() {
    let address = free_address();
    let letter = Letter::new();
    let mut receivers = vec![receiver_at(address)];
    let forwarder = builder(splunk(receivers[0].url()), &letter).batch_size(20).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    let mut held = std::collections::HashMap::new();
    for _ in 0..3 {
        // Killed while it receives: wherever its connections are then.
        let half = sent.len() + 1_000;
        sent.extend(send(&emitter, 2_000));
        wait_until(&forwarder, |metrics| metrics.events_sent >= half as u64);
        let receiver = receivers.pop().unwrap();
        // What a killed one holds can be asked for until its last thread is gone.
        receiver.set_faults(faults(&["reset_after"]));
        let failed = forwarder.metrics().batches_failed;
        sent.extend(send(&emitter, 200));
        wait_until(&forwarder, |metrics| metrics.batches_failed > failed);
        receiver.set_faults(faults(&["reset"]));
        for (id, times) in ids(&[&receiver]) {
            *held.entry(id).or_insert(0) += times;
        }
        receiver.stop();
        receivers.push(receiver_at(address));
    }
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    for (id, times) in ids(&[&receivers[0]]) {
        *held.entry(id).or_insert(0) += times;
    }
    assert!(report.all_delivered(), "{report}");
    assert!(held.values().any(|times| *times > 1), "what was taken without a word came again");
    assert_one_fate_each(&sent, &held, &letter.records(), &report);
}

/// One poisoned event among ten thousand, for which the batch is refused without its number, by Splunk itself or by what
/// stands before it.
#[test]
fn a_poisoned_event_among_ten_thousand_is_dead_lettered_alone() {
    for (fault, senders, cause, words) in [
        ("500:contains=poison", 1, "http_500", "Internal server error (code 8)"),
        ("500:contains=poison", 2, "http_500", "Internal server error (code 8)"),
        ("502:contains=poison", 2, "http_502", ""),
        ("reset:contains=poison", 2, "connection_reset", ""),
    ] {
        let receiver = receiver(&[fault]);
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()), &letter).batch_size(500).senders(senders).start().unwrap();
        let emitter = forwarder.emitter();
        let mut sent = send(&emitter, 4_711);
        let poison = send_one(&emitter, "poison", 0);
        sent.push(poison);
        sent.extend(send(&emitter, 5_288));
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        let dead = letter.records();
        assert_eq!(dead.keys().collect::<Vec<_>>(), [&poison.to_string()], "{fault}, {senders} senders: {report}");
        assert_eq!(dead[&poison.to_string()]["cause"], cause);
        assert!(dead[&poison.to_string()]["words"].as_str().unwrap().contains(words), "{dead:?}");
        // Each of the ten halves that hold it is tried a few times, and the good half beside it once.
        let requests = receiver.counts().requests;
        assert!(requests <= 20 + 10 * (3 + 3 + 1), "{fault}, {senders} senders: {requests} requests");
        assert!(ids(&[&receiver]).values().all(|times| *times == 1));
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// Splunk's own words for a token it does not know, and for an authorization it cannot read.
#[test]
fn a_wrong_token_keeps_the_data_until_it_is_right() {
    for (token, fault, words) in [("another", None, "Invalid token"), (TOKEN, Some("401"), "Invalid authorization")] {
        let config = ReceiverConfig {
            token: Some(token.to_owned()),
            faults: fault.iter().map(|fault| fault.parse().unwrap()).collect(),
            ..ReceiverConfig::default()
        };
        let receiver = Receiver::start(config).unwrap();
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
        let sent = send(&forwarder.emitter(), 500);
        // More often than any batch may be charged with: a bad token is not a bad event.
        wait_until(&forwarder, |metrics| metrics.batches_failed >= 60);
        let health = forwarder.health();
        assert!(!health.healthy && health.error_message.as_ref().unwrap().contains(words), "{health:?}");
        assert_eq!(receiver.counts().events, 0);
        assert_eq!(forwarder.metrics().events_failed, 0);
        assert!(letter.records().is_empty());

        receiver.set_token(Some(TOKEN.to_owned()));
        receiver.set_faults(faults(&[]));
        wait_for_fates(&forwarder, sent.len());
        assert!(forwarder.health().healthy, "{:?}", forwarder.health());
        let report = forwarder.drain(PATIENCE);
        assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// The token turns bad in the middle of a run that went well until then.
#[test]
fn a_token_that_expires_dead_letters_nothing() {
    let receiver = receiver(&[]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 500);
    wait_for_fates(&forwarder, 500);
    receiver.set_token(Some("another".to_owned()));
    sent.extend(send(&emitter, 1_000));
    wait_until(&forwarder, |metrics| metrics.batches_failed >= 60);
    assert!(!forwarder.health().healthy);
    receiver.set_token(None);
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

fn send_large(forwarder: &Forwarder, bytes: usize) -> EventId {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low).user_agent("x".repeat(bytes)).build();
    let id = event.id();
    forwarder.emitter().send_timeout(event, PATIENCE).unwrap();
    id
}

/// Wherever the limit of a proxy lies, down to little more than one event: halving finds what fits.
#[test]
fn a_body_that_is_too_large_is_halved_until_it_fits() {
    for (bytes, batch_size) in [(60_000, 500), (20_000, 500), (9_000, 200), (500, 64)] {
        let receiver = receiver(&[&format!("413:bytes={bytes}")]);
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()), &letter).batch_size(batch_size).start().unwrap();
        let sent = send(&forwarder.emitter(), 1_000);
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(report.metrics.error_counts["too_large"] > 0, "{:?}", report.metrics.error_counts);
        assert!(report.all_delivered(), "at {bytes} bytes: {report}");
        assert!(ids(&[&receiver]).values().all(|times| *times == 1));
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// The same where nobody says so, and the connection is reset amid the body each time: for many batches, and for one that
/// no other can speak for.
#[test]
fn a_body_that_is_reset_by_its_size_is_halved_until_it_fits() {
    let halved = |bytes: usize, batch_size: usize, events: usize| {
        let receiver = receiver(&[&format!("reset:bytes={bytes}")]);
        let letter = Letter::new();
        let builder = builder(splunk(receiver.url()), &letter).batch_size(batch_size).batch_timeout(PATIENCE);
        let mut breaker = BreakerConfig::default();
        breaker.recovery_timeout = Duration::from_millis(20);
        let forwarder = builder.breaker(breaker).start().unwrap();
        let sent = send(&forwarder.emitter(), events);
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(report.metrics.error_counts["connection_reset"] > 0, "{:?}", report.metrics.error_counts);
        assert!(report.all_delivered(), "{events} events at {bytes} bytes: {report}");
        assert_balanced(&sent, &receiver, &letter, &report);
    };
    std::thread::scope(|scope| {
        for (bytes, batch_size, events) in
            [(60_000, 500, 2_000), (20_000, 500, 2_000), (9_000, 200, 600), (20_000, 500, 500)]
        {
            scope.spawn(move || halved(bytes, batch_size, events));
        }
    });
}

/// T21: and its neighbours are delivered.
#[test]
fn an_event_that_is_too_large_by_itself_is_dead_lettered_alone() {
    let receiver = receiver(&["413:bytes=30000"]);
    let letter = Letter::new();
    let mut retry = impatient();
    retry.retry_attempts = 5;
    let forwarder = builder(splunk(receiver.url()), &letter).batch_size(200).retry(retry).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 333);
    let large = send_large(&forwarder, 31_000);
    let fits = send_large(&forwarder, 25_000);
    sent.extend([large, fits]);
    sent.extend(send(&emitter, 400));
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    let dead = letter.records();
    assert_eq!(dead.keys().collect::<Vec<_>>(), [&large.to_string()], "{report}");
    assert_eq!(dead[&large.to_string()]["cause"], "too_large");
    assert!(ids(&[&receiver]).contains_key(&fits));
    assert_balanced(&sent, &receiver, &letter, &report);
}
