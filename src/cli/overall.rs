//! All pipelines of a run at one look: sums, and by name where there are several.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::engine::{Fanout, Forwarder};
use crate::ledger::Snapshot;

/// One look.
#[derive(Debug)]
pub(crate) struct Overall(Vec<Look>);

/// One look at a pipeline.
#[derive(Debug)]
struct Look {
    name: String,
    metrics: Snapshot,
    /// What is wrong, if anything.
    complaint: Option<String>,
}

impl Overall {
    pub(crate) fn of(fanout: &Fanout) -> Self {
        let look = |forwarder: &Forwarder| Look {
            name: forwarder.name().to_owned(),
            metrics: forwarder.metrics(),
            complaint: forwarder.health().error_message,
        };
        Self(fanout.forwarders().iter().map(look).collect())
    }

    fn sum(&self, of: impl Fn(&Snapshot) -> u64) -> u64 {
        self.0.iter().map(|look| of(&look.metrics)).sum()
    }

    /// Of all pipelines together: what goes to two is delivered twice.
    pub(crate) fn delivered(&self) -> u64 {
        self.sum(|metrics| metrics.events_sent)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.sum(|metrics| metrics.events_failed)
    }

    pub(crate) fn queued(&self) -> u64 {
        self.sum(|metrics| metrics.queue_size as u64)
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.sum(|metrics| metrics.ledger.in_flight)
    }

    /// Queued and in flight.
    pub(crate) fn left(&self) -> u64 {
        self.queued() + self.in_flight()
    }

    pub(crate) fn failed_requests(&self) -> u64 {
        self.sum(|metrics| metrics.batches_failed)
    }

    /// Of the oldest event that waits anywhere.
    pub(crate) fn oldest(&self) -> Duration {
        self.0.iter().map(|look| look.metrics.oldest_undelivered_age).max().unwrap_or_default()
    }

    /// What is wrong: of several pipelines with the name of each of which something is.
    pub(crate) fn complaint(&self) -> Option<String> {
        if let [only] = self.0.as_slice() {
            return only.complaint.clone();
        }
        let complaints = self.0.iter().filter_map(|look| Some(format!("{}: {}", look.name, look.complaint.as_ref()?)));
        let complaints: Vec<String> = complaints.collect();
        (!complaints.is_empty()).then(|| complaints.join("; "))
    }

    /// The state of the breakers: where they differ, that of each by its name.
    pub(crate) fn breaker(&self) -> String {
        let states: Vec<&str> = self.0.iter().map(|look| look.metrics.breaker.state.label()).collect();
        match states.split_first() {
            Some((first, others)) if others.iter().all(|state| state == first) => (*first).to_owned(),
            _ => {
                let named = self.0.iter().zip(states).map(|(look, state)| format!("{} {state}", look.name));
                named.collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// The figures of each pipeline by its name; `None` where there is only one, of which all figures are.
    pub(crate) fn by_name(&self) -> Option<Value> {
        let of = |Look { name, metrics, complaint }: &Look| {
            let figures = json!({
                "delivered": metrics.events_sent,
                "failed": metrics.events_failed,
                "queued": metrics.queue_size,
                "in_flight": metrics.ledger.in_flight,
                "oldest_age_seconds": metrics.oldest_undelivered_age.as_secs(),
                "failed_requests": metrics.batches_failed,
                "breaker": metrics.breaker.state.label(),
                "health": complaint.as_deref().unwrap_or("ok"),
            });
            (name.clone(), figures)
        };
        (self.0.len() > 1).then(|| Value::Object(self.0.iter().map(of).collect::<Map<_, _>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{BreakerState, BreakerStatus};

    fn look(name: &str, delivered: u64, state: BreakerState, complaint: Option<&str>) -> Look {
        let breaker = BreakerStatus { state, ..BreakerStatus::default() };
        let metrics = Snapshot { events_sent: delivered, queue_size: 2, breaker, ..Snapshot::default() };
        Look { name: name.to_owned(), metrics, complaint: complaint.map(str::to_owned) }
    }

    #[test]
    fn one_pipeline_is_all_there_is_and_of_several_each_has_its_name() {
        let one = Overall(vec![look("splunk", 3, BreakerState::Closed, Some("away"))]);
        assert_eq!((one.delivered(), one.left(), one.breaker().as_str()), (3, 2, "closed"));
        assert_eq!((one.complaint().as_deref(), one.by_name()), (Some("away"), None));

        let well = look("splunk", 3, BreakerState::Closed, None);
        let two = Overall(vec![well, look("file", 4, BreakerState::Open, Some("no room"))]);
        assert_eq!((two.delivered(), two.queued()), (7, 4));
        assert_eq!(two.breaker(), "splunk closed, file open");
        assert_eq!(two.complaint().as_deref(), Some("file: no room"));
        let by_name = two.by_name().unwrap();
        assert_eq!((&by_name["splunk"]["health"], &by_name["file"]["delivered"]), (&json!("ok"), &json!(4)));
    }
}
