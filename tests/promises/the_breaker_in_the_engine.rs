//! The breaker within a forwarder: what opens it, what is told of it, what ends its waits, and that no poisoned batch
//! keeps it open.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails its test")]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    self, PATIENCE, Received, assert_one_fate_each, dead_letter, impatient, scripted, send, send_one, wait_until,
};
use serde_json::Value;
use siem_forward::policy::{BreakerConfig, BreakerState};
use siem_forward::siem::CauseKind;
use siem_forward::{Batch, Builder, Cause, DeadLetterConfig, EventId, Forwarder, Report, Verdict};

/// What a waiting sender may need to wake and to do all that is left.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A forwarder with a dead letter, and what its destination holds.
struct Bench {
    received: Received,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        Self { received: Received::default(), path, _directory: directory }
    }

    fn builder(&self, script: impl Fn(&Batch) -> Verdict + Send + Sync + 'static) -> Builder {
        support::builder(scripted(&self.received, script)).batch_size(10).dead_letter(DeadLetterConfig::new(&self.path))
    }

    fn dead(&self) -> BTreeMap<String, Value> {
        dead_letter(&self.path)
    }

    fn delivered(&self) -> HashMap<EventId, u32> {
        self.received.ids()
    }

    fn assert_one_fate_each(&self, sent: &[EventId], report: &Report) {
        assert_one_fate_each(sent, &self.delivered(), &self.dead(), report);
    }
}

/// Refuses us until it is told that the token is right.
fn gate(is_right: &Arc<AtomicBool>, asked: &Arc<AtomicUsize>) -> impl Fn(&Batch) -> Verdict + Send + Sync + 'static {
    let (is_right, asked) = (Arc::clone(is_right), Arc::clone(asked));
    move |_| {
        asked.fetch_add(1, Ordering::SeqCst);
        if is_right.load(Ordering::SeqCst) {
            return Verdict::Accept;
        }
        Verdict::Halt(Cause::http(401).words("Token is required (code 2)"))
    }
}

fn resting(recovery_timeout: Duration) -> BreakerConfig {
    let mut breaker = BreakerConfig::default();
    breaker.recovery_timeout = recovery_timeout;
    breaker
}

/// 200 events before a closed gate whose breaker rests for an hour, and it is open.
fn refused_for_an_hour(bench: &Bench, is_right: &Arc<AtomicBool>) -> (Forwarder, Vec<EventId>) {
    let asked = Arc::default();
    let builder = bench.builder(gate(is_right, &asked)).breaker(resting(Duration::from_secs(3600))).senders(2);
    let forwarder = builder.start().unwrap();
    let sent = send(&forwarder.emitter(), 200);
    wait_until(&forwarder, |metrics| metrics.breaker.state == BreakerState::Open);
    assert!(asked.load(Ordering::SeqCst) <= 2, "one refusal opens it; the other sender may have been on its way");
    (forwarder, sent)
}

