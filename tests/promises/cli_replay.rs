//! `replay`: what lies in a dead letter reaches the destination once, and whatever does not stays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

use crate::program::{PATIENCE, Ran, Running, Scene, TOKEN, assert_received, command, id, line, lines, wait_until};

const DEAD: &str = "dead.ndjson";
const RENAMED: &str = "dead.ndjson.replay-1";

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let config =
        ReceiverConfig { token: Some(TOKEN.to_owned()), faults, keep: Keep::Bodies, ..ReceiverConfig::default() };
    Receiver::start(config).unwrap()
}

fn wire(number: u32) -> String {
    let id = id(number);
    // As no formatter of ours would write it.
    format!("{{\"time\": 1767225600.0, \"event\":{{\"user_id\":\"u-{number}\"}},\"fields\":{{\"event_id\":\"{id}\"}}}}")
}

/// A record as `run` writes it, of a destination.
fn record(number: u32, destination: &str) -> String {
    format!(
        "{{\"time\":\"2026-01-02T10:00:00.000000Z\",\"pipeline\":\"splunk\",\"siem_type\":\"splunk\",\
         \"destination\":\"{destination}\",\"id\":\"{}\",\"event_time\":\"2026-01-01T00:00:00.000000Z\",\
         \"severity\":\"low\",\"cause\":\"http_403\",\"words\":\"no\",\"attempts\":2,\"possible_duplicate\":false,\
         \"wire\":{}}}\n",
        id(number),
        wire(number)
    )
}

fn records(numbers: Range<u32>, receiver: &Receiver) -> String {
    numbers.map(|number| record(number, &receiver.url())).collect()
}

fn start(scene: &Scene, arguments: &[&str]) -> Running {
    let mut command = command(&["replay", scene.path(DEAD).to_str().unwrap(), "--config"]);
    command.arg(scene.path("siem.toml")).args(arguments);
    Running::start(command)
}

fn replay(scene: &Scene, arguments: &[&str]) -> Ran {
    start(scene, arguments).end()
}

/// The records of a file, by the number of their event.
fn left(scene: &Scene, name: &str) -> Vec<(u32, Value)> {
    let numbers: HashMap<String, u32> = (0..10_000).map(|number| (id(number).to_string(), number)).collect();
    let number = |record: &Value| numbers[record["id"].as_str().unwrap()];
    let records = scene.read(name);
    let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| (number(&record), record)).collect()
}

fn numbers(scene: &Scene, name: &str) -> Vec<u32> {
    left(scene, name).iter().map(|(number, _)| *number).collect()
}

/// What lies in the scene's folder beside what it began with.
fn files(scene: &Scene) -> BTreeSet<String> {
    let folder = scene.path("");
    let names = std::fs::read_dir(Path::new(&folder)).unwrap().map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.into_string().unwrap())
        .filter(|name| name != "siem.toml" && name != "rejected.ndjson")
        .collect()
}

#[test]
fn what_was_refused_is_delivered_byte_for_byte_and_the_file_is_gone() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "batch_size = 100");
    scene.write(DEAD, records(0..1_000, &receiver));
    let ran = replay(&scene, &["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_eq!(
        (&report["selected"], &report["delivered"], &report["not_sent"]),
        (&json!(1_000), &json!(1_000), &json!(0))
    );
    assert!(ran.stderr.contains("All 1,000 records were delivered"), "{}", ran.stderr);
    assert_received(&receiver, 0..1_000);
    let sent: BTreeSet<String> = receiver.events().into_iter().collect();
    assert_eq!(sent, (0..1_000).map(wire).collect());
    assert_eq!(files(&scene), BTreeSet::new(), "nothing is left behind");
}

/// The whole way: `run` is refused, `replay` brings it home, and what never had a wire form is formatted now.
#[test]
fn what_run_leaves_replay_delivers_with_the_same_ids() {
    let receiver = receiver(&["403:code=4"]);
    let scene = Scene::new(&receiver.url(), "drain_timeout_seconds = 0.3\nbatch_size = 10\nmax_queue_size = 1000");
    let ran = scene.run(&[], lines(0..500));
    assert_eq!((ran.code, scene.dead_letter().len()), (1, 500), "{ran:?}");
    let without_wire = scene.dead_letter().values().filter(|record| record.get("event").is_some()).count();
    assert!(without_wire > 0 && without_wire < 500, "{without_wire}");
    receiver.set_faults(Vec::new());
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..500);
    assert!(receiver.ids().iter().all(|(_, times)| *times == 1));
    assert_eq!(files(&scene), BTreeSet::new());
}

