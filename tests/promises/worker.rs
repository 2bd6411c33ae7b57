//! `worker`: what lies in Kafka's topics is delivered, and committed once it has a fate, whatever the SIEM does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use siem_forward::EventId;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::kafka::{Brokers, committed, committed_by_partition, write};
use crate::menu;
use crate::program::{PATIENCE, Ran, Running, Scene, TOKEN, assert_received, command, id, line, run, wait_until};

pub(crate) const GROUP: &str = "audit-to-splunk";

pub(crate) fn receiver(faults: &[&str]) -> Receiver {
    receiver_with(faults, None)
}

/// One that acknowledges so long after it has taken something.
fn receiver_with(faults: &[&str], ack: Option<Duration>) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ack, ..ReceiverConfig::default() }).unwrap()
}

/// A worker's configuration, with more keys of the pipeline and of its input.
pub(crate) fn scene(brokers: &str, receiver: &Receiver, keys: &str, input: &str) -> Scene {
    let scene = Scene::new(&receiver.url(), keys);
    let brokers: Vec<&str> = brokers.split(',').collect();
    let session = if input.contains("session_timeout_seconds") { "" } else { "session_timeout_seconds = 6\n" };
    let text = format!(
        "[input.kafka]\nbrokers = {brokers:?}\ntopics = [\"audit\"]\ngroup = \"{GROUP}\"\n{session}{input}\n\n{}",
        scene.read("siem.toml"),
    );
    scene.write("siem.toml", text);
    scene
}

pub(crate) fn start(scene: &Scene) -> Running {
    Running::start(command_of(scene))
}

pub(crate) fn command_of(scene: &Scene) -> Command {
    command(&["worker", "--json", "--config", scene.path("siem.toml").to_str().unwrap()])
}

/// Ends it as one should.
pub(crate) fn end(worker: Running) -> Ran {
    worker.signal(Signal::TERM);
    worker.wait()
}

pub(crate) fn wait_for(receiver: &Receiver, events: u64) {
    assert!(receiver.wait_until(Duration::from_secs(60), |counts| counts.unique >= events), "{:?}", receiver.counts());
}

pub(crate) fn values(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| line(number).trim_end().to_owned()).collect()
}

#[test]
fn what_is_read_is_delivered_and_committed_and_read_once() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    write(&brokers.addresses(), "audit", values(0..500));
    let scene = scene(&brokers.addresses(), &receiver, "", "");
    let worker = start(&scene);
    wait_for(&receiver, 500);
    let ran = end(worker);
    let report = ran.json();
    assert_eq!((ran.code, &report["delivered"], &report["balances"]), (0, &500.into(), &true.into()), "{ran:?}");
    assert_eq!(committed(&brokers.addresses(), GROUP, "audit"), 500);
    write(&brokers.addresses(), "audit", values(500..600));
    let worker = start(&scene);
    wait_for(&receiver, 600);
    // Committed while it runs, not only at its end.
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == 600);
    assert_eq!(end(worker).code, 0);
    assert_received(&receiver, 0..600);
    assert_eq!(receiver.counts().duplicated, 0);
}

/// Three events, and four records that are none.
fn write_some_that_are_no_events(brokers: &Brokers) {
    let large = line(4).replace("\"u-4\"", &format!("{:?}", "x".repeat(70_000)));
    let more = [line(0), "no event".to_owned(), line(1), "{}".to_owned(), String::new(), large, line(2)];
    write(&brokers.addresses(), "audit", more);
}

