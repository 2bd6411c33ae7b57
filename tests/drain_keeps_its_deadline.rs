//! Drain keeps its deadline within half a second, whatever the destination does, and says what is left where.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use siem_forward::{
    Builder, Cause, DeadLetterConfig, Emitter, EventId, EventType, Forwarder, Refused, Report, Severity, Verdict,
};
use support::{
    Hang, PATIENCE, Played, Received, assert_one_fate_each, dead_letter, drain_in_time, fill, impatient, until, workers,
};

/// Events in the queue. Writing one down takes ten times as long where nothing is optimized, and the promise is made for
/// what is.
const QUEUED: usize = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
/// A deadline that is soon.
const SHORT: Duration = Duration::from_millis(200);

/// A forwarder with a dead letter in a directory of its own.
struct Bench {
    received: Received,
    path: PathBuf,
    _directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// Who measures half a second does so alone.
static ALONE: Mutex<()> = Mutex::new(());

impl Bench {
    fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        Self { received: Received::default(), path, _directory: directory, _alone: alone }
    }

    fn builder(&self, adapt: impl FnOnce(&mut Played)) -> Builder {
        let mut played = Played::new(&self.received);
        adapt(&mut played);
        support::builder(played).max_queue_size(QUEUED).dead_letter(DeadLetterConfig::new(&self.path))
    }

    fn dead(&self) -> BTreeMap<String, Value> {
        dead_letter(&self.path)
    }

    fn assert_one_fate_each(&self, sent: &[EventId], report: &Report) {
        assert_one_fate_each(sent, &self.received.ids(), &self.dead(), report);
    }
}

/// Fills the queue behind a destination that takes nothing, so that what was sent is: in the queue, and before it.
fn flood(forwarder: &Forwarder) -> Vec<EventId> {
    let emitter = forwarder.emitter();
    let mut sent = fill(&emitter);
    // The batcher takes what the senders' side has room for; then the ring fills for good.
    let mut before = usize::MAX;
    while sent.len() != before {
        std::thread::sleep(Duration::from_millis(20));
        before = sent.len();
        sent.extend(fill(&emitter));
    }
    assert!(sent.len() >= QUEUED, "{}", sent.len());
    sent
}

/// How many events a forwarder has that was flooded: those that were sent, and its own, since filling refuses some.
fn with_gaps(sent: &[EventId], report: &Report) -> usize {
    assert!(report.ledger.gaps > 0, "what was refused is told: {report}");
    sent.len() + usize::try_from(report.ledger.gaps).unwrap()
}

fn undelivered(dead: &BTreeMap<String, Value>) {
    for record in dead.values() {
        assert_eq!(record["cause"], "undelivered");
    }
}

fn possible_duplicates(dead: &BTreeMap<String, Value>) -> usize {
    dead.values().filter(|record| record["possible_duplicate"] == true).count()
}

