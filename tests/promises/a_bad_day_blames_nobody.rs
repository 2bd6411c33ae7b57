//! A destination that fails most requests, whatever they hold, delivers all in the end: what would be a batch's fault
//! elsewhere is chance there. An event that fails always is still found among them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use siem_forward::{Batch, Cause, DeadLetterConfig, EventId, Report, Verdict};

use crate::support::{
    self, PATIENCE, Received, assert_one_fate_each, dead_letter, impatient, scripted, send, send_one,
};

/// Of 100 requests, those that are answered 502.
const FAILING: u64 = 86;

/// A number below 100 that depends on nothing but the request's number and the seed.
fn chance(seed: u64, request: u64) -> u64 {
    // The finalizer of MurmurHash3: neighbours have nothing in common.
    let mut mixed = seed ^ request.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed ^ (mixed >> 33)) % 100
}

fn is_poison(batch: &Batch) -> bool {
    memchr::memmem::find(batch.body(), b"poison").is_some()
}

/// Sends on a bad day; the ids of the events that went to the dead letter.
fn bad_day(seed: u64, batch_size: usize, send_all: impl FnOnce(&siem_forward::Emitter) -> Vec<EventId>) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let requests = AtomicU64::new(0);
    let flaky = scripted(&received, move |batch| {
        let request = requests.fetch_add(1, Ordering::Relaxed);
        if is_poison(batch) || chance(seed, request) < FAILING {
            Verdict::retry(Cause::http(502))
        } else {
            Verdict::Accept
        }
    });
    let forwarder = support::builder(flaky)
        .batch_size(batch_size)
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let sent = send_all(&forwarder.emitter());
    support::wait_until(&forwarder, |metrics| metrics.events_sent + metrics.events_failed >= sent.len() as u64);
    let report: Report = forwarder.drain(PATIENCE);
    let dead = dead_letter(&path);
    assert_one_fate_each(&sent, &received.ids(), &dead, &report);
    dead.into_keys().collect()
}

/// Four bad days at a time, since each is waited out; none gives up an event.
fn nobody_is_blamed(batch_size: usize, events: usize) {
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                let dead = bad_day(seed, batch_size, |emitter| send(emitter, events));
                assert!(dead.is_empty(), "seed {seed}: {} of {events} events were given up", dead.len());
            });
        }
    });
}

#[test]
fn six_of_seven_requests_fail_and_all_is_delivered() {
    nobody_is_blamed(500, 20_000);
}

#[test]
fn nor_is_an_event_blamed_that_travels_alone() {
    nobody_is_blamed(1, 300);
}

#[test]
fn one_that_fails_always_is_found_all_the_same() {
    let mut poison = None;
    let dead = bad_day(7, 100, |emitter| {
        let mut sent = send(emitter, 5_050);
        let id = send_one(emitter, "poison", 0);
        poison = Some(id.to_string());
        sent.push(id);
        sent.extend(send(emitter, 5_000));
        sent
    });
    assert_eq!(dead, [poison.unwrap()]);
}
