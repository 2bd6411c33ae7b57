//! `wait_strategy`: what a batcher does while no event comes.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails its test")]

use std::time::Duration;

use siem_forward::policy::WaitStrategy;
use siem_forward::{EventType, Forwarder, Severity, Verdict, siem};

use crate::support::wait_until;

fn forwarder(strategy: WaitStrategy) -> Forwarder {
    let accepts = siem::from_fn("accepts", |_| Verdict::Accept);
    Forwarder::builder(accepts).wait_strategy(strategy).batch_size(1).start().unwrap()
}

/// CPU time of the threads so far, which they tell with the next event.
fn cpu(forwarder: &Forwarder) -> Duration {
    let before = forwarder.metrics().events_sent;
    forwarder.emitter().event(EventType::UserLogin, Severity::Low).try_send().unwrap();
    wait_until(forwarder, |metrics| metrics.events_sent > before);
    forwarder.metrics().worker_cpu_time
}

#[test]
fn a_batcher_that_spins_uses_its_core_and_one_that_sleeps_does_not() {
    let (spinning, sleeping) = (forwarder(WaitStrategy::BusySpin), forwarder(WaitStrategy::Sleeping));
    let (spun, slept) = (cpu(&spinning), cpu(&sleeping));
    // Both have the same time for it, however little the machine gives them.
    let used = |forwarder: &Forwarder, before: Duration| cpu(forwarder).saturating_sub(before);
    wait_until(&spinning, |_| used(&spinning, spun) > 2 * used(&sleeping, slept) + Duration::from_millis(100));
    for forwarder in [spinning, sleeping] {
        let report = forwarder.drain(Duration::from_secs(10));
        assert!(report.all_delivered() && report.ledger.accepted >= 2, "{report}");
    }
}
