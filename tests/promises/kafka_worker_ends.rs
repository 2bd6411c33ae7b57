//! Partitions that a worker gives up, and its own end: what was in flight is finished and committed where there is time for
//! it, and where there is none the end comes all the same, in its time.
//!
//! librdkafka's own brokers keep the group here; they rebalance cooperatively, since what that means is decided by the members.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Response};
use rustix::process::Signal;
use siem_forward::receiver::Receiver;

use crate::cli_metrics::address;
use crate::cli_service::{Manager, watched};
use crate::kafka::{Brokers, committed, committed_by_partition, write};
use crate::kafka_metrics::scrape;
use crate::program::{PATIENCE, Ran, Running, Scene, assert_received, wait_until};
use crate::worker::{GROUP, command_of, end, receiver, scene, start, values, wait_for};

const EVENTS: u32 = 400;
/// What an end may take beyond the time that it has: that of a program to start and to stop on a busy machine.
const MARGIN: Duration = Duration::from_secs(2);
/// A short session has frequent heartbeats, and by these a member learns that another one has joined.
const SHORT: &str = "session_timeout_seconds = 3\n";

/// How often it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Twice,
}

/// A worker that has read all of a topic, while its SIEM takes nothing.
struct Held {
    brokers: Brokers,
    receiver: Receiver,
    keys: &'static str,
    input: String,
    scene: Scene,
    worker: Running,
    metrics: SocketAddr,
}

fn hold(keys: &'static str, input: &str) -> Held {
    hold_as(keys, input, |command, _| command)
}

