//! What `run` says on standard error: figures now and then, and of each failure what it means and what to do.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;

use crate::cli_metrics::{receiver, scene};
use crate::program::{Scene, assert_received, lines, run};

/// The figures of a line of text.
fn figure<'a>(line: &'a str, key: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!(" {key}=")).unwrap_or_else(|| panic!("{key}: {line}"));
    rest.split(' ').next().unwrap()
}

#[test]
fn figures_are_told_now_and_then_where_there_is_no_terminal() {
    let receiver = receiver(&["400:contains=u-7\""]);
    let scene = Scene::new(&receiver.url(), "batch_size = 10");
    let mut running = scene.start(&["--status-every", "0.05"]);
    running.feed(lines(0..20));
    running.wait_for(" delivered=19 failed=1 ");
    let line = running.stderr().lines().find(|line| line.contains(" delivered=19 ")).unwrap().to_owned();
    for (key, expected) in
        [("events_in", "20"), ("unreadable", "0"), ("queued", "0"), ("in_flight", "0"), ("health", "ok")]
    {
        assert_eq!(figure(&line, key), expected, "{line}");
    }
    assert_eq!(figure(&line, "breaker"), "closed", "{line}");
    assert!(line.contains("Z info: progress ") && !line.contains("total_bytes"), "nobody knows a pipe's end: {line}");
    assert_eq!(figure(&line, "read_bytes"), lines(0..20).len().to_string());
    let ran = running.end();
    assert_eq!(scene.dead_letter().len(), 1, "{ran:?}");
    assert_received(&receiver, (0..20).filter(|number| *number != 7));

    let ran = Scene::new(&receiver.url(), "").run(&["--status-every", "0"], lines(20..40));
    assert!(ran.code == 0 && !ran.stderr.contains("progress"), "{ran:?}");
}

#[test]
fn each_line_is_an_object_where_that_is_asked_for() {
    let receiver = receiver(&["503:first=3"]);
    let scene = scene(&receiver.url(), "health_check_interval_seconds = 0", "127.0.0.1:0");
    let mut running = scene.start(&["--log-format", "json", "--status-every", "0.05"]);
    running.feed(lines(0..10));
    running.feed("nonsense\n");
    running.wait_for("\"delivered\":10");
    let ran = running.end();
    let objects: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for object in &objects {
        assert!(object["time"].as_str().unwrap().ends_with('Z') && object["message"].is_string(), "{object}");
    }
    let level = |words: &str| {
        let object = objects.iter().find(|object| object["message"].as_str().unwrap().contains(words));
        object.unwrap_or_else(|| panic!("{words}: {}", ran.stderr))["level"].as_str().unwrap().to_owned()
    };
    assert_eq!(level("metrics on http://"), "info");
    assert_eq!(level("a request failed at http://"), "warn");
    let last = objects.iter().rfind(|object| object["message"] == "progress").unwrap();
    assert_eq!((&last["events_in"], &last["unreadable"], &last["health"]), (&10.into(), &1.into(), &"ok".into()));

    let config = scene.write("wrong.toml", "[siem.a]\nx = 1\n");
    let ran = run(&["run", "--log-format", "json", "--config", config.to_str().unwrap()]);
    let object: Value = serde_json::from_str(ran.stderr.trim_end()).unwrap();
    assert_eq!((ran.code, &object["level"]), (2, &Value::from("error")), "{ran:?}");
    assert!(object["message"].as_str().unwrap().contains("siem.a.dead_letter"), "all lines of it: {object}");
}

/// Destination, cause, what it means for the data, and the next step.
#[test]
fn a_failure_says_what_it_means_and_what_to_do() {
    for (fault, words) in [
        ("401", ["refuses us, whatever is sent: http_401", "give it a token that is valid"]),
        ("503", ["a request failed at ", "it is busy and asked less often"]),
        ("reset_before", ["a request failed at ", "`siem-forward check` goes the way step by step"]),
    ] {
        let receiver = receiver(&[fault]);
        let keys = "health_check_interval_seconds = 0\ndrain_timeout_seconds = 0.3";
        let scene = Scene::new(&receiver.url(), keys);
        let ran = scene.run(&[], lines(0..10));
        let warning = ran.stderr.lines().find(|line| line.contains(words[0])).unwrap_or_else(|| panic!("{ran:?}"));
        assert!(warning.contains(" warn: splunk: "), "{warning}");
        let destination = receiver.url();
        for expected in [destination.as_str(), "; 10 events wait in memory, nothing is lost; ", words[1]] {
            assert!(warning.contains(expected), "{fault}: {expected}: {warning}");
        }
        assert_eq!(scene.dead_letter().len(), 10);
    }
}