/// Whatever it answers, and however long it asks to wait: the queued events are dead-lettered in time.
fn never_accepts(verdict: Verdict) {
    let bench = Bench::new();
    let forwarder = bench.builder(|played| played.send_batch = Box::new(move |_| verdict.clone())).start().unwrap();
    let sent = flood(&forwarder);
    let report = drain_in_time(&forwarder, SHORT);
    assert_eq!(report.threads_left, Vec::<String>::new());
    assert_eq!(report.dead_letter.as_deref(), Some(bench.path.as_path()));
    let events = with_gaps(&sent, &report);
    assert!(report.to_string().contains(&format!("{events} are in")), "{report}");
    let dead = bench.dead();
    undelivered(&dead);
    assert_eq!((dead.len(), report.ledger.delivered), (events, 0));
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn under_a_destination_that_always_says_retry() {
    never_accepts(Verdict::retry(Cause::http(503)));
}

#[test]
fn under_a_destination_that_always_says_halt() {
    never_accepts(Verdict::Halt(Cause::http(401)));
}

#[test]
fn under_a_destination_that_asks_for_an_hour() {
    never_accepts(Verdict::Retry { after: Some(Duration::from_secs(3600)), cause: Cause::http(429) });
}

#[test]
fn under_a_destination_that_panics() {
    let bench = Bench::new();
    support::panic_quietly();
    let forwarder = bench.builder(|played| played.send_batch = Box::new(|_| panic!("as it always does")));
    let forwarder = forwarder.start().unwrap();
    let sent = flood(&forwarder);
    let report = drain_in_time(&forwarder, SHORT);
    assert!(!forwarder.health().healthy);
    undelivered(&bench.dead());
    bench.assert_one_fate_each(&sent, &report);
}

/// A hanging `send_batch`: its batches may have been taken, which their records say, and only theirs. What comes back
/// after the end changes nothing.
#[test]
fn under_a_send_that_hangs_for_ever() {
    let bench = Bench::new();
    let mut hang = Hang::new();
    let back = Arc::new(AtomicUsize::new(0));
    let hook = hang.hook();
    let theirs = Arc::clone(&back);
    let answer = move |_: &siem_forward::Batch| {
        hook();
        theirs.fetch_add(1, Ordering::SeqCst);
        Verdict::Accept
    };
    let forwarder = bench.builder(|played| played.send_batch = Box::new(answer)).start().unwrap();
    let sent = flood(&forwarder);
    let report = drain_in_time(&forwarder, SHORT);
    // The other one waits to see what becomes of the first connection.
    let [hanging] = &report.threads_left[..] else { panic!("{:?}", report.threads_left) };
    assert!(hanging.starts_with("siem-send-"), "{hanging}");
    assert!(report.to_string().contains(&format!("Left behind, since they hang: {hanging}.")), "{report}");
    let dead = bench.dead();
    undelivered(&dead);
    assert_eq!(dead.len(), with_gaps(&sent, &report));
    assert_eq!(possible_duplicates(&dead), 500, "the batch that hangs");
    bench.assert_one_fate_each(&sent, &report);

    hang.release();
    until(|| back.load(Ordering::SeqCst) == 1 && workers().is_empty());
    assert_eq!(forwarder.metrics().ledger, report.ledger, "what comes back changes nothing");
    assert_eq!(bench.dead(), dead);
}

/// A hanging `connect`: nothing was sent, and nothing is sent once it comes back.
#[test]
fn under_a_connect_that_hangs_for_ever() {
    let bench = Bench::new();
    let mut hang = Hang::new();
    let back = Arc::new(AtomicUsize::new(0));
    let (hook, theirs) = (hang.hook(), Arc::clone(&back));
    let connect = move || {
        hook();
        theirs.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let forwarder = bench.builder(|played| played.connect = Box::new(connect)).senders(1).start().unwrap();
    let sent = flood(&forwarder);
    let report = drain_in_time(&forwarder, SHORT);
    assert_eq!(report.threads_left, ["siem-send-0"]);
    assert_eq!(bench.dead().len(), with_gaps(&sent, &report));
    bench.assert_one_fate_each(&sent, &report);

    hang.release();
    until(|| back.load(Ordering::SeqCst) == 1 && workers().is_empty());
    assert_eq!(forwarder.metrics().ledger, report.ledger);
    assert_eq!(bench.received.len(), 0, "what was dead-lettered is not sent afterwards");
}

/// A hanging `format_event`: the batcher holds its open batch and cannot be reached, which is said; the ring can.
#[test]
fn under_a_format_that_hangs_for_ever() {
    let bench = Bench::new();
    let mut hang = Hang::new();
    let (hook, seen) = (hang.hook(), AtomicUsize::new(0));
    let adapt = |played: &mut Played| {
        let format = std::mem::replace(&mut played.format_event, Box::new(|_, _| Ok(())));
        played.format_event = Box::new(move |event, body| {
            if seen.fetch_add(1, Ordering::Relaxed) == 1010 {
                hook();
            }
            format(event, body)
        });
    };
    let forwarder = bench.builder(adapt).batch_timeout(Duration::from_secs(3600)).start().unwrap();
    let sent = flood(&forwarder);
    let report = drain_in_time(&forwarder, SHORT);
    assert_eq!(report.threads_left, ["siem-batch-0"]);
    assert_eq!(report.ledger.delivered, 1000);
    assert_eq!(report.ledger.lost["abandoned"], 11);
    assert!(report.to_string().contains("11 are lost (abandoned)"), "{report}");
    undelivered(&bench.dead());
    bench.assert_one_fate_each(&sent, &report);

    hang.release();
    until(|| workers().is_empty());
    assert_eq!(forwarder.metrics().ledger, report.ledger);
    bench.assert_one_fate_each(&sent, &report);
}

/// A slow `format_event` is not a hanging one: what is left is written down, nothing is abandoned.
#[test]
fn under_a_slow_format() {
    let bench = Bench::new();
    let adapt = |played: &mut Played| {
        let format = std::mem::replace(&mut played.format_event, Box::new(|_, _| Ok(())));
        played.format_event = Box::new(move |event, body| {
            std::thread::sleep(Duration::from_millis(10));
            format(event, body)
        });
    };
    let forwarder = bench.builder(adapt).batch_size(7).start().unwrap();
    let sent = fill(&forwarder.emitter());
    let report = drain_in_time(&forwarder, SHORT);
    assert_eq!(report.threads_left, Vec::<String>::new());
    assert_eq!(report.ledger.lost_total(), 0);
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn abort_ends_within_half_a_second_of_the_call() {
    let bench = Bench::new();
    let hang = Hang::new();
    let hook = hang.hook();
    let answer = move |_: &siem_forward::Batch| {
        hook();
        Verdict::Accept
    };
    let forwarder = bench.builder(|played| played.send_batch = Box::new(answer)).start().unwrap();
    let sent = flood(&forwarder);
    let begun = Instant::now();
    let report = forwarder.abort();
    assert!(begun.elapsed() <= Duration::from_millis(500), "{report}");
    undelivered(&bench.dead());
    bench.assert_one_fate_each(&sent, &report);
}

/// How something is made to hang.
type Adapt = fn(&mut Played, &Hang);

/// Nor does it wait for a connect or a wire form that never comes; what hangs is named.
#[test]
fn abort_ends_within_half_a_second_whatever_else_hangs() {
    let hang_at: [(&str, Adapt); 2] = [
        ("siem-send-0", |played, hang| {
            let hook = hang.hook();
            played.connect = Box::new(move || {
                hook();
                Ok(())
            });
        }),
        ("siem-batch-0", |played, hang| {
            let hook = hang.hook();
            played.format_event = Box::new(move |_, _| {
                hook();
                Ok(())
            });
        }),
    ];
    for (thread, adapt) in hang_at {
        let bench = Bench::new();
        let mut hang = Hang::new();
        let forwarder = bench.builder(|played| adapt(played, &hang)).senders(1).start().unwrap();
        let sent = flood(&forwarder);
        let begun = Instant::now();
        let report = forwarder.abort();
        assert!(begun.elapsed() <= Duration::from_millis(500), "{thread}: {report}");
        assert_eq!(report.threads_left, [thread]);
        undelivered(&bench.dead());
        bench.assert_one_fate_each(&sent, &report);
        hang.release();
        until(|| workers().is_empty());
    }
}

/// As after a second Ctrl-C: the drain that runs ends at once, and both calls have the same report.
#[test]
fn abort_ends_a_drain_that_is_under_way() {
    let bench = Bench::new();
    let retry = |_: &siem_forward::Batch| Verdict::retry(Cause::http(500));
    let forwarder = bench.builder(|played| played.send_batch = Box::new(retry)).retry(impatient()).start().unwrap();
    let mut sent = support::send(&forwarder.emitter(), 1000);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| forwarder.drain(PATIENCE));
        sent.extend(push_until_closed(&forwarder.emitter()));
        let begun = Instant::now();
        let second = forwarder.abort();
        let elapsed = begun.elapsed();
        assert!(elapsed <= Duration::from_millis(500), "{elapsed:?}");
        (first.join().unwrap(), second)
    });
    assert_eq!(first, second);
    bench.assert_one_fate_each(&sent, &first);
}

