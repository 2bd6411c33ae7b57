//! The end of a receiver: a flag that can be waited on.
//!
//! A pause of a fault ends with it at once; reads and writes end because the receiver shuts their sockets down.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(super) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(super) fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Waits for so long, if for any time at all, or until stopped; tells whether it was.
    pub(super) fn wait(&self, pause: Duration) -> bool {
        if pause.is_zero() {
            return false;
        }
        let Some(until) = Instant::now().checked_add(pause) else { return self.wait(Duration::from_secs(3600)) };
        let mut stopped = self.stopped.lock();
        while !*stopped && !self.changed.wait_until(&mut stopped, until).timed_out() {}
        *stopped
    }
}
