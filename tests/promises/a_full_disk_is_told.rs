//! A disk that takes no more costs what only the dead letter would have kept, and says so: in the books, in the health and
//! in the report. What can be delivered is delivered all the same.
// The device that is always full is Linux's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crate::support::{self, PATIENCE, Received, drain_in_time, send, send_one};
use siem_forward::{Cause, DeadLetterConfig, Verdict};

const FULL: &str = "/dev/full";

fn holds_poison(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"poison").is_some()
}

#[test]
fn what_the_disk_does_not_take_is_counted_and_the_rest_is_delivered() {
    let received = Received::default();
    let destination = support::scripted(&received, |batch| {
        if holds_poison(batch.body()) { Verdict::Reject(Cause::http(400)) } else { Verdict::Accept }
    });
    let builder = support::builder(destination).batch_size(1).dead_letter(DeadLetterConfig::new(FULL));
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    let mut good = Vec::new();
    for index in 0..20 {
        send_one(&emitter, "poison", index);
        good.extend(send(&emitter, 5));
    }
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 100 && metrics.events_failed == 20);
    let health = forwarder.health();
    let reason = health.error_message.unwrap();
    assert!(!health.healthy && reason.contains("the dead letter /dev/full takes no more"), "{reason}");
    assert!(reason.contains("No space left on device"), "{reason}");

    let report = drain_in_time(&forwarder, PATIENCE);
    let (held, ledger) = (received.ids(), &report.ledger);
    assert!(held.len() == 100 && good.iter().all(|id| held.get(id) == Some(&1)));
    assert_eq!((ledger.delivered, ledger.dead_lettered, ledger.lost["dead_letter_full"]), (100, 0, 20), "{report}");
    assert!(ledger.balances(120) && !report.all_delivered(), "{report}");
    assert!(report.to_string().contains("20 are lost (dead_letter_full)"), "{report}");
}

/// The worst day: nothing can be delivered, and nothing written down.
#[test]
fn a_drain_that_can_neither_deliver_nor_write_keeps_its_deadline_and_says_what_is_lost() {
    let received = Received::default();
    let destination = support::scripted(&received, |_| Verdict::retry(Cause::http(503)));
    let builder = support::builder(destination).batch_size(10).dead_letter(DeadLetterConfig::new(FULL));
    let forwarder = builder.start().unwrap();
    send(&forwarder.emitter(), 300);
    let report = drain_in_time(&forwarder, Duration::from_millis(200));
    let ledger = &report.ledger;
    assert_eq!((ledger.delivered, ledger.dead_lettered, ledger.lost["dead_letter_full"]), (0, 0, 300), "{report}");
    assert!(received.len() == 0 && ledger.balances(300), "{report}");
}
