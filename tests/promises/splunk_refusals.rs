//! What Splunk refuses costs what it refuses and nothing else: it is told apart from what is taken, event by event, with
//! Splunk's own words; and what it only puts off is sent again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use siem_forward::EventId;
use siem_forward::policy::BreakerConfig;

use crate::hec::{Letter, assert_balanced, builder, ids, receiver, splunk, wait_for_fates};
use crate::support::{PATIENCE, send, send_one, wait_until};

/// T4: good, bad, good in one request. The first is taken and not sent again, the bad one is given up with Splunk's own
/// words, the last is not committed with it but sent again.
#[test]
fn a_bad_event_between_two_good_ones_goes_to_the_dead_letter_alone() {
    let receiver = receiver(&["400:contains=poison"]);
    let letter = Letter::new();
    // One batch of three, whatever the machine does meanwhile.
    let forwarder = builder(splunk(receiver.url()), &letter).batch_size(3).batch_timeout(PATIENCE).start().unwrap();
    let emitter = forwarder.emitter();
    let sent = ["tool", "poison", "tool"].map(|tool| send_one(&emitter, tool, 0));
    wait_for_fates(&forwarder, 3);
    let report = forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.delivered, report.ledger.dead_lettered), (2, 1), "{report}");

    let indexed = ids(&[&receiver]);
    assert_eq!((indexed.len(), indexed[&sent[0]], indexed[&sent[2]]), (2, 1, 1), "each once");
    assert_eq!(receiver.counts().requests, 2, "the three of them, and the one behind the bad one");
    let dead = letter.records();
    let record = &dead[&sent[1].to_string()];
    assert_eq!((&record["cause"], &record["words"]), (&"http_400".into(), &"Invalid data format (code 6)".into()));
    assert_eq!(
        (&record["possible_duplicate"], &record["wire"]["event"]["tool_name"]),
        (&false.into(), &"poison".into())
    );
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// However many of a batch are bad, scattered or in a row, named or not: each goes to the dead letter, and none of those
/// around it.
#[test]
fn as_many_go_to_the_dead_letter_as_are_bad_and_no_neighbour_does() {
    let scattered = |index: usize| index < 500 && index % 12 == 3;
    let in_a_row = |index: usize| (100..160).contains(&index);
    let kinds: [(&str, &(dyn Fn(usize) -> bool + Sync)); 2] = [("scattered", &scattered), ("in a row", &in_a_row)];
    // All at a time, since each is waited out.
    std::thread::scope(|scope| {
        for fault in ["400:contains=poison", "400:contains=poison,code=5", "500:contains=poison"] {
            for (how, is_bad) in kinds {
                scope.spawn(move || bad_ones_alone_are_dead(fault, how, is_bad));
            }
        }
    });
}

fn bad_ones_alone_are_dead(fault: &str, how: &str, is_bad: &dyn Fn(usize) -> bool) {
    let receiver = receiver(&[fault]);
    let letter = Letter::new();
    let mut breaker = BreakerConfig::default();
    breaker.recovery_timeout = Duration::from_millis(1);
    let builder = builder(splunk(receiver.url()), &letter).batch_size(500).breaker(breaker);
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let tool = |index| if is_bad(index) { "poison" } else { "tool" };
    let mut sent: Vec<EventId> = (0..2_000).map(|index| send_one(&emitter, tool(index), 0)).collect();
    let bad = (0..2_000).filter(|index| is_bad(*index)).count();
    // Good ones keep coming: were only bad ones left, a 500 would be an outage, which buries nobody.
    wait_until(&forwarder, |metrics| {
        sent.push(send_one(&emitter, "tool", 0));
        metrics.events_failed >= bad as u64
    });
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    let expected: BTreeSet<String> =
        (0..2_000).filter(|index| is_bad(*index)).map(|index| sent[index].to_string()).collect();
    let dead: BTreeSet<String> = letter.records().into_keys().collect();
    assert_eq!(dead, expected, "{fault}, {how}: {report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// T6: what is refused as a whole is never counted as sent, at no moment; it is kept, or in the dead letter.
#[test]
fn what_is_refused_is_never_counted_as_sent() {
    for (fault, cause) in [("400:code=5", "http_400"), ("403", "undelivered"), ("413", "too_large")] {
        let receiver = receiver(&[fault]);
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
        let sent = send(&forwarder.emitter(), 300);
        wait_until(&forwarder, |metrics| {
            let ledger = &metrics.ledger;
            assert_eq!((ledger.delivered, metrics.events_sent, metrics.batches_sent), (0, 0, 0), "{fault}: {ledger:?}");
            assert_eq!(ledger.accepted, ledger.dead_lettered + ledger.in_flight, "{fault}: {ledger:?}");
            // A refused token dead-letters nothing: there the first failure has to do.
            metrics.events_failed == 300 || fault == "403" && ledger.accepted == 300 && metrics.batches_failed > 0
        });
        let report = forwarder.drain(Duration::from_millis(300));
        assert_eq!((report.ledger.dead_lettered, report.metrics.events_failed), (300, 300), "{fault}: {report}");
        assert_eq!(receiver.counts().events, 0);
        let dead = letter.records();
        assert!(dead.values().all(|record| record["cause"] == cause), "{fault}: {dead:?}");
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// T6: and where some are refused among others, what is counted as sent is what the receiver holds.
#[test]
fn what_is_counted_as_sent_is_what_is_held_there() {
    for fault in ["400:contains=poison", "413:contains=poison", "400:contains=poison,code=5"] {
        let receiver = receiver(&[fault]);
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
        let emitter = forwarder.emitter();
        let mut sent: Vec<EventId> = Vec::new();
        let mut poison = Vec::new();
        for _ in 0..5 {
            sent.extend(send(&emitter, 120));
            let id = send_one(&emitter, "poison", 0);
            sent.push(id);
            poison.push(id.to_string());
        }
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        let indexed = ids(&[&receiver]);
        assert!(indexed.values().all(|times| *times == 1), "{fault}");
        assert_eq!((report.ledger.delivered, report.metrics.events_sent), (600, 600), "{fault}: {report}");
        assert_eq!((indexed.len(), receiver.counts().events), (600, 600), "{fault}: {report}");
        poison.sort();
        assert_eq!(letter.records().into_keys().collect::<Vec<_>>(), poison, "{fault}");
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// T10: what was answered with anything but success is resent, the same bytes, until it is taken.
#[test]
fn what_is_put_off_is_sent_again() {
    for fault in ["503", "429:retry_after=0", "500", "502", "504"] {
        let separator = if fault.contains(':') { ',' } else { ':' };
        let receiver = receiver(&[&format!("{fault}{separator}first=3")]);
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
        let sent = send(&forwarder.emitter(), 500);
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(report.all_delivered() && letter.records().is_empty(), "{fault}: {report}");
        let status = format!("http_{}", &fault[..3]);
        assert_eq!((report.metrics.error_counts[status.as_str()], report.metrics.retry_count), (3, 3), "{fault}");
        assert_eq!((receiver.counts().requests, receiver.counts().requests_failed), (13, 3), "{fault}");
        assert!(ids(&[&receiver]).values().all(|times| *times == 1), "{fault}");
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}
