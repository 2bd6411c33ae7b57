//! The program and Elasticsearch: `check`, `run`, `replay`, `demo` and `receive` know it, and ids are compared.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use rustix::process::Signal;
use serde_json::Value;
use siem_forward::receiver::{Keep, Play, Receiver, ReceiverConfig};

use crate::program::{Ran, Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, command, id, line, lines, run};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let (play, token, keep) = (Play::Elastic, Some(TOKEN.to_owned()), Keep::Bodies);
    Receiver::start(ReceiverConfig { play, token, faults, keep, ..ReceiverConfig::default() }).unwrap()
}

fn scene(receiver: &Receiver, keys: &str) -> Scene {
    let (scene, url) = (Scene::new("http://unused", ""), receiver.url());
    let dead = scene.path("dead.ndjson").display().to_string();
    let text = format!(
        "[siem.elastic]\ntype = \"elastic\"\nurl = \"{url}\"\napi_key = {{ env = \"{TOKEN_VARIABLE}\" }}\n\
         retry_backoff_max = 0.02\nbatch_timeout_seconds = 0.1\ndead_letter = {{ path = {dead:?} }}\n{keys}\n",
    );
    scene.write("siem.toml", text);
    scene
}

fn with_config(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut command = command(arguments);
    command.arg("--config").arg(scene.path("siem.toml"));
    Running::start(command).end()
}

#[test]
fn what_is_run_arrives_and_what_was_refused_is_replayed() {
    let receiver = receiver(&["400:contains=\"u-77\"", "503:every=7"]);
    let scene = scene(&receiver, "batch_size = 20\nindex = \"audit-%Y.%m\"");
    let ran = scene.run(&["--json"], lines(0..100));
    let report = ran.json();
    assert_eq!((ran.code, &report["delivered"], &report["dead_lettered"]), (1, &99.into(), &1.into()), "{ran:?}");
    let dead = scene.dead_letter();
    let record = &dead[&id(77).to_string()];
    assert_eq!((&record["siem_type"], &record["cause"]), (&"elastic".into(), &"http_400".into()));
    assert_eq!((&record["destination"], dead.len()), (&receiver.url().into(), 1));
    assert_eq!(record["words"], "mapper_parsing_exception: failed to parse");
    let first = &receiver.events()[0];
    assert!(first.starts_with("{\"create\":{\"_index\":\"audit-2026.01\",\"_id\":"), "{first}");

    receiver.set_faults(Vec::new());
    let letter = scene.path("dead.ndjson");
    let ran = with_config(&scene, &["replay", letter.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..100);
    assert_eq!((receiver.counts().duplicated, receiver.counts().conflicts), (0, 0));
}

/// What was taken without an answer is sent again, and is a conflict then: delivered, and stored once.
#[test]
fn an_event_that_is_sent_again_is_stored_once() {
    let receiver = receiver(&["reset_after:first=2", "500:taken,every=5"]);
    let scene = scene(&receiver, "batch_size = 10");
    let ran = scene.run(&["--json"], lines(0..100) + &line(3));
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &101.into()), "{ran:?}");
    assert_received(&receiver, 0..100);
    let counts = receiver.counts();
    assert!(receiver.ids().iter().all(|(_, times)| *times == 1) && counts.events == 100, "{counts:?}");
    assert!(counts.conflicts > 10, "{counts:?}");
}

#[test]
fn check_tries_the_credential_and_sends_an_event_where_that_is_asked_for() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver, "");
    let ran = with_config(&scene, &["check", "--send"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("elastic took the test event"), "{}", ran.stdout);
    assert_eq!(receiver.counts().unique, 1);
    receiver.set_token(Some("another".to_owned()));
    let ran = with_config(&scene, &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("Elasticsearch refuses the API key: "), "{}", ran.stdout);
}

#[test]
fn mistakes_of_its_own_are_told_at_once_and_no_secret_with_them() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver, "username = \"a:b\"\npassword = \"hunter2\"\nindex = \"Audit\"");
    let ran = scene.run(&[], "");
    assert_eq!(ran.code, 2);
    for told in [
        "siem.elastic.username: stands beside api_key",
        "siem.elastic.username: a user's name",
        "siem.elastic.password: a secret is never written into this file",
        "siem.elastic.index: is no name of an index",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let alone = |key: &str| {
        scene.write(
            "siem.toml",
            format!("[siem.elastic]\ntype = \"elastic\"\nurl = \"http://a\"\n{key}\ndead_letter = \"none\"\n"),
        );
        scene.run(&[], "").stderr
    };
    assert!(alone("username = \"ada\"").contains("siem.elastic.password: missing"));
    assert!(alone(&format!("password = {{ env = \"{TOKEN_VARIABLE}\" }}")).contains("siem.elastic.username: missing"));
}

#[test]
fn what_it_would_send_and_what_it_does_is_shown() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver, "");
    let ran = scene.run(&["--dry-run"], lines(0..3));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains(&format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n{{\"@timestamp\":", id(0))),
        "{}",
        ran.stdout
    );
    assert_eq!(receiver.counts().requests, 0);
    let ran = scene.run(&["--set", "metrics.listen=\"127.0.0.1:0\"", "--json"], lines(0..3));
    assert_eq!((ran.code, &ran.json()["pipelines"]["elastic"]["delivered"]), (0, &3.into()), "{ran:?}");
    let document = receiver.events()[0].lines().nth(1).map(serde_json::from_str::<Value>).unwrap().unwrap();
    assert_eq!((&document["user"]["id"], &document["event"]["action"]), (&"u-0".into(), &"tool_invoked".into()));
}

#[test]
fn a_demo_against_elasticsearch_misses_nothing() {
    for arguments in [&["--compression", "gzip"][..], &["--senders", "3", "--batchers", "2"]] {
        let ran = run(&[&["demo", "--as", "elastic", "--events", "5000", "--json"], arguments].concat());
        let report = ran.json();
        assert_eq!((ran.code, &report["receiver"]["missing"]), (0, &0.into()), "{ran:?}");
        assert_eq!((&report["receiver"]["unique"], &report["receiver"]["duplicated"]), (&5_000.into(), &0.into()));
    }
    let ran = run(&["demo", "--as", "elastic", "--ack-delay", "1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("elastic has no acknowledgements"), "{}", ran.stderr);
}

#[test]
fn receive_plays_elasticsearch() {
    let playing = Running::start(command(&["receive", "--as", "elastic", "--port", "0", "--expect", "10", "--json"]));
    playing.wait_for("listening on ");
    let told = playing.stderr();
    let url = told.split("listening on ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let unused = receiver(&[]);
    let scene = scene(&unused, "");
    let ran = scene.run(&["--set", &format!("siem.elastic.url=\"{url}\"")], lines(0..10) + &lines(5..7));
    assert_eq!(ran.code, 0, "{ran:?}");
    playing.signal(Signal::INT);
    let ran = playing.wait();
    let received = &ran.json()["receiver"];
    assert_eq!((ran.code, &received["unique"], &received["conflicts"]), (0, &10.into(), &2.into()), "{ran:?}");
}