#[test]
fn a_running_forwarder_begins_a_new_file() {
    let receiver = receiver(&["400:contains=poison"]);
    let scene = Scene::new(&receiver.url(), "");
    let poison = |number: u32| line(number).replace(&format!("u-{number}\""), &format!("u-{number} poison\""));
    let mut running = scene.start(&["--json"]);
    running.feed(poison(1) + &line(2));
    wait_until(|| scene.dead_letter().len() == 1);
    receiver.set_faults(Vec::new());
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 2));
    assert!(!scene.path(DEAD).exists());
    receiver.set_faults(vec!["400:contains=poison".parse().unwrap()]);
    running.feed(poison(3) + &line(4));
    wait_until(|| scene.dead_letter().len() == 1);
    assert_eq!(numbers(&scene, DEAD), [3], "the new file has what came since");
    let ran = running.end();
    assert_eq!(
        (ran.code, &ran.json()["dead_lettered"], &ran.json()["delivered"]),
        (1, &json!(2), &json!(2)),
        "{ran:?}"
    );
    receiver.set_faults(Vec::new());
    assert_eq!(replay(&scene, &[]).code, 0);
    assert_received(&receiver, 1..5);
}

/// Killed at any moment, it goes on where it was, and only what was on the wire can come twice.
#[test]
fn a_killed_replay_sends_nothing_twice_but_what_was_on_the_wire() {
    const RECORDS: u32 = 4_000;
    const ON_THE_WIRE: u32 = 2 * 50;
    let receiver = receiver(&["delay:ms=20"]);
    let scene = Scene::new(&receiver.url(), "batch_size = 50\nsenders = 2\ncompression = \"none\"");
    scene.write(DEAD, records(0..RECORDS, &receiver));
    let mut kills = 0;
    for part in 1..=3 {
        let running = start(&scene, &[]);
        assert!(receiver.wait_until(PATIENCE, |counts| counts.unique > u64::from(part * RECORDS / 4)));
        running.signal(Signal::KILL);
        assert_eq!(running.end().code, -1);
        kills += 1;
        assert!(!scene.path(DEAD).exists() && scene.path(RENAMED).exists());
        // What is shown is what is left: nothing of what was noted as delivered, and what was on the wire in doubt.
        let mut cat = command(&["dead-letter", "cat"]);
        cat.arg(scene.path(RENAMED)).args(["--filter", "possible_duplicate=true"]);
        let in_doubt = Running::start(cat).end().stdout.lines().count();
        // Of each kill: two batches that were sent, and as many as wait for a sender.
        assert!(in_doubt > 0 && in_doubt <= 3 * 4 * 50, "{in_doubt}");
    }
    let ran = replay(&scene, &["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let last = u32::try_from(ran.json()["selected"].as_u64().unwrap()).unwrap();
    assert!(last <= RECORDS / 4 + ON_THE_WIRE, "what was delivered before is not sent again: {last}");
    assert_received(&receiver, 0..RECORDS);
    let twice: u32 = receiver.ids().iter().map(|(_, times)| times - 1).sum();
    assert!(twice <= kills * ON_THE_WIRE, "{twice} came twice");
    assert_eq!(files(&scene), BTreeSet::new());
}

/// Also while it renames, rewrites and removes its files.
#[test]
fn killed_at_whatever_moment_nothing_is_lost() {
    const EACH: u32 = 200;
    const KILLS: u32 = 40;
    let receiver = receiver(&["400:contains=u-7\""]);
    let scene = Scene::new(&receiver.url(), "batch_size = 20\nsenders = 1");
    let mut written = Vec::new();
    for kill in 0..KILLS {
        // What a running forwarder writes meanwhile.
        if !scene.path(DEAD).exists() {
            scene.write(DEAD, records(kill * EACH..(kill + 1) * EACH, &receiver));
            written.extend(kill * EACH..(kill + 1) * EACH);
        }
        let running = start(&scene, &[]);
        // No wait for anything: any moment will do.
        std::thread::sleep(Duration::from_millis(u64::from(kill * 4)));
        running.signal(Signal::KILL);
        running.end();
    }
    let mut ran = replay(&scene, &["--json"]);
    assert_eq!((ran.code, &ran.json()["failed"]), (1, &json!({ "http_400": 1 })), "{ran:?}");
    receiver.set_faults(Vec::new());
    ran = replay(&scene, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(written.len() >= 2 * EACH as usize, "{} records", written.len());
    assert_received(&receiver, written);
    let twice: u32 = receiver.ids().iter().map(|(_, times)| times - 1).sum();
    assert!(twice <= KILLS * 20, "at most what was on the wire at each kill: {twice}");
    // A kill can leave an empty shell, which the next replay with that number takes: but nothing with records in it.
    let with_records = |name: &String| scene.read(name).contains("\"wire\"");
    assert!(!files(&scene).iter().any(with_records), "{:?}", files(&scene));
}

/// With acknowledgements, what waits for one is on its way: it can come twice, and what was acknowledged cannot.
#[test]
fn a_killed_replay_repeats_nothing_that_was_acknowledged() {
    let config = ReceiverConfig {
        token: Some(TOKEN.to_owned()),
        ack: Some(Duration::from_millis(300)),
        ..ReceiverConfig::default()
    };
    let receiver = Receiver::start(config).unwrap();
    let scene = Scene::new(&receiver.url(), "batch_size = 20\nack = true\ncompression = \"none\"");
    scene.write(DEAD, records(0..3_000, &receiver));
    let running = start(&scene, &[]);
    let progress = format!("{RENAMED}.progress");
    wait_until(|| scene.read(&progress).contains("\"delivered\""));
    running.signal(Signal::KILL);
    running.end();
    let noted = scene.read(&progress);
    let noted = noted.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let noted: BTreeSet<String> = noted
        .filter_map(|entry| entry.get("delivered").cloned())
        .flat_map(|ids| serde_json::from_value::<Vec<String>>(ids).unwrap())
        .collect();
    let ran = replay(&scene, &["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["delivered"].as_u64().unwrap() + noted.len() as u64, 3_000);
    assert_received(&receiver, 0..3_000);
    assert_eq!(receiver.unacknowledged((0..3_000).map(|number| id(number).as_u128())), 0);
    for (id, times) in receiver.ids() {
        let was_noted = noted.contains(&siem_forward::EventId::from_u128(id).to_string());
        assert!(times == 1 || !was_noted, "{id} was acknowledged and came {times} times");
    }
    assert_eq!(files(&scene), BTreeSet::new());
}

#[test]
fn a_signal_ends_it_in_order_and_nothing_at_all_is_sent_twice() {
    let receiver = receiver(&["delay:ms=20"]);
    let scene = Scene::new(&receiver.url(), "batch_size = 20");
    scene.write(DEAD, records(0..2_000, &receiver));
    let running = start(&scene, &["--json"]);
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique > 400));
    running.signal(Signal::TERM);
    let ran = running.end();
    assert_eq!(ran.code, 1, "{ran:?}");
    let delivered = ran.json()["delivered"].as_u64().unwrap();
    assert_eq!(receiver.counts().unique, delivered);
    assert_eq!(numbers(&scene, RENAMED).len() as u64, 2_000 - delivered);
    assert!(left(&scene, RENAMED).iter().all(|(_, record)| record["cause"] == "http_403" && record["attempts"] == 2));
    assert!(ran.stderr.contains("were not sent"), "{}", ran.stderr);
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..2_000);
    assert!(receiver.ids().iter().all(|(_, times)| *times == 1));
}

#[test]
fn what_fails_again_stays_with_its_new_cause() {
    let receiver = receiver(&["400:contains=u-7\""]);
    let scene = Scene::new(&receiver.url(), "");
    scene.write(DEAD, records(0..100, &receiver));
    let ran = replay(&scene, &["--json"]);
    assert_eq!((ran.code, &ran.json()["failed"]), (1, &json!({ "http_400": 1 })), "{ran:?}");
    assert_received(&receiver, (0..100).filter(|number| *number != 7));
    let [(7, record)] = &left(&scene, RENAMED)[..] else { panic!("{:?}", numbers(&scene, RENAMED)) };
    assert_eq!(record["cause"], "http_400");
    assert_ne!(record["time"], "2026-01-02T10:00:00.000000Z");
    assert!(record["words"].as_str().unwrap() != "no" && record["possible_duplicate"] == false, "{record}");
    assert_eq!(record["wire"], serde_json::from_str::<Value>(&wire(7)).unwrap());
    assert!(ran.stderr.contains("99 were delivered, 1 failed again (http_400 1)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("dead.ndjson.replay-1: the same command goes on with it"), "{}", ran.stderr);
    receiver.set_faults(Vec::new());
    // What comes meanwhile is replayed along.
    scene.write(DEAD, records(100..110, &receiver));
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..110);
    assert!(receiver.ids().iter().all(|(_, times)| *times == 1));
    assert_eq!(files(&scene), BTreeSet::new());
}

#[test]
fn what_the_destination_may_hold_stays_a_possible_duplicate() {
    let receiver = receiver(&["500:first=1000"]);
    let scene = Scene::new(
        &receiver.url(),
        "retry_attempts = 1\ndrain_timeout_seconds = 0.3\ntimeout_seconds = 1\nconnect_timeout_seconds = 1",
    );
    let flagged = record(2, &receiver.url()).replace("\"possible_duplicate\":false", "\"possible_duplicate\":true");
    scene.write(DEAD, record(1, &receiver.url()) + &flagged);
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let records = left(&scene, RENAMED);
    assert_eq!(records.len(), 2);
    for (_, record) in records {
        assert!(record["possible_duplicate"] == true && record["attempts"].as_u64().unwrap() > 2, "{record}");
    }
}

#[test]
fn records_for_another_destination_are_refused_with_the_reason() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let old = "https://old.example:8088 index audit";
    let text = records(0..3, &receiver) + &record(3, old) + &record(4, old);
    scene.write(DEAD, &text);
    let ran = replay(&scene, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    for words in [
        "2 records are meant for splunk https://old.example:8088 index audit, of the pipeline splunk",
        &format!("the pipeline splunk sends to splunk {}", receiver.url()),
        "--formerly 'https://old.example:8088 index audit'",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!((scene.read(DEAD), receiver.counts().unique), (text, 0), "nothing was renamed, nothing sent");
    // What fits can be chosen, and the rest stays.
    let only = format!("destination={}", receiver.url());
    assert_eq!(replay(&scene, &["--filter", &only]).code, 0);
    assert_eq!(numbers(&scene, RENAMED), [3, 4]);
    let ran = replay(&scene, &["--formerly", old]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..5);
    // Another type has another wire form: no option helps.
    scene.write(DEAD, record(5, old).replace("\"siem_type\":\"splunk\"", "\"siem_type\":\"datadog\""));
    assert_eq!(replay(&scene, &["--formerly", old]).code, 2);
}

#[test]
fn only_what_is_selected_is_sent_and_a_dry_run_sends_nothing() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let late =
        |number: u32| record(number, &receiver.url()).replace("T10:00:00", "T12:00:00").replace("http_403", "timeout");
    let critical = late(21).replace("\"severity\":\"low\"", "\"severity\":\"critical\"");
    let text = records(0..20, &receiver) + &late(20) + &critical;
    scene.write(DEAD, &text);
    let ran = replay(&scene, &["--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..7], ["http_403", "splunk", "20", "0", "0", "0", "20"], "{}", ran.stdout);
    assert_eq!(rows[2][..7], ["timeout", "splunk", "1", "0", "0", "1", "2"], "{}", ran.stdout);
    assert_eq!(rows[3][..6], ["all", "21", "0", "0", "1", "22"], "{}", ran.stdout);
    assert!(ran.stdout.contains("22 records would be sent to splunk http://127.0.0.1:"), "{}", ran.stdout);
    let dry =
        replay(&scene, &["--dry-run", "--json", "--filter", "cause=time*", "--since", "2026-01-02T11:00:00Z"]).json();
    assert_eq!((&dry["records"], &dry["unselected"]), (&json!(2), &json!(20)), "{dry}");
    assert_eq!((scene.read(DEAD), receiver.counts().requests), (text, 0));

    let ran = replay(&scene, &["--filter", "cause=timeout", "--filter", "severity=critical"]);
    assert_eq!(ran.code, 0, "all that was selected: {ran:?}");
    assert!(ran.stdout.contains("21 records are not selected."), "{}", ran.stdout);
    assert_received(&receiver, 21..22);
    assert_eq!(numbers(&scene, RENAMED), (0..21).collect::<Vec<_>>());
    let ran = replay(&scene, &["--since", "2026-01-02T11:00:00Z"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 20..22);
    assert_eq!(replay(&scene, &["--since", "5s"]).stdout, "No records are to be sent.\n");
    assert_eq!(replay(&scene, &["--filter", "cuase=timeout"]).code, 2);
}

#[test]
fn damaged_lines_are_told_by_number_skipped_and_kept() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let text = format!(
        "{}nonsense\n{}\n{{\"a\":1}}\n{}{{\"time\":\"2026",
        record(1, &receiver.url()),
        record(2, &receiver.url()).trim_end(),
        record(3, &receiver.url()),
    );
    scene.write(DEAD, text);
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for words in [
        "dead.ndjson:2: not a record",
        "dead.ndjson:4: not a record: missing field",
        "dead.ndjson:6: the line has no end",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert!(
        ran.stdout.contains("All 3 records were delivered") && ran.stdout.contains("3 lines are damaged."),
        "{}",
        ran.stdout
    );
    assert_received(&receiver, 1..4);
    assert_eq!(scene.read(RENAMED), "nonsense\n{\"a\":1}\n{\"time\":\"2026");
    assert_eq!(files(&scene), BTreeSet::from([RENAMED.to_owned()]));
}

#[test]
fn an_event_with_several_records_is_sent_once() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "batch_size = 1");
    scene.write(DEAD, records(0..5, &receiver) + &records(0..5, &receiver));
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(receiver.ids().iter().all(|(_, times)| *times == 1));
    assert_received(&receiver, 0..5);
    assert_eq!(files(&scene), BTreeSet::new());
}

#[test]
fn a_destination_that_is_down_is_given_up_and_keeps_the_records() {
    let gone = receiver(&[]);
    let url = gone.url();
    gone.stop();
    let scene = Scene::new(
        &url,
        "drain_timeout_seconds = 0.5\nbatch_size = 10\ntimeout_seconds = 1\nconnect_timeout_seconds = 1",
    );
    scene.write(DEAD, (0..500).map(|number| record(number, &url)).collect::<String>());
    let begun = Instant::now();
    let ran = replay(&scene, &[]);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("Nothing got through any more, so the rest was not tried."), "{}", ran.stdout);
    let left = left(&scene, RENAMED);
    assert_eq!(left.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..500).collect::<Vec<_>>());
    // What was never sent is as it was; what was says why it failed.
    let causes: BTreeSet<&str> = left.iter().map(|(_, record)| record["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, BTreeSet::from(["http_403", "undelivered"]));
    assert!(left.iter().all(|(_, record)| record["possible_duplicate"] == false));
}

#[test]
fn one_replay_at_a_time() {
    let receiver = receiver(&["hang"]);
    let scene = Scene::new(&receiver.url(), "drain_timeout_seconds = 60");
    scene.write(DEAD, records(0..10, &receiver));
    let running = start(&scene, &[]);
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests >= 1));
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let process = running.id();
    assert!(ran.stderr.contains(&format!("cannot be replayed: the process {process} uses it")), "{}", ran.stderr);
    running.signal(Signal::TERM);
    running.wait_for("a second signal does not wait");
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert!(ran.code == 1 && ran.took < Duration::from_secs(2), "{ran:?}");
    assert!(left(&scene, RENAMED).iter().all(|(_, record)| record["possible_duplicate"] == true), "it was on the wire");
    assert_eq!(numbers(&scene, RENAMED).len(), 10);
}

#[test]
fn what_is_not_there_is_an_error_and_what_is_empty_is_none() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let ran = replay(&scene, &[]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("dead.ndjson cannot be opened: No such file"), "{}", ran.stderr);
    scene.write(DEAD, "");
    let ran = replay(&scene, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "No records are to be sent.\n"));
    assert!(scene.path(DEAD).exists(), "a running forwarder has it open");
}
