//! `run`: every line of the input is delivered, or accounted for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{Scene, TOKEN, assert_received, id, line, lines};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() }).unwrap()
}

#[test]
fn what_comes_on_standard_input_is_delivered() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let ran = scene.run(&[], lines(0..5_000));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("All 5,000 events were delivered. The ledger balances.\n"), "{}", ran.stdout);
    assert_received(&receiver, 0..5_000);
    assert!(scene.rejected().is_empty() && scene.dead_letter().is_empty());
}

#[test]
fn several_files_are_delivered_to_the_last_line_of_each() {
    let receiver = receiver(&["503:every=4"]);
    let scene = Scene::new(&receiver.url(), "batch_size = 100\nbatchers = 2");
    scene.write("monday", lines(0..1_000));
    // The last line of a file needs no end.
    scene.write("tuesday", lines(1_000..2_000).trim_end());
    scene.write("wednesday", "");
    scene.write("thursday", lines(2_000..2_500));
    // As one list, and each for itself.
    for arguments in [
        &["--input", "monday", "tuesday", "wednesday", "thursday"][..],
        &["--input", "monday", "--input", "tuesday", "--input", "wednesday", "--input", "thursday"],
    ] {
        let ran = scene.run(arguments, "");
        assert_eq!((ran.code, scene.rejected().len()), (0, 0), "{ran:?}");
        assert!(ran.stdout.contains("All 2,500 events were delivered"), "{}", ran.stdout);
    }
    assert_received(&receiver, 0..2_500);
    assert_eq!(receiver.counts().duplicated, 2_500, "two runs");
}

#[test]
fn the_json_is_one_object_with_the_keys_that_scripts_hold_on_to() {
    let receiver = receiver(&["500:first=1"]);
    let scene = Scene::new(&receiver.url(), "");
    let ran = scene.run(&["--json"], lines(0..3_000) + "[]\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 1, "one object and nothing else: {}", ran.stdout);
    let report = ran.json();
    for (key, value) in [
        ("accepted", json!(3_000)),
        ("delivered", json!(3_000)),
        ("dead_lettered", json!(0)),
        ("queued", json!(0)),
        ("in_flight", json!(0)),
        ("unreadable", json!(1)),
    ] {
        assert_eq!(report[key], value, "{key}: {report}");
    }
    for ledger in [&report, &report["pipelines"]["splunk"]] {
        for reason in ["full", "closed", "forked", "shed", "sampled", "filtered", "too_large", "own_thread", "disabled"]
        {
            assert!(ledger["refused"][reason].is_u64(), "refused {reason}: {ledger}");
        }
        for reason in ["no_dead_letter", "dead_letter_full", "abandoned", "bug"] {
            assert_eq!(ledger["lost"][reason], 0, "{ledger}");
        }
        assert_eq!(ledger["delivered"], 3_000);
    }
    for quantile in ["p50", "p99", "p999", "max"] {
        assert!(report["emit_latency_ns"][quantile].as_u64().unwrap() > 0, "{report}");
        assert!(report["delivery_latency_seconds"][quantile].as_f64().unwrap() > 0.0, "{report}");
    }
    for positive in ["events_per_second", "cpu_seconds_per_million", "peak_rss_bytes"] {
        assert!(report[positive].as_f64().unwrap() > 0.0, "{positive}: {report}");
    }
    assert!(ran.stderr.contains("All 3,000 events were delivered. 1 line was unreadable, see "), "{}", ran.stderr);
    assert_received(&receiver, 0..3_000);
}

/// Every kind of bad line between good ones, from two files.
#[test]
fn a_line_that_is_no_event_is_kept_with_file_number_and_reason() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "event_bytes_max = 1000\nqueue_bytes_max = \"1 MB\"");
    let with = |more: &str| format!("{{\"timestamp\":\"2026-01-01T00:00:00Z\",{more}}}");
    let good = "\"event_type\":\"tool_invoked\",\"severity\":\"low\"";
    let too_large = with(&format!("{good},\"user_agent\":\"{}\"", "x".repeat(1_500)));
    let too_long = with(&format!("{good},\"user_agent\":\"{}\"", "x".repeat(7_000)));
    let bad: Vec<(Vec<u8>, &str)> = vec![
        (b"{\"timestamp\":".to_vec(), "not JSON: "),
        (b"hello".to_vec(), "not JSON: "),
        (b"[]".to_vec(), "not a JSON object"),
        (b"{\"event_type\":\"tool_invoked\",\"severity\":\"low\"}".to_vec(), "timestamp"),
        (with("\"event_type\":\"tool_invoked\",\"severity\":\"urgent\"").into_bytes(), "severity"),
        (with("\"severity\":\"low\"").into_bytes(), "event_type"),
        (with(&format!("{good},\"severity\":\"high\"")).into_bytes(), "severity"),
        (with(&format!("{good},\"user_id\":\"a\",\"user_id\":\"b\"")).into_bytes(), "user_id"),
        (b"{\"timestamp\":\"2026-01-01T00:00:00Z\",\xff}".to_vec(), "not UTF-8 from byte 37 on"),
        (too_large.clone().into_bytes(), "the event has 1"),
        (too_long.clone().into_bytes(), "the line has 7"),
    ];
    let mut text = Vec::new();
    for (number, (line_of, _)) in (0..).zip(&bad) {
        text.extend_from_slice(line(number).as_bytes());
        text.extend_from_slice(line_of);
        text.push(b'\n');
    }
    text.extend_from_slice(line(99).as_bytes());
    scene.write("first", lines(1_000..1_010) + "nonsense\n");
    scene.write("second", &text);
    let ran = scene.run(&["--json", "--input", "first", "second"], "");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["unreadable"], bad.len() + 1, "{}", ran.stdout);
    let rejected = scene.rejected();
    assert_eq!(rejected.len(), bad.len() + 1, "{rejected:?}");
    assert_eq!((&rejected[0]["file"], &rejected[0]["line"]), (&json!("first"), &json!(11)));
    for ((record, (text, reason)), number) in rejected[1..].iter().zip(&bad).zip(1..) {
        assert_eq!((&record["file"], &record["line"]), (&json!("second"), &json!(2 * number)), "{record}");
        assert!(record["reason"].as_str().unwrap().contains(reason), "{reason}: {record}");
        if !reason.starts_with("the event") {
            assert_eq!(record["text"], Value::from(String::from_utf8_lossy(text)), "{record}");
        }
    }
    // The event that was read and is too large comes back in the event's own layout.
    let record = rejected.iter().find(|record| record["reason"].as_str().unwrap().starts_with("the event")).unwrap();
    let event: Value = serde_json::from_str(record["text"].as_str().unwrap()).unwrap();
    assert_eq!(event["user_agent"].as_str().unwrap().len(), 1_500);
    let good = (0..u32::try_from(bad.len()).unwrap()).chain([99]).chain(1_000..1_010);
    assert_received(&receiver, good);
    assert!(ran.stderr.contains("12 lines were unreadable, see "), "{}", ran.stderr);
}

