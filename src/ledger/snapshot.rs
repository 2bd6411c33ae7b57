//! A look at the books: the original's names, and the ledger.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::recorder::histogram;
use super::{Books, LostReason, Operation, Quantiles, RefusedReason};
use crate::event::{Severity, monotonic};
use crate::policy::BreakerStatus;

/// Where every event is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Ledger {
    /// Never accepted, handed back to the caller, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Lies in the rings.
    pub queued: u64,
    /// Taken from the rings, and the `audit_gap` events of our own.
    pub accepted: u64,
    /// How many of the accepted are `audit_gap` events of our own: each tells the SIEM what was refused.
    pub gaps: u64,
    /// The destination said that it holds it.
    pub delivered: u64,
    /// Written to the dead letter.
    pub dead_lettered: u64,
    /// Accepted, and neither delivered nor dead-lettered, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// Not delivered, and kept by whoever had handed it in: what a worker leaves in its topic when it ends.
    pub handed_back: u64,
    /// Accepted, and without a fate as yet.
    pub in_flight: u64,
}

impl Ledger {
    /// How many were refused, for all reasons together.
    pub fn refused_total(&self) -> u64 {
        self.refused.values().sum()
    }

    /// How many were lost, for all reasons together.
    pub fn lost_total(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Whether `offered` events that were answered with `Ok`, and the gaps that we told, each have exactly one fate: true
    /// only once drained.
    pub fn balances(&self, offered: u64) -> bool {
        let fates = self.delivered + self.dead_lettered + self.lost_total() + self.handed_back;
        let accepted = offered + self.gaps;
        self.in_flight == 0 && self.queued == 0 && self.accepted == accepted && fates == accepted
    }
}

/// The metrics of a forwarder at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Events delivered.
    pub events_sent: u64,
    /// Events that failed for good: dead-lettered and lost.
    pub events_failed: u64,
    /// Events refused.
    pub events_dropped: u64,
    /// Events refused, by reason and severity; every combination, also where it is 0.
    pub events_dropped_by: BTreeMap<(RefusedReason, Severity), u64>,
    /// Requests accepted.
    pub batches_sent: u64,
    /// Requests that failed.
    pub batches_failed: u64,
    /// Accepted requests of all requests, in percent; 100 where there were none.
    pub success_rate: f64,
    /// The mean time of a request, in milliseconds.
    pub average_latency_ms: f64,
    /// How many times a batch was sent again after a failure.
    pub retry_count: u64,
    /// Failed requests by cause: `http_<status>`, `timeout`, ….
    pub error_counts: BTreeMap<String, u64>,
    /// Events in the rings.
    pub queue_size: usize,
    /// Events in the batch that is being filled.
    pub current_batch_size: usize,
    /// How long ago the oldest event was created that has no fate yet, in a ring or on its way; zero where all have one.
    /// What lies in a ring is known to a batcher's pause, at most 10 ms.
    pub oldest_undelivered_age: Duration,
    /// Where every event is.
    pub ledger: Ledger,
    /// From an event's creation to the destination's acceptance.
    pub delivery_latency: Quantiles,
    /// One attempt to send a batch.
    pub send_latency: Quantiles,
    /// One health check.
    pub health_check_latency: Quantiles,
    /// Whether anything may be sent, since when, and why not.
    pub breaker: BreakerStatus,
    /// Bytes of batches that were taken by the destination and are not held yet.
    pub pending_bytes: usize,
    /// CPU time of the forwarder's threads.
    pub worker_cpu_time: Duration,
}

