//! How one pipeline has ended: its books, and what they mean in words.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Received;
use crate::cli::figures::{count, counted, rate, verb};
use crate::engine::Report;
use crate::ledger::Ledger;

/// The end of a pipeline.
#[derive(Debug)]
pub(crate) struct PipelineEnd {
    pub(crate) report: Report,
    /// Where it sent to.
    pub(crate) destination: String,
    /// Events that it answered with `Ok`.
    pub(crate) offered: u64,
}

impl PipelineEnd {
    pub(super) fn name(&self) -> &str {
        &self.report.pipeline
    }

    pub(super) fn balances(&self) -> bool {
        self.report.ledger.balances(self.offered)
    }

    /// The ledger, and what else is known of this pipeline alone.
    pub(super) fn to_json(&self, elapsed: Duration) -> Value {
        let Self { report, destination, offered } = self;
        let mut object = ledger(&report.ledger);
        let more = json!({
            "destination": destination,
            "offered": offered,
            "balances": self.balances(),
            "events_per_second": rate(report.ledger.delivered, elapsed),
            "delivery_latency_seconds": super::seconds(report.metrics.delivery_latency),
            "batches_sent": report.metrics.batches_sent,
            "batches_failed": report.metrics.error_counts,
            "retry_count": report.metrics.retry_count,
            "threads_left": report.threads_left,
            "dead_letter": self.dead_letter(),
        });
        if let Value::Object(more) = more {
            object.extend(more);
        }
        Value::Object(object)
    }

    pub(super) fn dead_letter(&self) -> Option<String> {
        self.report.dead_letter.as_ref().map(|path| path.display().to_string())
    }

    /// What went wrong on the wire, by cause.
    pub(super) fn failures(&self) -> Option<String> {
        let failures = &self.report.metrics.error_counts;
        let told = failures.iter().map(|(cause, times)| format!("{cause} {}", count(*times)));
        (!failures.is_empty()).then(|| told.collect::<Vec<_>>().join(", "))
    }

    /// The ledger, and beside it what the receiver counted, where there is one.
    pub(super) fn table(&self, receiver: Option<Received>) -> String {
        let ledger = &self.report.ledger;
        let left = [
            ("accepted", ledger.accepted),
            ("delivered", ledger.delivered),
            ("dead-lettered", ledger.dead_lettered),
            ("lost", ledger.lost_total()),
            ("in flight", ledger.in_flight),
            ("refused", ledger.refused_total()),
        ];
        let receiver = receiver.map(|received| {
            [("unique", received.unique), ("duplicated", received.duplicated), ("missing", received.missing)]
        });
        let mut lines = vec![format!("  {:<32}", "ledger")];
        lines.extend(left.iter().map(|(name, value)| format!("    {name:<14}{:>14}", count(*value))));
        for (line, title) in lines.iter_mut().zip(receiver.map(|_| "    receiver, by event id")) {
            line.push_str(title);
        }
        for (line, (name, value)) in lines.iter_mut().skip(1).zip(receiver.into_iter().flatten()) {
            // Writing to a String does not fail.
            let written = write!(line, "      {name:<14}{:>14}", count(value));
            debug_assert!(written.is_ok());
        }
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n") + "\n"
    }

    /// What became of its events, and which threads hang.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = vec![self.fates() + "."];
        let left = &self.report.threads_left;
        if !left.is_empty() {
            sentences.push(format!("Left behind, since they hang: {}.", left.join(", ")));
        }
        sentences
    }

    fn fates(&self) -> String {
        let report = &self.report;
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
            let path = self.dead_letter().unwrap_or_else(|| "the dead letter".to_owned());
            parts.push(format!("{} {} in {path}", count(dead_lettered), verb(dead_lettered, "is", "are")));
        }
        for (reason, lost) in report.ledger.lost.iter().filter(|(_, lost)| **lost > 0) {
            parts.push(format!("{} {} lost ({reason})", count(*lost), verb(*lost, "is", "are")));
        }
        for (reason, how) in [("filtered", "filtered out"), ("sampled", "sampled out")] {
            let kept_away = report.ledger.refused.get(reason).copied().unwrap_or(0);
            if kept_away > 0 {
                parts.push(format!("{} {} {how}", count(kept_away), verb(kept_away, "was", "were")));
            }
        }
        if in_flight > 0 {
            parts.push(format!("{} {} still in flight", count(in_flight), verb(in_flight, "is", "are")));
        }
        parts.join(", ")
    }
}

pub(in crate::cli) fn ledger(ledger: &Ledger) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("refused".to_owned(), json!(ledger.refused));
    object.insert("queued".to_owned(), json!(ledger.queued));
    object.insert("accepted".to_owned(), json!(ledger.accepted));
    object.insert("gaps".to_owned(), json!(ledger.gaps));
    object.insert("delivered".to_owned(), json!(ledger.delivered));
    object.insert("dead_lettered".to_owned(), json!(ledger.dead_lettered));
    object.insert("lost".to_owned(), json!(ledger.lost));
    object.insert("handed_back".to_owned(), json!(ledger.handed_back));
    object.insert("in_flight".to_owned(), json!(ledger.in_flight));
    object
}
