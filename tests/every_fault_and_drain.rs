//! Whatever fault the receiver shows, each event has exactly one fate: when drained in the midst of it, within the
//! deadline; and when the fault passes, delivered.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

mod support;
#[path = "support/hec.rs"]
mod hec;

use std::time::{Duration, Instant};

use siem_forward::EventId;
use siem_forward::Forwarder;

use hec::{Letter, assert_balanced, builder, faults, ids, receiver, splunk, wait_for_fates};
use support::{send, send_one};

/// The deadline of a drain amid a fault, and the half second that drain may take beyond it.
const DEADLINE: Duration = Duration::from_millis(800);
const BEYOND: Duration = Duration::from_millis(500);

/// Whether the receiver may hold an event more than once after this fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubles {
    May,
    Never,
}
use Doubles::{May, Never};

/// 305 events, three of them poison, in batches of 50.
fn send_some(forwarder: &Forwarder) -> (Vec<EventId>, Vec<String>) {
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    let mut poison = Vec::new();
    for _ in 0..3 {
        sent.extend(send(&emitter, 67));
        let id = send_one(&emitter, "poison", 0);
        sent.push(id);
        poison.push(id.to_string());
    }
    sent.extend(send(&emitter, 101));
    poison.sort();
    (sent, poison)
}

/// Drains at once, with the fault in force to the end.
fn drained_amid(fault: &str) {
    let receiver = receiver(&[fault]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let (sent, _) = send_some(&forwarder);
    let begun = Instant::now();
    let report = forwarder.drain(DEADLINE);
    let took = begun.elapsed();
    assert!(took <= DEADLINE + BEYOND, "drain took {took:?}: {report}");
    assert!(report.threads_left.is_empty(), "{report}");
    assert_eq!(report.ledger.lost_total(), 0, "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// Drains after the fault has passed: only what Splunk names is not delivered.
fn drained_after(fault: &str, doubles: Doubles) {
    let receiver = receiver(&[fault]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let (sent, poison) = send_some(&forwarder);
    // Long enough for each sender to meet the fault more than once.
    let names = fault.starts_with("400");
    if names {
        wait_for_fates(&forwarder, sent.len());
    } else {
        assert!(receiver.wait_until(support::PATIENCE, |counts| counts.requests >= 5), "{:?}", receiver.counts());
    }
    receiver.set_faults(faults(&[]));
    wait_for_fates(&forwarder, sent.len());
    assert!(forwarder.health().healthy, "{:?}", forwarder.health());
    let report = forwarder.drain(support::PATIENCE);
    assert!(report.elapsed < Duration::from_millis(500), "nothing was left to wait for: {:?}", report.elapsed);
    let dead = letter.records();
    if names {
        assert_eq!(dead.keys().collect::<Vec<_>>(), poison.iter().collect::<Vec<_>>(), "{report}");
        for record in dead.values() {
            assert_eq!(record["words"], "Invalid data format (code 6)");
            assert_eq!((&record["cause"], &record["possible_duplicate"]), (&"http_400".into(), &false.into()));
            assert_eq!(record["wire"]["event"]["tool_name"], "poison");
        }
    } else {
        assert!(dead.is_empty(), "{report}: {:?}", dead.values().next());
    }
    if doubles == Never {
        assert!(ids(&[&receiver]).values().all(|times| *times == 1), "{:?}", receiver.counts());
    }
    assert_balanced(&sent, &receiver, &letter, &report);
}

macro_rules! each_fault {
    ($($name:ident: $amid:literal, $after:literal, $doubles:ident;)*) => {
        mod drain_at_once {
            $(#[test] fn $name() { super::drained_amid($amid); })*
        }
        mod drain_later {
            $(#[test] fn $name() { super::drained_after($after, super::$doubles); })*
        }
    };
}

each_fault! {
    busy: "503", "503", Never;
    busy_with_patience: "503:retry_after=1", "503:retry_after=1,first=2", Never;
    busy_but_taken: "503:taken", "503:taken,first=3", May;
    busy_halfway: "503:event=7", "503:event=7", Never;
    busy_now_and_then: "503:every=3", "503:every=3", Never;
    server_error: "500", "500", Never;
    server_error_but_taken: "500:taken", "500:taken,first=3", May;
    server_error_now_and_then: "500:every=3", "500:every=3", Never;
    proxy_error: "502", "502", Never;
    proxy_error_but_taken: "502:taken", "502:taken,first=4", May;
    gateway_timeout: "504:taken", "504:taken,first=3", May;
    throttled: "429:retry_after=1", "429:retry_after=1,first=3", Never;
    throttled_for_long: "429:retry_after=900", "429:retry_after=1,first=2", Never;
    throttled_without_patience: "429:retry_after=none", "429:retry_after=none", Never;
    names_the_poison: "400:contains=poison", "400:contains=poison", Never;
    unauthorized: "401", "401", Never;
    unauthorized_at_first: "401:first=2", "401:first=6", Never;
    forbidden: "403", "403", Never;
    too_large: "413", "413:first=4", Never;
    too_large_beyond: "413:bytes=3000", "413:bytes=3000", Never;
    late: "delay:ms=150", "delay:ms=150", Never;
    too_late: "delay:ms=2000", "delay:ms=2000,first=3", May;
    dripping: "drip:ms=1", "drip:ms=1", Never;
    dripping_too_slowly: "drip:ms=100", "drip:ms=100,first=3", May;
    reset_amid_the_body: "reset", "reset", Never;
    reset_now_and_then: "reset:every=3", "reset:every=3", Never;
    reset_without_an_answer: "reset_after", "reset_after:first=5", May;
    reset_after_now_and_then: "reset_after:every=3", "reset_after:every=3", May;
    no_http: "garbage", "garbage", Never;
    no_json: "garbage:body", "garbage:body", Never;
    silence: "hang", "hang", Never;
    silence_at_first: "hang:first=2", "hang:first=5", Never;
    silence_but_taken: "hang:taken", "hang:taken,first=3", May;
    closes_after_each_answer: "close", "close", Never;
}

/// A fault of one event in the middle of each batch, by its number: it alone is refused, those before it are not sent
/// again.
#[test]
fn the_event_that_splunk_names_is_refused_alone() {
    let receiver = receiver(&["400:event=3,first=4"]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let (sent, _) = send_some(&forwarder);
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(support::PATIENCE);
    assert_eq!(report.ledger.dead_lettered, 4, "{report}");
    assert!(ids(&[&receiver]).values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
}