#[test]
fn drop_ends_within_its_drain_timeout() {
    let bench = Bench::new();
    let hang = Hang::new();
    let hook = hang.hook();
    let answer = move |_: &siem_forward::Batch| {
        hook();
        Verdict::Accept
    };
    let forwarder = bench.builder(|played| played.send_batch = Box::new(answer)).drain_timeout(SHORT).start().unwrap();
    let emitter = forwarder.emitter();
    let sent = flood(&forwarder);
    let begun = Instant::now();
    drop(forwarder);
    let elapsed = begun.elapsed();
    assert!(elapsed <= SHORT + Duration::from_millis(500), "{elapsed:?}");
    let mut dead = bench.dead();
    dead.retain(|_, record| record["wire"]["event_type"] != "audit_gap");
    assert_eq!(dead.len(), sent.len());
    assert!(sent.iter().all(|id| dead.contains_key(&id.to_string())));
    assert!(matches!(offer(&emitter), Err(Refused::Closed(_))), "an emitter outlives its forwarder");
}

#[test]
fn an_idle_forwarder_is_drained_at_once_and_the_second_report_is_the_first() {
    let bench = Bench::new();
    let forwarder = bench.builder(|_| {}).start().unwrap();
    let sent = support::send(&forwarder.emitter(), 100);
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 100);
    let begun = Instant::now();
    let report = forwarder.drain(PATIENCE);
    assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    assert!(!report.deadline_reached && report.all_delivered());
    assert_eq!(forwarder.drain(PATIENCE), report);
    assert_eq!(forwarder.abort(), report);
    bench.assert_one_fate_each(&sent, &report);
}

