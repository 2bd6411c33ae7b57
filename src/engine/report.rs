//! What a drain leaves behind, where, and how long it took.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::ledger::{Ledger, Snapshot};

/// The end of a forwarder: the books, and what is left where.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The pipeline's name.
    pub pipeline: String,
    /// Where every event ended.
    pub ledger: Ledger,
    /// The metrics at the end.
    pub metrics: Snapshot,
    /// How long the drain took.
    pub elapsed: Duration,
    /// Whether the deadline was reached with events left: they are dead-lettered as undelivered, or lost.
    pub deadline_reached: bool,
    /// The dead letter, where one is configured.
    pub dead_letter: Option<PathBuf>,
    /// Threads that hung in a destination's code and were left behind, by name.
    pub threads_left: Vec<String>,
}

impl Report {
    /// What a forked child has to report: the events are its parent's.
    pub(super) fn of_nothing(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            ledger: Ledger::default(),
            metrics: Snapshot::default(),
            elapsed: Duration::ZERO,
            deadline_reached: false,
            dead_letter: None,
            threads_left: Vec::new(),
        }
    }

    /// Whether every accepted event was delivered.
    pub fn all_delivered(&self) -> bool {
        self.ledger.delivered == self.ledger.accepted
    }
}

/// One sentence that says what happened to the events.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ledger { accepted, gaps, delivered, dead_lettered, .. } = self.ledger;
        if self.all_delivered() {
            write!(f, "All {accepted} events were delivered")?;
        } else {
            write!(f, "Of {accepted} events {delivered} were delivered")?;
        }
        if dead_lettered > 0 {
            let path = self.dead_letter.as_deref().unwrap_or_else(|| std::path::Path::new("the dead letter"));
            write!(f, ", {dead_lettered} are in {}", path.display())?;
        }
        for (reason, lost) in self.ledger.lost.iter().filter(|(_, lost)| **lost > 0) {
            write!(f, ", {lost} are lost ({reason})")?;
        }
        if self.ledger.handed_back > 0 {
            write!(f, ", {} stay where they came from", self.ledger.handed_back)?;
        }
        if self.ledger.in_flight > 0 {
            write!(f, ", {} are still in flight", self.ledger.in_flight)?;
        }
        f.write_str(".")?;
        if gaps > 0 {
            let tell = if gaps == 1 { "is ours, and tells" } else { "are ours, and tell" };
            write!(f, " {gaps} of the events {tell} what was refused.")?;
        }
        if !self.threads_left.is_empty() {
            write!(f, " Left behind, since they hang: {}.", self.threads_left.join(", "))?;
        }
        Ok(())
    }
}
