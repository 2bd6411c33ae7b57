//! The latencies of a pipeline, merged from the recorders of its threads.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::recorder::{Recorder, histogram};

/// What one sender records.
#[derive(Debug)]
pub(crate) struct Latency {
    /// From an event's creation to the destination's acceptance.
    pub(super) delivery: Recorder,
    /// One attempt to send a batch.
    pub(super) attempt: Recorder,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self { delivery: Recorder::new(), attempt: Recorder::new() }
    }

    /// Events created at these moments were delivered at `now`.
    pub(crate) fn delivered(&mut self, now: u64, created: impl Iterator<Item = u64>) {
        self.delivery.record(now, created.map(|created| now.saturating_sub(created)));
    }

    /// An attempt to send that ended at `now` took this long.
    pub(crate) fn attempted(&mut self, now: u64, nanos: u64) {
        self.attempt.record(now, std::iter::once(nanos));
    }
}

/// The histograms of all threads at one moment, each in nanoseconds; none where it could not be made.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// From an event's creation to the destination's acceptance.
    pub(crate) delivery: Option<Histogram<u64>>,
    pub(crate) delivery_last_minute: Option<Histogram<u64>>,
    /// One attempt to send a batch.
    pub(crate) attempt: Option<Histogram<u64>>,
    /// One health check.
    pub(crate) check: Option<Histogram<u64>>,
    /// What an event cost its caller, of those that were measured.
    pub(crate) emit: Option<Histogram<u64>>,
    pub(crate) emit_last_minute: Option<Histogram<u64>>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self {
            delivery: histogram(),
            delivery_last_minute: histogram(),
            attempt: histogram(),
            check: histogram(),
            emit: histogram(),
            emit_last_minute: histogram(),
        }
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
