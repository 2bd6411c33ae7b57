//! The program with several destinations: each gets every event that is meant for it, a file loses nothing at any of them,
//! and each command knows all of them by their names.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use siem_forward::Timestamp;
use siem_forward::receiver::{Play, Receiver, ReceiverConfig};

use crate::cli_metrics::address;
use crate::hec::{free_address, receiver_at};
use crate::program::{
    Ran, Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, command, id, lines, run, wait_until,
};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() }).unwrap()
}

/// A pipeline to a Splunk at this address, with a dead letter `NAME.dead` of its own.
fn pipeline(scene: &Scene, name: &str, url: &str, keys: &str) -> String {
    let letter = scene.path(&format!("{name}.dead")).display().to_string();
    let letter =
        if keys.contains("dead_letter") { String::new() } else { format!("dead_letter = {{ path = {letter:?} }}\n") };
    format!(
        "[siem.{name}]\ntype = \"splunk\"\nurl = \"{url}\"\ntoken = {{ env = \"{TOKEN_VARIABLE}\" }}\n\
         retry_backoff_max = 0.02\nbatch_timeout_seconds = 0.1\nbreaker.recovery_timeout_seconds = 0.1\n{letter}{keys}\n\n"
    )
}

/// A configuration of these pipelines: name, address, more keys.
fn scene(pipelines: &[(&str, &str, &str)]) -> Scene {
    let scene = Scene::new("http://unused", "");
    let rejected = scene.path("rejected.ndjson").display().to_string();
    let mut text = format!("[metrics]\nlisten = \"127.0.0.1:0\"\n\n[input]\nrejected = {{ path = {rejected:?} }}\n\n");
    text.extend(pipelines.iter().map(|(name, url, keys)| pipeline(&scene, name, url, keys)));
    scene.write("siem.toml", text);
    scene
}

fn with_config(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.arg("--config").arg(scene.path("siem.toml"));
    Running::start(command).end()
}

fn dead(scene: &Scene, name: &str) -> Vec<String> {
    crate::support::dead_letter(&scene.path(&format!("{name}.dead"))).into_keys().collect()
}

/// How often each came.
fn received(receiver: &Receiver) -> HashMap<u128, u32> {
    receiver.ids().into_iter().collect()
}

#[test]
fn what_is_read_arrives_at_each_destination_and_each_has_its_books() {
    let (eu, us) = (receiver(&["503:every=5"]), receiver(&["400:contains=u-77\""]));
    let scene = scene(&[("eu", &eu.url(), "batch_size = 100"), ("us", &us.url(), "batch_size = 100\nbatchers = 2")]);
    let ran = scene.run(&["--json"], lines(0..2_000));
    let report = ran.json();
    assert_eq!(ran.code, 1, "one event is in a dead letter: {ran:?}");
    assert_received(&eu, 0..2_000);
    assert_received(&us, (0..2_000).filter(|number| *number != 77));
    assert_eq!((dead(&scene, "eu"), dead(&scene, "us")), (Vec::new(), vec![id(77).to_string()]));
    for (key, value) in [
        ("offered", json!(2_000)),
        ("accepted", json!(4_000)),
        ("delivered", json!(3_999)),
        ("dead_lettered", json!(1)),
        ("in_flight", json!(0)),
        ("balances", json!(true)),
        ("dead_letter", Value::Null),
    ] {
        assert_eq!(report[key], value, "{key}: {report}");
    }
    let of = |name: &str, key: &str| report["pipelines"][name][key].clone();
    assert_eq!((of("eu", "delivered"), of("us", "delivered")), (json!(2_000), json!(1_999)));
    assert_eq!((of("eu", "offered"), of("us", "offered")), (json!(2_000), json!(2_000)));
    assert_eq!((of("eu", "dead_lettered"), of("us", "dead_lettered")), (json!(0), json!(1)));
    assert!(of("eu", "batches_failed")["http_503"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(of("us", "dead_letter"), json!(scene.path("us.dead")));
    assert_eq!(of("us", "destination"), json!(us.url()));
    for name in ["eu", "us"] {
        assert!(of(name, "delivery_latency_seconds")["p99"].as_f64().unwrap() > 0.0, "{report}");
    }
    assert!(
        ran.stderr.contains("eu: All 2,000 events were delivered. us: Of 2,000 events 1,999 were delivered, 1 is in ")
    );
    assert!(ran.stderr.contains("The ledgers balance."), "{}", ran.stderr);

    // For people a section each.
    let ran = scene.run(&[], lines(2_000..2_100));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("100 events to 2 destinations\n"), "{}", ran.stdout);
    for (name, receiver) in [("eu", &eu), ("us", &us)] {
        assert!(ran.stdout.contains(&format!("\n{name} to {}\n", receiver.url())), "{}", ran.stdout);
    }
}

/// One is away from the start, with a ring far smaller than the file: reading waits for it, the other gets what is read at
/// once, and in the end both have everything, the one that was there all the time exactly once.
#[test]
fn a_file_is_read_at_the_pace_of_the_slowest_and_loses_nothing_at_any() {
    let (live, absent) = (receiver(&[]), free_address());
    let keys = "batch_size = 50\nmax_queue_size = 500\ndrain_timeout_seconds = 60";
    let scene = scene(&[("away", &format!("http://{absent}"), keys), ("live", &live.url(), keys)]);
    scene.write("large", lines(0..20_000));
    let running = scene.start(&["--json", "--input", "large"]);
    // As much as the ring of the one that is away holds, and more.
    wait_until(|| live.counts().unique >= 500);
    let address = address(&running);
    wait_until(|| status(address).iter().any(|pipeline| pipeline["queue_fill_ratio"].as_f64() > Some(0.99)));
    // What it may hold behind its ring: 13 batches for each of two senders, 3 for its batcher, and one event waits.
    assert!(live.counts().unique <= 500 + 29 * 50 + 1, "reading waits: {:?}", live.counts());

    let back = receiver_at(absent);
    let ran = running.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&live, 0..20_000);
    assert_received(&back, 0..20_000);
    assert!(received(&live).values().all(|times| *times == 1), "nothing is sent twice to the one that was there");
    assert_eq!(live.counts().duplicated, 0);
    let report = ran.json();
    for name in ["away", "live"] {
        assert_eq!(
            (&report["pipelines"][name]["delivered"], &report["pipelines"][name]["refused"]["full"]),
            (&json!(20_000), &json!(0))
        );
        assert!(dead(&scene, name).is_empty());
    }
}

