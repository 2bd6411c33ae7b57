//! What is expensive once, such as the calibration of the clock, is paid by `start` and not by the first caller. Alone in
//! its process, which must not have read the clock before.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use siem_forward::{EventType, Forwarder, Severity, Verdict, siem};

use crate::apart::ran_apart;

#[test]
fn the_first_event_of_a_process_costs_no_more_than_a_few_others() {
    if ran_apart() {
        return;
    }
    // Disabled: there is no worker that could have read the clock meanwhile.
    let forwarder = Forwarder::builder(siem::from_fn("nobody", |_| Verdict::Accept)).enabled(false).start().unwrap();
    let emitter = forwarder.emitter();
    let before = cpu_time();
    emitter.event(EventType::UserLogin, Severity::Low).user_id("u-17").try_send().unwrap_err();
    let spent = cpu_time().checked_sub(before).unwrap();
    assert!(spent < Duration::from_micros(300), "{spent:?}");
}

/// Of this thread: others may take our core, and that counts for nothing.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}
