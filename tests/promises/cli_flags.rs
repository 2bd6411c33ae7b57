//! `run --strict`, `--dry-run` and `--set`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use serde_json::{Value, json};
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, command, id, line, lines};

fn receiver() -> Receiver {
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() }).unwrap()
}

#[test]
fn strict_stops_at_the_first_unreadable_line_with_its_position() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    scene.write("first", lines(0..100));
    scene.write("second", lines(100..150) + "[]\nnonsense\n" + &lines(150..200));
    scene.write("third", lines(200..300));
    let ran = scene.run(&["--json", "--strict", "--input", "first", "second", "third"], "");
    assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (1, Some(1)), "{ran:?}");
    assert!(ran.stderr.contains("error: second:51: not a JSON object\n"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("second:52"), "{}", ran.stderr);
    assert_eq!(scene.rejected().len(), 1);
    assert_eq!(ran.json()["input_complete"], false);
    assert_received(&receiver, 0..150);

    // Nothing to object to.
    assert_eq!(scene.run(&["--strict", "--input", "first"], "").code, 0);
    let ran = scene.run(&["--strict"], lines(300..310) + "\n{\n");
    assert!(ran.code == 1 && ran.stderr.contains("error: -:12: not JSON: "), "{ran:?}");
    assert_received(&receiver, (0..150).chain(300..310));
}

#[test]
fn strict_stops_at_a_file_that_breaks_off() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    let packed = zstd::encode_all(lines(0..10).as_bytes(), 1).unwrap();
    scene.write("cut", [&packed[..], b"more than a few bytes"].concat());
    scene.write("next", lines(10..20));
    let ran = scene.run(&["--strict", "--input", "cut", "next"], "");
    assert!(ran.code == 1 && ran.stderr.contains("cannot read cut from line 11 on: "), "{ran:?}");
    assert_received(&receiver, 0..10);
}

/// The destination is not there, and neither is its token: nobody asks for them.
#[test]
fn a_dry_run_shows_what_would_be_sent_and_how_the_rest_would_fare() {
    let scene = Scene::new("http://127.0.0.1:1", "event_bytes_max = 1000\nindex = \"audit\"");
    let bad = "[]\nx\n{\"a\":tru}\n[7]\n{\"timestamp\":\"2026-01-01T00:00:00Z\"}\n".to_owned();
    let large = line(90).replace("u-90", &"x".repeat(2_000));
    let huge = line(91).replace("u-91", &"x".repeat(9_000));
    scene.write("events", lines(0..25) + &bad + &large + &huge + &lines(25..30));
    let start = |arguments: &[&str]| {
        let config = scene.path("siem.toml");
        let mut command = command(&["run", "--config", config.to_str().unwrap(), "--input", "events", "--dry-run"]);
        command.args(arguments).current_dir(scene.path("")).env_remove(TOKEN_VARIABLE);
        Running::start(command).end()
    };
    let ran = start(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let shown: Vec<Value> = ran.stdout.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(shown.len(), 10, "{}", ran.stdout);
    for (envelope, number) in shown.iter().zip(0..) {
        assert_eq!(envelope["index"], "audit");
        assert_eq!(envelope["fields"]["event_id"], id(number).to_string());
        assert_eq!(envelope["event"]["user_id"], format!("u-{number}"));
    }
    let rest: Vec<&str> = ran.stdout.lines().skip(11).collect();
    assert_eq!(rest[0], "  30  readable");
    assert_eq!(rest[1].split_whitespace().collect::<Vec<_>>().join(" "), "2 not a JSON object first at events:26");
    let column = rest[1].find("first at").unwrap();
    assert!(rest[1..6].iter().all(|row| row.find("first at") == Some(column)), "aligned: {}", ran.stdout);
    for reason in ["not JSON", "event_type is missing", "the event is larger than event_bytes_max", "too long"] {
        assert!(rest.iter().any(|row| row.contains(reason)), "{reason}: {}", ran.stdout);
    }
    let sentence = "30 events would be sent to http://127.0.0.1:1 index audit, 7 are unreadable. Nothing was sent.";
    assert_eq!(ran.stdout.lines().last(), Some(sentence));
    assert!(!scene.path("rejected.ndjson").exists() && !scene.path("dead.ndjson").exists(), "no file is written");

    let ran = start(&["--json"]);
    let report = ran.json();
    assert_eq!((ran.code, report["events"].as_array().unwrap().len()), (1, 10), "{report}");
    assert_eq!(report["events"][9]["fields"]["event_id"], id(9).to_string());
    assert_eq!((&report["readable"], &report["unreadable"]), (&json!(30), &json!(7)));
    let counts = report["reasons"].as_array().unwrap().iter().map(|reason| reason["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 7, "{report}");
    assert_eq!(report["reasons"][0], json!({"reason": "not a JSON object", "count": 2, "first": "events:26"}));

    let ran = start(&["--json", "--strict"]);
    assert_eq!((&ran.json()["readable"], &ran.json()["unreadable"]), (&json!(25), &json!(1)), "{ran:?}");
}

#[test]
fn a_dry_run_of_what_is_all_right_ends_with_0_and_sends_nothing() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    let ran = scene.run(&["--dry-run"], lines(0..3));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("3 events would be sent to "), "{}", ran.stdout);
    assert_eq!(receiver.counts().requests, 0);
    assert_received(&receiver, []);
}

#[test]
fn a_key_is_set_for_one_run() {
    let receiver = receiver();
    let scene = Scene::new("http://127.0.0.1:1", "drain_timeout_seconds = 0.5");
    let url = format!("siem.splunk.url=\"{}\"", receiver.url());
    let records = "input.records='/Records'";
    let document = format!("{{\"Records\":[{},{}]}}", line(0), line(1));
    let ran = scene.run(&["--set", &url, "--set", records, "--set", "siem.splunk.batch_size = 1", "--json"], document);
    assert_eq!((ran.code, &ran.json()["batches_sent"]), (0, &json!(2)), "{ran:?}");
    assert_received(&receiver, 0..2);
}

#[test]
fn a_mistake_in_what_is_set_names_the_argument() {
    let scene = Scene::new("http://127.0.0.1:1", "");
    for (argument, expected) in [
        ("siem.splunk.urll=\"x\"", "--set: siem.splunk.urll: unknown key\n--set | siem.splunk.urll="),
        ("siem.splunk.urll=\"x\"", "^^^^ did you mean `url`?"),
        ("siem.splunk.senders=0", "--set: siem.splunk.senders: out of range"),
        ("siem.splunk.url=http://hush", "--set: "),
        ("siem.splunk.token=\"hush\"", "--set: siem.splunk.token: a secret is never written into this file"),
        ("input.records=\"hush\"", "--set: input.records: no JSON pointer: "),
        ("", "--set: sets nothing"),
    ] {
        let ran = scene.run(&["--set", argument], "");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{argument}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{argument}: {}", ran.stderr);
        assert!(argument.starts_with("input") || !ran.stderr.contains("hush"), "{argument}: {}", ran.stderr);
        assert!(!ran.stderr.contains("siem.toml:"), "{argument}: {}", ran.stderr);
    }
}
