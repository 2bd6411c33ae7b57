//! Events at a fixed pace, each due at a time of its own whatever became of those before it.
//!
//! Up to a fifth of the pause later, at random: where they kept step with the system's timer, which ticks each millisecond on
//! many a machine, it would interrupt either none of a round's calls or one in ten, as it happens.

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// When the next event is due.
pub(crate) struct Pace {
    due: Instant,
    pause: Duration,
    yields: bool,
    random: fastrand::Rng,
}

impl Pace {
    /// One event each `pause`, the first of them `offset` from now.
    ///
    /// Waits by spinning: a sleep would cool the caches, and return late. Where more threads wait than there are cores,
    /// `yields`.
    pub(crate) fn new(pause: Duration, offset: Duration, yields: bool) -> Self {
        // The same delays in each run, and of no two threads.
        let seed = u64::try_from(offset.as_nanos()).unwrap_or_default();
        Self { due: Instant::now() + offset, pause, yields, random: fastrand::Rng::with_seed(seed) }
    }

    /// Waits for the next one.
    pub(crate) fn wait(&mut self) {
        let due = self.due + self.pause.mul_f64(self.random.f64() / 5.0);
        while Instant::now() < due {
            if self.yields { thread::yield_now() } else { spin_loop() }
        }
        self.due += self.pause;
    }
}