#[test]
fn a_record_that_is_no_event_is_in_the_dead_letter_with_its_place_and_holds_up_nobody() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    write_some_that_are_no_events(&brokers);
    let scene = scene(&brokers.addresses(), &receiver, "", "");
    let worker = start(&scene);
    wait_for(&receiver, 3);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == 7);
    let ran = end(worker);
    // It never was an event, and so is in none of the books.
    let report = ran.json();
    assert_eq!(
        (ran.code, &report["unreadable"], &report["dead_lettered"], &report["balances"]),
        (1, &4.into(), &0.into(), &true.into()),
        "{ran:?}"
    );
    assert_received(&receiver, 0..3);
    let dead = scene.dead_letter();
    let mut told: Vec<(&str, &str)> =
        dead.values().map(|line| (line["record"]["text"].as_str().unwrap(), line["cause"].as_str().unwrap())).collect();
    told.sort_unstable_by_key(|(text, _)| text.len());
    assert_eq!(told[..3], [("", "no_event"), ("{}", "no_event"), ("no event", "no_event")]);
    assert_eq!((told.len(), told[3].1, told[3].0.len() <= 64 * 1024), (4, "too_large", true));
    let places: std::collections::BTreeSet<(u64, u64)> = dead
        .values()
        .map(|line| {
            assert_eq!(line["record"]["topic"], "audit", "{line}");
            (line["record"]["partition"].as_u64().unwrap(), line["record"]["offset"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(places.len(), 4, "{places:?}");
    assert!(scene.rejected().is_empty());

    // They are listed, and a replay sends none of them, says so, and leaves them.
    let before = scene.read("dead.ndjson");
    let letter = scene.path("dead.ndjson").display().to_string();
    let listed = run(&["dead-letter", "ls", &letter]);
    assert!(listed.code == 0 && listed.stdout.contains("no_event"), "{listed:?}");
    let config = scene.path("siem.toml").display().to_string();
    let dry = Running::start(command(&["replay", &letter, "--config", &config, "--dry-run"])).end();
    assert!(dry.stdout.contains("0 records would be sent") && dry.stdout.contains("4 are no event"), "{dry:?}");
    let replayed = Running::start(command(&["replay", &letter, "--config", &config])).end();
    assert_eq!(replayed.code, 1, "{replayed:?}");
    assert!(replayed.stdout.contains("4 records are no events, and stay where they are"), "{replayed:?}");
    assert_eq!((receiver.counts().events, scene.read("dead.ndjson")), (3, before));
}

#[test]
fn an_event_that_the_siem_refuses_is_in_the_dead_letter_with_its_place_also_behind_a_replay() {
    let refused = id(3);
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[&format!("413:id={refused}")]));
    write(&brokers.addresses(), "audit", values(0..20));
    let scene = scene(&brokers.addresses(), &receiver, "", "");
    let worker = start(&scene);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == 20);
    assert_eq!(end(worker).code, 1);
    let at = brokers.read("audit").into_iter().find(|record| record.value.contains(&refused.to_string())).unwrap();
    let expected = serde_json::json!({"topic": "audit", "partition": at.partition, "offset": at.offset});
    assert_eq!(scene.dead_letter()[&refused.to_string()]["kafka"], expected);
    let (letter, config) = (scene.path("dead.ndjson"), scene.path("siem.toml"));
    let replay = ["replay", letter.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let replayed = Running::start(command(&replay)).end();
    let left: serde_json::Value = serde_json::from_str(&scene.read("dead.ndjson.replay-1")).unwrap();
    assert_eq!((replayed.code, &left["kafka"]), (1, &expected), "{replayed:?}");
}

/// Beside others that are events: these are sent, and what is none stays.
#[test]
fn a_replay_sends_the_events_beside_records_that_are_none() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&["400:contains=u-1"]));
    write_some_that_are_no_events(&brokers);
    let scene = scene(&brokers.addresses(), &receiver, "", "");
    let worker = start(&scene);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == 7);
    let ran = end(worker);
    assert_eq!((ran.code, &ran.json()["dead_lettered"]), (1, &1.into()), "{ran:?}");
    receiver.set_faults(Vec::new());
    let letter = scene.path("dead.ndjson").display().to_string();
    let config = scene.path("siem.toml").display().to_string();
    let replayed = Running::start(command(&["replay", &letter, "--config", &config, "--json"])).end();
    let told = replayed.json();
    assert_eq!((replayed.code, &told["delivered"], &told["no_events"]), (1, &1.into(), &4.into()), "{replayed:?}");
    assert_received(&receiver, 0..3);
    let left = scene.read("dead.ndjson.replay-1");
    assert_eq!((left.lines().count(), left.matches("\"record\":").count()), (4, 4), "{left}");
}

