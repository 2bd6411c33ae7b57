//! The program and Datadog: `check`, `run`, `replay`, `demo` and `receive` know it, and ids are compared.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use rustix::process::Signal;
use siem_forward::receiver::{Play, Receiver, ReceiverConfig};
use siem_forward::{AuditEvent, EventType, Severity, Timestamp, format};

use crate::program::{Ran, Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, command, id, lines, run};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let config =
        ReceiverConfig { play: Play::Datadog, token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() };
    Receiver::start(config).unwrap()
}

fn scene(receiver: &Receiver, keys: &str) -> Scene {
    let (scene, url) = (Scene::new("http://unused", ""), receiver.url());
    let dead = scene.path("dead.ndjson").display().to_string();
    let text = format!(
        "[siem.datadog]\ntype = \"datadog\"\nurl = \"{url}\"\napi_key = {{ env = \"{TOKEN_VARIABLE}\" }}\n\
         retry_backoff_max = 0.02\nbatch_timeout_seconds = 0.1\ndead_letter = {{ path = {dead:?} }}\n{keys}\n",
    );
    scene.write("siem.toml", text);
    scene
}

/// Events of this moment, as lines.
fn young(numbers: std::ops::Range<u32>) -> String {
    let now = Timestamp::now();
    let line = |number| {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::High).id(id(number)).timestamp(now).build();
        let mut line = Vec::new();
        format::json::write(&event, &mut line);
        String::from_utf8(line).unwrap() + "\n"
    };
    numbers.map(line).collect()
}

fn with_config(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.arg("--config").arg(scene.path("siem.toml"));
    Running::start(command).end()
}

#[test]
fn what_is_run_arrives_and_what_was_refused_is_replayed() {
    let receiver = receiver(&["400:contains=0000000003e7"]);
    let scene = scene(&receiver, "batch_size = 50");
    let ran = scene.run(&["--json"], young(900..1000));
    let report = ran.json();
    assert_eq!((ran.code, &report["delivered"], &report["dead_lettered"]), (1, &99.into(), &1.into()), "{ran:?}");
    let dead = scene.dead_letter();
    let record = &dead[&id(999).to_string()];
    assert_eq!((&record["siem_type"], &record["cause"]), (&"datadog".into(), &"http_400".into()));
    assert_eq!((&record["destination"], dead.len()), (&receiver.url().into(), 1));

    receiver.set_faults(Vec::new());
    let letter = scene.path("dead.ndjson");
    let ran = with_config(&scene, &["replay", letter.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 900..1000);
    assert_eq!(receiver.counts().duplicated, 0);
}

#[test]
fn old_logs_are_not_lost_silently() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver, "");
    let ran = scene.run(&["--json"], lines(0..20));
    assert_eq!((ran.code, &ran.json()["dead_lettered"]), (1, &20.into()), "{ran:?}");
    assert!(scene.dead_letter().values().all(|record| record["cause"] == "too_old"));
    assert!(ran.stderr.contains("not sent any more: too_old: older than 64800 s (age_max_seconds)"), "{}", ran.stderr);
    assert_eq!(receiver.counts().requests, 0);
    let ran = scene.run(&["--json", "--set", "siem.datadog.age_max_seconds=0"], lines(20..40));
    assert_eq!((ran.code, receiver.counts().unindexed), (0, 20), "whoever asks for it gets it: {ran:?}");
}

#[test]
fn check_tries_the_key_and_sends_an_event_where_that_is_asked_for() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver, "");
    let ran = with_config(&scene, &["check", "--send"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("datadog took the test event"), "{}", ran.stdout);
    assert_eq!(receiver.counts().unique, 1);
    receiver.set_token(Some("another".to_owned()));
    let ran = with_config(&scene, &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("Datadog refuses the API key: "), "{}", ran.stdout);
}

#[test]
fn a_demo_against_datadog_misses_nothing() {
    for arguments in [&["--compression", "gzip"][..], &["--senders", "3", "--batchers", "2"]] {
        let ran = run(&[&["demo", "--as", "datadog", "--events", "5000", "--json"], arguments].concat());
        let report = ran.json();
        assert_eq!((ran.code, &report["receiver"]["missing"]), (0, &0.into()), "{ran:?}");
        assert_eq!(report["receiver"]["unique"], 5_000);
    }
    let ran = run(&["demo", "--as", "datadog", "--ack-delay", "1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("datadog has no acknowledgements"), "{}", ran.stderr);
}

#[test]
fn receive_plays_datadog() {
    let playing = Running::start(command(&["receive", "--as", "datadog", "--port", "0", "--expect", "10", "--json"]));
    playing.wait_for("listening on ");
    let told = playing.stderr();
    let url = told.split("listening on ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let unused = receiver(&[]);
    let scene = scene(&unused, "");
    let ran = scene.run(&["--set", &format!("siem.datadog.url=\"{url}\"")], young(0..10));
    assert_eq!(ran.code, 0, "{ran:?}");
    playing.signal(Signal::INT);
    let ran = playing.wait();
    assert_eq!((ran.code, &ran.json()["receiver"]["unique"]), (0, &10.into()), "{ran:?}");
    assert_eq!(ran.json()["receiver"]["unindexed"], 0);
}
