//! `dead-letter`: what lies there is counted and shown, and never changed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{Ran, Running, Scene, command, id};

/// A record of this time, cause and severity.
fn record(number: u32, time: &str, cause: &str, severity: &str) -> String {
    format!(
        "{{\"time\":\"{time}\",\"pipeline\":\"splunk\",\"siem_type\":\"splunk\",\"destination\":\"http://a\",\"id\":\"{}\",\
         \"event_time\":\"2026-01-01T00:00:00.000000Z\",\"severity\":\"{severity}\",\"cause\":\"{cause}\",\"attempts\":1,\
         \"possible_duplicate\":false,\"wire\":{{\"n\": {number}}}}}\n",
        id(number)
    )
}

fn scene() -> (Scene, String) {
    let scene = Scene::new("http://127.0.0.1:1", "");
    let text = [
        record(1, "2026-01-02T10:00:00.000000Z", "http_400", "low"),
        record(2, "2026-01-02T09:00:00.000000Z", "http_400", "critical"),
        "nonsense\n".to_owned(),
        record(3, "2026-01-02T11:30:00.000000Z", "timeout", "low"),
        "{\"time\":".to_owned(),
    ];
    scene.write("dead.ndjson", text.concat());
    (scene, text.concat())
}

fn dead_letter(scene: &Scene, what: &str, arguments: &[&str]) -> Ran {
    let mut command = command(&["dead-letter", what, "dead.ndjson"]);
    command.args(arguments).current_dir(scene.path(""));
    Running::start(command).end()
}

#[test]
fn ls_counts_by_cause_severity_and_pipeline() {
    let (scene, text) = scene();
    let ran = dead_letter(&scene, "ls", &[]);
    assert_eq!(ran.code, 1, "lines are damaged: {ran:?}");
    let rows: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let size = text.lines().next().unwrap().len() + 1 + text.lines().nth(1).unwrap().len() + 1;
    let (first, last) = ("2026-01-02T09:00:00Z", "2026-01-02T10:00:00Z");
    assert_eq!(
        rows[0],
        ["cause", "pipeline", "low", "medium", "high", "critical", "records", "bytes", "first", "last"]
    );
    assert_eq!(rows[1], ["http_400", "splunk", "1", "0", "0", "1", "2", &size.to_string(), "B", first, last]);
    assert_eq!(rows[2][..7], ["timeout", "splunk", "1", "0", "0", "0", "1"]);
    assert_eq!(rows[3][..6], ["all", "2", "0", "0", "1", "3"]);
    for words in ["dead.ndjson:3: not a record", "dead.ndjson:5: the line has no end", "2 lines are damaged."] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(scene.read("dead.ndjson"), text);
    let json = dead_letter(&scene, "ls", &["--json", "--filter", "cause=http_400"]).json();
    assert_eq!((&json["records"], &json["damaged"], &json["bytes"]), (&json!(2), &json!(2), &json!(size)));
    assert_eq!(json["kinds"][0]["severity"], json!({ "low": 1, "medium": 0, "high": 0, "critical": 1 }));
    assert_eq!(json["first"], "2026-01-02T09:00:00.000000Z");
}

#[test]
fn cat_prints_the_selected_records_as_they_are() {
    let (scene, text) = scene();
    let ran = dead_letter(&scene, "cat", &[]);
    assert_eq!(ran.code, 1);
    let records: String = text.split_inclusive('\n').filter(|line| line.ends_with("}}\n")).collect();
    assert_eq!(ran.stdout, records);
    let ran = dead_letter(&scene, "cat", &["--since", "2026-01-02T10:00:00Z", "--filter", "severity=low"]);
    let numbers: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["wire"]["n"].clone()).collect();
    assert_eq!(numbers, [1, 3]);
    assert_eq!(dead_letter(&scene, "ls", &["--since", "1s"]).stdout, "No records.\n");
}

#[test]
fn what_a_replay_has_left_beside_it_is_told() {
    let (scene, text) = scene();
    scene.write("dead.ndjson", text.lines().next().unwrap().to_owned() + "\n");
    scene.write("dead.ndjson.replay-3", record(9, "2026-01-02T10:00:00Z", "timeout", "low"));
    let ran = dead_letter(&scene, "ls", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("dead.ndjson.replay-3 is beside it: what a replay has left"), "{}", ran.stderr);
}

/// As `| head -1` does.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (scene, _) = scene();
    let many: String = (0..5_000).map(|number| record(number, "2026-01-02T10:00:00Z", "timeout", "low")).collect();
    scene.write("dead.ndjson", many);
    let mut command = command(&["dead-letter", "cat", "dead.ndjson"]);
    command.current_dir(scene.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
    assert!(line.ends_with("}}\n"));
}