#[test]
fn drains_while_eight_producers_push_and_accepts_exactly_their_oks() {
    let bench = Bench::new();
    let forwarder = bench.builder(|_| {}).batchers(2).max_queue_size(1000).start().unwrap();
    let sent = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..8).map(|_| scope.spawn(|| push_until_closed(&forwarder.emitter()))).collect();
        support::wait_until(&forwarder, |metrics| metrics.events_sent > 2000);
        let report = forwarder.drain(PATIENCE);
        let sent: Vec<_> = producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect();
        assert!(report.all_delivered());
        assert_eq!(report.ledger.accepted, sent.len() as u64 + report.ledger.gaps);
        bench.assert_one_fate_each(&sent, &report);
        sent
    });
    // Producers that go on after the end are refused, and change nothing but the count of refusals.
    let refused_before = forwarder.metrics().ledger.refused["closed"];
    assert!(matches!(offer(&forwarder.emitter()), Err(Refused::Closed(_))));
    let ledger = forwarder.metrics().ledger;
    assert_eq!(ledger.refused["closed"], refused_before + 1);
    assert!(ledger.balances(sent.len() as u64));
}

/// What waits for its next attempt is tried at once when draining, however long it was to wait.
#[test]
fn draining_tries_waiting_batches_once_at_once() {
    let bench = Bench::new();
    let down = Arc::new(AtomicBool::new(true));
    let (received, theirs) = (bench.received.clone(), Arc::clone(&down));
    let answer = move |batch: &siem_forward::Batch| {
        if theirs.load(Ordering::SeqCst) {
            return Verdict::Halt(Cause::http(401));
        }
        received.take_all(batch);
        Verdict::Accept
    };
    let forwarder = bench.builder(|played| played.send_batch = Box::new(answer)).batch_size(10).start().unwrap();
    let sent = support::send(&forwarder.emitter(), 60);
    support::wait_until(&forwarder, |metrics| metrics.batches_failed >= 6);
    down.store(false, Ordering::SeqCst);
    let report = forwarder.drain(PATIENCE);
    assert!(report.elapsed < Duration::from_secs(10), "far below the backoff of a minute: {:?}", report.elapsed);
    assert_eq!(report.ledger.delivered, 60, "{report}");
    bench.assert_one_fate_each(&sent, &report);
}

fn offer(emitter: &Emitter) -> Result<(), Refused> {
    emitter.event(EventType::UserLogin, Severity::Low).try_send()
}

fn push_until_closed(emitter: &Emitter) -> Vec<EventId> {
    let mut sent = HashSet::new();
    loop {
        let event = siem_forward::AuditEvent::builder(EventType::UserLogin, Severity::Low).user_id("u").build();
        let id = event.id();
        match emitter.try_send(event) {
            Ok(()) => assert!(sent.insert(id)),
            Err(Refused::Full(_)) => std::thread::yield_now(),
            Err(Refused::Closed(_)) => return sent.into_iter().collect(),
            Err(other) => panic!("{other:?}"),
        }
    }
}