#[test]
fn without_a_place_for_them_bad_lines_are_counted_and_the_first_is_told() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let config = scene.read("siem.toml");
    scene.write("siem.toml", config.split_once("[siem").map(|(_, rest)| format!("[siem{rest}")).unwrap());
    let ran = scene.run(&["--json"], line(1) + "\n \n[]\n" + &line(2) + "secret stuff\n");
    assert_eq!((ran.code, &ran.json()["unreadable"]), (1, &json!(2)), "{ran:?}");
    assert!(ran.stderr.contains("-:4: not a JSON object"), "blank lines count: {}", ran.stderr);
    assert!(!ran.stderr.contains("secret stuff"));
    assert!(!scene.path("rejected.ndjson").exists());
    assert_received(&receiver, 1..3);
}

#[test]
fn what_splunk_refuses_is_in_the_dead_letter_and_the_exit_code_says_so() {
    let receiver = receiver(&["400:contains=u-77\""]);
    let scene = Scene::new(&receiver.url(), "");
    let ran = scene.run(&["--json"], lines(0..2_000));
    assert_eq!((ran.code, &ran.json()["dead_lettered"]), (1, &json!(1)), "{ran:?}");
    let dead = scene.dead_letter();
    assert_eq!(dead.keys().collect::<Vec<_>>(), [&id(77).to_string()]);
    assert!(ran.stderr.contains("Of 2,000 events 1,999 were delivered, 1 is in "), "{}", ran.stderr);
    assert_received(&receiver, (0..2_000).filter(|number| *number != 77));
}

#[test]
fn the_end_of_the_input_drains_within_the_configured_time() {
    let absent = free_address();
    let scene = Scene::new(&format!("http://{absent}"), "drain_timeout_seconds = 0.7");
    let begun = Instant::now();
    let ran = scene.run(&[], lines(0..300));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(700 + 500 + 1_500), "drain, what it may take longer, and the start: {took:?}");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(scene.dead_letter().len(), 300);
    let sentence = format!(
        "Of 300 events 0 were delivered, 300 are in {}. The ledger balances.\n",
        scene.path("dead.ndjson").display()
    );
    assert!(ran.stdout.ends_with(&sentence), "{}", ran.stdout);
}

/// An address where nobody listens.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An event may need more bytes than all that wait may have together: it waits for the others, not for ever.
#[test]
fn an_event_beyond_the_bytes_of_the_queue_still_passes() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "queue_bytes_max = \"1 KB\"\ndrain_timeout_seconds = 5");
    let large = line(1).replace("u-1", &"x".repeat(30_000));
    let ran =
        scene.run(&[], lines(2..100) + &large + &line(100) + &large.replace(&id(1).to_string(), &id(101).to_string()));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 1..102);
}

/// However long the input, memory stays what the ring and the batches take.
#[test]
fn memory_does_not_grow_with_the_input() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "compression = \"none\"");
    scene.write("large", lines(0..40_000));
    let ran = scene.run(&["--json", "--input", "large"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(receiver.counts().unique, 40_000);
    let peak = ran.json()["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < 40_000_000, "{peak} bytes");
}
