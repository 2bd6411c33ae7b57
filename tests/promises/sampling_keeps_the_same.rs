//! Sampling is decided by the id: every forwarder keeps the same events, and never leaves out a critical one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use crate::support::{self, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each};
use siem_forward::ledger::RefusedReason;
use siem_forward::policy::Sampling;
use siem_forward::{AuditEvent, EventId, EventType, Refused, Report, Severity};

const EACH: u32 = 5_000;

fn parts(low: f64, medium: f64, high: f64) -> Sampling {
    let mut sampling = Sampling::default();
    (sampling.low, sampling.medium, sampling.high) = (low, medium, high);
    sampling
}

/// What a forwarder keeps of these events, by what its destination holds.
fn kept(events: &[AuditEvent], sampling: Sampling) -> (BTreeSet<EventId>, Report) {
    let received = Received::default();
    let builder = support::builder(Played::new(&received)).max_queue_size(events.len());
    let forwarder = builder.sampling(sampling).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    for (index, event) in events.iter().enumerate() {
        // By every way in, each of which waits for nothing: there is room.
        let answer = match index % 2 {
            0 => emitter.try_send(event.clone()),
            _ => emitter.send_timeout(event.clone(), PATIENCE),
        };
        match answer {
            Ok(()) => sent.push(event.id()),
            Err(refused) => {
                assert!(matches!(refused, Refused::Sampled(_)), "{refused:?}");
                assert_eq!(refused.event().id(), event.id());
            }
        }
    }
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.gaps, 0, "what somebody wanted so is no gap");
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
    (received.ids().into_keys().collect(), report)
}

#[test]
fn two_forwarders_keep_the_same_events_about_the_asked_part_and_every_critical_one() {
    // Of version 7, which begin with their time, and of version 8, from foreign names.
    let event = |(index, severity): (u32, Severity)| {
        let event = AuditEvent::builder(EventType::UserLogin, severity);
        let event =
            if index % 2 == 0 { event } else { event.id(EventId::from_foreign(&format!("{severity}-{index}"))) };
        event.build()
    };
    let kinds = (0..EACH).flat_map(|index| Severity::ALL.map(|severity| (index, severity)));
    let events: Vec<AuditEvent> = kinds.map(event).collect();
    let sampling = parts(0.1, 0.5, 0.9);
    let (first, report) = kept(&events, sampling);
    let (second, _) = kept(&events, sampling);
    assert_eq!(first, second);
    for (severity, part) in Severity::ALL.into_iter().zip([0.1, 0.5, 0.9, 1.0]) {
        let of_it = events.iter().filter(|event| event.severity() == severity);
        let kept = of_it.filter(|event| first.contains(&event.id())).count();
        let kept = u32::try_from(kept).unwrap();
        let asked = f64::from(EACH) * part;
        // Six standard deviations.
        assert!(
            (f64::from(kept) - asked).abs() <= 6.0 * (asked * (1.0 - part)).sqrt(),
            "{severity}: {kept} for {asked}"
        );
        let told = report.metrics.events_dropped_by[&(RefusedReason::Sampled, severity)];
        assert_eq!(told, u64::from(EACH - kept), "{severity}");
    }
    let (none, _) = kept(&events, parts(0.0, 0.0, 0.0));
    let critical = events.iter().filter(|event| event.severity() == Severity::Critical).map(AuditEvent::id);
    assert_eq!(none, critical.collect::<BTreeSet<_>>(), "critical is never sampled");
    let (more, _) = kept(&events, parts(0.2, 0.6, 1.0));
    assert!(more.is_superset(&first), "a larger part keeps what a smaller one does");
}

/// What is too large by itself is sampled all the same: nobody wants it.
#[test]
fn a_sampled_event_is_sampled_whatever_else_would_refuse_it() {
    let builder = support::builder(Played::new(&Received::default())).event_bytes_max(300);
    let forwarder = builder.sampling(parts(0.0, 1.0, 1.0)).start().unwrap();
    let emitter = forwarder.emitter();
    let large = |severity| emitter.event(EventType::UserLogin, severity).user_agent("x".repeat(2_000)).try_send();
    assert!(matches!(large(Severity::Low), Err(Refused::Sampled(_))));
    assert!(matches!(large(Severity::Medium), Err(Refused::TooLarge(_))));
}
