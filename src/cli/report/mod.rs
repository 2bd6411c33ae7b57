//! The report at the end of `demo` and `run`: one screen for people, one object for machines; of several pipelines a
//! section for each.

mod pipeline;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::figures::{bytes, count, counted, duration, per_million, rate, verb};
use crate::ledger::{Ledger, Quantiles, Snapshot};
pub(crate) use pipeline::PipelineEnd;
#[cfg(feature = "kafka")]
pub(super) use pipeline::ledger;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct RunReport {
    /// What was run, in a line.
    pub(crate) title: String,
    /// How each pipeline has ended; one at least.
    pub(crate) pipelines: Vec<PipelineEnd>,
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
    /// Events that were answered with `Ok`, by one pipeline at least.
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
        self.pipelines.iter().all(PipelineEnd::balances)
    }

    /// Whether everything went where it should: the exit code.
    pub(crate) fn is_complete(&self) -> bool {
        let nothing_missing = self.receiver.is_none_or(|receiver| receiver.missing == 0);
        let all_read =
            self.lines.as_ref().is_none_or(|lines| lines.unreadable == 0 && !lines.is_cut_short && !lines.is_broken);
        let all_delivered = self.pipelines.iter().all(|pipeline| pipeline.report.all_delivered());
        self.balances() && all_delivered && nothing_missing && all_read
    }

    fn per_million(&self) -> f64 {
        let first = self.cpu.first().map_or(Duration::ZERO, |(_, time)| *time);
        per_million(first, self.offered)
    }

    fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        self.pipelines.iter().map(|pipeline| &pipeline.report.ledger)
    }

    fn metrics(&self) -> impl Iterator<Item = &Snapshot> {
        self.pipelines.iter().map(|pipeline| &pipeline.report.metrics)
    }

    /// Events delivered, of all pipelines together.
    fn delivered(&self) -> u64 {
        self.ledgers().map(|ledger| ledger.delivered).sum()
    }

    /// All books in one.
    fn books(&self) -> Ledger {
        let mut sum = Ledger::default();
        for ledger in self.ledgers() {
            for (all, of_one) in [(&mut sum.refused, &ledger.refused), (&mut sum.lost, &ledger.lost)] {
                for (reason, count) in of_one {
                    *all.entry(reason).or_default() += count;
                }
            }
            sum.queued += ledger.queued;
            sum.accepted += ledger.accepted;
            sum.gaps += ledger.gaps;
            sum.delivered += ledger.delivered;
            sum.dead_lettered += ledger.dead_lettered;
            sum.handed_back += ledger.handed_back;
            sum.in_flight += ledger.in_flight;
        }
        sum
    }

    /// That of the one pipeline; of several each has its own.
    fn dead_letter(&self) -> Option<String> {
        if let [only] = self.pipelines.as_slice() { only.dead_letter() } else { None }
    }

    fn threads_left(&self) -> Vec<String> {
        if let [only] = self.pipelines.as_slice() {
            return only.report.threads_left.clone();
        }
        let all =
            self.pipelines.iter().flat_map(|end| end.report.threads_left.iter().map(|thread| (end.name(), thread)));
        all.map(|(name, thread)| format!("{name}: {thread}")).collect()
    }

    /// One object, with the ledger's keys at the top, as sums over all pipelines, and each pipeline's own below.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = pipeline::ledger(&self.books());
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        let pipelines =
            self.pipelines.iter().map(|pipeline| (pipeline.name().to_owned(), pipeline.to_json(self.elapsed)));
        put("pipelines", Value::Object(pipelines.collect::<Map<_, _>>()));
        put("offered", json!(self.offered));
        put("balances", json!(self.balances()));
        put("events_per_second", json!(rate(self.delivered(), self.elapsed)));
        put("elapsed_seconds", json!(self.elapsed.as_secs_f64()));
        put("cpu_seconds_per_million", json!(self.per_million()));
        let cpu = self.cpu.iter().map(|(who, time)| ((*who).to_owned(), json!(time.as_secs_f64())));
        put("cpu_seconds", Value::Object(cpu.collect()));
        put("peak_rss_bytes", json!(self.peak_memory));
        put("emit_latency_ns", quantiles(self.emit, |time| json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))));
        put("delivery_latency_seconds", seconds(slowest(self.metrics().map(|metrics| metrics.delivery_latency))));
        put("batches_sent", json!(self.metrics().map(|metrics| metrics.batches_sent).sum::<u64>()));
        put("batches_failed", json!(self.failures()));
        put("retry_count", json!(self.metrics().map(|metrics| metrics.retry_count).sum::<u64>()));
        put("threads_left", json!(self.threads_left()));
        put("dead_letter", json!(self.dead_letter()));
        if let Some(Received { unique, duplicated, missing }) = self.receiver {
            put("receiver", json!({ "unique": unique, "duplicated": duplicated, "missing": missing }));
        }
        if let Some(lines) = &self.lines {
            put("unreadable", json!(lines.unreadable));
            put("input_complete", json!(!lines.is_cut_short && !lines.is_broken));
        }
        Value::Object(object)
    }

    /// Failed requests by cause, of all pipelines together.
    fn failures(&self) -> BTreeMap<&str, u64> {
        let mut failures = BTreeMap::new();
        for (cause, times) in self.metrics().flat_map(|metrics| &metrics.error_counts) {
            *failures.entry(cause.as_str()).or_default() += times;
        }
        failures
    }

    /// One screen; of several pipelines one with a section for each.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        let speed = count(rate(self.delivered(), self.elapsed));
        row("events per second", &format!("{speed}, in {}", duration(self.elapsed)), &mut text);
        row("emit latency", &spread(self.emit), &mut text);
        if let [only] = self.pipelines.as_slice() {
            row("delivery latency", &spread(only.report.metrics.delivery_latency), &mut text);
        }
        if self.offered > 0 {
            let cpu = self.cpu.iter().map(|(who, time)| format!("{who} {:.2} s", per_million(*time, self.offered)));
            row("CPU per million", &cpu.collect::<Vec<_>>().join(", "), &mut text);
        }
        row("peak memory", &self.peak_memory.map_or_else(|| "unknown".to_owned(), bytes), &mut text);
        for pipeline in &self.pipelines {
            if self.pipelines.len() > 1 {
                text.extend(["\n", pipeline.name(), " to ", &pipeline.destination, "\n"]);
                row("delivery latency", &spread(pipeline.report.metrics.delivery_latency), &mut text);
            }
            if let Some(failures) = pipeline.failures() {
                row("failed requests", &failures, &mut text);
            }
            text.push('\n');
            text.push_str(&pipeline.table(self.receiver));
        }
        text.extend(["\n", &self.sentence(), "\n"]);
        text
    }

    /// What happened to the events, and to the lines.
    pub(crate) fn sentence(&self) -> String {
        let mut sentences = Vec::new();
        for pipeline in &self.pipelines {
            let mut fates = pipeline.sentences();
            if self.pipelines.len() > 1
                && let Some(first) = fates.first_mut()
            {
                *first = format!("{}: {first}", pipeline.name());
            }
            sentences.append(&mut fates);
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
        let balance = match (self.balances(), self.pipelines.len()) {
            (true, 1) => "The ledger balances.",
            (true, _) => "The ledgers balance.",
            (false, _) => "THE LEDGER DOES NOT BALANCE.",
        };
        sentences.push(balance.to_owned());
        sentences.join(" ")
    }
}

