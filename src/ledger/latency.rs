//! Latencies: HDR histograms, one recorder a thread, merged off the path.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency that is told apart: an hour. Longer ones count as an hour.
const NANOS_MAX: u64 = 3_600_000_000_000;
/// Two digits: 1 % of the value, in 50 KB for a recorder.
const DIGITS: u8 = 2;

/// What one sender records.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    /// From an event's creation to the destination's acceptance; none where the histogram could not be made.
    delivery: Option<Histogram<u64>>,
    /// One attempt to send a batch.
    attempt: Option<Histogram<u64>>,
}

impl Latency {
    /// Empty recorders.
    pub(crate) fn new() -> Self {
        Self { delivery: histogram(), attempt: histogram() }
    }

    /// An event was delivered this long after its creation.
    #[inline]
    pub(crate) fn delivered(&mut self, nanos: u64) {
        record(self.delivery.as_mut(), nanos);
    }

    /// An attempt to send took this long.
    pub(crate) fn attempted(&mut self, nanos: u64) {
        record(self.attempt.as_mut(), nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in
            [(self.delivery.as_mut(), other.delivery.as_ref()), (self.attempt.as_mut(), other.attempt.as_ref())]
        {
            if let (Some(mine), Some(theirs)) = (mine, theirs) {
                // Both have the same bounds, so that adding cannot fail.
                let added = mine.add(theirs);
                debug_assert!(added.is_ok());
            }
        }
    }

    pub(crate) fn delivery(&self) -> Quantiles {
        Quantiles::of(self.delivery.as_ref())
    }

    pub(crate) fn attempt(&self) -> Quantiles {
        Quantiles::of(self.attempt.as_ref())
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

fn histogram() -> Option<Histogram<u64>> {
    // The bounds are constants that the crate accepts: a test holds them to it.
    Histogram::new_with_bounds(1, NANOS_MAX, DIGITS).ok()
}

#[inline]
fn record(histogram: Option<&mut Histogram<u64>>, nanos: u64) {
    if let Some(histogram) = histogram {
        histogram.saturating_record(nanos.max(1));
    }
}

/// The shape of a distribution of latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many were recorded.
    pub count: u64,
    /// The mean.
    pub mean: Duration,
    /// Half took no longer.
    pub p50: Duration,
    /// 99 % took no longer.
    pub p99: Duration,
    /// 99.9 % took no longer.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Quantiles {
    /// The quantiles of a histogram of nanoseconds; all zero where there is none.
    pub fn of(histogram: Option<&Histogram<u64>>) -> Self {
        let Some(histogram) = histogram.filter(|histogram| !histogram.is_empty()) else { return Self::default() };
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            mean: Duration::try_from_secs_f64(histogram.mean() / 1e9).unwrap_or_default(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(histogram.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorders_merge_and_a_latency_beyond_the_bounds_counts_as_the_longest() {
        let mut latency = Latency::new();
        let mut other = Latency::new();
        latency.delivered(1_000_000);
        other.delivered(u64::MAX);
        other.attempted(0);
        latency.merge(&other);
        assert_eq!(latency.delivery().count, 2);
        assert!(latency.delivery().max >= Duration::from_secs(3600));
        assert_eq!(latency.attempt().count, 1);
    }
}
