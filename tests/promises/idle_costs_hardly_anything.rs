//! A forwarder that has nothing to do uses less than one percent of a core. Alone in its process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use crate::apart::ran_apart;
use crate::support::{self, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, send, workers};
use siem_forward::Forwarder;

#[test]
fn an_idle_forwarder_uses_less_than_one_percent_of_a_core() {
    if ran_apart() {
        return;
    }
    let received = Received::default();
    let forwarder = Forwarder::builder(Played::new(&received)).start().unwrap();
    // Idle is what it becomes again after work, with a batch that is not full.
    let sent = send(&forwarder.emitter(), 700);
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 700);
    std::thread::sleep(Duration::from_millis(100));
    let (before, begun) = (cpu_time(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let (used, elapsed) = (cpu_time().checked_sub(before).unwrap(), begun.elapsed());
    // The promise is for optimized code; without, a wake-up costs more, and a spinning thread would cost all the same.
    let share = if cfg!(debug_assertions) { 25 } else { 100 };
    assert!(used < elapsed / share, "{used:?} in {elapsed:?}");
    let report = forwarder.drain(PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

/// Of all workers, by the system's own books.
fn cpu_time() -> Duration {
    let times = workers().into_iter().map(|(_, task)| std::fs::read_to_string(task.join("schedstat")).unwrap());
    let nanos = times.map(|times| times.split_whitespace().next().unwrap().parse::<u64>().unwrap());
    Duration::from_nanos(nanos.sum())
}