#[test]
fn without_a_dead_letter_a_record_that_is_no_event_is_among_the_rejected() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    write_some_that_are_no_events(&brokers);
    let scene = scene(&brokers.addresses(), &receiver, "dead_letter = \"none\"", "");
    let worker = start(&scene);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == 7);
    let ran = end(worker);
    assert_eq!((ran.code, &ran.json()["unreadable"]), (1, &4.into()), "{ran:?}");
    assert_received(&receiver, 0..3);
    let rejected = scene.rejected();
    assert_eq!(rejected.len(), 4);
    for line in &rejected {
        let place = line["file"].as_str().unwrap();
        assert!(place.starts_with("audit[") && place.ends_with(']') && line["offset"].is_u64(), "{line}");
    }
}

#[test]
fn records_of_another_layout_are_mapped() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    let record = |number| {
        let id = id(number);
        format!("{{\"uid\":\"{id}\",\"at\":\"2026-01-01T00:00:00Z\",\"who\":{{\"name\":\"ada\"}}}}")
    };
    write(&brokers.addresses(), "audit", (0..20).map(record));
    let map = "\n[input.map]\nid = \"/uid\"\ntimestamp = \"/at\"\nevent_type = { value = \"seen\" }\n\
               severity = { value = \"low\" }\nuser_id = \"/who/name\"\n";
    let scene = scene(&brokers.addresses(), &receiver, "", map);
    let worker = start(&scene);
    wait_for(&receiver, 20);
    assert_eq!(end(worker).code, 0);
    assert_received(&receiver, 0..20);
}

/// A full ring pauses the partitions and never the polling: a SIEM that is down for longer than a session costs no rebalance.
#[test]
fn a_siem_that_is_down_pauses_the_partitions_and_moves_none() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&["503"]));
    write(&brokers.addresses(), "audit", values(0..3_000));
    let scene = scene(
        &brokers.addresses(),
        &receiver,
        "max_queue_size = 100\nbatch_size = 50\nbreaker.recovery_timeout_seconds = 0.1",
        "",
    );
    let worker = start(&scene);
    wait_until(|| receiver.fault_hits() > 3);
    let begun = Instant::now();
    wait_until(|| begun.elapsed() > Duration::from_secs(8));
    assert_eq!(committed(&brokers.addresses(), GROUP, "audit"), 0);
    receiver.set_faults(Vec::new());
    wait_for(&receiver, 3_000);
    let ran = end(worker);
    let report = ran.json();
    assert_eq!(
        (ran.code, &report["partitions"]["assigned"], report["partitions"]["revoked"].as_u64() <= Some(4)),
        (0, &4.into(), true),
        "{ran:?}"
    );
    assert_received(&receiver, 0..3_000);
    assert_eq!((receiver.counts().duplicated, committed(&brokers.addresses(), GROUP, "audit")), (0, 3_000));
}

