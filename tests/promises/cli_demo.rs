//! `demo`: the whole engine in one command, compared event by event.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{self, Ran, Running, command};
use crate::support;

/// The result of `demo --json`, of which nothing is left behind in the folder of temporary files.
fn demo(arguments: &[&str]) -> (Ran, Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&["demo", "--json"]);
    command.args(arguments).env("TMPDIR", folder.path());
    let ran = Running::start(command).end();
    let report = ran.json();
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let dead = report["dead_lettered"].as_u64().unwrap();
    assert_eq!(left.is_empty(), dead == 0, "{left:?}: {report}");
    if dead > 0 {
        assert_eq!(support::dead_letter(&left[0]).len() as u64, dead);
    }
    assert_eq!(report["balances"], true, "{report}");
    assert_eq!(report["receiver"]["missing"], dead, "{report}");
    let unique = report["receiver"]["unique"].as_u64().unwrap();
    assert_eq!(unique, report["offered"].as_u64().unwrap() - dead, "{report}");
    for quantile in ["p50", "p99", "p999", "max"] {
        assert!(report["emit_latency_ns"][quantile].as_u64().unwrap() > 0, "{report}");
        assert!(report["delivery_latency_seconds"][quantile].as_f64().unwrap() > 0.0, "{report}");
    }
    (ran, report)
}

#[test]
fn a_demo_misses_nothing() {
    let (ran, report) = demo(&["--events", "10000"]);
    assert_eq!((ran.code, &report["receiver"]["duplicated"]), (0, &0.into()), "{ran:?}");
    assert_eq!((&report["delivered"], &report["receiver"]["unique"]), (&10_000.into(), &10_000.into()));
    for positive in ["events_per_second", "cpu_seconds_per_million", "peak_rss_bytes"] {
        assert!(report[positive].as_f64().unwrap() > 0.0, "{positive}: {report}");
    }
    assert!(ran.stderr.contains("All 10,000 events were delivered. The ledger balances."), "{}", ran.stderr);
}

#[test]
fn a_demo_on_several_threads_with_gzip_misses_nothing() {
    let arguments = ["--events", "10001", "--producers", "3", "--batchers", "2", "--senders", "3"];
    let (ran, report) = demo(&[&arguments[..], &["--compression", "gzip"]].concat());
    assert_eq!((ran.code, &report["receiver"]["unique"]), (0, &10_001.into()), "{ran:?}");
}

#[test]
fn a_siem_on_a_bad_day_costs_retries_and_no_event() {
    let day = |fault: &'static str| thread::spawn(move || demo(&["--events", "8000", "--fault", fault]));
    let (busy, unanswered) = (day("503:every=3"), day("reset_after:every=5"));

    let (ran, report) = busy.join().unwrap();
    assert_eq!((ran.code, &report["receiver"]["duplicated"]), (0, &0.into()), "{ran:?}");
    assert!(report["batches_failed"]["http_503"].as_u64().unwrap() > 3, "{report}");

    let (ran, report) = unanswered.join().unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(report["receiver"]["duplicated"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn what_the_siem_names_is_missing_and_dead_lettered_and_nothing_else() {
    let (ran, report) = demo(&["--events", "10000", "--fault", "400:event=3,every=5"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(report["dead_lettered"].as_u64().unwrap() >= 4, "{report}");
}

#[test]
fn a_rate_is_kept() {
    let (ran, report) = demo(&["--events", "3000", "--rate", "2000"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let elapsed = report["elapsed_seconds"].as_f64().unwrap();
    assert!((1.4..4.0).contains(&elapsed), "3,000 events at 2,000 a second took {elapsed} s");
}

#[test]
fn the_text_is_one_screen_with_the_books_beside_each_other() {
    let ran = program::run(&["demo", "--events", "2000"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("2,000 events to the embedded receiver without compression\n"), "{}", ran.stdout);
    for line in [
        "  ledger                              receiver, by event id\n",
        "    accepted               2,000      unique                 2,000\n",
        "    dead-lettered              0      missing                    0\n",
        "All 2,000 events were delivered. The ledger balances.\n",
    ] {
        assert!(ran.stdout.contains(line), "{line}{}", ran.stdout);
    }
    assert!(ran.stdout.lines().count() <= 24 && ran.stdout.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_signal_ends_a_demo_with_what_it_has_offered() {
    let mut command = command(&["demo", "--json", "--events", "100000000", "--rate", "20000"]);
    let folder = tempfile::tempdir().unwrap();
    command.env("TMPDIR", folder.path());
    let running = Running::start(command);
    // Its dead letter is the last that it makes before it begins.
    program::wait_until(|| std::fs::read_dir(folder.path()).unwrap().next().is_some());
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert!(ran.took < Duration::from_secs(3), "{ran:?}");
    let report = ran.json();
    assert_eq!((&report["balances"], &report["receiver"]["missing"]), (&true.into(), &0.into()), "{report}");
    assert!(report["offered"].as_u64().unwrap() < 100_000_000);
}

#[test]
fn an_unknown_fault_names_the_known_ones() {
    for command in ["demo", "receive"] {
        let ran = program::run(&[command, "--fault", "503:every=3", "--fault", "reest"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        for known in ["\"reest\"", "400", "reset_after", "garbage", "hang", "for example 503:every=3"] {
            assert!(ran.stderr.contains(known), "{known}: {}", ran.stderr);
        }
        let ran = program::run(&[command, "--fault", "429:retry=5"]);
        assert_eq!(ran.code, 2);
        assert!(ran.stderr.contains("it takes retry_after, code, every"), "{}", ran.stderr);
    }
}