fn status(address: SocketAddr) -> Vec<Value> {
    let ran = run(&["status", "--json", "--url", &format!("http://{address}")]);
    ran.json()["pipelines"].as_array().unwrap().clone()
}

#[test]
fn the_end_is_asked_for_while_one_is_away_and_each_event_is_accounted_for() {
    let (live, absent) = (receiver(&[]), free_address());
    let keys = "batch_size = 50\nmax_queue_size = 500\ndrain_timeout_seconds = 1";
    let scene = scene(&[("live", &live.url(), keys), ("away", &format!("http://{absent}"), keys)]);
    scene.write("large", lines(0..20_000));
    let running = scene.start(&["--json", "--input", "large"]);
    wait_until(|| live.counts().unique >= 500);
    running.signal(Signal::TERM);
    let ran = running.wait();
    let report = ran.json();
    assert_eq!(ran.code, 1, "{ran:?}");
    // What was read is at the one, and lies in the dead letter of the other; at most the one that waited for room is written
    // down as a line, with the name of who lacks it.
    let held = live.counts().unique;
    assert_received(&live, 0..u32::try_from(held).unwrap());
    let (rejected, dead) = (scene.rejected(), dead(&scene, "away").len() as u64);
    assert_eq!(dead + rejected.len() as u64, held, "{rejected:?}");
    assert!(rejected.len() <= 1, "{rejected:?}");
    for line in &rejected {
        assert_eq!(
            line["reason"],
            "not at away, but at the other destinations: read, but not accepted before the end; forward it again"
        );
    }
    assert_eq!((&report["pipelines"]["live"]["delivered"], &report["offered"]), (&json!(held), &json!(held)));
    assert_eq!(report["pipelines"]["away"]["dead_lettered"], dead);
    assert_eq!(report["balances"], true, "{report}");
}

/// An event as a line, of which the number says everything.
fn varied(number: u32) -> String {
    let severity = ["low", "medium", "high", "critical"][number as usize % 4];
    let event_type = ["user_login", "payment_made", "tool_invoked"][number as usize % 3];
    let decision = ["", ",\"decision\":\"allow\"", ",\"decision\":\"deny\""][number as usize / 4 % 3];
    format!(
        "{{\"id\":\"{}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"event_type\":\"{event_type}\",\"severity\":\"{severity}\"{decision}}}\n",
        id(number)
    )
}

