//! What docs/operating.md tells an operator to look at, to run and to set is there; so is what `examples/monitoring` asks for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prometheus::{Registry, TextEncoder};
use siem_forward::{Forwarder, Verdict, siem};

use crate::exposition::Scrape;
use crate::program::run;

/// What is in the code's font, and neither metric, command nor key: paths, the service managers' own words, and methods.
const OTHERS: [&str; 9] = [
    "/healthz",
    "/readyz",
    "TimeoutStopSec",
    "terminationGracePeriodSeconds",
    "run",
    "up",
    "Forwarder::metrics()",
    "Forwarder::health()",
    "forwarder.register(&registry)",
];

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Everything that a forwarder shows.
fn scrape() -> Scrape {
    let forwarder = Forwarder::builder(siem::from_fn("mine", |_| Verdict::Accept)).start().unwrap();
    let registry = Registry::new();
    forwarder.register(&registry).unwrap();
    Scrape::parse(&TextEncoder::new().encode_to_string(&registry.gather()).unwrap())
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The names of metrics in a text, each with what stands in its braces.
fn metrics(text: &str) -> Vec<(&str, &str)> {
    let starts = text.match_indices("siem_").map(|(at, _)| at).filter(|at| !text[..*at].ends_with(is_name));
    let named = starts.map(|at| {
        let rest = &text[at..];
        let (name, rest) = rest.split_at(rest.find(|letter| !is_name(letter)).unwrap_or(rest.len()));
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        (name, braces.map_or("", |(labels, _)| labels))
    });
    // A label, and our own crate.
    named.filter(|(name, _)| !["siem_type", "siem_forward"].contains(name)).collect()
}

/// Fails unless the metrics that a text asks for are shown, and a label's value that it asks for as well.
fn assert_shown(text: &str, scrape: &Scrape) -> usize {
    let samples: BTreeSet<&str> = scrape.samples.keys().map(|(name, _)| name.as_str()).collect();
    let asked = metrics(text);
    for (name, labels) in &asked {
        assert!(samples.contains(name) || scrape.kinds.contains_key(*name), "{name} is no metric: {text}");
        for (label, value) in labels.split(',').filter_map(|label| label.split_once("=\"")) {
            let value = value.trim_end_matches('"');
            let known = |theirs: &BTreeMap<String, String>| theirs.get(label).is_some_and(|known| known == value);
            assert!(scrape.of(name).any(|(theirs, _)| known(theirs)), "{name} has no {label}={value}: {text}");
        }
    }
    asked.len()
}

/// Every key that `init` prints, as the README names them: those of the pipeline without their table.
fn keys() -> BTreeSet<String> {
    let printed = run(&["init", "splunk"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let (mut keys, mut table) = (BTreeSet::new(), String::new());
    for line in printed.stdout.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = if header.starts_with("siem.") { String::new() } else { format!("{header}.") };
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ")
            && key.chars().all(|letter| is_name(letter) || letter == '.')
        {
            keys.insert(format!("{table}{key}"));
        }
    }
    assert!(keys.len() > 60 && keys.contains("batch_size") && keys.contains("metrics.listen"), "{keys:?}");
    keys
}

/// Fails unless the program has this command and its options.
fn assert_runs(line: &str) {
    let mut words: Vec<&str> = line.split(' ').skip(1).collect();
    let options: Vec<&str> = words.iter().filter(|word| word.starts_with("--")).copied().collect();
    words.truncate(if words[0] == "dead-letter" { 2 } else { 1 });
    words.retain(|word| !word.starts_with('-'));
    let help = run(&[words.as_slice(), &["--help"]].concat());
    assert_eq!(help.code, 0, "{line}: {help:?}");
    for option in options {
        let known = help.stdout.split(|char: char| char.is_whitespace() || char == ',').any(|word| word == option);
        assert!(known, "{line}: no option {option}");
    }
}

/// The parts of a text in the code's font.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn an_operator_is_told_of_metrics_commands_and_keys_that_exist() {
    let (text, scrape, keys) = (document("docs/operating.md"), scrape(), keys());
    let (mut metrics, mut commands, mut settings) = (0, BTreeSet::new(), 0);
    for span in spans(&text) {
        let key = span.split_once(" = ").map_or(span, |(key, _)| key);
        if span.starts_with("siem-forward ") {
            commands.insert(span);
        } else if assert_shown(span, &scrape) > 0 {
            metrics += 1;
        } else if keys.contains(key) {
            settings += 1;
        } else {
            assert!(OTHERS.contains(&span), "`{span}` is no metric, command or key");
        }
    }
    for line in &commands {
        assert_runs(line);
    }
    let counts = (metrics, commands.len(), settings);
    assert!(counts.0 > 30 && counts.1 > 10 && counts.2 > 40, "{counts:?} are too few to be true");
}

/// For each symptom the metric, the command, the key.
#[test]
fn every_symptom_has_a_metric_a_command_and_a_key() {
    let text = document("docs/operating.md");
    let (_, table) = text.split_once("| symptom | metric | command | key |\n").unwrap();
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 20);
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        let has_key = spans(cells[3]).next().is_some();
        assert!(has_key, "{row}");
    }
}

#[test]
fn the_alerts_and_the_dashboard_ask_for_metrics_that_are_shown() {
    let scrape = scrape();
    for (file, least) in [("alerts.yml", 12), ("alerts_test.yml", 30), ("dashboard.json", 30)] {
        let text = document(&format!("examples/monitoring/{file}")).replace("\\\"", "\"");
        assert!(assert_shown(&without_patterns(&text), &scrape) >= least, "{file}");
    }
    assert!(assert_shown(&document("docs/metrics.md").replace("siem_forward", ""), &scrape) >= 39);
}

/// Without what Prometheus or Grafana replace: what is compared by a pattern, and the labels that a scrape adds.
fn without_patterns(text: &str) -> String {
    ["pipeline=\"eu\"", "siem_type=\"splunk\"", "job=\"siem-forward\"", "instance=\"h\""]
        .into_iter()
        .fold(text.to_owned(), |text, label| text.replace(label, ""))
}