/// Who waits for room goes on polling: else one that joins would get nothing until the group takes the first for dead, 30 s
/// later. What was paused when it was given up is read all the same when it comes back.
#[test]
fn a_worker_whose_siem_is_down_shares_its_partitions_with_one_that_joins_and_reads_them_again_after_it() {
    const EVENTS: u32 = 2_000;
    const MORE: u32 = 200;
    let (brokers, receiver) = (Brokers::at_a_distance(&["audit"]), receiver(&["503"]));
    write(&brokers.addresses(), "audit", values(0..EVENTS));
    let keys = "max_queue_size = 100\nbatch_size = 50\nbreaker.recovery_timeout_seconds = 0.1";
    let scenes = [0, 1].map(|_| scene(&brokers.addresses(), &receiver, keys, "revoke_timeout_seconds = 1"));
    let first = start(&scenes[0]);
    wait_until(|| receiver.fault_hits() > 3);
    let second = start(&scenes[1]);
    let begun = Instant::now();
    while !second.stderr().contains("partitions: 2") {
        assert!(begun.elapsed() < PATIENCE, "{} {}", first.stderr(), second.stderr());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(committed(&brokers.addresses(), GROUP, "audit"), 0, "nothing has a fate");
    receiver.set_faults(Vec::new());
    wait_for(&receiver, u64::from(EVENTS));
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == i64::from(EVENTS));
    let second = end(second);
    wait_until(|| first.stderr().matches("partitions: 4").count() >= 2);
    write(&brokers.addresses(), "audit", values(EVENTS..EVENTS + MORE));
    wait_for(&receiver, u64::from(EVENTS + MORE));
    let first = end(first);
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_received(&receiver, 0..EVENTS + MORE);
}

/// Whoever reads a record gives it the same id, so that the copies of it can be told: here one worker is killed before it has
/// committed anything.
#[test]
fn a_record_without_an_id_has_the_same_one_whoever_reads_it() {
    const EVENTS: u32 = 100;
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&["503:taken"]));
    let without_id = |line: String| line.replacen(r#""id":"#, r#""number":"#, 1);
    write(&brokers.addresses(), "audit", values(0..EVENTS).into_iter().map(without_id));
    // Which is asked again soon, so that what was read later is tried too.
    let scene = scene(&brokers.addresses(), &receiver, "breaker.recovery_timeout_seconds = 0.1", "");
    let worker = start(&scene);
    wait_for(&receiver, u64::from(EVENTS));
    worker.signal(Signal::KILL);
    drop(worker.wait());
    assert_eq!(committed(&brokers.addresses(), GROUP, "audit"), 0);
    receiver.set_faults(Vec::new());
    let worker = start(&scene);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == i64::from(EVENTS));
    assert_eq!(end(worker).code, 0);
    let counts = receiver.counts();
    assert_eq!((counts.unique, counts.duplicated >= u64::from(EVENTS)), (u64::from(EVENTS), true), "{counts:?}");
}

/// It has its fate: nobody is to read it again, and nothing behind it waits.
#[test]
fn what_is_filtered_or_sampled_out_is_committed_as_refused_for_good() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    write(&brokers.addresses(), "audit", values(0..100));
    for (number, keys) in ["filter = { severity_min = \"critical\" }", "sampling = { low = 0.0 }"].iter().enumerate() {
        let scene = scene(&brokers.addresses(), &receiver, keys, "");
        scene.write("siem.toml", scene.read("siem.toml").replace(GROUP, &format!("{GROUP}-{number}")));
        let worker = start(&scene);
        wait_until(|| committed(&brokers.addresses(), &format!("{GROUP}-{number}"), "audit") == 100);
        let ran = end(worker);
        assert_eq!((ran.code, &ran.json()["delivered"]), (0, &0.into()), "{keys}: {ran:?}");
    }
    assert_eq!(receiver.counts().events, 0);
}

/// Under each fault of the SIEM: what is committed never exceeds what it holds, and what is in the dead letter; and a worker
/// that comes after delivers the rest. With acknowledgements, it holds what it has acknowledged.
#[test]
fn a_commit_never_runs_ahead_under_each_fault_of_the_menu() {
    let of_events = menu::OF_EVENTS.iter().map(|case| (case, false));
    let cases = std::sync::Mutex::new(of_events.chain(menu::OF_ACKS.iter().map(|case| (case, true))));
    thread::scope(|scope| {
        // They wait more than they work.
        for _ in 0..10 {
            scope.spawn(|| {
                while let Some((case, acknowledges)) = { cases.lock().unwrap().next() } {
                    one_fault(case, acknowledges);
                }
            });
        }
    });
}

