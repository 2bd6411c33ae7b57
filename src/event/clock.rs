//! The clock: one read of the time stamp counter gives both times of an event.
//!
//! Monotonic nanoseconds count from a point of the process; the wall clock is derived from them by an anchor of each
//! thread that is taken anew every 10 ms, so that a step of the system's clock is followed within that time.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Timestamp;

/// How long an anchor holds, in nanoseconds.
const ANCHOR_NANOS: u64 = 10_000_000;

/// Both times of one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Nanoseconds since a point of this process.
    pub(crate) monotonic: u64,
    pub(crate) wall: Timestamp,
}

struct Counter {
    clock: quanta::Clock,
    start: u64,
}

static COUNTER: LazyLock<Counter> = LazyLock::new(|| {
    let clock = quanta::Clock::new();
    let start = clock.raw();
    Counter { clock, start }
});

thread_local! {
    static ANCHOR: Cell<Option<(u64, i64)>> = const { Cell::new(None) };
}

/// Monotonic nanoseconds since a point of this process.
#[inline]
pub(crate) fn monotonic() -> u64 {
    let counter = &*COUNTER;
    counter.clock.delta_as_nanos(counter.start, counter.clock.raw())
}

/// Now, by both clocks.
#[inline]
pub(crate) fn now() -> Reading {
    let monotonic = monotonic();
    let wall = ANCHOR.with(|anchor| match anchor.get() {
        Some((at, wall)) if monotonic.wrapping_sub(at) < ANCHOR_NANOS => {
            wall.saturating_add(i64::try_from(monotonic - at).unwrap_or(0))
        }
        _ => {
            let wall = wall_nanos();
            anchor.set(Some((monotonic, wall)));
            wall
        }
    });
    Reading { monotonic, wall: Timestamp::from_unix_nanos(wall) }
}

#[cold]
fn wall_nanos() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}
