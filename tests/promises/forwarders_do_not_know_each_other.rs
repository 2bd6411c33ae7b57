//! Several forwarders in one process do not know each other: what one's destination does is no other's business.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crate::support::{
    self, Hang, PATIENCE, Played, Received, assert_one_fate_each, dead_letter, drain_in_time, fill, send,
};
use siem_forward::{DeadLetterConfig, Refused, Verdict};

#[test]
fn one_hangs_one_panics_and_the_third_delivers() {
    support::panic_quietly();
    let directory = tempfile::tempdir().unwrap();
    let letter = |name: &str| directory.path().join(name);
    let hang = Hang::new();
    let nothing = Received::default();
    let mut hanging = Played::new(&nothing);
    let hook = hang.hook();
    hanging.send_batch = Box::new(move |_| {
        hook();
        Verdict::Accept
    });
    let mut panicking = Played::new(&nothing);
    panicking.send_batch = Box::new(|_| std::panic::panic_any("always"));
    let received = Received::default();
    let start = |siem, name: &str| {
        let builder = support::builder(siem).name(name).max_queue_size(1000).batch_size(50);
        builder.dead_letter(DeadLetterConfig::new(letter(name))).start().unwrap()
    };
    let (hanging, panicking) = (start(hanging, "hanging"), start(panicking, "panicking"));
    let delivering = start(Played::new(&received), "delivering");

    let mut held = fill(&hanging.emitter());
    let panicked = fill(&panicking.emitter());
    let sent = send(&delivering.emitter(), 5_000);
    held.extend(fill(&hanging.emitter()));
    let report = delivering.drain(PATIENCE);
    assert!(report.all_delivered() && delivering.health().healthy);
    assert_one_fate_each(&sent, &received.ids(), &dead_letter(&letter("delivering")), &report);

    // The end of one is not that of the others.
    assert!(matches!(delivering.emitter().try_send(event()), Err(Refused::Closed(_))));
    assert!(matches!(hanging.emitter().try_send(event()), Err(Refused::Full(_)) | Ok(())));
    drop(delivering);
    let offered = hanging.metrics().ledger;
    assert!(offered.accepted > 0 && offered.delivered == 0);
    for (forwarder, name, sent) in [(hanging, "hanging", held), (panicking, "panicking", panicked)] {
        let report = drain_in_time(&forwarder, Duration::from_millis(100));
        let dead = dead_letter(&letter(name));
        assert!(dead.values().all(|record| record["pipeline"] == name));
        assert!(sent.iter().all(|id| dead.contains_key(&id.to_string())));
        // All that it accepted, its own event of what was refused among it.
        assert!(report.ledger.balances(dead.len() as u64 - report.ledger.gaps), "{report}");
    }
}

fn event() -> siem_forward::AuditEvent {
    siem_forward::AuditEvent::builder(siem_forward::EventType::UserLogin, siem_forward::Severity::Low).build()
}
