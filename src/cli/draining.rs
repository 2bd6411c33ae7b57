//! What is shown while the end is waited for: how much is left, and how long it may take.

use std::time::{Duration, Instant};

use super::figures::counted;
use super::overall::Overall;
use super::progress::Progress;
use super::tell;
use crate::engine::Fanout;

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Draining {
    told: Option<Instant>,
}

impl Draining {
    pub(crate) fn new() -> Self {
        Self { told: None }
    }

    /// Shows what is left of a drain that ends within `left`: in the status line of a terminal; elsewhere as a line at
    /// once and every few seconds.
    pub(crate) fn show(&mut self, progress: &mut Progress, fanout: &Fanout, left: Duration) {
        let overall = Overall::of(fanout);
        let events = overall.left();
        let sentence = sentence(events, left);
        if progress.is_drawn() {
            progress.set(overall.delivered(), &sentence);
        } else if events > 0 && self.told.is_none_or(|told| told.elapsed() >= LINE_INTERVAL) {
            tell(&sentence);
            self.told = Some(Instant::now());
        }
    }
}

/// `draining: 12,400 events left, 21 s`.
pub(crate) fn sentence(events: u64, left: Duration) -> String {
    // A second that has begun is a second.
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    format!("draining: {} left, {seconds} s", counted(events, "event"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_a_number_and_a_time() {
        assert_eq!(sentence(12_400, Duration::from_millis(20_001)), "draining: 12,400 events left, 21 s");
        assert_eq!(sentence(1, Duration::ZERO), "draining: 1 event left, 0 s");
    }
}
