//! What a replay came to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::resend::Resent;
use super::tracker::Tracker;
use crate::cli::figures::{count, counted, duration, rate, verb};
use crate::cli::progress::Progress;
use crate::engine::Forwarder;

/// Of all files together.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Records that were to be sent, as the files were before.
    planned: u64,
    /// Lines that are no records, as the files were before.
    damaged: u64,
    /// Records that were selected and are no events.
    misfits: u64,
    resent: Vec<Resent>,
    error: Option<String>,
    begun: Instant,
    elapsed: Duration,
}

impl Outcome {
    pub(super) fn new(planned: u64, damaged: u64, misfits: u64) -> Self {
        let begun = Instant::now();
        Self { planned, damaged, misfits, resent: Vec::new(), error: None, begun, elapsed: Duration::ZERO }
    }

    pub(super) fn add(&mut self, resent: Resent) {
        self.resent.push(resent);
        self.elapsed = self.begun.elapsed();
    }

    /// Something went wrong that leaves the rest of the files alone.
    pub(super) fn fail(&mut self, error: String) {
        self.error.get_or_insert(error);
    }

    pub(super) fn has_begun(&self) -> bool {
        !self.resent.is_empty()
    }

    /// Whether the next file need not be tried.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.error.is_some()
            || self.resent.last().is_some_and(|last| last.is_cut_short || last.is_stalled || last.error.is_some())
    }

    pub(super) fn delivered(&self) -> u64 {
        self.sum(|resent| resent.delivered)
    }

    fn sum(&self, of: impl Fn(&Resent) -> u64) -> u64 {
        self.resent.iter().map(of).sum()
    }

    fn failed(&self) -> BTreeMap<&str, u64> {
        let mut failed = BTreeMap::new();
        for (cause, count) in self.resent.iter().flat_map(|resent| &resent.failed) {
            *failed.entry(cause.as_str()).or_default() += count;
        }
        failed
    }

    /// More may have come between counting and renaming; less where one event has several records.
    fn selected(&self) -> u64 {
        let is_whole = self.error.is_none() && self.resent.iter().all(|resent| !resent.is_cut_short);
        let offered = self.sum(|resent| resent.offered);
        if is_whole && self.has_begun() { offered } else { offered.max(self.planned) }
    }

    /// Selected, and neither delivered nor failed.
    fn not_sent(&self) -> u64 {
        self.selected().saturating_sub(self.delivered() + self.failed().values().sum::<u64>())
    }

    fn foreign(&self) -> u64 {
        self.sum(|resent| resent.foreign)
    }

    fn errors(&self) -> Vec<&str> {
        let of_files = self.resent.iter().filter_map(|resent| resent.error.as_deref());
        of_files.chain(self.error.as_deref()).collect()
    }

    /// Whether all that was selected was delivered, and nothing is damaged: the exit code.
    pub(super) fn is_complete(&self) -> bool {
        let is_whole = self.damaged == 0 && self.misfits == 0 && self.foreign() == 0;
        self.delivered() == self.selected() && is_whole && self.errors().is_empty()
    }

    /// How far it is, with an estimate of what is left to wait.
    pub(super) fn show(&self, progress: &mut Progress, before: u64, tracker: &Tracker, forwarder: &Forwarder) {
        let done = before + tracker.deliveries();
        let mut notes = Vec::new();
        let left = self.planned.saturating_sub(done + tracker.failures());
        let speed = rate(done + tracker.failures(), self.begun.elapsed());
        notes.extend(estimate(left, speed));
        if tracker.failures() > 0 {
            notes.push(format!("{} failed again", count(tracker.failures())));
        }
        notes.extend(forwarder.health().error_message);
        progress.set(done, &notes.join(", "));
    }

    /// What happened, and what is where.
    pub(super) fn sentence(&self) -> String {
        let (selected, delivered) = (self.selected(), self.delivered());
        let mut sentences = vec![match selected {
            0 => "No records are to be sent.".to_owned(),
            1 if delivered == 1 => "The one record was delivered.".to_owned(),
            _ if delivered == selected => {
                format!("All {} were delivered, in {}.", counted(selected, "record"), duration(self.elapsed))
            }
            _ => {
                let mut parts = vec![format!(
                    "Of {} {} {} delivered",
                    counted(selected, "record"),
                    count(delivered),
                    verb(delivered, "was", "were")
                )];
                let causes: Vec<String> =
                    self.failed().iter().map(|(cause, number)| format!("{cause} {}", count(*number))).collect();
                if !causes.is_empty() {
                    let failed = self.failed().values().sum();
                    parts.push(format!("{} failed again ({})", count(failed), causes.join(", ")));
                }
                if self.not_sent() > 0 {
                    parts.push(format!("{} {} not sent", count(self.not_sent()), verb(self.not_sent(), "was", "were")));
                }
                parts.join(", ") + "."
            }
        }];
        if self.resent.iter().any(|resent| resent.is_stalled) {
            sentences.push("Nothing got through any more, so the rest was not tried.".to_owned());
        }
        for (number, what) in
            [(self.sum(|resent| resent.unselected), "not selected"), (self.foreign(), "meant for another destination")]
        {
            if number > 0 {
                sentences.push(format!("{} {} {what}.", counted(number, "record"), verb(number, "is", "are")));
            }
        }
        if self.misfits > 0 {
            let are = verb(self.misfits, "is no event", "are no events");
            sentences.push(format!("{} {are}, and stay where they are.", counted(self.misfits, "record")));
        }
        if self.damaged > 0 {
            sentences.push(format!("{} {} damaged.", counted(self.damaged, "line"), verb(self.damaged, "is", "are")));
        }
        for resent in &self.resent {
            let file = resent.file.display();
            sentences.push(if resent.is_left {
                format!("What is left is in {file}: the same command goes on with it.")
            } else {
                format!("Nothing is left of {file}, it is removed.")
            });
        }
        sentences.extend(self.errors().iter().map(|error| format!("Error: {error}.")));
        sentences.join(" ")
    }

    pub(super) fn to_json(&self) -> Value {
        let mut failures: BTreeMap<&str, u64> = BTreeMap::new();
        for (cause, count) in self.resent.iter().flat_map(|resent| &resent.report.metrics.error_counts) {
            *failures.entry(cause.as_ref()).or_default() += count;
        }
        let files = self
            .resent
            .iter()
            .map(|resent| json!({ "file": resent.file.display().to_string(), "left": resent.is_left }));
        json!({
            "selected": self.selected(),
            "delivered": self.delivered(),
            "failed": self.failed(),
            "not_sent": self.not_sent(),
            "unselected": self.sum(|resent| resent.unselected),
            "foreign": self.foreign(),
            "damaged": self.damaged,
            "no_events": self.misfits,
            "files": files.collect::<Vec<_>>(),
            "errors": self.errors(),
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "events_per_second": rate(self.delivered(), self.elapsed),
            "batches_failed": failures,
            "threads_left": self.resent.iter().flat_map(|resent| &resent.report.threads_left).collect::<Vec<_>>(),
        })
    }
}

/// How long the rest will take, at so many a second.
fn estimate(left: u64, speed: u64) -> Option<String> {
    let seconds = left.checked_div(speed).filter(|_| left > 0)?.max(1);
    Some(match seconds {
        0..=119 => format!("about {seconds} s left"),
        120..=7199 => format!("about {} min left", seconds / 60),
        _ => format!("about {} h left", seconds / 3600),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_made_where_there_is_a_speed_and_something_left() {
        assert_eq!(estimate(100, 0), None);
        assert_eq!(estimate(0, 100), None);
        let said = [(1, 100), (11_900, 100), (12_000, 100), (720_000, 100)].map(|(left, speed)| estimate(left, speed));
        let expected = ["about 1 s left", "about 119 s left", "about 2 min left", "about 2 h left"];
        assert_eq!(said, expected.map(|text| Some(text.to_owned())));
    }
}
