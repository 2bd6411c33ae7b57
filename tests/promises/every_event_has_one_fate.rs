//! Every accepted event has exactly one fate, whatever the destination answers.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::support::{
    self, NONE_DEAD, Received, assert_one_fate_each, dead_letter, impatient, scripted, send, send_one,
};
use siem_forward::siem::{CauseKind, Partial};
use siem_forward::{Batch, Cause, DeadLetterConfig, Verdict};

fn holds(batch: &Batch, text: &str) -> bool {
    memchr::memmem::find(batch.body(), text.as_bytes()).is_some()
}

#[test]
fn accepted_events_are_delivered_once() {
    let received = Received::default();
    let forwarder = support::builder(scripted(&received, |_| Verdict::Accept)).batch_size(100).start().unwrap();
    let sent = send(&forwarder.emitter(), 10_050);
    let report = forwarder.drain(support::PATIENCE);
    assert_eq!(report.metrics.batches_sent, 101);
    assert!(received.ids().values().all(|times| *times == 1));
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn many_producers_batchers_and_senders_lose_nothing() {
    let received = Received::default();
    let forwarder = support::builder(scripted(&received, |_| Verdict::Accept))
        .batchers(3)
        .senders(3)
        .max_queue_size(64)
        .batch_size(17)
        .start()
        .unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let emitter = forwarder.emitter();
            std::thread::spawn(move || send(&emitter, 5_000))
        })
        .collect();
    let sent: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let report = forwarder.drain(support::PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn a_failure_now_and_then_costs_nothing_but_a_retry() {
    let received = Received::default();
    let requests = AtomicU32::new(0);
    let flaky = scripted(&received, move |_| match requests.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Verdict::retry(Cause::http(503)),
        1 => Verdict::retry(Cause::http(500)),
        _ => Verdict::Accept,
    });
    let forwarder = support::builder(flaky).batch_size(50).retry(impatient()).start().unwrap();
    let sent = send(&forwarder.emitter(), 5_000);
    let report = forwarder.drain(support::PATIENCE);
    assert!(report.metrics.retry_count > 0);
    assert_eq!(report.ledger.delivered, 5_000, "{report}");
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn a_partial_rejection_costs_the_named_event_and_resends_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let theirs = received.clone();
    // As Splunk does: what stands before the bad one is taken, it and all behind it are not.
    let picky = siem_forward::siem::from_fn("picky", move |batch: &Batch| {
        let bad = batch.events().position(|event| memchr::memmem::find(event, b"poison").is_some());
        let Some(bad) = bad else {
            theirs.take_all(batch);
            return Verdict::Accept;
        };
        theirs.take(batch, 0..bad);
        let cause = Cause::http(400).words("Invalid data format");
        Verdict::Partial(Partial::new().reject(bad, cause).resend(bad + 1..batch.len()))
    });
    let forwarder = support::builder(picky).batch_size(100).dead_letter(DeadLetterConfig::new(&path)).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    for index in 0..1000 {
        let tool = if index % 97 == 5 { "poison" } else { "tool" };
        sent.push(send_one(&emitter, tool, index));
    }
    let report = forwarder.drain(support::PATIENCE);
    let dead = dead_letter(&path);
    assert_eq!(dead.len(), 11);
    for record in dead.values() {
        assert_eq!(record["cause"], "http_400");
        assert_eq!(record["words"], "Invalid data format");
        assert_eq!(record["wire"]["tool_name"], "poison");
        assert_eq!(record["possible_duplicate"], false);
    }
    assert!(received.ids().values().all(|times| *times == 1));
    assert_one_fate_each(&sent, &received.ids(), &dead, &report);
}

type Named = (&'static str, fn() -> Verdict);

/// One poisoned event among ten thousand: it alone is dead-lettered, however the destination says no, and also where
/// one sender must do everything.
#[test]
fn one_poisoned_event_is_found_and_dead_lettered_alone() {
    let reject = || Verdict::Reject(Cause::new(CauseKind::Rejected));
    let server_error = || Verdict::retry(Cause::http(500));
    let firewall = || Verdict::Halt(Cause::http(403));
    let verdicts: [Named; 3] = [("reject", reject), ("500", server_error), ("403", firewall)];
    for senders in [1, 2] {
        for (name, verdict) in verdicts {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("dead.ndjson");
            let received = Received::default();
            let poisoned =
                scripted(&received, move |batch| if holds(batch, "poison") { verdict() } else { Verdict::Accept });
            let forwarder = support::builder(poisoned)
                .senders(senders)
                .retry(impatient())
                .dead_letter(DeadLetterConfig::new(&path))
                .start()
                .unwrap();
            let emitter = forwarder.emitter();
            let mut sent = send(&emitter, 3_333);
            let poison = send_one(&emitter, "poison", 0);
            sent.push(poison);
            sent.extend(send(&emitter, 6_666));
            let report = forwarder.drain(support::PATIENCE);
            let dead = dead_letter(&path);
            assert_eq!(dead.keys().collect::<Vec<_>>(), [&poison.to_string()], "{name}, {senders} senders: {report}");
            assert_one_fate_each(&sent, &received.ids(), &dead, &report);
        }
    }
}

#[test]
fn four_poisoned_batches_in_a_row_do_not_block_one_sender() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let poisoned =
        scripted(
            &received,
            |batch| {
                if holds(batch, "poison") { Verdict::retry(Cause::http(500)) } else { Verdict::Accept }
            },
        );
    let forwarder = support::builder(poisoned)
        .senders(1)
        .batch_size(64)
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    let mut poison = Vec::new();
    for index in 0..640 {
        let is_poison = index % 64 == 13 && index < 256;
        let id = send_one(&emitter, if is_poison { "poison" } else { "tool" }, index);
        sent.push(id);
        if is_poison {
            poison.push(id.to_string());
        }
    }
    let report = forwarder.drain(support::PATIENCE);
    let dead = dead_letter(&path);
    poison.sort();
    assert_eq!(dead.keys().cloned().collect::<Vec<_>>(), poison, "{report}");
    assert_one_fate_each(&sent, &received.ids(), &dead, &report);
}

