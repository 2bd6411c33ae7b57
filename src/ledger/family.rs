//! The families of metrics, each with what it says, its labels and where it is read. Labels come from bounded sets, and
//! each value of a set has its sample from the first scrape.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prometheus::proto::MetricType::{self, COUNTER, GAUGE, HISTOGRAM, SUMMARY};

use super::measure::{
    Labels, Measure, batch_sizes, counter, counters, distribution, float, gauge, longest, quantiles, seconds_total,
    states,
};
use super::{LostReason, Reading};
use crate::policy::BreakerState;
use crate::siem::CauseKind;

/// One name that Prometheus knows.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    /// Beside those of the pipeline.
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: fn(&Reading) -> Vec<Measure>,
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Of a request, a health check and a delivery, in nanoseconds.
const REQUEST_BOUNDS: [u64; 16] = [
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    300 * SECOND,
];

/// Of a delivery, in nanoseconds: as a request's, and beyond, since an outage may last.
const DELIVERY_BOUNDS: [u64; 14] = [
    MILLISECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    300 * SECOND,
    900 * SECOND,
    3_600 * SECOND,
];

/// Of an emit, in nanoseconds.
const EMIT_BOUNDS: [u64; 12] = [
    25,
    50,
    100,
    250,
    500,
    MICROSECOND,
    5 * MICROSECOND,
    10 * MICROSECOND,
    50 * MICROSECOND,
    100 * MICROSECOND,
    MILLISECOND,
    10 * MILLISECOND,
];

/// The causes of failed requests that are shown before they occur; a status that is not among them is shown once it has.
const STATUSES: [u16; 12] = [400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504];
const CAUSES: [CauseKind; 10] = [
    CauseKind::ConnectionRefused,
    CauseKind::Unreachable,
    CauseKind::ConnectionReset,
    CauseKind::Timeout,
    CauseKind::Dns,
    CauseKind::Tls,
    CauseKind::Garbage,
    CauseKind::Storage,
    CauseKind::Rejected,
    CauseKind::Panic,
];

const fn family(
    name: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Reading) -> Vec<Measure>,
) -> Family {
    Family { name, kind, labels, help, read }
}

/// Stands apart, since it has no label `siem_type`.
pub(super) const BUILD_INFO: Family = family(
    "siem_build_info",
    GAUGE,
    &[],
    "Always 1; its label says which version of siem-forward carries the pipeline.",
    |_| gauge(1.0),
);

