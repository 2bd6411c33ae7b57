//! `tune`: measures, holds its time, and sends nothing to anybody who was not named.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

use crate::program::{Ran, Running, Scene, TOKEN, TOKEN_VARIABLE, command, run};

const KEYS: [&str; 9] = [
    "batch_size",
    "batch_bytes_max",
    "batch_timeout_seconds",
    "batchers",
    "senders",
    "max_queue_size",
    "wait_strategy",
    "compression",
    "compression_level",
];

fn tune(scene: &Scene, arguments: &[&str]) -> Running {
    let config = scene.path("siem.toml");
    let mut command = command(&["tune", "--config", config.to_str().unwrap()]);
    command.args(arguments).current_dir(scene.path(""));
    Running::start(command)
}

/// Somebody who is not to be connected to.
struct Bystander(TcpListener);

impl Bystander {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    fn assert_left_alone(&self) {
        let error = self.0.accept().expect_err("somebody has connected");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

fn assert_entries(report: &Value) {
    let tried = report["tried"].as_array().unwrap();
    assert!(!tried.is_empty(), "{report}");
    for entry in tried {
        assert!(KEYS.iter().all(|key| !entry[key].is_null()), "{entry}");
        assert!(entry["events_per_second"].is_u64() && entry["cpu_seconds_per_million"].is_number(), "{entry}");
        assert!(entry["trials"].as_u64().unwrap() >= 1 && entry["trial_seconds"].as_f64().unwrap() > 0.0, "{entry}");
        let latency = &entry["delivery_latency_seconds"];
        let [p50, p99, p999] = ["p50", "p99", "p999"].map(|key| latency[key].as_f64().unwrap());
        assert!(p50 <= p99 && p99 <= p999, "{entry}");
    }
    for flag in ["base", "best"] {
        assert_eq!(tried.iter().filter(|entry| entry[flag] == true).count(), 1, "{flag}: {report}");
    }
    let settings: Vec<Vec<&Value>> = tried.iter().map(|entry| KEYS.map(|key| &entry[key]).to_vec()).collect();
    for (index, setting) in settings.iter().enumerate() {
        assert!(!settings[..index].contains(setting), "an entry a setting: {report}");
    }
}

/// Two senders of one event each, 20 ms away, carry 100 a second: whoever looks at the batch finds something better, on a
/// machine that does much else as well.
#[test]
fn what_is_found_is_measured_told_and_read_back_and_nobody_is_connected_to() {
    let bystander = Bystander::new();
    let scene = Scene::new(&bystander.url(), "batch_size = 1");
    // Nobody's secret is needed, and it keeps its time.
    let config = scene.path("siem.toml");
    let mut command = command(&["tune", "--config", config.to_str().unwrap(), "--max-seconds", "12", "--json"]);
    command.args(KEYS.iter().filter(|key| **key != "batch_size").flat_map(|key| ["--keep", *key]));
    command.current_dir(scene.path("")).env_remove(TOKEN_VARIABLE);
    let ran = Running::start(command).end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.took < Duration::from_secs(16), "{ran:?}");
    let report = ran.json();
    assert_eq!(ran.stdout.lines().count(), 1);
    assert_entries(&report);
    assert_eq!((&report["target"], &report["siem_type"]), (&json!("throughput"), &json!("splunk")));
    assert_eq!(report["round_trip_seconds"], 0.02);
    assert!(report["elapsed_seconds"].as_f64().unwrap() < 13.0, "{report}");
    let base = &report["tried"][0];
    assert_eq!((&base["base"], &base["batch_size"], &base["senders"]), (&json!(true), &json!(1), &json!(2)));
    let per_second = base["events_per_second"].as_u64().unwrap();
    assert!(per_second <= 150, "a round trip for each event, and two at a time: {report}");
    assert_eq!(report["verdict"], "better", "{report}");
    assert!(report["difference"].as_f64().unwrap() > 1.0, "{report}");
    // The lines are a configuration.
    let toml = report["recommended"]["toml"].as_str().unwrap();
    let set: Vec<&str> = toml.lines().skip(1).map(|line| line.split("  #").next().unwrap()).collect();
    let mut arguments = vec!["check".to_owned(), "--offline".to_owned(), "--config".to_owned()];
    arguments.push(config.to_str().unwrap().to_owned());
    for line in &set {
        arguments.extend(["--set".to_owned(), format!("siem.splunk.{line}")]);
    }
    let checked = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(!set.is_empty() && checked.code == 0, "{toml}: {checked:?}");
    bystander.assert_left_alone();
    assert!(!scene.path("dead.ndjson").exists(), "no file is written");
}

#[test]
fn every_destination_that_is_played_is_tuned() {
    let place = format!("token = {{ env = \"{TOKEN_VARIABLE}\" }}");
    for (siem_type, keys) in [
        ("datadog", format!("site = \"eu\"\napi_{}", place.replace("token", "key"))),
        ("elastic", "url = \"http://127.0.0.1:1\"".to_owned()),
        (
            "webhook",
            format!("url = \"http://127.0.0.1:1\"\nmethod = \"PUT\"\naccepted = [202]\nbody_key = \"events\"\n{place}"),
        ),
    ] {
        let scene = Scene::new("http://127.0.0.1:1", "");
        let text = format!("[siem.it]\ntype = \"{siem_type}\"\nbatch_size = 20\n{keys}\ndead_letter = \"none\"\n");
        scene.write("siem.toml", text);
        let ran = tune(&scene, &["--max-seconds", "2", "--json", "--target", "latency"]).end();
        assert_eq!(ran.code, 0, "{ran:?}");
        let report = ran.json();
        let base = &report["tried"][0];
        assert!(base["events_per_second"].as_u64().unwrap() > 100 && base["failed_requests"] == 0, "{report}");
    }
}

#[test]
fn the_text_has_the_table_the_plot_and_the_verdict() {
    let small = ["--set", "siem.splunk.batch_size=20", "--max-seconds", "2"];
    let arguments = ["--round-trip", "0", "--target", "cpu", "--keep", "compression"];
    let ran = run(&[&["tune"][..], &small, &arguments].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("[siem.splunk] for cpu, against the embedded receiver, without a round trip\n"));
    for words in ["events/s", "CPU-s/M", "p99.9", "as configured"] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains("compression="), "{}", ran.stdout);
}

