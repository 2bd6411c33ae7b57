//! What `run` says of itself where nobody looks at a terminal: a line of figures now and then.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::feed::Seen;
use super::figures::rate;
use super::log::tell_figures;
use super::overall::Overall;
use crate::engine::Fanout;

#[derive(Debug)]
pub(crate) struct Pulse {
    /// Zero for never.
    every: Duration,
    begun: Instant,
    last: Instant,
    delivered_before: u64,
    bytes_total: Option<u64>,
}

impl Pulse {
    /// Of an input of so many bytes, where that is known.
    pub(crate) fn new(every: Duration, bytes_total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { every, begun: now, last: now, delivered_before: 0, bytes_total }
    }

    /// Called often; says something when it is time.
    pub(crate) fn tick(&mut self, fanout: &Fanout, seen: &Seen) {
        let since = self.last.elapsed();
        if self.every.is_zero() || since < self.every {
            return;
        }
        self.last = Instant::now();
        let overall = Overall::of(fanout);
        let delivered = overall.delivered().saturating_sub(self.delivered_before);
        self.delivered_before = overall.delivered();
        let mut figures = vec![
            ("events_in", json!(seen.events())),
            ("unreadable", json!(seen.unreadable())),
            ("delivered", json!(overall.delivered())),
            ("failed", json!(overall.failed())),
            ("events_per_second", json!(rate(delivered, since))),
            ("queued", json!(overall.queued())),
            ("in_flight", json!(overall.in_flight())),
            ("oldest_age_seconds", json!(overall.oldest().as_secs())),
            ("failed_requests", json!(overall.failed_requests())),
            ("breaker", json!(overall.breaker())),
            ("health", json!(overall.complaint().unwrap_or_else(|| "ok".to_owned()))),
        ];
        figures.extend(overall.by_name().map(|pipelines| ("pipelines", pipelines)));
        figures.extend(input(seen.bytes(), self.bytes_total, self.begun.elapsed()));
        tell_figures("progress", &figures);
    }
}

/// How far a reading is, and an estimate where its end is known.
fn input(read: u64, total: Option<u64>, elapsed: Duration) -> Vec<(&'static str, Value)> {
    let mut figures = vec![("read_bytes", json!(read))];
    if let Some(total) = total {
        figures.push(("total_bytes", json!(total)));
        let left = total.saturating_sub(read).checked_div(rate(read, elapsed));
        figures.extend(left.map(|seconds| ("left_seconds", json!(seconds))));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_needs_an_end_and_a_beginning() {
        let ten = Duration::from_secs(10);
        assert_eq!(input(7, None, ten), [("read_bytes", json!(7))]);
        assert_eq!(input(0, Some(70), ten), [("read_bytes", json!(0)), ("total_bytes", json!(70))]);
        assert_eq!(input(20, Some(70), ten)[2], ("left_seconds", json!(25)));
    }
}