#[test]
fn one_401_opens_it_and_why_and_how_long_is_told_while_the_data_stays() {
    let bench = Bench::new();
    let (forwarder, sent) = refused_for_an_hour(&bench, &Arc::default());
    let opened = forwarder.metrics().breaker;
    assert_eq!((opened.state, opened.transitions), (BreakerState::Open, 1));
    assert_eq!(opened.reason.as_deref(), Some("http_401: Token is required (code 2)"));
    assert!(opened.since > Duration::ZERO);

    support::until(|| forwarder.health().error_message.is_some_and(|words| words.ends_with(", for 1 s")));
    let health = forwarder.health();
    assert!(!health.healthy);
    assert_eq!(health.details["breaker"], "open");
    assert!(health.error_message.unwrap().contains("http_401: Token is required (code 2)"));

    let metrics = forwarder.metrics();
    assert_eq!(metrics.breaker, opened, "it stays in the state that it told");
    assert_eq!((metrics.events_sent, metrics.events_failed), (0, 0));
    assert!(bench.dead().is_empty());
    let report = forwarder.abort();
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn it_closes_and_health_turns_green_when_the_siem_recovers() {
    let bench = Bench::new();
    let (is_right, asked) = (Arc::<AtomicBool>::default(), Arc::default());
    let builder = bench.builder(gate(&is_right, &asked)).breaker(resting(Duration::from_millis(50)));
    let forwarder = builder.retry(impatient()).start().unwrap();
    let sent = send(&forwarder.emitter(), 200);
    // Probes have failed, and each has opened it again.
    wait_until(&forwarder, |metrics| metrics.breaker.transitions >= 5);
    assert!(!forwarder.health().healthy);
    is_right.store(true, Ordering::SeqCst);
    wait_until(&forwarder, |metrics| metrics.events_sent == 200);
    let breaker = forwarder.metrics().breaker;
    assert_eq!((breaker.state, breaker.reason), (BreakerState::Closed, None));
    let health = forwarder.health();
    assert!(health.healthy && health.error_message.is_none() && health.details.is_empty(), "{health:?}");
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn an_abort_wakes_senders_that_wait_for_an_hour() {
    let bench = Bench::new();
    let (forwarder, sent) = refused_for_an_hour(&bench, &Arc::default());
    let begun = Instant::now();
    let report = forwarder.abort();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(report.threads_left.is_empty(), "{report}");
    assert_eq!(bench.dead().len(), 200);
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn a_drain_wakes_senders_that_wait_for_an_hour_and_delivers() {
    let bench = Bench::new();
    let is_right = Arc::<AtomicBool>::default();
    let (forwarder, sent) = refused_for_an_hour(&bench, &is_right);
    is_right.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let report = forwarder.drain(PATIENCE);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(report.all_delivered(), "{report}");
    bench.assert_one_fate_each(&sent, &report);
}

fn is_poisoned(batch: &Batch) -> bool {
    memchr::memmem::find(batch.body(), b"poison").is_some()
}

/// How often the firewall's answers may open it: the first does, when nothing says yet that others get through; then five
/// must come in a row. Each of the at least twelve refusals would otherwise.
const OPENINGS_MAX: u64 = 4;

#[test]
fn a_firewalls_403_to_one_body_among_good_ones_does_not_keep_it_open() {
    let bench = Bench::new();
    let firewall = |batch: &Batch| {
        if is_poisoned(batch) { Verdict::Halt(Cause::http(403).words("Request blocked")) } else { Verdict::Accept }
    };
    let breaker = resting(Duration::from_millis(20));
    let forwarder = bench.builder(firewall).breaker(breaker).retry(impatient()).start().unwrap();
    let emitter = forwarder.emitter();
    let poison = send_one(&emitter, "poison", 0);
    let mut sent = vec![poison];
    // Good ones all the while, none of them waiting for the end of the search.
    let deadline = Instant::now() + PATIENCE;
    let mut delivered = Vec::new();
    while forwarder.metrics().ledger.dead_lettered == 0 {
        assert!(Instant::now() < deadline, "{:?}", forwarder.metrics());
        sent.extend(send(&emitter, 10));
        delivered.push(forwarder.metrics().events_sent);
        std::thread::sleep(Duration::from_millis(1));
    }
    let transitions = forwarder.metrics().breaker.transitions;
    assert!(transitions <= OPENINGS_MAX * 3, "each 403 opened it: {transitions} transitions");
    delivered.dedup();
    assert!(delivered.len() > 3, "others did not pass while one was refused: {delivered:?}");
    wait_until(&forwarder, |metrics| metrics.breaker.state == BreakerState::Closed);
    // What fills no batch waits for the drain, so the batch is filled.
    sent.extend(send(&emitter, 9));
    wait_until(&forwarder, |metrics| metrics.events_sent + 1 == sent.len() as u64);
    assert!(forwarder.health().healthy, "{:?}", forwarder.health());
    let report = forwarder.drain(PATIENCE);
    assert_eq!(bench.dead().keys().collect::<Vec<_>>(), [&poison.to_string()]);
    bench.assert_one_fate_each(&sent, &report);
}

type Answer = fn() -> Verdict;

const ANSWERS: [(&str, Answer); 4] = [
    ("http_500", || Verdict::retry(Cause::http(500))),
    ("http_502", || Verdict::retry(Cause::http(502))),
    ("http_403", || Verdict::Halt(Cause::http(403))),
    ("connection_reset", || Verdict::retry(Cause::new(CauseKind::ConnectionReset))),
];

/// Events in a batch, 2 to the power of `CUTS`.
const EVENTS: usize = 64;
const CUTS: usize = 6;
/// Batches of good events behind the poisoned ones.
const GOOD: usize = 20;

/// Requests that the search for one poisoned event may cost: on each of the levels down to the single event the three
/// attempts that are charged and as many without evidence yet, and the good half of each cut.
const REQUESTS_MAX: usize = (CUTS + 1) * (3 + 3) + CUTS;

/// Poisoned batches, one after the other, and good ones behind them: without a drain, the poisoned events alone are
/// dead-lettered, all others pass, and the search is bounded.
fn only_the_poison_dies(poisoned: usize, senders: usize) {
    for (cause, answer) in ANSWERS {
        let bench = Bench::new();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let builder = bench.builder(move |batch| {
            counted.fetch_add(1, Ordering::Relaxed);
            if is_poisoned(batch) { answer() } else { Verdict::Accept }
        });
        let forwarder = builder.senders(senders).batch_size(EVENTS).retry(impatient()).start().unwrap();
        let emitter = forwarder.emitter();
        let (mut sent, mut poison) = (Vec::new(), Vec::new());
        for index in 0..poisoned {
            sent.extend(send(&emitter, 13 + index));
            let id = send_one(&emitter, "poison", index);
            sent.push(id);
            poison.push(id.to_string());
            sent.extend(send(&emitter, EVENTS - 14 - index));
        }
        sent.extend(send(&emitter, EVENTS * GOOD));
        let good = sent.len() - poisoned;
        wait_until(&forwarder, |metrics| metrics.events_sent == good as u64);
        wait_until(&forwarder, |metrics| metrics.events_failed == poisoned as u64);
        let requests = requests.load(Ordering::Relaxed);
        assert!(requests <= GOOD + poisoned * REQUESTS_MAX, "{cause}, {senders} senders: {requests} requests");
        let report = forwarder.drain(PATIENCE);
        poison.sort();
        let dead = bench.dead();
        assert_eq!(dead.keys().cloned().collect::<Vec<_>>(), poison, "{cause}, {senders} senders: {report}");
        assert!(dead.values().all(|record| record["cause"] == cause), "{cause}: {dead:?}");
        assert!(bench.delivered().values().all(|times| *times == 1));
        bench.assert_one_fate_each(&sent, &report);
    }
}

#[test]
fn one_poisoned_batch_for_each_sender_costs_the_poison_alone() {
    only_the_poison_dies(4, 4);
}

#[test]
fn four_poisoned_batches_in_a_row_at_one_sender_cost_the_poison_alone() {
    only_the_poison_dies(4, 1);
}
