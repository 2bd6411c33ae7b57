//! The books at the moment of a scrape, and what stands around them: all that the families show.

#[cfg(feature = "cli")]
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(feature = "cli")]
use hdrhistogram::Histogram;

use super::flushes::Flushed;
use super::latency::Latencies;
#[cfg(feature = "cli")]
use super::recorder::histogram;
use super::{Books, Operation, Snapshot};
use crate::event::monotonic;
use crate::net::Traffic;
use crate::policy::BreakerStatus;

/// What the books do not know of themselves.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Events in the rings.
    pub(crate) queued: usize,
    /// As many find room there.
    pub(crate) queue_capacity: usize,
    pub(crate) breaker: BreakerStatus,
    pub(crate) pending_bytes: usize,
    pub(crate) healthy: bool,
    /// `None` where the destination does not count it.
    pub(crate) traffic: Option<Traffic>,
}

/// One look at a pipeline.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(super) snapshot: Snapshot,
    pub(super) around: Surroundings,
    pub(super) traffic: Traffic,
    pub(super) latencies: Latencies,
    pub(super) retries: Vec<(Operation, u64)>,
    pub(super) flushed: Vec<Flushed>,
    pub(super) senders: usize,
    pub(super) senders_busy: Duration,
}

impl Books {
    /// All of it, now.
    pub(crate) fn reading(&self, around: Surroundings) -> Reading {
        let snapshot = self.snapshot(around.queued);
        let now = monotonic();
        let senders = self.busy.lock();
        Reading {
            snapshot,
            traffic: around.traffic.clone().unwrap_or_default(),
            around,
            latencies: self.latencies(now),
            retries: Operation::ALL.iter().map(|operation| (*operation, self.retried(*operation))).collect(),
            flushed: self.flushes.counts(),
            senders: senders.len(),
            senders_busy: Duration::from_nanos(senders.iter().map(|busy| busy.nanos(now)).sum()),
        }
    }

    /// How many events were delivered so far: one look at one counter.
    #[cfg(feature = "cli")]
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// How long deliveries took so far, in nanoseconds; none where the histogram could not be made.
    #[cfg(feature = "cli")]
    pub(crate) fn deliveries(&self) -> Option<Histogram<u64>> {
        let mut all = histogram();
        for sender in self.senders.lock().iter() {
            sender.lock().delivery.add_all(&mut all);
        }
        all
    }

    fn latencies(&self, now: u64) -> Latencies {
        let mut all = Latencies::new();
        for sender in self.senders.lock().iter() {
            let sender = sender.lock();
            sender.delivery.add_all(&mut all.delivery);
            sender.delivery.add_last_minute(now, &mut all.delivery_last_minute);
            sender.attempt.add_all(&mut all.attempt);
        }
        self.checks.lock().add_all(&mut all.check);
        for intake in self.intakes.lock().iter() {
            let emit = intake.emit.lock();
            emit.add_all(&mut all.emit);
            emit.add_last_minute(now, &mut all.emit_last_minute);
        }
        all
    }
}
