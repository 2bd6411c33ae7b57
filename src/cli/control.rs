//! How the main thread of `run` ends the feeding one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::tell;
use crate::engine::{Fanout, Report};
use crate::event::monotonic;

/// What both share.
#[derive(Debug)]
pub(crate) struct Control {
    /// No more is read.
    pub(crate) stop: Arc<AtomicBool>,
    /// Until when a line that was read may wait for room, in monotonic nanoseconds.
    room_until: AtomicU64,
    /// Until when a drain may take, in monotonic nanoseconds; 0 before it begins.
    drain_until: AtomicU64,
    pub(crate) drain_timeout: Duration,
}

impl Control {
    pub(crate) fn new(drain_timeout: Duration) -> Self {
        Self {
            stop: Arc::default(),
            room_until: AtomicU64::new(u64::MAX),
            drain_until: AtomicU64::new(0),
            drain_timeout,
        }
    }

    /// Whether a line that was read may still wait for room.
    pub(crate) fn may_wait(&self) -> bool {
        // Relaxed, as all of this: a poll later is soon enough.
        monotonic() < self.room_until.load(Ordering::Relaxed)
    }

    /// Asks to end: half of the drain's time is for what was read and waits for room, the rest for delivering.
    pub(crate) fn stop(&self) {
        if !self.stop.swap(true, Ordering::Relaxed) {
            let half = u64::try_from(self.drain_timeout.as_nanos() / 2).unwrap_or(u64::MAX);
            self.room_until.fetch_min(monotonic().saturating_add(half), Ordering::Relaxed);
            tell("ending: what was read is delivered; a second signal gives up on it");
        }
    }

    /// No more is read, and what was read need not be forwarded any more.
    pub(crate) fn stop_now(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.room_until.store(0, Ordering::Relaxed);
    }

    /// Drains, and lets others know how long that may take.
    pub(crate) fn drain(&self, fanout: &Fanout, timeout: Duration) -> Vec<Report> {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.drain_until.store(monotonic().saturating_add(nanos).max(1), Ordering::Relaxed);
        fanout.drain(timeout)
    }

    /// How long the drain may still take, once it has begun.
    pub(crate) fn draining(&self) -> Option<Duration> {
        let until = Some(self.drain_until.load(Ordering::Relaxed)).filter(|until| *until > 0)?;
        Some(Duration::from_nanos(until.saturating_sub(monotonic())))
    }
}