#[test]
fn each_gets_what_its_filter_lets_pass() {
    let receivers = [(); 4].map(|()| receiver(&[]));
    let [all, grave, typed, denied] = &receivers;
    let scene = scene(&[
        ("all", &all.url(), ""),
        ("grave", &grave.url(), "filter = { severity_min = \"high\" }"),
        ("typed", &typed.url(), "filter = { event_types = [\"user_login\", \"payment_made\"] }"),
        ("denied", &denied.url(), "[siem.denied.filter]\nseverity_min = \"medium\"\ndecisions = [\"deny\"]"),
    ]);
    let text: String = (0..1_200).map(varied).collect();
    let ran = scene.run(&["--json"], text.clone());
    assert_eq!(ran.code, 0, "what a filter keeps away is no mistake: {ran:?}");
    let expected: [Vec<u32>; 4] = [
        (0..1_200).collect(),
        (0..1_200).filter(|number| number % 4 >= 2).collect(),
        (0..1_200).filter(|number| number % 3 != 2).collect(),
        (0..1_200).filter(|number| number % 4 >= 1 && number / 4 % 3 == 2).collect(),
    ];
    let report = ran.json();
    for ((name, receiver), expected) in ["all", "grave", "typed", "denied"].iter().zip(&receivers).zip(&expected) {
        assert_received(receiver, expected.iter().copied());
        let pipeline = &report["pipelines"][name];
        assert_eq!(pipeline["refused"]["filtered"], 1_200 - expected.len(), "{name}: {pipeline}");
        assert_eq!((&pipeline["offered"], &pipeline["gaps"]), (&json!(expected.len()), &json!(0)), "{name}");
    }
    assert_eq!((&report["offered"], &report["unreadable"]), (&json!(1_200), &json!(0)));
    assert!(ran.stderr.contains("grave: All 600 events were delivered, 600 were filtered out."), "{}", ran.stderr);

    // The same is said without sending anything.
    let ran = scene.run(&["--dry-run", "--json"], text.clone());
    let told = ran.json();
    assert_eq!((ran.code, &told["readable"], &told["events"]), (0, &json!(1_200), &Value::Null), "{told}");
    for (name, expected) in ["all", "grave", "typed", "denied"].iter().zip(&expected) {
        let pipeline = &told["pipelines"][name];
        assert_eq!(
            (&pipeline["sent"], &pipeline["filtered"]),
            (&json!(expected.len()), &json!(1_200 - expected.len()))
        );
        let ids = pipeline["events"].as_array().unwrap().iter().map(|event| event["fields"]["event_id"].clone());
        let first: Vec<Value> = expected.iter().take(10).map(|number| json!(id(*number).to_string())).collect();
        assert_eq!(ids.collect::<Vec<_>>(), first, "{name}: the wire form of the first ten that it would get");
    }
    let ran = scene.run(&["--dry-run"], text);
    let sentence = format!("siem.grave: 600 events would be sent to {}, 600 are filtered out.\n", grave.url());
    assert!(ran.stdout.contains(&sentence), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("1,200 events are readable, 0 are unreadable. Nothing was sent.\n"), "{}", ran.stdout);
}

/// What is too large for one is told as a line that this one lacks.
#[test]
fn an_event_that_is_too_large_for_one_is_at_the_others_and_told_by_name() {
    let (wide, narrow) = (receiver(&[]), receiver(&[]));
    let scene = scene(&[("wide", &wide.url(), ""), ("narrow", &narrow.url(), "event_bytes_max = 1000")]);
    let large = lines(1..2).replace("u-1", &"x".repeat(2_000));
    let ran = scene.run(&["--json"], lines(0..1) + &large + &lines(2..3));
    assert_eq!((ran.code, &ran.json()["unreadable"]), (1, &json!(1)), "{ran:?}");
    assert_received(&wide, 0..3);
    assert_received(&narrow, [0, 2]);
    let rejected = scene.rejected();
    assert_eq!(rejected.len(), 1);
    let reason = rejected[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("not at narrow, but at the other destinations: the event has 2"), "{reason}");
    assert_eq!(ran.json()["balances"], true);
}

