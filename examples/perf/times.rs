//! Durations of many calls, and what they come to.

use hdrhistogram::CreationError;
use hdrhistogram::Histogram;

/// From half to all, in steps that halve what is above: the axis of a percentile plot.
const LEVELS: [f64; 22] = [
    0.0, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.975, 0.98, 0.99, 0.995, 0.9975, 0.998, 0.999, 0.9995, 0.99975, 0.9998,
    0.9999, 0.99995, 0.99998, 0.99999, 1.0,
];

/// Nanoseconds, each to three digits, up to a minute.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, 60_000_000_000, 3).map(Self)
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds those of another thread or round.
    pub(crate) fn add(&mut self, other: &Self) {
        // The bounds are the same: nothing can be out of range.
        let added = self.0.add(&other.0);
        debug_assert!(added.is_ok());
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.len()
    }

    /// The time that this part of the calls, 0 to 1, took at most.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a call fit a float")]
    pub(crate) fn at(&self, level: f64) -> f64 {
        self.0.value_at_quantile(level) as f64
    }

    /// The median of grouped data: the counter's steps, 10 ns on many a machine, are as long as half a call, so the median
    /// lies within its step as deep as the count of those below says.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds and counts fit a float")]
    pub(crate) fn median(&self) -> f64 {
        let half = self.0.len() as f64 / 2.0;
        let mut steps = self.0.iter_recorded().peekable();
        let (mut below, mut previous) = (0.0, 0.0);
        while let Some(step) = steps.next() {
            let (value, count) = (step.value_iterated_to() as f64, step.count_at_value() as f64);
            if below + count >= half {
                let next = steps.peek().map_or(value, |next| next.value_iterated_to() as f64);
                let (from, to) = (f64::midpoint(previous, value), f64::midpoint(value, next));
                return from + (to - from) * (half - below) / count;
            }
            (below, previous) = (below + count, value);
        }
        previous
    }

    /// Level and nanoseconds of every step that so many calls can tell, for a plot.
    #[expect(clippy::cast_precision_loss, reason = "a count of calls fits a float")]
    pub(crate) fn levels(&self) -> impl Iterator<Item = (f64, f64)> {
        // Beyond it stands the slowest call alone, again and again.
        let told = 1.0 - 1.0 / self.0.len().max(1) as f64;
        LEVELS.into_iter().filter(move |level| *level <= told || *level >= 1.0).map(|level| (level, self.at(level)))
    }
}