pub(super) const FAMILIES: &[Family] = &[
    // The eleven names of the original.
    family(
        "siem_events_sent_total",
        COUNTER,
        &[],
        "Events that the destination said it holds: the fate `delivered` of the ledger.",
        |reading| counter(reading.snapshot.events_sent),
    ),
    family(
        "siem_events_failed_total",
        COUNTER,
        &[],
        "Events that failed for good: dead-lettered and lost.",
        |reading| counter(reading.snapshot.events_failed),
    ),
    family(
        "siem_events_dropped_total",
        COUNTER,
        &["reason", "severity"],
        "Events that were refused, never accepted and handed back to their caller.",
        dropped,
    ),
    family("siem_batches_sent_total", COUNTER, &[], "Requests that the destination accepted.", |reading| {
        counter(reading.snapshot.batches_sent)
    }),
    family(
        "siem_batches_failed_total",
        COUNTER,
        &["error_type"],
        "Requests that failed, each attempt: by http_STATUS or the cause's name.",
        |reading| counters(failed(&reading.snapshot.error_counts)),
    ),
    family("siem_send_latency_seconds", HISTOGRAM, &[], "How long one attempt to send a batch took.", |reading| {
        distribution(reading.latencies.attempt.as_ref(), &REQUEST_BOUNDS)
    }),
    family("siem_health_check_latency_seconds", HISTOGRAM, &[], "How long a health check took.", |reading| {
        distribution(reading.latencies.check.as_ref(), &REQUEST_BOUNDS)
    }),
    family("siem_retry_attempts_total", COUNTER, &["operation"], "What was tried again after a failure.", |reading| {
        counters(reading.retries.iter().map(|(operation, times)| ([operation.label().into()], *times)))
    }),
    family("siem_queue_size", GAUGE, &[], "Events in the queue, not accepted yet.", |reading| {
        gauge(float(reading.snapshot.queue_size as u64))
    }),
    family("siem_current_batch_size", GAUGE, &[], "Events in the batch that is being filled.", |reading| {
        gauge(float(reading.snapshot.current_batch_size as u64))
    }),
    family(
        "siem_health_status",
        GAUGE,
        &[],
        "1 while events get through for all that is known, 0 otherwise.",
        |reading| gauge(f64::from(u8::from(reading.around.healthy))),
    ),
    // The rest of the ledger: accepted = sent + dead_lettered + lost + handed_back + in_flight.
    family(
        "siem_events_accepted_total",
        COUNTER,
        &[],
        "Events taken from the queue, and the audit_gap events of our own: each has one fate, or is in flight.",
        |reading| counter(reading.snapshot.ledger.accepted),
    ),
    family(
        "siem_events_gap_total",
        COUNTER,
        &[],
        "How many of the accepted are audit_gap events of our own, which tell the SIEM what was refused.",
        |reading| counter(reading.snapshot.ledger.gaps),
    ),
    family("siem_events_dead_lettered_total", COUNTER, &[], "Events written to the dead letter.", |reading| {
        counter(reading.snapshot.ledger.dead_lettered)
    }),
    family(
        "siem_events_lost_total",
        COUNTER,
        &["reason"],
        "Events that were accepted and are neither delivered nor in the dead letter.",
        lost,
    ),
    family(
        "siem_events_handed_back_total",
        COUNTER,
        &[],
        "Events that were left where they came from: of a worker, in their topic, to be read again.",
        |reading| counter(reading.snapshot.ledger.handed_back),
    ),
    family("siem_events_in_flight", GAUGE, &[], "Events that are accepted and have no fate yet.", |reading| {
        gauge(float(reading.snapshot.ledger.in_flight))
    }),
    family(
        "siem_oldest_undelivered_age_seconds",
        GAUGE,
        &[],
        "How long ago the oldest event was created that waits, queued or in flight; 0 where none does.",
        |reading| gauge(reading.snapshot.oldest_undelivered_age.as_secs_f64()),
    ),
    // How long things take.
    family(
        "siem_delivery_latency_seconds",
        HISTOGRAM,
        &[],
        "From an event's creation to the destination's acceptance.",
        |reading| distribution(reading.latencies.delivery.as_ref(), &DELIVERY_BOUNDS),
    ),
    family(
        "siem_delivery_latency_last_minute_seconds",
        SUMMARY,
        &[],
        "The same, its quantiles over the last minute; sum and count since the start.",
        |reading| quantiles(reading.latencies.delivery_last_minute.as_ref(), reading.latencies.delivery.as_ref()),
    ),
    family(
        "siem_delivery_latency_last_minute_max_seconds",
        GAUGE,
        &[],
        "The longest from an event's creation to its acceptance in the last minute.",
        |reading| longest(reading.latencies.delivery_last_minute.as_ref()),
    ),
    family(
        "siem_emit_latency_seconds",
        HISTOGRAM,
        &[],
        "How long emitting took its caller, waiting for room aside: of each thread's first event and one in 2,053 after it.",
        |reading| distribution(reading.latencies.emit.as_ref(), &EMIT_BOUNDS),
    ),
    family(
        "siem_emit_latency_last_minute_seconds",
        SUMMARY,
        &[],
        "The same, its quantiles over the last minute; sum and count since the start.",
        |reading| quantiles(reading.latencies.emit_last_minute.as_ref(), reading.latencies.emit.as_ref()),
    ),
    family(
        "siem_emit_latency_last_minute_max_seconds",
        GAUGE,
        &[],
        "The longest that emitting took its caller in the last minute, of those measured.",
        |reading| longest(reading.latencies.emit_last_minute.as_ref()),
    ),
    // How full it is.
    family("siem_queue_capacity", GAUGE, &[], "Events that find room in the queue.", |reading| {
        gauge(float(reading.around.queue_capacity as u64))
    }),
    family("siem_queue_fill_ratio", GAUGE, &[], "How full the queue is, 0 to 1.", |reading| {
        let capacity = reading.around.queue_capacity.max(1) as u64;
        gauge(float(reading.snapshot.queue_size as u64) / float(capacity))
    }),
    family(
        "siem_pending_bytes",
        GAUGE,
        &[],
        "Bytes of batches that the destination has taken and not acknowledged.",
        |reading| gauge(float(reading.around.pending_bytes as u64)),
    ),
    family(
        "siem_flushed_batch_events",
        HISTOGRAM,
        &["cause"],
        "Events in a batch when it was handed over, by why it was.",
        |reading| batch_sizes(&reading.flushed),
    ),
    // Who works, and what stops it.
    family("siem_breaker_state", GAUGE, &["state"], "1 for the circuit breaker's present state.", |reading| {
        let now = reading.around.breaker.state;
        states([BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(|one| (one.label(), one == now)))
    }),
    family(
        "siem_breaker_transitions_total",
        COUNTER,
        &[],
        "How many times the circuit breaker changed its state.",
        |reading| counter(reading.around.breaker.transitions),
    ),
    family("siem_senders", GAUGE, &[], "Sender threads.", |reading| gauge(float(reading.senders as u64))),
    family(
        "siem_sender_busy_seconds_total",
        COUNTER,
        &[],
        "Time that senders spent in requests; its rate divided by siem_senders is the share of their time.",
        |reading| seconds_total(reading.senders_busy.as_secs_f64()),
    ),
    family("siem_worker_cpu_seconds_total", COUNTER, &[], "CPU time of the forwarder's threads.", |reading| {
        seconds_total(reading.snapshot.worker_cpu_time.as_secs_f64())
    }),
    // What goes over the wire.
    family("siem_body_bytes_total", COUNTER, &[], "Bytes of requests' bodies before compression.", |reading| {
        counter(reading.traffic.body_bytes())
    }),
    family(
        "siem_sent_bytes_total",
        COUNTER,
        &[],
        "Bytes of requests' bodies as they were sent, after compression.",
        |reading| counter(reading.traffic.sent_bytes()),
    ),
    family("siem_connections_opened_total", COUNTER, &[], "Connections that came about.", |reading| {
        counter(reading.traffic.connections())
    }),
    family(
        "siem_dns_errors_total",
        COUNTER,
        &[],
        "Requests that failed since the destination's name did not resolve.",
        |reading| counter(reading.traffic.dns_errors()),
    ),
    family(
        "siem_tls_errors_total",
        COUNTER,
        &[],
        "Requests that failed since no secure connection came about.",
        |reading| counter(reading.traffic.tls_errors()),
    ),
    family(
        "siem_certificate_expiry_timestamp_seconds",
        GAUGE,
        &[],
        "When the destination's certificate expires, as a Unix time; NaN before one was seen.",
        |reading| gauge(reading.traffic.certificate_expiry().map_or(f64::NAN, unix_seconds)),
    ),
];

fn dropped(reading: &Reading) -> Vec<Measure> {
    let all = &reading.snapshot.events_dropped_by;
    counters(all.iter().map(|((reason, severity), events)| ([reason.label().into(), severity.name().into()], *events)))
}

fn lost(reading: &Reading) -> Vec<Measure> {
    let lost = &reading.snapshot.ledger.lost;
    counters(LostReason::ALL.iter().map(|reason| {
        let events = lost.get(reason.label()).copied().unwrap_or_default();
        ([reason.label().into()], events)
    }))
}

/// The causes that are known before they occur, and all that have.
fn failed(occurred: &BTreeMap<String, u64>) -> Vec<(Labels, u64)> {
    let known = STATUSES.map(CauseKind::Http).into_iter().chain(CAUSES).map(|cause| (cause.label(), 0));
    let mut all: BTreeMap<Cow<'static, str>, u64> = known.collect();
    all.extend(occurred.iter().map(|(cause, times)| (Cow::Owned(cause.clone()), *times)));
    all.into_iter().map(|(cause, times)| (vec![cause], times)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "exact for as long as there are certificates")]
fn unix_seconds(seconds: i64) -> f64 {
    seconds as f64
}