#[test]
fn one_that_is_not_enabled_is_left_out_and_all_of_them_are_nothing_to_run() {
    let receiver = receiver(&[]);
    let scene = scene(&[("on", &receiver.url(), ""), ("off", "http://127.0.0.1:1", "enabled = false")]);
    let ran = scene.run(&["--json"], lines(0..10));
    let report = ran.json();
    assert_eq!((ran.code, report["pipelines"].as_object().unwrap().len()), (0, 1), "{ran:?}");
    assert_eq!(report["dead_letter"], json!(scene.path("on.dead")), "of the one that runs");
    assert_received(&receiver, 0..10);
    let ran = scene.run(&["--set", "siem.on.enabled=false"], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("the pipelines on, off have enabled = false: there is nothing to run"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_pipeline_that_cannot_start_is_told_by_its_name_and_nothing_runs() {
    let receiver = receiver(&[]);
    let scene = scene(&[("one", &receiver.url(), ""), ("two", &receiver.url(), "")]);
    // Another run holds the dead letter of the second.
    let mut other = scene.start(&["--set", "siem.one.enabled=false"]);
    other.wait_for("metrics on");
    let ran = scene.run(&[], lines(0..10));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("error: siem.two: the dead letter ") && ran.stderr.contains("is in use"),
        "{}",
        ran.stderr
    );
    assert_eq!(receiver.counts().unique, 0);
    other.feed(lines(0..1));
    assert_eq!(other.end().code, 0);
    assert_received(&receiver, 0..1);
}

#[test]
fn what_is_shown_of_a_run_names_each_pipeline() {
    let (live, refusing) = (receiver(&[]), receiver(&["401"]));
    let keys = "drain_timeout_seconds = 0.5\nhealth_check_interval_seconds = 0";
    let scene = scene(&[("live", &live.url(), keys), ("refusing", &refusing.url(), keys)]);
    let mut running = scene.start(&["--json", "--status-every", "0.1"]);
    let address = address(&running);
    running.feed(lines(0..100));
    wait_until(|| live.counts().unique == 100 && status(address).iter().any(|pipeline| pipeline["red"] == true));
    let shown = status(address);
    let seen = |key: &str| shown.iter().map(|pipeline| pipeline[key].clone()).collect::<Vec<_>>();
    assert_eq!(seen("pipeline"), ["live", "refusing"]);
    assert_eq!(seen("red"), [false, true]);
    assert_eq!((seen("delivered"), seen("waiting")), (vec![json!(100), json!(0)], vec![json!(0), json!(100)]));
    let ran = run(&["status", "--url", &format!("http://{address}")]);
    assert!(ran.code == 1 && ran.stdout.contains("1 of 2 pipelines RED"), "{ran:?}");
    let reason = ran.stdout.lines().find(|line| line.starts_with("refusing: ")).unwrap();
    assert!(reason.contains("http_401"), "{}", ran.stdout);

    let (code, ready) = get(address, "/readyz");
    let ready: Value = serde_json::from_str(&ready).unwrap();
    assert_eq!((code, &ready["ready"]), (503, &json!(false)), "{ready}");
    assert_eq!((&ready["reasons"][0]["pipeline"], ready["reasons"].as_array().unwrap().len()), (&json!("refusing"), 1));
    assert_eq!(get(address, "/healthz").0, 200);
    let (_, metrics) = get(address, "/metrics");
    for (name, healthy) in [("live", 1), ("refusing", 0)] {
        let sample = format!("siem_health_status{{pipeline=\"{name}\",siem_type=\"splunk\"}} {healthy}\n");
        assert!(metrics.contains(&sample), "{sample}");
    }

    // A line that was written before both had their fate says less.
    wait_until(|| {
        running.stderr().lines().any(|line| line.contains("delivered=100 ") && line.contains("health=\"refusing: "))
    });
    let ran = running.end();
    assert_eq!(ran.code, 1, "one of them is incomplete");
    let line = ran.stderr.lines().rfind(|line| line.contains(" progress ")).unwrap();
    assert!(line.contains("\"live\":{") && line.contains("\"refusing\":{"), "{line}");
    assert_eq!(dead(&scene, "refusing").len(), 100);
    assert_received(&live, 0..100);
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn check_goes_the_way_to_each() {
    let (well, refusing) = (receiver(&[]), receiver(&["401"]));
    let scene = scene(&[("well", &well.url(), ""), ("refusing", &refusing.url(), "")]);
    let ran = with_config(&scene, &["check", "--send"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let (first, second) = ran.stdout.split_once("siem.refusing to splunk").unwrap();
    assert!(first.contains("siem.well to splunk") && first.contains("took the test event"), "{}", ran.stdout);
    assert!(second.contains("failed") && !second.contains("took the test event"), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("no mistakes").count(), 1);
    assert_eq!((well.counts().unique, refusing.counts().unique), (1, 0));
    let told = with_config(&scene, &["check", "--json"]).json();
    let names: Vec<Value> =
        told["pipelines"].as_array().unwrap().iter().map(|pipeline| pipeline["name"].clone()).collect();
    assert_eq!((json!(names), &told["ok"]), (json!(["well", "refusing"]), &json!(false)), "{told}");
}

#[test]
fn a_dead_letter_goes_back_to_the_pipeline_that_it_is_of() {
    // Two at one address with a token each, and one elsewhere.
    let (one, other) = (receiver(&[]), receiver(&[]));
    let scene = scene(&[("eu", &one.url(), ""), ("us", &one.url(), ""), ("far", &other.url(), "")]);
    let record = |number: u32, pipeline: &str, receiver: &Receiver| {
        format!(
            "{{\"time\":\"2026-01-02T10:00:00Z\",\"pipeline\":\"{pipeline}\",\"siem_type\":\"splunk\",\"destination\":\"{}\",\
             \"id\":\"{}\",\"event_time\":\"2026-01-01T00:00:00Z\",\"severity\":\"low\",\"cause\":\"http_403\",\"words\":\"no\",\
             \"attempts\":1,\"possible_duplicate\":false,\
             \"wire\":{{\"event\":{{\"user_id\":\"u\"}},\"fields\":{{\"event_id\":\"{}\"}}}}}}\n",
            receiver.url(),
            id(number),
            id(number)
        )
    };
    let replay = |file: &str, more: &[&str]| {
        let path = scene.path(file).display().to_string();
        with_config(&scene, &[&["replay", path.as_str()], more].concat())
    };
    // By its destination.
    scene.write("far.dead", record(1, "far", &other) + &record(2, "renamed since", &other));
    let ran = replay("far.dead", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&other, 1..3);
    // Of two that lead to one place, by the name.
    scene.write("us.dead", record(3, "us", &one));
    let ran = replay("us.dead", &["--json"]);
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &json!(1)), "{ran:?}");
    // Of neither: nobody guesses.
    scene.write("old.dead", record(4, "old", &one));
    let ran = replay("old.dead", &[]);
    assert!(ran.code == 2 && ran.stderr.contains("say --pipeline and one of eu, us"), "{ran:?}");
    assert_eq!(replay("old.dead", &["--pipeline", "eu"]).code, 0);
    assert_received(&one, 3..5);
    // Of two destinations: each file goes to one.
    scene.write("mixed.dead", record(5, "us", &one) + &record(6, "us", &one) + &record(7, "far", &other));
    let ran = replay("mixed.dead", &["--pipeline", "us"]);
    assert!(ran.code == 2 && ran.stderr.contains("the pipeline us sends to splunk"), "{ran:?}");
    assert_eq!(replay("mixed.dead", &[]).code, 2);
    assert_eq!(replay("mixed.dead", &["--filter", "pipeline=us"]).code, 0);
    assert_eq!(replay("mixed.dead", &[]).code, 0, "what is left is of one");
    assert_received(&one, 3..7);
    assert_received(&other, [1, 2, 7]);
    let ran = replay("far.dead", &["--pipeline", "nowhere"]);
    assert!(ran.code == 2 && ran.stderr.contains("no pipeline nowhere: it has eu, us, far"), "{ran:?}");
}

/// `examples/fanout.toml`, with receivers in the place of its destinations.
#[test]
fn the_example_runs_and_each_destination_gets_its_part() {
    let part = |play| {
        Receiver::start(ReceiverConfig { play, token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() }).unwrap()
    };
    let (splunk, datadog) = (part(Play::Splunk), part(Play::Datadog));
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fanout.toml");
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&["run", "--config", example.to_str().unwrap(), "--json"]);
    command.args(["--set", &format!("siem.splunk.url=\"{}\"", splunk.url())]);
    command.args(["--set", &format!("siem.datadog.url=\"{}\"", datadog.url())]);
    command.env("SPLUNK_HEC_TOKEN", TOKEN).env("DD_API_KEY", TOKEN).current_dir(folder.path());
    let mut running = Running::start(command);
    // Datadog drops what is old.
    let now = Timestamp::now().to_string();
    running.feed((0..120).map(varied).collect::<String>().replace("2026-01-01T00:00:00Z", &now));
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&splunk, 0..120);
    assert_received(&datadog, (0..120).filter(|number| number % 4 >= 2));
}
