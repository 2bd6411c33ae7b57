//! What emitting costs a caller, measured now and then: of each thread the first event, and one in 2,053 after it.
//!
//! A caller only leaves the time it took in one of a few places; the batcher takes it out and records it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::event::monotonic;

/// One event in so many of a thread: less than one in a thousand, since it takes 600 to 1,400 ns where what measures is in no
/// cache. More seldom would be no better: the fewer they are, the colder. A prime: of a fan-out, which pushes each event as often as
/// it has destinations, all have their turn.
pub(super) const EVERY: u32 = 2_053;
/// Times that no batcher has taken out yet; of more, the last ones are kept. With the count of them they fill two cache lines: a
/// caller who measures has nothing of this in its own cache, and waits for each line.
const WAITING_MAX: usize = 15;

thread_local! {
    /// How many more events of this thread are not measured. Stays 0 on a worker, so that one look tells the usual event
    /// of a usual thread.
    static UNMEASURED: Cell<u32> = const { Cell::new(0) };
}

/// Counts an event of this thread, and says how many, with this one, are only pushed before one is measured; 0 for that one.
/// Where the less severe are refused early, the number also says which event looks how full the ring is.
#[inline]
pub(super) fn count_down() -> u32 {
    let left = UNMEASURED.get();
    UNMEASURED.set(left.saturating_sub(1));
    left
}

/// The times of one gate.
#[derive(Debug, Default)]
pub(crate) struct Timings(CachePadded<Waiting>);

// Relaxed, all of it: a time is a number by itself, and one that meets another is lost to it.
#[derive(Debug, Default)]
struct Waiting {
    left: AtomicUsize,
    /// 0 where none is.
    times: [AtomicU64; WAITING_MAX],
}

impl Timings {
    /// Measures this event, and none of the next ones of this thread. Two looks at the clock are part of it: 12 ns each.
    pub(super) fn measure<T>(&self, emit: impl FnOnce() -> T) -> T {
        UNMEASURED.set(EVERY - 1);
        let begun = monotonic();
        let emitted = emit();
        let took = monotonic().saturating_sub(begun).max(1);
        let place = self.0.left.fetch_add(1, Ordering::Relaxed) % WAITING_MAX;
        if let Some(time) = self.0.times.get(place) {
            time.store(took, Ordering::Relaxed);
        }
        emitted
    }

    /// The times since the last call.
    pub(super) fn take(&self) -> impl Iterator<Item = u64> {
        let left = |time: &&AtomicU64| time.load(Ordering::Relaxed) > 0;
        self.0.times.iter().filter(left).map(|time| time.swap(0, Ordering::Relaxed))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.times.iter().all(|time| time.load(Ordering::Relaxed) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_of_a_thread_is_measured_and_one_in_2053_after_it() {
        let timings = Timings::default();
        let emit = || if count_down() > 0 { 0 } else { timings.measure(|| 1) };
        let measured =
            std::thread::scope(|scope| scope.spawn(|| (0..8_000).map(|_| emit()).collect::<Vec<_>>()).join());
        let measured: Vec<usize> =
            measured.unwrap().iter().enumerate().filter(|(_, times)| **times == 1).map(|(at, _)| at).collect();
        assert_eq!(measured, [0, 2_053, 4_106, 6_159]);
        assert_eq!(timings.take().count(), 4);
        assert!(timings.is_empty());
        // Where nobody takes them out, the last ones are left.
        (0..100).for_each(|_| timings.measure(|| {}));
        (0..WAITING_MAX).for_each(|_| timings.measure(|| std::thread::sleep(std::time::Duration::from_millis(1))));
        assert!(timings.take().all(|took| took >= 1_000_000));
        (0..1_000).for_each(|_| timings.measure(|| {}));
        assert_eq!(timings.take().count(), WAITING_MAX);
    }
}
