//! The report at the end of `demo` and `run`: one screen for people, one object for machines.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::figures::{bytes, count, counted, duration, per_million, rate, verb};
use crate::engine::Report;
use crate::ledger::{Ledger, Quantiles};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// What was run, in a line.
    pub(crate) title: String,
    /// The pipeline's name and its end.
    pub(crate) pipeline: (String, Report),
    /// From the first event offered to the end of the drain.
    pub(crate) elapsed: Duration,
    /// What handing in an event cost its producer.
    pub(crate) emit: Quantiles,
    /// CPU time by who used it; the first is what `cpu_seconds_per_million` means.
    pub(crate) cpu: Vec<(&'static str, Duration)>,
    pub(crate) peak_memory: Option<u64>,
    /// What the embedded receiver counted, where there is one.
    pub(crate) receiver: Option<Received>,
    /// What became of input lines, where there are any.
    pub(crate) lines: Option<Lines>,
    /// Events that were answered with `Ok`.
    pub(crate) offered: u64,
}

/// What the embedded receiver counted, by event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) unique: u64,
    pub(crate) duplicated: u64,
    pub(crate) missing: u64,
}

/// What became of input lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) unreadable: u64,
    /// Where they were written, if anywhere.
    pub(crate) rejected: Option<String>,
    /// Some were not even read.
    pub(crate) is_cut_short: bool,
    /// A source broke midway, or a rejected line could not be written.
    pub(crate) is_broken: bool,
}

impl RunReport {
    pub(crate) fn balances(&self) -> bool {
        self.pipeline.1.ledger.balances(self.offered)
    }

    /// Whether everything went where it should: the exit code.
    pub(crate) fn is_complete(&self) -> bool {
        let nothing_missing = self.receiver.is_none_or(|receiver| receiver.missing == 0);
        let all_read =
            self.lines.as_ref().is_none_or(|lines| lines.unreadable == 0 && !lines.is_cut_short && !lines.is_broken);
        self.balances() && self.pipeline.1.all_delivered() && nothing_missing && all_read
    }

    fn per_million(&self) -> f64 {
        let first = self.cpu.first().map_or(Duration::ZERO, |(_, time)| *time);
        per_million(first, self.offered)
    }