#[test]
fn an_outage_dead_letters_nothing_however_many_attempts_it_costs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let requests = AtomicUsize::new(0);
    // Up, down for three hundred requests, up again: the batches that fail have seen a delivery before.
    let outage = scripted(&received, move |_| match requests.fetch_add(1, Ordering::Relaxed) {
        5..300 => Verdict::retry(Cause::http(500)),
        _ => Verdict::Accept,
    });
    let forwarder = support::builder(outage)
        .batch_size(10)
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let sent = send(&forwarder.emitter(), 1_000);
    let report = forwarder.drain(support::PATIENCE);
    assert_eq!(report.ledger.delivered, 1_000, "{report}");
    assert_one_fate_each(&sent, &received.ids(), &dead_letter(&path), &report);
}

#[test]
fn halt_keeps_the_data_turns_health_red_and_never_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let refusing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let theirs = refusing.clone();
    let gate = scripted(&received, move |_| {
        if theirs.load(Ordering::Relaxed) {
            Verdict::Halt(Cause::http(401).words("Token is required"))
        } else {
            Verdict::Accept
        }
    });
    let forwarder = support::builder(gate)
        .batch_size(10)
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let sent = send(&forwarder.emitter(), 200);
    support::wait_until(&forwarder, |metrics| metrics.batches_failed > 100);
    let health = forwarder.health();
    assert!(!health.healthy && health.error_message.unwrap().contains("Token is required"));
    assert_eq!(forwarder.metrics().ledger.dead_lettered, 0);
    refusing.store(false, Ordering::Relaxed);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 200);
    assert!(forwarder.health().healthy);
    let report = forwarder.drain(support::PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &dead_letter(&path), &report);
}

#[test]
fn without_a_dead_letter_what_is_refused_for_good_is_counted_as_lost() {
    let received = Received::default();
    let refusing = scripted(&received, |_| Verdict::Reject(Cause::http(400)));
    let forwarder = support::builder(refusing).batch_size(8).start().unwrap();
    send(&forwarder.emitter(), 20);
    let report = forwarder.drain(support::PATIENCE);
    assert_eq!(report.ledger.lost["no_dead_letter"], 20);
    assert!(report.ledger.balances(20));
    assert!(report.to_string().contains("20 are lost (no_dead_letter)"), "{report}");
}

#[test]
fn a_full_dead_letter_turns_health_red_counts_the_loss_and_the_pipeline_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let received = Received::default();
    let poisoned =
        scripted(
            &received,
            |batch| {
                if holds(batch, "poison") { Verdict::Reject(Cause::http(400)) } else { Verdict::Accept }
            },
        );
    let mut letter = DeadLetterConfig::new(&path);
    letter.bytes_max = 1_500;
    let forwarder = support::builder(poisoned).batch_size(1).dead_letter(letter).start().unwrap();
    let emitter = forwarder.emitter();
    for index in 0..50 {
        send_one(&emitter, "poison", index);
    }
    send(&emitter, 50);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 50);
    assert!(forwarder.health().error_message.unwrap().contains("dead letter"));
    let report = forwarder.drain(support::PATIENCE);
    let dead = dead_letter(&path);
    assert!(!dead.is_empty() && std::fs::metadata(&path).unwrap().len() <= 1_500);
    assert_eq!(report.ledger.lost["dead_letter_full"], 50 - dead.len() as u64);
    assert_eq!(received.len(), 50);
    assert!(report.ledger.balances(100), "{:?}", report.ledger);
}

/// A destination that refuses everything would refuse the halves as well, at once: more requests, and nothing learnt.
#[test]
fn a_halt_from_the_start_cuts_no_batch_and_sends_no_more_often_than_it_waits() {
    let received = Received::default();
    let smallest = std::sync::Arc::new(AtomicUsize::new(usize::MAX));
    let theirs = smallest.clone();
    let refusing = scripted(&received, move |batch| {
        theirs.fetch_min(batch.len(), Ordering::Relaxed);
        Verdict::Halt(Cause::http(403))
    });
    let forwarder = support::builder(refusing).senders(1).batch_size(10).retry(impatient()).start().unwrap();
    send(&forwarder.emitter(), 100);
    // As many wait as may, and each has been tried many times.
    support::wait_until(&forwarder, |metrics| metrics.batches_failed > 100);
    assert_eq!(smallest.load(Ordering::Relaxed), 10);
    let report = forwarder.abort();
    assert_eq!((report.ledger.delivered, report.ledger.lost["no_dead_letter"]), (0, 100), "{report}");
}
