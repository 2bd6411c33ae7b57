use std::path::Path;

use serde_json::Value as Json;

use super::super::ladder::tests::base;
use super::super::ladder::{Change, Knob, Value};
use super::super::measured::Latency;
use super::*;
use crate::config::Config;
use crate::table::Secrets;

fn figures(events_per_second: f64, p99: f64) -> Figures {
    Figures {
        events_per_second,
        cpu_seconds_per_million: 2.31,
        latency: Latency { p50: p99 / 2.0, p99, p999: p99 * 1.1, max: p99 * 1.2, is_at_least: p99 > 0.6 },
        wire_bytes_per_event: Some(if events_per_second > 150_000.0 { 712.4 } else { 91.5 }),
        seconds: 1.3,
        ..Figures::default()
    }
}

fn tried(setting: &Setting, figures: Figures, repeats: usize) -> Tried {
    Tried { setting: setting.clone(), repeats: vec![figures; repeats] }
}

/// 16 senders and no compression, of which each was needed; a batch of 5,000 was tried.
fn report(verdict: Verdict) -> Report {
    let senders = base().with(Knob::Senders, Value::Count(16));
    let plain = base().with(Knob::Compression, Value::Word("none"));
    let both = senders.with(Knob::Compression, Value::Word("none"));
    let large = base().with(Knob::BatchSize, Value::Count(5000));
    let is_better = matches!(verdict, Verdict::Compared(Comparison::Better(_)));
    let change = |knob, before, now| Change { knob, before, now };
    let found = Found {
        base: base(),
        best: if is_better { both.clone() } else { base() },
        candidate: both.clone(),
        tried: vec![
            tried(&base(), figures(45_120.0, 0.133), 8),
            tried(&senders, figures(120_000.0, 0.041), 3),
            tried(&large, figures(130_000.0, 0.65), 1),
            tried(&both, figures(301_000.0, 0.040), 7),
            tried(&plain, figures(46_000.0, 0.131), 2),
        ],
        verdict,
        without: vec![
            (change(Knob::Senders, Value::Count(2), Value::Count(16)), Some(figures(46_000.0, 0.131))),
            (change(Knob::Compression, Value::Word("gzip"), Value::Word("none")), Some(figures(120_000.0, 0.041))),
        ],
    };
    Report {
        target: Target::Throughput,
        pipeline: "splunk".to_owned(),
        siem_type: "splunk",
        against: None,
        round_trip: Some(Duration::from_millis(20)),
        rate: 2_000,
        producers: 2,
        cores: 4,
        max_seconds: 60,
        elapsed: Duration::from_secs(58),
        is_cut_short: false,
        found,
        memory: vec![Some(171_500_000); 5],
    }
}

const BETTER: Verdict = Verdict::Compared(Comparison::Better(5.67));
const HIDDEN: Verdict = Verdict::Compared(Comparison::Hidden { difference: 0.04, within: 0.06 });

#[test]
fn the_text_is_a_table_a_plot_and_the_lines_to_paste() {
    insta::assert_snapshot!(report(BETTER).to_text(Paint::Plain));
}

#[test]
fn noise_that_hides_a_difference_is_said_and_nothing_is_recommended() {
    let report = report(HIDDEN);
    let text = report.to_text(Paint::Plain);
    assert!(text.contains("Noise hides the difference: 301,000 events/s instead of 45,120 events/s"), "{text}");
    assert!(text.contains("within ± 6 %. The configuration stays as it is."), "{text}");
    assert!(!text.contains("In place of") && text.contains("  stays\n"), "{text}");
    let object = report.to_json();
    assert_eq!((&object["verdict"], &object["recommended"]), (&json!("noise"), &Json::Null));
    assert_eq!((&object["noise"], &object["difference"]), (&json!(0.06), &json!(0.04)));
    assert_eq!(object["tried"][0]["best"], true, "the configuration wins");
    for (verdict, word) in [(Verdict::Nothing, "nothing_better"), (Verdict::Compared(Comparison::Unknown), "no_time")] {
        assert_eq!(super::tests::report(verdict).to_json()["verdict"], word);
    }
}

