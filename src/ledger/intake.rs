//! What one batcher tells of its side: the open batch, how old what it holds may be, and what events cost their callers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::recorder::Recorder;

/// All of it is relaxed: gauges, that one thread writes.
#[derive(Debug)]
pub(crate) struct Intake {
    open_events: AtomicUsize,
    /// Nothing that the batcher or its ring holds was created before, in monotonic nanoseconds.
    oldest: AtomicU64,
    pub(super) emit: Mutex<Recorder>,
}

impl Intake {
    /// Of a batcher that starts now.
    pub(super) fn new(now: u64) -> Self {
        Self { open_events: AtomicUsize::new(0), oldest: AtomicU64::new(now), emit: Mutex::new(Recorder::new()) }
    }

    /// The batch that is being filled holds so many events, and nothing that is here was created before `oldest`.
    pub(crate) fn holds(&self, open_events: usize, oldest: u64) {
        self.open_events.store(open_events, Ordering::Relaxed);
        self.oldest.store(oldest, Ordering::Relaxed);
    }

    /// Emitting cost callers this, as was learned at `now`.
    pub(crate) fn emitted(&self, now: u64, nanos: impl Iterator<Item = u64>) {
        self.emit.lock().record(now, nanos);
    }

    pub(super) fn open_events(&self) -> usize {
        self.open_events.load(Ordering::Relaxed)
    }

    pub(super) fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::Relaxed)
    }
}
