//! What a family shows of one reading: numbers with their labels, distributions, quantiles.

use std::borrow::Cow;

use hdrhistogram::Histogram;
use prometheus::proto::{Bucket, Counter, Gauge, Metric, Quantile, Summary};

use super::flushes::Flushed;

/// The quantiles that are shown of the last minute.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/// The values of a family's labels, in their order.
pub(super) type Labels = Vec<Cow<'static, str>>;

/// One sample, or the samples of one distribution.
#[derive(Debug)]
pub(super) struct Measure {
    pub(super) labels: Labels,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Counter(f64),
    Gauge(f64),
    /// Cumulative counts by upper bound, all, and their sum.
    Histogram(Vec<(f64, u64)>, u64, f64),
    /// Values by quantile, and the count and sum since the start.
    Summary(Vec<(f64, f64)>, u64, f64),
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows floats only: exact up to 2^53")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

pub(super) fn counter(number: u64) -> Vec<Measure> {
    vec![Measure { labels: Vec::new(), value: Value::Counter(float(number)) }]
}

pub(super) fn counters<L: Into<Labels>>(numbers: impl IntoIterator<Item = (L, u64)>) -> Vec<Measure> {
    let one = |(labels, number): (L, u64)| Measure { labels: labels.into(), value: Value::Counter(float(number)) };
    numbers.into_iter().map(one).collect()
}

pub(super) fn seconds_total(seconds: f64) -> Vec<Measure> {
    vec![Measure { labels: Vec::new(), value: Value::Counter(seconds) }]
}

pub(super) fn gauge(number: f64) -> Vec<Measure> {
    vec![Measure { labels: Vec::new(), value: Value::Gauge(number) }]
}

/// A label value and 1 where it is the present one, for each of them.
pub(super) fn states(states: impl IntoIterator<Item = (&'static str, bool)>) -> Vec<Measure> {
    let one = |(state, is_it)| Measure {
        labels: vec![Cow::Borrowed(state)],
        value: Value::Gauge(f64::from(u8::from(is_it))),
    };
    states.into_iter().map(one).collect()
}

/// A histogram of nanoseconds, in seconds, with these bounds in nanoseconds.
pub(super) fn distribution(nanos: Option<&Histogram<u64>>, bounds: &[u64]) -> Vec<Measure> {
    let mut places = vec![0; bounds.len()];
    let (mut count, mut sum) = (0, 0.0);
    for recorded in nanos.into_iter().flat_map(Histogram::iter_recorded) {
        let (value, times) = (recorded.value_iterated_to(), recorded.count_at_value());
        count += times;
        sum += float(value) / 1e9 * float(times);
        if let Some(place) = places.get_mut(bounds.partition_point(|bound| *bound < value)) {
            *place += times;
        }
    }
    let mut up_to = 0;
    let buckets = bounds.iter().zip(places).map(|(bound, times)| {
        up_to += times;
        (float(*bound) / 1e9, up_to)
    });
    vec![Measure { labels: Vec::new(), value: Value::Histogram(buckets.collect(), count, sum) }]
}

/// The quantiles of the last minute, not a number where nothing came in it; count and sum are of all since the start.
pub(super) fn quantiles(last_minute: Option<&Histogram<u64>>, all: Option<&Histogram<u64>>) -> Vec<Measure> {
    let last_minute = last_minute.filter(|minute| !minute.is_empty());
    let at = |quantile| last_minute.map_or(f64::NAN, |minute| float(minute.value_at_quantile(quantile)) / 1e9);
    let values = QUANTILES.map(|quantile| (quantile, at(quantile))).to_vec();
    let mut measures = distribution(all, &[]);
    for measure in &mut measures {
        if let Value::Histogram(_, count, sum) = &measure.value {
            measure.value = Value::Summary(values.clone(), *count, *sum);
        }
    }
    measures
}

/// The longest in seconds, not a number where there is none.
pub(super) fn longest(nanos: Option<&Histogram<u64>>) -> Vec<Measure> {
    let nanos = nanos.filter(|nanos| !nanos.is_empty());
    gauge(nanos.map_or(f64::NAN, |nanos| float(nanos.max()) / 1e9))
}

pub(super) fn batch_sizes(flushed: &[Flushed]) -> Vec<Measure> {
    let one = |flushed: &Flushed| {
        let buckets = flushed.batches_up_to.iter().map(|(events, batches)| (float(*events), *batches)).collect();
        let value = Value::Histogram(buckets, flushed.batches, float(flushed.events));
        Measure { labels: vec![Cow::Borrowed(flushed.cause.label())], value }
    };
    flushed.iter().map(one).collect()
}

impl Value {
    /// As Prometheus' own type, still without labels.
    pub(super) fn to_metric(&self) -> Metric {
        let mut metric = Metric::default();
        match self {
            Self::Counter(number) => {
                let mut counter = Counter::default();
                counter.set_value(*number);
                metric.set_counter(counter);
            }
            Self::Gauge(number) => {
                let mut gauge = Gauge::default();
                gauge.set_value(*number);
                metric.set_gauge(gauge);
            }
            Self::Histogram(buckets, count, sum) => {
                let bucket = |(bound, up_to): &(f64, u64)| {
                    let mut bucket = Bucket::default();
                    bucket.set_upper_bound(*bound);
                    bucket.set_cumulative_count(*up_to);
                    bucket
                };
                let mut histogram = prometheus::proto::Histogram::default();
                histogram.set_bucket(buckets.iter().map(bucket).collect());
                histogram.set_sample_count(*count);
                histogram.set_sample_sum(*sum);
                metric.set_histogram(histogram);
            }
            Self::Summary(quantiles, count, sum) => {
                let quantile = |(quantile, value): &(f64, f64)| {
                    let mut one = Quantile::default();
                    one.set_quantile(*quantile);
                    one.set_value(*value);
                    one
                };
                let mut summary = Summary::default();
                summary.set_quantile(quantiles.iter().map(quantile).collect());
                summary.set_sample_count(*count);
                summary.set_sample_sum(*sum);
                metric.set_summary(summary);
            }
        }
        metric
    }
}