#[test]
fn the_object_has_an_entry_for_each_setting_by_the_keys_of_the_configuration() {
    let object = report(BETTER).to_json();
    let tried = object["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 5);
    let expected = json!({
        "batch_size": 500, "batch_bytes_max": 900_000, "batch_timeout_seconds": 5.0, "batchers": 1, "senders": 16,
        "max_queue_size": 20_000, "wait_strategy": "sleeping", "compression": "none", "compression_level": 1,
        "events_per_second": 301_000, "cpu_seconds_per_million": 2.31,
        "delivery_latency_seconds": { "p50": 0.02, "p99": 0.04, "p999": 0.04 * 1.1, "max": 0.04 * 1.2 },
        "latency_at_least": false, "refused": 0, "failed_requests": 0, "wire_bytes_per_event": 712.4,
        "memory_bytes_max": 171_500_000, "trials": 7, "trial_seconds": 1.3 * 7.0, "base": false, "best": true,
    });
    let close = |one: &Json, other: &Json| match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() < 1e-9,
        _ => one == other,
    };
    for (key, value) in expected.as_object().unwrap().iter().filter(|(key, _)| *key != "delivery_latency_seconds") {
        assert!(close(&tried[3][key], value), "{key}: {}", tried[3]);
    }
    assert!(close(&tried[3]["delivery_latency_seconds"]["p99"], &json!(0.04)));
    assert_eq!(tried[3].as_object().unwrap().len(), expected.as_object().unwrap().len());
    assert_eq!(
        (&tried[0]["base"], &tried[0]["best"], &tried[2]["latency_at_least"]),
        (&json!(true), &json!(false), &json!(true))
    );
    assert_eq!(object["recommended"]["changes"][0]["key"], "senders");
    assert_eq!((&object["round_trip_seconds"], &object["against"]), (&json!(0.02), &Json::Null));
}

/// What is recommended is pasted into a file that is read at the next start.
#[test]
fn the_lines_are_read_by_our_own_configuration() {
    let before = "[siem.splunk]\ntype = \"splunk\"\nurl = \"https://splunk.example:8088\"\n\
                  token = { env = \"SPLUNK_HEC_TOKEN\" }\ndead_letter = \"none\"\n";
    let object = report(BETTER).to_json();
    let toml = object["recommended"]["toml"].as_str().unwrap();
    let keys = toml.strip_prefix("[siem.splunk]\n").unwrap();
    let file = format!("{before}{keys}");
    let config = Config::of_bytes(Path::new("siem.toml"), file.as_bytes(), &[], Secrets::Omitted).unwrap();
    assert_eq!(Setting::of(&config.pipelines[0]), report(BETTER).found.best, "{file}");
    for line in keys.lines() {
        assert!(line.contains("  # ") && line.contains(" before; "), "{line}");
    }
}

#[test]
fn a_line_on_its_own_is_compared_with_the_configuration_and_one_that_was_not_measured_says_so() {
    let mut report = report(BETTER);
    report.found.without[1].1 = None;
    let lines = report.lines();
    assert!(lines.contains("compression = \"none\"  # \"gzip\" before; not measured on its own\n"), "{lines}");
    let senders = base().with(Knob::Senders, Value::Count(16));
    (report.found.best, report.found.candidate) = (senders.clone(), senders);
    report.found.without.truncate(1);
    report.found.without[0].1 = None;
    let expected = "[siem.splunk]\nsenders = 16  # 2 before; 120,000 events/s instead of 45,120 events/s\n";
    assert_eq!(report.lines(), expected);
}

#[test]
fn nothing_is_coloured_but_on_a_terminal() {
    assert!(!report(BETTER).to_text(Paint::Plain).contains('\u{1b}'));
    assert!(report(BETTER).to_text(Paint::Coloured).contains('\u{1b}'));
}