/// The ids of a topic's records, by partition, in the order of their offsets.
fn ids_of(brokers: &Brokers) -> BTreeMap<i32, Vec<EventId>> {
    let mut ids: BTreeMap<i32, Vec<EventId>> = BTreeMap::new();
    for record in brokers.read("audit") {
        let of = ids.entry(record.partition).or_default();
        assert_eq!(usize::try_from(record.offset), Ok(of.len()));
        let value: serde_json::Value = serde_json::from_str(&record.value).unwrap();
        of.push(EventId::parse(value["id"].as_str().unwrap()).unwrap());
    }
    ids
}

/// Those that the receiver holds, or has acknowledged where it does that, and those that stand in the dead letter: a line that is
/// being written is none yet.
fn is_fated(receiver: &Receiver, acknowledges: bool, scene: &Scene, id: EventId) -> bool {
    let is_dead = || {
        let dead = std::fs::read_to_string(scene.path("dead.ndjson")).unwrap_or_default();
        dead.rfind('\n').is_some_and(|end| dead[..end].contains(&id.to_string()))
    };
    let is_held =
        if acknowledges { receiver.unacknowledged([id.as_u128()]) == 0 } else { receiver.contains(id.as_u128()) };
    is_held || is_dead()
}

fn one_fault(case: &menu::Case, acknowledges: bool) {
    const EVENTS: u32 = 120;
    let brokers = Brokers::with(&["audit"]);
    let receiver = receiver_with(&[case.amid], acknowledges.then_some(Duration::from_millis(30)));
    let mut all = values(0..EVENTS);
    // What the faults that look at events look for.
    all[17] = all[17].replace("u-17", "poison");
    write(&brokers.addresses(), "audit", all);
    let ids = ids_of(&brokers);
    let mut keys =
        "batch_size = 20\ntimeout_seconds = 1\ndrain_timeout_seconds = 1\nbreaker.recovery_timeout_seconds = 0.1"
            .to_owned();
    if acknowledges {
        keys.push_str("\nack = true\nack_timeout_seconds = 2");
    }
    let scene = scene(&brokers.addresses(), &receiver, &keys, "");
    let worker = start(&scene);
    let begun = Instant::now();
    // Each record that is committed, one by one; and how many these are.
    let committed = || {
        let positions = committed_by_partition(&brokers.addresses(), GROUP, "audit");
        for (partition, position) in &positions {
            let known = ids.get(partition).map_or(&[][..], Vec::as_slice);
            for id in &known[..usize::try_from(*position).unwrap()] {
                assert!(
                    is_fated(&receiver, acknowledges, &scene, *id),
                    "{}: {id} is committed and nowhere: {positions:?}",
                    case.name
                );
            }
        }
        positions.values().sum::<i64>()
    };
    let is_over = || (0..EVENTS).all(|number| is_fated(&receiver, acknowledges, &scene, id(number)));
    wait_until(|| {
        committed();
        receiver.fault_hits() >= 3 || is_over() || begun.elapsed() > Duration::from_secs(20)
    });
    let ran = end(worker);
    committed();
    assert_eq!(ran.json()["lost"]["bug"], 0, "{}", case.name);
    receiver.set_faults(Vec::new());
    let worker = start(&scene);
    wait_until(|| committed() == i64::from(EVENTS));
    let ran = end(worker);
    for number in 0..EVENTS {
        assert!(is_fated(&receiver, acknowledges, &scene, id(number)), "{}: {number} is nowhere: {ran:?}", case.name);
    }
}