fn hold_as(keys: &'static str, input: &str, begin: impl FnOnce(Command, &Scene) -> Command) -> Held {
    let (brokers, receiver) = (Brokers::at_a_distance(&["audit"]), receiver(&["503"]));
    write(&brokers.addresses(), "audit", values(0..EVENTS));
    let input = format!("{input}\n\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let scene = scene(&brokers.addresses(), &receiver, keys, &input);
    let worker = Running::start(begin(command_of(&scene), &scene));
    let metrics = address(&worker);
    wait_until(|| scrape(metrics).count("siem_events_accepted_total", &[]) == u64::from(EVENTS));
    Held { brokers, receiver, keys, input, scene, worker, metrics }
}

impl Held {
    /// Another one joins, and two of the four partitions are to be its own; the first still has something in flight there.
    fn join(&self) -> (Scene, Running) {
        let scene = scene(&self.brokers.addresses(), &self.receiver, self.keys, &self.input);
        let second = start(&scene);
        let revoked = || scrape(self.metrics).count("siem_kafka_rebalances_total", &[("change", "revoked")]);
        wait_until(|| revoked() == 2);
        (scene, second)
    }

    fn committed(&self) -> i64 {
        committed(&self.brokers.addresses(), GROUP, "audit")
    }
}

/// A service manager that watches hears of the worker all the while.
#[test]
fn a_worker_that_waits_for_what_is_in_flight_is_taken_for_dead_by_nobody() {
    let fed = Arc::new(AtomicUsize::new(0));
    let watched = |command: Command, scene: &Scene| {
        let (mut manager, fed) = (Manager::new(scene), Arc::clone(&fed));
        // To the end of the test: what nobody hears would hold up the worker.
        thread::spawn(move || {
            while Arc::strong_count(&fed) > 1 {
                manager.listen();
                fed.store(manager.times("WATCHDOG=1"), Ordering::Relaxed);
            }
        });
        watched(&command, scene)
    };
    let held = hold_as("", &format!("{SHORT}revoke_timeout_seconds = 200"), watched);
    let _second = held.join();
    let before = fed.load(Ordering::Relaxed);
    wait_until(|| fed.load(Ordering::Relaxed) >= before + 5);
    assert_eq!(held.committed(), 0, "it waits still");
    held.worker.signal(Signal::KILL);
}

/// What would fill it comes from the partitions that are read on.
#[test]
fn an_open_batch_is_cut_for_a_partition_that_moves() {
    let patient = |mut command: Command, _: &Scene| {
        command.args(["--set", "siem.splunk.batch_timeout_seconds=300"]);
        command
    };
    let held = hold_as("batch_size = 10000", &format!("{SHORT}revoke_timeout_seconds = 50"), patient);
    held.receiver.set_faults(Vec::new());
    let (_scene, second) = held.join();
    second.wait_for("partitions: 2");
    let (first, second) = (end(held.worker), end(second));
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_received(&held.receiver, 0..EVENTS);
    assert_eq!(held.receiver.counts().duplicated, 0, "{first:?} {second:?}");
}

#[test]
fn what_is_in_flight_on_a_partition_that_moves_is_finished_and_committed_before_it_is_given_up() {
    let held = hold("breaker.recovery_timeout_seconds = 0.1", &format!("{SHORT}revoke_timeout_seconds = 50"));
    let (_scene, second) = held.join();
    assert_eq!(held.committed(), 0, "nothing has a fate");
    assert!(!second.stderr().contains("partitions: "), "{}", second.stderr());
    // As long as not all members have said that they know who reads what, brokers answer so.
    let unsettled = [Response::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 2];
    held.brokers.0.request_errors(RDKafkaApiKey::OffsetCommit, &unsettled);
    held.receiver.set_faults(Vec::new());
    second.wait_for("partitions: 2");
    let mut written: BTreeMap<String, i64> = BTreeMap::new();
    for record in held.brokers.read("audit") {
        *written.entry(record.partition.to_string()).or_default() += 1;
    }
    let committed = committed_by_partition(&held.brokers.addresses(), GROUP, "audit");
    let moved = scrape(address(&second)).values("siem_kafka_partitions_owned", "partition");
    assert_eq!(moved.len(), 2, "{moved:?}");
    for partition in moved {
        let number: i32 = partition.parse().unwrap();
        assert_eq!(
            committed[&number],
            written[&partition],
            "partition {partition} of {committed:?}: {}",
            held.worker.stderr()
        );
    }
    write(&held.brokers.addresses(), "audit", values(EVENTS..EVENTS + 100));
    wait_for(&held.receiver, u64::from(EVENTS) + 100);
    wait_until(|| held.committed() == i64::from(EVENTS) + 100);
    let (first, second) = (end(held.worker), end(second));
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_received(&held.receiver, 0..EVENTS + 100);
    assert_eq!(held.receiver.counts().duplicated, 0, "{first:?} {second:?}");
    let committed = committed_by_partition(&held.brokers.addresses(), GROUP, "audit");
    assert_eq!(committed.values().sum::<i64>(), i64::from(EVENTS) + 100, "{committed:?} {first:?} {second:?}");
}

/// A commit that reaches the group behind our own request to join it is refused, as of an old generation, and all partitions are
/// lost by that. Something is due all the time here.
#[test]
fn partitions_that_move_while_events_flow_are_committed_and_no_event_comes_twice() {
    const AT_ONCE: u32 = 10;
    let (brokers, receiver) = (Brokers::at_a_distance(&["audit"]), receiver(&[]));
    let scene_of = || scene(&brokers.addresses(), &receiver, "", SHORT);
    let scenes = [scene_of(), scene_of()];
    let first = start(&scenes[0]);
    first.wait_for("partitions: 4");
    let (second, mut written) = (start(&scenes[1]), 0);
    let begun = Instant::now();
    while !second.stderr().contains("partitions: 2") {
        assert!(begun.elapsed() < PATIENCE, "{} {}", first.stderr(), second.stderr());
        write(&brokers.addresses(), "audit", values(written..written + AT_ONCE));
        written += AT_ONCE;
        thread::sleep(Duration::from_millis(100));
    }
    wait_for(&receiver, u64::from(written));
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == i64::from(written));
    let (first, second) = (end(first), end(second));
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_received(&receiver, 0..written);
    assert_eq!(receiver.counts().duplicated, 0, "{first:?} {second:?}");
    for ran in [first, second] {
        assert_eq!(ran.json()["commits"]["failed"], 0, "{ran:?}");
    }
}

/// All is delivered, nothing committed, and no broker there to commit it to.
fn cut_off(keys: &'static str) -> Held {
    let held = hold(keys, "");
    held.brokers.0.broker_down(-1).unwrap();
    held.receiver.set_faults(Vec::new());
    wait_for(&held.receiver, u64::from(EVENTS));
    held
}

/// It told so, and the next one delivers all of it again.
fn assert_left_to_the_next(ran: &Ran, brokers: &Brokers, receiver: &Receiver, scene: &Scene) {
    assert!(ran.code == 0 && ran.stderr.contains("the group was not left"), "{ran:?}");
    brokers.0.broker_up(-1).unwrap();
    let next = start(scene);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == i64::from(EVENTS));
    assert_eq!(end(next).code, 0);
    assert_received(receiver, 0..EVENTS);
    assert_eq!(receiver.counts().duplicated, u64::from(EVENTS));
}

