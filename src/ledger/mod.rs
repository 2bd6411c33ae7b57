//! The books: every accepted event has exactly one fate, and the sums balance.
//!
//! ```text
//! accepted = delivered + dead_lettered + lost(reason) + handed_back + in_flight
//! ```
//!
//! `accepted` is counted by the batchers as they take events from the rings; once drained it equals the `Ok`s that the
//! callers saw, and the `audit_gap` events of our own. Fates are counted per batch. What was refused was never accepted
//! and stands apart.

mod ages;
mod busy;
mod collector;
mod family;
mod flushes;
mod intake;
mod latency;
mod measure;
mod reading;
mod recorder;
mod refusals;
mod snapshot;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use crate::event::{Severity, Timestamp, monotonic};

use ages::Ages;
pub(crate) use busy::Busy;
pub use collector::RegisterError;
pub(crate) use collector::{Collector, Source};
use flushes::Flushes;
pub(crate) use intake::Intake;
pub(crate) use latency::Latency;
pub use latency::Quantiles;
pub(crate) use reading::{Reading, Surroundings};
use recorder::Recorder;
use refusals::Refusals;
pub(crate) use refusals::RefusedCounts;
pub use snapshot::{Ledger, Snapshot};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label of metrics and JSON.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

reasons! {
    /// Why an event was handed back to its caller.
    RefusedReason {
        /// The ring was full, or the bytes of large events were.
        Full = "full",
        /// The forwarder drains or has drained.
        Closed = "closed",
        /// The process is a child forked after start: no thread of ours runs here.
        Forked = "forked",
        /// The ring had room, but none for an event of so low a severity.
        Shed = "shed",
        /// The configuration keeps only a part of such events, and this one's id is not among them.
        Sampled = "sampled",
        /// The configuration keeps such events away from this destination.
        Filtered = "filtered",
        /// The event is larger than `event_bytes_max`.
        TooLarge = "too_large",
        /// The caller is a thread of the forwarder itself.
        OwnThread = "own_thread",
        /// The forwarder is configured with `enabled = false`.
        Disabled = "disabled",
    }
}

impl RefusedReason {
    /// Whether an event that was refused for this reason is missing in the SIEM's stream by nobody's wish, so that the
    /// stream says so. Not where somebody wanted it (sampled, filtered, disabled), where the stream has ended (closed) or is
    /// another process's (forked), nor where telling would feed itself (own thread).
    pub(crate) fn leaves_gap(self) -> bool {
        matches!(self, Self::Full | Self::Shed | Self::TooLarge)
    }

    /// Whether there may be room a moment later.
    pub(crate) fn passes(self) -> bool {
        matches!(self, Self::Full | Self::Shed)
    }
}

reasons! {
    /// Why an accepted event was neither delivered nor written to the dead letter.
    LostReason {
        /// It was refused for good, or left over, and no dead letter is configured.
        NoDeadLetter = "no_dead_letter",
        /// The dead letter is full or cannot be written.
        DeadLetterFull = "dead_letter_full",
        /// A thread that hangs in a destination's code holds it.
        Abandoned = "abandoned",
        /// A mistake of ours: please report it.
        Bug = "bug",
    }
}

reasons! {
    /// Why a batch was handed over.
    FlushCause {
        /// It held `batch_size` events.
        Count = "count",
        /// It held `batch_bytes_max` bytes.
        Bytes = "bytes",
        /// Its first event had waited for `batch_timeout_seconds`.
        Age = "age",
        /// The forwarder drained.
        Drain = "drain",
    }
}

reasons! {
    /// What was tried again.
    Operation {
        /// A batch was sent again.
        SendBatch = "send_batch",
        /// Health was checked again after a check that failed.
        HealthCheck = "health_check",
        /// A connection was made again for a batch, after one did not come about.
        Connect = "connect",
        /// A batch was sent again that was taken and never acknowledged.
        Ack = "ack",
    }
}