#[test]
fn workers_share_the_partitions_and_what_moves_is_not_lost() {
    let (brokers, receiver) = (Brokers::at_a_distance(&["audit"]), receiver(&[]));
    write(&brokers.addresses(), "audit", values(0..2_000));
    let scenes = [0, 1].map(|_| scene(&brokers.addresses(), &receiver, "", ""));
    let first = start(&scenes[0]);
    wait_for(&receiver, 1);
    let second = start(&scenes[1]);
    write(&brokers.addresses(), "audit", values(2_000..4_000));
    wait_for(&receiver, 4_000);
    // Until the second has its part, and the first has had to give it up.
    let (begun, mut next) = (Instant::now(), 4_000);
    while !second.stderr().contains("partitions: 2") && begun.elapsed() < Duration::from_secs(30) {
        write(&brokers.addresses(), "audit", values(next..next + 100));
        next += 100;
        thread::sleep(Duration::from_millis(100));
    }
    assert!(second.stderr().contains("partitions: 2"), "{}", second.stderr());
    let first = end(first);
    wait_for(&receiver, u64::from(next));
    let begun = Instant::now();
    while committed(&brokers.addresses(), GROUP, "audit") != i64::from(next) {
        let held = committed_by_partition(&brokers.addresses(), GROUP, "audit");
        assert!(begun.elapsed() < PATIENCE, "{held:?} of {next} committed: {first:?} {}", second.stderr());
        thread::sleep(Duration::from_millis(100));
    }
    let second = end(second);
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_received(&receiver, 0..next);
}

/// Killed in the middle, it commits nothing any more: what it had delivered and not committed is delivered again, and no more.
#[test]
fn the_others_take_over_from_a_worker_that_is_killed() {
    const EVENTS: u32 = 6_000;
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    write(&brokers.addresses(), "audit", values(0..EVENTS / 2));
    let scenes = [0, 1, 2].map(|_| scene(&brokers.addresses(), &receiver, "batch_size = 20", ""));
    let mut workers: Vec<Running> = scenes.iter().map(start).collect();
    wait_until(|| workers.iter().all(|worker| worker.stderr().contains("partitions: ")));
    write(&brokers.addresses(), "audit", values(EVENTS / 2..EVENTS));
    let killed = workers.remove(0);
    killed.signal(Signal::KILL);
    drop(killed.wait());
    let before = committed(&brokers.addresses(), GROUP, "audit");
    let uncommitted = receiver.counts().unique.cast_signed() - before;
    wait_for(&receiver, u64::from(EVENTS));
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == i64::from(EVENTS));
    for worker in workers {
        let ran = end(worker);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_received(&receiver, 0..EVENTS);
    let duplicated = receiver.counts().duplicated.cast_signed();
    assert!(duplicated <= uncommitted, "{duplicated} twice, {uncommitted} were uncommitted");
}

#[test]
fn what_a_worker_needs_is_told_before_it_starts() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let ran = start(&scene).wait();
    assert!(ran.code == 2 && ran.stderr.contains("add [input.kafka] with brokers and topics"), "{ran:?}");
    let text = scene.read("siem.toml");
    let kafka = "[input.kafka]\nbrokers = [\"127.0.0.1:1\"]\ntopics = [\"audit\"]\n";
    let text = text.split_once("dead_letter").unwrap().0.to_owned() + "dead_letter = \"none\"\n";
    let without = text.split_once("[siem").map(|(_, rest)| format!("{kafka}\n[siem{rest}")).unwrap();
    scene.write("siem.toml", &without);
    let ran = start(&scene).wait();
    assert!(ran.code == 2 && ran.stderr.contains("add [input] rejected"), "{ran:?}");
    scene.write("siem.toml", format!("[input]\nrecords = \"/Records\"\n{without}"));
    let ran = start(&scene).wait();
    assert!(ran.code == 2 && ran.stderr.contains("a record of Kafka is one event"), "{ran:?}");
    let second = "[siem.other]\ntype = \"file\"\npath = \"-\"\ndead_letter = \"none\"\n";
    scene.write("siem.toml", format!("{without}\n{second}"));
    let ran = start(&scene).wait();
    assert!(ran.code == 2 && ran.stderr.contains("there are the pipelines splunk, other"), "{ran:?}");
}