    /// One object, with the ledger's keys at the top and each pipeline's own below.
    pub(crate) fn to_json(&self) -> Value {
        let (name, report) = &self.pipeline;
        let mut object = ledger(&report.ledger);
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("pipelines", json!({ name: Value::Object(ledger(&report.ledger)) }));
        put("offered", json!(self.offered));
        put("balances", json!(self.balances()));
        put("events_per_second", json!(rate(report.ledger.delivered, self.elapsed)));
        put("elapsed_seconds", json!(self.elapsed.as_secs_f64()));
        put("cpu_seconds_per_million", json!(self.per_million()));
        let cpu = self.cpu.iter().map(|(who, time)| ((*who).to_owned(), json!(time.as_secs_f64())));
        put("cpu_seconds", Value::Object(cpu.collect()));
        put("peak_rss_bytes", json!(self.peak_memory));
        put("emit_latency_ns", quantiles(self.emit, |time| json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))));
        put("delivery_latency_seconds", quantiles(report.metrics.delivery_latency, |time| json!(time.as_secs_f64())));
        put("batches_sent", json!(report.metrics.batches_sent));
        put("batches_failed", json!(report.metrics.error_counts));
        put("retry_count", json!(report.metrics.retry_count));
        put("threads_left", json!(report.threads_left));
        put("dead_letter", json!(report.dead_letter.as_ref().map(|path| path.display().to_string())));
        if let Some(Received { unique, duplicated, missing }) = self.receiver {
            put("receiver", json!({ "unique": unique, "duplicated": duplicated, "missing": missing }));
        }
        if let Some(lines) = &self.lines {
            put("unreadable", json!(lines.unreadable));
            put("input_complete", json!(!lines.is_cut_short && !lines.is_broken));
        }
        Value::Object(object)
    }

    /// One screen.
    pub(crate) fn to_text(&self) -> String {
        let report = &self.pipeline.1;
        let mut text = format!("{}\n\n", self.title);
        let mut row = |name: &str, value: String| {
            // Writing to a String does not fail.
            let written = writeln!(text, "  {name:<18}{value}");
            debug_assert!(written.is_ok());
        };
        let speed = count(rate(report.ledger.delivered, self.elapsed));
        row("events per second", format!("{speed}, in {}", duration(self.elapsed)));
        row("emit latency", spread(self.emit));
        row("delivery latency", spread(report.metrics.delivery_latency));
        if self.offered > 0 {
            let cpu = self.cpu.iter().map(|(who, time)| format!("{who} {:.2} s", per_million(*time, self.offered)));
            row("CPU per million", cpu.collect::<Vec<_>>().join(", "));
        }
        row("peak memory", self.peak_memory.map_or_else(|| "unknown".to_owned(), bytes));
        let failures = &report.metrics.error_counts;
        if !failures.is_empty() {
            let failures = failures.iter().map(|(cause, times)| format!("{cause} {}", count(*times)));
            row("failed requests", failures.collect::<Vec<_>>().join(", "));
        }
        text.push('\n');
        text.push_str(&self.table());
        text.push('\n');
        text.push_str(&self.sentence());
        text.push('\n');
        text
    }

    /// The ledger, and beside it what the receiver counted.
    fn table(&self) -> String {
        let ledger = &self.pipeline.1.ledger;
        let left = [
            ("accepted", ledger.accepted),
            ("delivered", ledger.delivered),
            ("dead-lettered", ledger.dead_lettered),
            ("lost", ledger.lost_total()),
            ("in flight", ledger.in_flight),
            ("refused", ledger.refused_total()),
        ];
        let receiver = self.receiver.map(|received| {
            [("unique", received.unique), ("duplicated", received.duplicated), ("missing", received.missing)]
        });
        let mut lines = vec![format!("  {:<32}", "ledger")];
        lines.extend(left.iter().map(|(name, value)| format!("    {name:<14}{:>14}", count(*value))));
        for (line, title) in lines.iter_mut().zip(receiver.map(|_| "    receiver, by event id")) {
            line.push_str(title);
        }
        for (line, (name, value)) in lines.iter_mut().skip(1).zip(receiver.into_iter().flatten()) {
            let written = write!(line, "      {name:<14}{:>14}", count(value));
            debug_assert!(written.is_ok());
        }
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n") + "\n"
    }

    /// What happened to the events, and to the lines.
    pub(crate) fn sentence(&self) -> String {
        let mut sentences = vec![self.fates() + "."];
        let left = &self.pipeline.1.threads_left;
        if !left.is_empty() {
            sentences.push(format!("Left behind, since they hang: {}.", left.join(", ")));
        }
        if let Some(Lines { unreadable, rejected, is_cut_short, is_broken }) = &self.lines {
            let place = rejected.as_ref().map_or(String::new(), |path| format!(", see {path}"));
            if *unreadable > 0 {
                let verb = verb(*unreadable, "was", "were");
                sentences.push(format!("{} {verb} unreadable{place}.", counted(*unreadable, "line")));
            }
            if *is_cut_short {
                sentences.push("The input was not read to its end.".to_owned());
            }
            if *is_broken {
                sentences.push("A source could not be read, or a rejected line not be written: see above.".to_owned());
            }
        }
        let balance = if self.balances() { "The ledger balances." } else { "THE LEDGER DOES NOT BALANCE." };
        sentences.push(balance.to_owned());
        sentences.join(" ")
    }

    fn fates(&self) -> String {
        let report = &self.pipeline.1;
        let Ledger { accepted, delivered, dead_lettered, in_flight, .. } = report.ledger;
        let mut parts = vec![match accepted {
            0 => "No events came".to_owned(),
            1 if delivered == 1 => "The one event was delivered".to_owned(),
            _ if report.all_delivered() => format!("All {} were delivered", counted(accepted, "event")),
            _ => {
                let verb = verb(delivered, "was", "were");
                format!("Of {} {} {verb} delivered", counted(accepted, "event"), count(delivered))
            }
        }];
        if dead_lettered > 0 {
            let path = report.dead_letter.as_ref().map(|path| path.display().to_string());
            let path = path.unwrap_or_else(|| "the dead letter".to_owned());
            parts.push(format!("{} {} in {path}", count(dead_lettered), verb(dead_lettered, "is", "are")));
        }
        for (reason, lost) in report.ledger.lost.iter().filter(|(_, lost)| **lost > 0) {
            parts.push(format!("{} {} lost ({reason})", count(*lost), verb(*lost, "is", "are")));
        }
        let sampled = report.ledger.refused.get("sampled").copied().unwrap_or(0);
        if sampled > 0 {
            parts.push(format!("{} {} sampled out", count(sampled), verb(sampled, "was", "were")));
        }
        if in_flight > 0 {
            parts.push(format!("{} {} still in flight", count(in_flight), verb(in_flight, "is", "are")));
        }
        parts.join(", ")
    }
}

fn ledger(ledger: &Ledger) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("refused".to_owned(), json!(ledger.refused));
    object.insert("queued".to_owned(), json!(ledger.queued));
    object.insert("accepted".to_owned(), json!(ledger.accepted));
    object.insert("gaps".to_owned(), json!(ledger.gaps));
    object.insert("delivered".to_owned(), json!(ledger.delivered));
    object.insert("dead_lettered".to_owned(), json!(ledger.dead_lettered));
    object.insert("lost".to_owned(), json!(ledger.lost));
    object.insert("in_flight".to_owned(), json!(ledger.in_flight));
    object
}

fn quantiles(quantiles: Quantiles, unit: impl Fn(Duration) -> Value) -> Value {
    let Quantiles { p50, p99, p999, max, .. } = quantiles;
    json!({ "p50": unit(p50), "p99": unit(p99), "p999": unit(p999), "max": unit(max) })
}

fn spread(quantiles: Quantiles) -> String {
    let Quantiles { count, p50, p99, p999, max, .. } = quantiles;
    if count == 0 {
        return "none measured".to_owned();
    }
    let [p50, p99, p999, max] = [p50, p99, p999, max].map(duration);
    format!("p50 {p50:<8}  p99 {p99:<8}  p99.9 {p999:<8}  max {max}")
}
