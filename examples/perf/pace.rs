//! Events at a fixed pace, each due at a time of its own whatever became of those before it.

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// When the next event is due.
pub(crate) struct Pace {
    due: Instant,
    pause: Duration,
    yields: bool,
}

impl Pace {
    /// One event each `pause`, the first of them `offset` from now.
    ///
    /// Waits by spinning: a sleep would cool the caches, and return late. Where more threads wait than there are cores,
    /// `yields`.
    pub(crate) fn new(pause: Duration, offset: Duration, yields: bool) -> Self {
        Self { due: Instant::now() + offset, pause, yields }
    }

    /// Waits for the next one.
    pub(crate) fn wait(&mut self) {
        while Instant::now() < self.due {
            if self.yields { thread::yield_now() } else { spin_loop() }
        }
        self.due += self.pause;
    }
}
