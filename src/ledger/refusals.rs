//! Refusals, counted by reason and severity where callers are, on many threads: each refusing thread has a shard that
//! few others share.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use super::RefusedReason;
use crate::event::{Severity, Timestamp};

const SHARDS: usize = 8;
const COUNTS: usize = RefusedReason::ALL.len() * Severity::ALL.len();

/// The counters of one pipeline.
#[derive(Debug)]
pub(super) struct Refusals([CachePadded<Shard>; SHARDS]);

#[derive(Debug)]
struct Shard {
    /// Added to with Release after the times below, and read with Acquire before them: whoever sees a refusal counted
    /// sees its time as well.
    counts: [AtomicU64; COUNTS],
    /// When the first and the last gap of those since [`Refusals::take_times`] were refused, in nanoseconds of
    /// [`Timestamp`]; the wrong way round where there were none.
    first: AtomicI64,
    last: AtomicI64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let shard = |_| Shard {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            first: AtomicI64::new(i64::MAX),
            last: AtomicI64::new(i64::MIN),
        };
        Self(std::array::from_fn(|index| CachePadded::new(shard(index))))
    }

    /// The shard of this thread.
    fn shard(&self) -> Option<&Shard> {
        thread_local! {
            static SHARD: usize = {
                static NEXT: AtomicUsize = AtomicUsize::new(0);
                NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
            };
        }
        self.0.get(SHARD.with(|shard| *shard)).map(|shard| &**shard)
    }

    pub(super) fn add(&self, reason: RefusedReason, severity: Severity, at: impl FnOnce() -> Timestamp) {
        let Some(shard) = self.shard() else { return };
        if reason.leaves_gap() {
            let at = at().unix_nanos();
            // Of many in a row the first one stays: a look is cheaper than to write what is there.
            if at < shard.first.load(Ordering::Relaxed) {
                shard.first.fetch_min(at, Ordering::Relaxed);
            }
            shard.last.fetch_max(at, Ordering::Relaxed);
        }
        if let Some(counter) = shard.counts.get(index(reason, severity)) {
            counter.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn counts(&self) -> RefusedCounts {
        let mut sums = RefusedCounts::default();
        for shard in &self.0 {
            for (sum, counter) in sums.0.iter_mut().zip(&shard.counts) {
                *sum += counter.load(Ordering::Acquire);
            }
        }
        sums
    }

    /// When the first and the last gap since the last call were refused; `None` where there were none.
    pub(super) fn take_times(&self) -> Option<(Timestamp, Timestamp)> {
        let mut times = (i64::MAX, i64::MIN);
        for shard in &self.0 {
            times.0 = times.0.min(shard.first.swap(i64::MAX, Ordering::Relaxed));
            times.1 = times.1.max(shard.last.swap(i64::MIN, Ordering::Relaxed));
        }
        (times.0 <= times.1).then(|| (Timestamp::from_unix_nanos(times.0), Timestamp::from_unix_nanos(times.1)))
    }
}

fn index(reason: RefusedReason, severity: Severity) -> usize {
    reason as usize * Severity::ALL.len() + severity as usize
}

/// How many events were refused, by reason and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefusedCounts([u64; COUNTS]);

impl Default for RefusedCounts {
    fn default() -> Self {
        Self([0; COUNTS])
    }
}

impl RefusedCounts {
    /// Every combination, in the order of the documentation.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RefusedReason, Severity, u64)> {
        let kinds = RefusedReason::ALL.iter().flat_map(|reason| Severity::ALL.map(|severity| (*reason, severity)));
        kinds.zip(self.0).map(|((reason, severity), count)| (reason, severity, count))
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Only what leaves a gap.
    pub(super) fn gaps(&self) -> Self {
        let mut gaps = Self::default();
        for (kept, (reason, _, count)) in gaps.0.iter_mut().zip(self.iter()) {
            *kept = if reason.leaves_gap() { count } else { 0 };
        }
        gaps
    }

    /// What was added since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut more = *self;
        for (more, before) in more.0.iter_mut().zip(earlier.0) {
            *more = more.saturating_sub(before);
        }
        more
    }

    #[cfg(test)]
    pub(crate) fn add(&mut self, reason: RefusedReason, severity: Severity, events: u64) {
        if let Some(count) = self.0.get_mut(index(reason, severity)) {
            *count += events;
        }
    }
}
