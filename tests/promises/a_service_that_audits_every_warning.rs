//! A service that makes audit events of all that anybody logs, the forwarder's own warnings too, and audits that one was
//! refused: nothing goes round. Alone in its process, since there is one logger in each, and one subscriber.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::apart::ran_apart;
use crate::support::{
    self, NONE_DEAD, PATIENCE, Received, assert_one_fate_each, drain_in_time, impatient, scripted, send,
};
use log::{LevelFilter, Log, Metadata, Record};
use siem_forward::layer::AuditLayer;
use siem_forward::{Cause, Verdict};
use tracing_subscriber::layer::SubscriberExt as _;

/// Hands everything on to `tracing`, in the audit's own target.
struct Bridge;

static WARNINGS: AtomicU64 = AtomicU64::new(0);
static TOLD: AtomicU64 = AtomicU64::new(0);

impl Log for Bridge {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().starts_with("siem_forward") {
            WARNINGS.fetch_add(1, Ordering::SeqCst);
        }
        tracing::warn!(target: "audit", "{}", record.args());
    }

    fn flush(&self) {}
}

/// T12, by way of `tracing`.
#[test]
fn our_own_warnings_become_no_events_and_a_refusal_that_is_audited_does_not_recurse() {
    if ran_apart() {
        return;
    }
    let received = Received::default();
    let requests = AtomicU32::new(0);
    let theirs = received.clone();
    let siem = scripted(&received, move |batch| match requests.fetch_add(1, Ordering::Relaxed) {
        0 => Verdict::retry(Cause::http(500)),
        1 => Verdict::Halt(Cause::http(401)),
        _ => {
            // A destination that audits by itself: on a thread of the forwarder.
            tracing::info!(target: "audit", "sent");
            theirs.take_all(batch);
            Verdict::Accept
        }
    });
    let forwarder = support::builder(siem).batch_size(5).retry(impatient()).start().unwrap();
    let layer = AuditLayer::new(forwarder.emitter()).on_refused(|_| {
        TOLD.fetch_add(1, Ordering::SeqCst);
        // Refused as well, on this thread or any other that is the forwarder's.
        tracing::error!(target: "audit", "an event was not audited");
    });
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    log::set_logger(&Bridge).unwrap();
    log::set_max_level(LevelFilter::Trace);

    let sent = send(&forwarder.emitter(), 100);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 100);
    let report = drain_in_time(&forwarder, PATIENCE);
    // No warning became an event: the receiver holds what was sent, and at most a gap told.
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
    // Each was refused once, told once, and what was said of that was refused and not told.
    let (warnings, told) = (WARNINGS.load(Ordering::SeqCst), TOLD.load(Ordering::SeqCst));
    assert!(warnings >= 2, "{warnings}");
    assert!(told > warnings, "the destination's own were refused as well: {told}");
    assert_eq!(report.ledger.refused["own_thread"], 2 * told);

    // After the end the same is so on the service's own thread.
    tracing::info!(target: "audit", "too late");
    assert_eq!(TOLD.load(Ordering::SeqCst), told + 1);
    assert_eq!(forwarder.metrics().ledger.refused["closed"], 2);
}
