//! What emitting costs a caller, measured now and then: of each thread the first event, and one in 257 after it.
//!
//! A caller only leaves the time it took in a small queue; the batcher takes it out and records it.

use std::cell::Cell;

use crossbeam_queue::ArrayQueue;

use crate::event::monotonic;

/// One event in so many of a thread. A prime: of a fan-out, which pushes each event as often as it has destinations, all have
/// their turn.
const EVERY: u32 = 257;
/// Times that no batcher has taken out yet: a thread that finds no room leaves none.
const WAITING_MAX: usize = 256;

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
#[derive(Debug)]
pub(crate) struct Timings(ArrayQueue<u64>);

impl Timings {
    pub(super) fn new() -> Self {
        Self(ArrayQueue::new(WAITING_MAX))
    }

    /// Measures this event, and none of the next ones of this thread. Two looks at the clock are part of it: 12 ns each.
    pub(super) fn measure<T>(&self, emit: impl FnOnce() -> T) -> T {
        UNMEASURED.set(EVERY - 1);
        let begun = monotonic();
        let emitted = emit();
        // One without room is left out: there are enough.
        let _has_room = self.0.push(monotonic().saturating_sub(begun)).is_ok();
        emitted
    }

    /// The times since the last call.
    pub(super) fn take(&self) -> impl Iterator<Item = u64> {
        std::iter::from_fn(|| self.0.pop()).take(WAITING_MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_of_a_thread_is_measured_and_one_in_257_after_it() {
        let timings = Timings::new();
        let emit = || if count_down() > 0 { 0 } else { timings.measure(|| 1) };
        let measured =
            std::thread::scope(|scope| scope.spawn(|| (0..1_000).map(|_| emit()).collect::<Vec<_>>()).join());
        let measured: Vec<usize> =
            measured.unwrap().iter().enumerate().filter(|(_, times)| **times == 1).map(|(at, _)| at).collect();
        assert_eq!(measured, [0, 257, 514, 771]);
        assert_eq!(timings.take().count(), 4);
        assert!(timings.is_empty());
        // Where nobody takes them out, no more are left.
        (0..1_000).for_each(|_| timings.measure(|| {}));
        assert_eq!(timings.take().count(), WAITING_MAX);
    }
}
