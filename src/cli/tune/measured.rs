//! What a trial of a setting came to.

use super::ladder::Setting;

/// The figures of one trial, or the medians of several.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Figures {
    /// Delivered a second, flat out.
    pub(super) events_per_second: f64,
    /// Of the engine's threads, flat out.
    pub(super) cpu_seconds_per_million: f64,
    /// From the moment at which an event was due to its delivery, at the load; seconds.
    pub(super) latency: Latency,
    /// Events that found no room at the load.
    pub(super) refused: u64,
    pub(super) failed_requests: u64,
    /// Bytes of a body for each event in it, as sent; `None` where nobody counts them.
    pub(super) wire_bytes_per_event: Option<f64>,
    /// How long the trial took.
    pub(super) seconds: f64,
}

/// Quantiles in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    /// At the end of the trial an event had been on its way for as long as the 99th percentile says: it is longer.
    pub(super) is_at_least: bool,
}

impl Figures {
    /// Of each figure the median.
    pub(super) fn median(repeats: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(&repeats.iter().map(figure).collect::<Vec<_>>());
        let wire: Vec<f64> = repeats.iter().filter_map(|repeat| repeat.wire_bytes_per_event).collect();
        Self {
            events_per_second: of(|figures| figures.events_per_second),
            cpu_seconds_per_million: of(|figures| figures.cpu_seconds_per_million),
            latency: Latency {
                p50: of(|figures| figures.latency.p50),
                p99: of(|figures| figures.latency.p99),
                p999: of(|figures| figures.latency.p999),
                max: of(|figures| figures.latency.max),
                is_at_least: repeats.iter().filter(|repeat| repeat.latency.is_at_least).count() * 2 > repeats.len(),
            },
            refused: middle(repeats.iter().map(|repeat| repeat.refused)),
            failed_requests: repeats.iter().map(|repeat| repeat.failed_requests).max().unwrap_or(0),
            wire_bytes_per_event: (!wire.is_empty()).then(|| median(&wire)),
            seconds: of(|figures| figures.seconds),
        }
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.saturating_sub(1)), at(half)) }
}

fn middle(values: impl Iterator<Item = u64>) -> u64 {
    let mut sorted: Vec<u64> = values.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// A setting with all that was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tried {
    pub(super) setting: Setting,
    pub(super) repeats: Vec<Figures>,
}

impl Tried {
    pub(super) fn figures(&self) -> Figures {
        Figures::median(&self.repeats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let one = |speed: f64, p99: f64, is_at_least| Figures {
            events_per_second: speed,
            latency: Latency { p99, is_at_least, ..Latency::default() },
            wire_bytes_per_event: Some(speed),
            ..Figures::default()
        };
        let figures = Figures::median(&[one(1.0, 0.5, true), one(9.0, 0.1, false), one(2.0, 0.2, true)]);
        assert_eq!(figures, one(2.0, 0.2, true));
        assert_eq!(Figures::median(&[one(1.0, 0.5, true), one(2.0, 0.1, false)]), one(1.5, 0.3, false));
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