fn end_without_brokers(keys: &'static str, times: Times, took_max: Duration) {
    let held = cut_off(keys);
    if times == Times::Twice {
        held.worker.signal(Signal::INT);
        held.worker.wait_for("ending: ");
    }
    let ran = end(held.worker);
    assert!(ran.took < took_max, "{ran:?}");
    assert_left_to_the_next(&ran, &held.brokers, &held.receiver, &held.scene);
}

/// Both wait more than they work.
fn at_once(first: impl FnOnce() + Send, second: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(first);
        second();
    });
}

#[test]
fn brokers_that_are_away_hold_up_an_end_for_its_time_and_a_second_signal_not_at_all() {
    let in_time = "breaker.recovery_timeout_seconds = 0.1\ndrain_timeout_seconds = 1";
    let in_long = "breaker.recovery_timeout_seconds = 0.1\ndrain_timeout_seconds = 50";
    at_once(
        || end_without_brokers(in_time, Times::Once, Duration::from_secs(1 + 3) + MARGIN),
        || end_without_brokers(in_long, Times::Twice, MARGIN),
    );
}

/// It waits for what is in flight on a partition that moves, and nothing of that comes.
fn end_amid_a_move(keys: &'static str, times: Times, took_max: Duration) {
    let held = hold(keys, &format!("{SHORT}revoke_timeout_seconds = 200"));
    let (_scene, second) = held.join();
    // Another kind than the one that follows: two of a kind that come at once may be one.
    if times == Times::Twice {
        held.worker.signal(Signal::INT);
    }
    let ran = end(held.worker);
    assert!(ran.took < took_max, "{ran:?}");
    assert_eq!(ran.json()["handed_back"], EVENTS, "{ran:?}");
    assert_eq!((held.receiver.counts().unique, committed(&held.brokers.addresses(), GROUP, "audit")), (0, 0));
    held.receiver.set_faults(Vec::new());
    wait_for(&held.receiver, u64::from(EVENTS));
    wait_until(|| committed(&held.brokers.addresses(), GROUP, "audit") == i64::from(EVENTS));
    assert_eq!(end(second).code, 0);
    assert_received(&held.receiver, 0..EVENTS);
    assert_eq!(held.receiver.counts().duplicated, 0);
}

#[test]
fn a_worker_that_gives_up_a_partition_ends_in_its_time_and_by_a_second_signal_at_once() {
    let in_time = "breaker.recovery_timeout_seconds = 0.1\ndrain_timeout_seconds = 1";
    let in_long = "breaker.recovery_timeout_seconds = 0.1\ndrain_timeout_seconds = 100";
    at_once(
        || end_amid_a_move(in_time, Times::Once, Duration::from_secs(1 + 3) + MARGIN),
        || end_amid_a_move(in_long, Times::Twice, MARGIN),
    );
}

/// Told to end a moment after another one has said that it joins, or after it began to give up what that one is to have; what came
/// last is delivered by then, and most likely not committed.
fn end_while_another_joins(is_moving: bool) {
    let (brokers, receiver) = (Brokers::at_a_distance(&["audit"]), receiver(&[]));
    let input = format!("{SHORT}\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let scene_of = || scene(&brokers.addresses(), &receiver, "", &input);
    let scenes = [scene_of(), scene_of()];
    let first = start(&scenes[0]);
    first.wait_for("partitions: 4");
    let metrics = address(&first);
    let second = start(&scenes[1]);
    second.wait_for("reading audit");
    let revoked = || scrape(metrics).count("siem_kafka_rebalances_total", &[("change", "revoked")]);
    wait_until(|| !is_moving || revoked() == 2);
    write(&brokers.addresses(), "audit", values(0..EVENTS));
    wait_for(&receiver, u64::from(EVENTS));
    let first = end(first);
    assert!(first.code == 0 && !first.stderr.contains("was not left"), "{first:?}");
    second.wait_for("partitions: 4");
    write(&brokers.addresses(), "audit", values(EVENTS..EVENTS + 100));
    wait_for(&receiver, u64::from(EVENTS) + 100);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == i64::from(EVENTS) + 100);
    let second = end(second);
    assert_eq!(second.code, 0, "{second:?}");
    assert_received(&receiver, 0..EVENTS + 100);
    assert_eq!(receiver.counts().duplicated, 0, "{first:?} {second:?}");
}

#[test]
fn a_worker_that_ends_while_another_one_joins_leaves_it_all_and_nothing_comes_twice() {
    at_once(|| end_while_another_joins(false), || end_while_another_joins(true));
}
