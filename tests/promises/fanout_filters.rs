//! A fan-out of filters: each destination gets what its own filter lets pass, whatever the others' say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::collections::HashMap;

use proptest::prelude::*;
use siem_forward::policy::Filter;
use siem_forward::{AuditEvent, EventId, EventType, Fanout, Severity};

use crate::support::{self, PATIENCE, Played, Received};

const TYPES: [&str; 4] = ["user_login", "tool_invoked", "payment_made", "payment_undone"];
const DECISIONS: [&str; 3] = ["allow", "deny", "defer"];

prop_compose! {
    fn filters()(
        severity in 0usize..4,
        types in proptest::option::of(proptest::collection::vec(0usize..4, 1..4)),
        decisions in proptest::option::of(proptest::collection::vec(0usize..3, 1..3)),
    ) -> Filter {
        let mut filter = Filter::default().severity_min(Severity::ALL[severity]);
        if let Some(types) = types {
            filter = filter.event_types(types.iter().map(|of| EventType::custom(TYPES[*of]).unwrap()));
        }
        if let Some(decisions) = decisions {
            filter = filter.decisions(decisions.iter().map(|of| DECISIONS[*of]));
        }
        filter
    }
}

prop_compose! {
    fn events()(
        severity in 0usize..4, event_type in 0usize..4, decision in proptest::option::of(0usize..3),
    ) -> AuditEvent {
        let event = AuditEvent::builder(EventType::custom(TYPES[event_type]).unwrap(), Severity::ALL[severity]);
        match decision {
            Some(decision) => event.decision(DECISIONS[decision]).build(),
            None => event.build(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// An event arrives at a destination exactly where its filter says so, whatever the others' filters say.
    #[test]
    fn an_event_arrives_where_the_filter_lets_it_pass_and_nowhere_else(
        filters in proptest::collection::vec(filters(), 1..5),
        events in proptest::collection::vec(events(), 1..60),
    ) {
        let destinations = filters.iter().enumerate().map(|(number, filter)| {
            let received = Received::default();
            let builder = support::builder(Played::new(&received)).name(number.to_string()).filter(filter.clone());
            (builder.start().unwrap(), received)
        });
        let (forwarders, received): (Vec<_>, Vec<_>) = destinations.unzip();
        let fanout = Fanout::new(forwarders).unwrap();
        let emitter = fanout.emitter();
        for event in &events {
            emitter.try_send(event.clone()).unwrap();
        }
        let reports = fanout.drain(PATIENCE);
        for ((filter, received), report) in filters.iter().zip(&received).zip(&reports) {
            let expected: Vec<EventId> = events.iter().filter(|event| filter.takes(event)).map(AuditEvent::id).collect();
            let once: HashMap<EventId, u32> = expected.iter().map(|id| (*id, 1)).collect();
            prop_assert_eq!(received.ids(), once);
            prop_assert_eq!(report.ledger.refused["filtered"], (events.len() - expected.len()) as u64);
            prop_assert!(report.ledger.balances(expected.len() as u64));
        }
    }
}