fn row(name: &str, value: &str, text: &mut String) {
    // Writing to a String does not fail.
    let written = writeln!(text, "  {name:<18}{value}");
    debug_assert!(written.is_ok());
}

/// Of several pipelines the longest time at each quantile.
fn slowest(all: impl Iterator<Item = Quantiles>) -> Quantiles {
    let longer = |one: Quantiles, other: Quantiles| Quantiles {
        count: one.count + other.count,
        mean: one.mean.max(other.mean),
        p50: one.p50.max(other.p50),
        p99: one.p99.max(other.p99),
        p999: one.p999.max(other.p999),
        max: one.max.max(other.max),
    };
    all.reduce(longer).unwrap_or_default()
}

fn quantiles(quantiles: Quantiles, unit: impl Fn(Duration) -> Value) -> Value {
    let Quantiles { p50, p99, p999, max, .. } = quantiles;
    json!({ "p50": unit(p50), "p99": unit(p99), "p999": unit(p999), "max": unit(max) })
}

fn seconds(of: Quantiles) -> Value {
    quantiles(of, |time| json!(time.as_secs_f64()))
}

fn spread(quantiles: Quantiles) -> String {
    let Quantiles { count, p50, p99, p999, max, .. } = quantiles;
    if count == 0 {
        return "none measured".to_owned();
    }
    let [p50, p99, p999, max] = [p50, p99, p999, max].map(duration);
    format!("p50 {p50:<8}  p99 {p99:<8}  p99.9 {p999:<8}  max {max}")
}