/// Nothing is sent to the configured SIEM that was not asked for, twice.
#[test]
fn nobody_is_sent_anything_unasked() {
    let bystander = Bystander::new();
    let scene = Scene::new(&bystander.url(), "");
    let ran = tune(&scene, &["--against", "--max-seconds", "2"]).end();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    for words in ["nothing was sent: say --yes", "at most 50,000 events, 5,000 a second, for 2 s", "siem_forward_tune"]
    {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    bystander.assert_left_alone();
}

fn against(receiver: &Receiver, arguments: &[&str]) -> Ran {
    let scene = Scene::new(&receiver.url(), "batch_size = 50");
    let bounds = ["--against", "--yes", "--max-events", "900", "--max-rate", "1500", "--max-seconds", "3", "--json"];
    tune(&scene, &[&bounds, arguments].concat()).end()
}

#[test]
fn what_the_configured_siem_is_sent_is_bounded_and_marked() {
    let config = ReceiverConfig { token: Some(TOKEN.to_owned()), keep: Keep::Bodies, ..ReceiverConfig::default() };
    let receiver = Receiver::start(config).unwrap();
    let ran = against(&receiver, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report = ran.json();
    assert_entries(&report);
    assert_eq!(report["round_trip_seconds"], Value::Null);
    assert!(report["against"].as_str().unwrap().starts_with(&receiver.url()), "{report}");
    let events = receiver.events();
    assert!(!events.is_empty() && events.len() <= 900, "{} events", events.len());
    assert_eq!(receiver.counts().duplicated, 0);
    for event in &events {
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["event"]["event_type"], "siem_forward_tune", "{event}");
        assert_eq!(event["event"]["details"]["test"], true, "{event}");
    }
}

/// What was agreed to holds for the load as well, whatever `--rate` says.
#[test]
fn a_load_for_the_configured_siem_is_no_more_than_was_agreed_to() {
    let receiver = Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() });
    let receiver = receiver.unwrap();
    for (rate, load) in [("9000", 1500), ("800", 800)] {
        let ran = against(&receiver, &["--target", "latency", "--rate", rate]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.json()["load_events_per_second"], load, "{ran:?}");
    }
    assert!(receiver.counts().events <= 2 * 900, "{:?}", receiver.counts());
}

#[test]
fn a_siem_that_refuses_is_left_alone_at_once() {
    let receiver = Receiver::start(ReceiverConfig { token: Some("another".to_owned()), ..ReceiverConfig::default() });
    let receiver = receiver.unwrap();
    let ran = against(&receiver, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("requests to the SIEM failed: http_403"), "{}", ran.stderr);
    assert_eq!(receiver.counts().events, 0);
}

#[test]
fn what_cannot_be_tuned_is_bad_usage() {
    let scene = Scene::new("http://127.0.0.1:1", "");
    let second = "\n[siem.other]\ntype = \"file\"\npath = \"out.ndjson\"\ndead_letter = \"none\"\n";
    scene.write("two.toml", scene.read("siem.toml") + second);
    let two = scene.path("two.toml");
    let two = two.to_str().unwrap();
    let config = scene.path("siem.toml");
    let config = config.to_str().unwrap();
    for (arguments, words) in [
        (&["--config", two][..], "there are the pipelines splunk, other: say which one to tune by --pipeline"),
        (&["--config", two, "--pipeline", "third"], "no pipeline third"),
        (&["--config", two, "--pipeline", "other"], "leads to file, which the embedded receiver does not play"),
        (&["--config", "no.toml"], "no.toml cannot be read"),
        (&["--config", config, "--set", "siem.splunk.sender=1"], "did you mean `senders`?"),
        (&["--config", config, "--target", "speed"], "--target"),
        (&["--config", config, "--max-seconds", "1"], "2..=3600"),
        (&["--config", config, "--keep", "url"], "those are batch_size, batch_bytes_max"),
        (&["--config", config, "--against", "--round-trip", "5"], "--round-trip"),
        (&["--config", config, "--yes"], "--against"),
        (&["--config", config, "--max-events", "5"], "--against"),
        (&["--against"], "--config"),
    ] {
        let ran = run(&[&["tune"], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
    }
    assert!(!scene.path("out.ndjson").exists());
}

#[test]
fn a_signal_ends_it_with_what_it_has_measured() {
    let scene = Scene::new("http://127.0.0.1:1", "");
    let running = tune(&scene, &["--max-seconds", "600", "--log-format", "json", "--json"]);
    // It has begun once it has threads besides its first.
    let status = format!("/proc/{}/task", running.id());
    crate::program::wait_until(|| std::fs::read_dir(&status).is_ok_and(|tasks| tasks.count() > 4));
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert!(ran.took < Duration::from_secs(5), "{ran:?}");
    assert_eq!((ran.code, &ran.json()["cut_short"]), (1, &json!(true)), "{ran:?}");
}