impl Books {
    /// The snapshot, given how many events wait in the rings.
    ///
    /// Fates are read before `accepted`, so that the difference is never negative in motion.
    pub(crate) fn snapshot(&self, queued: usize) -> Snapshot {
        let dropped = self.refused.counts();
        let mut refused: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (reason, _, count) in dropped.iter() {
            *refused.entry(reason.label()).or_default() += count;
        }
        let lost: BTreeMap<_, _> = LostReason::ALL
            .iter()
            .zip(&self.lost)
            .map(|(reason, counter)| (reason.label(), counter.load(Ordering::Acquire)))
            .collect();
        let lost_total: u64 = lost.values().sum();
        let delivered = self.delivered.load(Ordering::Acquire);
        let dead_lettered = self.dead_lettered.load(Ordering::Acquire);
        let handed_back = self.handed_back.load(Ordering::Acquire);
        let accepted = self.accepted.lock().iter().map(|accepted| accepted.load(Ordering::Relaxed)).sum::<u64>();
        let gaps = self.gaps.load(Ordering::Relaxed);
        let in_flight = accepted.saturating_sub(delivered + dead_lettered + lost_total + handed_back);
        let [mut delivery, mut attempt, mut check] = [histogram(), histogram(), histogram()];
        for sender in self.senders.lock().iter() {
            let sender = sender.lock();
            sender.delivery.add_all(&mut delivery);
            sender.attempt.add_all(&mut attempt);
        }
        self.checks.lock().add_all(&mut check);
        let send_latency = Quantiles::of(attempt.as_ref());
        let retries = [Operation::SendBatch, Operation::Connect, Operation::Ack].map(|again| self.retried(again));
        let current_batch_size = self.intakes.lock().iter().map(|intake| intake.open_events()).sum();
        let is_waiting = in_flight > 0 || queued > 0;
        let oldest_undelivered_age = if is_waiting { self.oldest_age(monotonic()) } else { Duration::ZERO };
        let batches_sent = self.batches_sent.load(Ordering::Relaxed);
        let error_counts: BTreeMap<String, u64> =
            self.errors.lock().iter().map(|(label, count)| (label.clone().into_owned(), *count)).collect();
        let batches_failed = error_counts.values().sum();
        Snapshot {
            events_sent: delivered,
            events_failed: dead_lettered + lost_total,
            events_dropped: dropped.total(),
            events_dropped_by: dropped.iter().map(|(reason, severity, count)| ((reason, severity), count)).collect(),
            batches_sent,
            batches_failed,
            success_rate: percent(batches_sent, batches_sent + batches_failed),
            average_latency_ms: send_latency.mean.as_secs_f64() * 1000.0,
            retry_count: retries.iter().sum(),
            error_counts,
            queue_size: queued,
            current_batch_size,
            oldest_undelivered_age,
            ledger: Ledger {
                refused,
                queued: queued as u64,
                accepted,
                gaps,
                delivered,
                dead_lettered,
                lost,
                handed_back,
                in_flight,
            },
            delivery_latency: Quantiles::of(delivery.as_ref()),
            send_latency,
            health_check_latency: Quantiles::of(check.as_ref()),
            breaker: BreakerStatus::default(),
            pending_bytes: 0,
            worker_cpu_time: self.cpu_time(),
        }
    }

    /// Events that have no fate yet, that were dead-lettered, and that were lost.
    pub(crate) fn at_stake(&self) -> [u64; 3] {
        // Fates first, as in the snapshot.
        let lost: u64 = self.lost.iter().map(|lost| lost.load(Ordering::Acquire)).sum();
        let delivered = self.delivered.load(Ordering::Acquire);
        let dead_lettered = self.dead_lettered.load(Ordering::Acquire);
        let handed_back = self.handed_back.load(Ordering::Acquire);
        let accepted: u64 = self.accepted.lock().iter().map(|accepted| accepted.load(Ordering::Relaxed)).sum();
        [accepted.saturating_sub(delivered + dead_lettered + lost + handed_back), dead_lettered, lost]
    }

    /// The age of the oldest event that may wait.
    fn oldest_age(&self, now: u64) -> Duration {
        let at_batchers = self.intakes.lock().iter().map(|intake| intake.oldest()).min();
        let oldest = at_batchers.into_iter().chain(self.ages.oldest()).min();
        Duration::from_nanos(oldest.map_or(0, |oldest| now.saturating_sub(oldest)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a percentage of counts")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}