/// The counters of one pipeline.
///
/// Fates are added with Release and read with Acquire before `accepted`: whoever sees a fate also sees the acceptance
/// that went before it, so that `in_flight` is never negative in motion. All else is relaxed: each counter stands for
/// itself, and at rest all are exact.
#[derive(Debug)]
pub(crate) struct Books {
    refused: Refusals,
    /// One counter for each batcher, which alone writes it.
    accepted: Mutex<Vec<Arc<CachePadded<AtomicU64>>>>,
    gaps: AtomicU64,
    delivered: CachePadded<AtomicU64>,
    dead_lettered: AtomicU64,
    handed_back: AtomicU64,
    lost: [AtomicU64; LostReason::ALL.len()],
    batches_sent: AtomicU64,
    retries: [AtomicU64; Operation::ALL.len()],
    errors: Mutex<BTreeMap<Cow<'static, str>, u64>>,
    senders: Mutex<Vec<Arc<Mutex<Latency>>>>,
    /// Of health checks.
    checks: Mutex<Recorder>,
    worker_cpu_nanos: Mutex<Vec<Arc<AtomicU64>>>,
    intakes: Mutex<Vec<Arc<Intake>>>,
    busy: Mutex<Vec<Arc<Busy>>>,
    flushes: Flushes,
    /// Of the batches that have left their batcher.
    pub(crate) ages: Ages,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            refused: Refusals::new(),
            accepted: Mutex::default(),
            gaps: AtomicU64::new(0),
            delivered: CachePadded::default(),
            dead_lettered: AtomicU64::new(0),
            handed_back: AtomicU64::new(0),
            lost: std::array::from_fn(|_| AtomicU64::new(0)),
            batches_sent: AtomicU64::new(0),
            retries: std::array::from_fn(|_| AtomicU64::new(0)),
            errors: Mutex::default(),
            senders: Mutex::default(),
            checks: Mutex::new(Recorder::new()),
            worker_cpu_nanos: Mutex::default(),
            intakes: Mutex::default(),
            busy: Mutex::default(),
            flushes: Flushes::new(),
            ages: Ages::default(),
        }
    }

    /// An event was handed back.
    #[cold]
    pub(crate) fn refuse(&self, reason: RefusedReason, severity: Severity, at: impl FnOnce() -> Timestamp) {
        self.refused.add(reason, severity, at);
    }

    /// How many refusals left a gap, since the start.
    pub(crate) fn gap_counts(&self) -> RefusedCounts {
        self.refused.counts().gaps()
    }

    /// When the first and the last gap since the last call were refused. Only for those that were counted before.
    pub(crate) fn take_gap_times(&self) -> Option<(Timestamp, Timestamp)> {
        self.refused.take_times()
    }

    /// An `audit_gap` event of our own was accepted.
    pub(crate) fn gap_told(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Where one batcher counts what it takes from its ring.
    pub(crate) fn batcher_accepted(&self) -> Arc<CachePadded<AtomicU64>> {
        let accepted = Arc::new(CachePadded::default());
        self.accepted.lock().push(Arc::clone(&accepted));
        accepted
    }

    pub(crate) fn deliver(&self, events: usize) {
        self.delivered.fetch_add(events as u64, Ordering::Release);
    }

    pub(crate) fn dead_letter(&self, events: usize) {
        self.dead_lettered.fetch_add(events as u64, Ordering::Release);
    }

    /// These are kept by whoever handed them in.
    pub(crate) fn hand_back(&self, events: usize) {
        self.handed_back.fetch_add(events as u64, Ordering::Release);
    }

    pub(crate) fn lose(&self, reason: LostReason, events: u64) {
        if let Some(counter) = self.lost.get(reason as usize) {
            counter.fetch_add(events, Ordering::Release);
        }
    }

    /// A request was accepted.
    pub(crate) fn batch_sent(&self) {
        self.batches_sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A request failed.
    pub(crate) fn batch_failed(&self, error_type: Cow<'static, str>) {
        *self.errors.lock().entry(error_type).or_default() += 1;
    }

    /// It is tried again after a failure.
    pub(crate) fn retry(&self, operation: Operation) {
        if let Some(counter) = self.retries.get(operation as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn retried(&self, operation: Operation) -> u64 {
        self.retries.get(operation as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// A batch of so many events was handed over.
    pub(crate) fn flushed(&self, cause: FlushCause, events: usize) {
        self.flushes.add(cause, events);
    }

    /// Where one batcher tells what it holds.
    pub(crate) fn intake(&self) -> Arc<Intake> {
        let intake = Arc::new(Intake::new(monotonic()));
        self.intakes.lock().push(Arc::clone(&intake));
        intake
    }

    /// Where one sender tells when it is busy.
    pub(crate) fn sender_busy(&self) -> Arc<Busy> {
        let busy = Arc::new(Busy::default());
        self.busy.lock().push(Arc::clone(&busy));
        busy
    }

    /// The recorder of one sender: it locks it once a batch, nobody else but a snapshot does.
    pub(crate) fn sender_latency(&self) -> Arc<Mutex<Latency>> {
        let latency = Arc::new(Mutex::new(Latency::new()));
        self.senders.lock().push(Arc::clone(&latency));
        latency
    }

    /// A health check took this long.
    pub(crate) fn checked(&self, nanos: u64) {
        self.checks.lock().record(monotonic(), std::iter::once(nanos));
    }

    /// Where one worker thread keeps its CPU time up to date, in nanoseconds.
    pub(crate) fn worker_cpu(&self) -> Arc<AtomicU64> {
        let nanos = Arc::new(AtomicU64::new(0));
        self.worker_cpu_nanos.lock().push(Arc::clone(&nanos));
        nanos
    }

    fn cpu_time(&self) -> Duration {
        let nanos = self.worker_cpu_nanos.lock().iter().map(|nanos| nanos.load(Ordering::Relaxed)).sum();
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_many_threads_are_all_counted_by_reason_and_severity() {
        let books = Books::new();
        let at = Timestamp::from_unix_nanos;
        std::thread::scope(|scope| {
            for thread in 0..10 {
                let books = &books;
                scope.spawn(move || {
                    for index in 0..100 {
                        books.refuse(RefusedReason::Full, Severity::Critical, || at(1000 + thread * 100 + index));
                        books.refuse(RefusedReason::Closed, Severity::Low, || at(0));
                    }
                });
            }
        });
        let snapshot = books.snapshot(0);
        assert_eq!(snapshot.ledger.refused["full"], 1000);
        assert_eq!(snapshot.ledger.refused["closed"], 1000);
        assert_eq!(snapshot.events_dropped, 2000);
        assert_eq!(snapshot.ledger.refused.len(), RefusedReason::ALL.len());
        let by_severity = |reason, severity| snapshot.events_dropped_by[&(reason, severity)];
        assert_eq!(by_severity(RefusedReason::Full, Severity::Critical), 1000);
        assert_eq!(by_severity(RefusedReason::Full, Severity::Low), 0);
        assert_eq!(by_severity(RefusedReason::Closed, Severity::Low), 1000);
        assert_eq!(snapshot.events_dropped_by.len(), RefusedReason::ALL.len() * Severity::ALL.len());
        // Only the full ones leave a gap, and the times are theirs.
        assert_eq!(books.gap_counts().total(), 1000);
        assert_eq!(books.take_gap_times(), Some((at(1000), at(1999))));
        assert_eq!(books.take_gap_times(), None);
    }
}
