//! How many events batches held when they were handed over, and why they were.

use std::sync::atomic::{AtomicU64, Ordering};

use super::FlushCause;

/// Batches of up to so many events are told apart.
const BOUNDS: [u64; 11] = [1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// And all that are larger.
const PLACES: usize = BOUNDS.len() + 1;

/// The counts of one pipeline, by cause.
#[derive(Debug)]
pub(super) struct Flushes([Sizes; FlushCause::ALL.len()]);

#[derive(Debug, Default)]
struct Sizes {
    /// Relaxed, as the sum: each counts for itself.
    batches: [AtomicU64; PLACES],
    events: AtomicU64,
}

/// The batches that were handed over for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flushed {
    pub(crate) cause: FlushCause,
    /// Up to so many events, how many batches held: each bound includes those below it.
    pub(crate) batches_up_to: Vec<(u64, u64)>,
    pub(crate) batches: u64,
    pub(crate) events: u64,
}

impl Flushes {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Sizes::default()))
    }

    pub(super) fn add(&self, cause: FlushCause, events: usize) {
        let Some(sizes) = self.0.get(cause as usize) else { return };
        let events = events as u64;
        let place = BOUNDS.partition_point(|bound| *bound < events);
        if let Some(batches) = sizes.batches.get(place) {
            batches.fetch_add(1, Ordering::Relaxed);
        }
        sizes.events.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> Vec<Flushed> {
        FlushCause::ALL.iter().zip(&self.0).map(|(cause, sizes)| sizes.counts(*cause)).collect()
    }
}

impl Sizes {
    fn counts(&self, cause: FlushCause) -> Flushed {
        let mut batches = 0;
        let mut up_to = self.batches.iter().map(|place| {
            batches += place.load(Ordering::Relaxed);
            batches
        });
        let batches_up_to = BOUNDS.iter().copied().zip(up_to.by_ref()).collect();
        let batches = up_to.last().unwrap_or_default();
        Flushed { cause, batches_up_to, batches, events: self.events.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_counts_below_every_bound_that_it_does_not_pass() {
        let flushes = Flushes::new();
        for events in [1, 500, 501, 20_000] {
            flushes.add(FlushCause::Bytes, events);
        }
        let counts = flushes.counts();
        assert_eq!(counts.iter().map(|flushed| flushed.cause).collect::<Vec<_>>(), FlushCause::ALL);
        let bytes = counts.iter().find(|flushed| flushed.cause == FlushCause::Bytes).unwrap();
        let up_to: Vec<u64> = bytes.batches_up_to.iter().map(|(_, batches)| *batches).collect();
        assert_eq!(up_to, [1, 1, 1, 1, 1, 1, 2, 3, 3, 3, 3]);
        assert_eq!((bytes.batches, bytes.events), (4, 21_002));
        assert!(counts.iter().all(|flushed| flushed.cause == FlushCause::Bytes || flushed.batches == 0));
    }
}
