//! What a service says by `tracing` is audited like any event: it arrives, or it comes back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;

use siem_forward::layer::AuditLayer;
use siem_forward::{EventId, Refused};
use tracing::{Dispatch, dispatcher, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::hec::{self, Letter, assert_balanced, splunk};
use crate::support::{PATIENCE, drain_in_time};

const THREADS: u128 = 4;
const EVENTS: u128 = 500;

fn id(thread: u128, event: u128) -> EventId {
    EventId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 | thread << 32 | event)
}

#[test]
fn every_event_of_the_target_arrives_under_its_id_or_comes_back_with_the_reason() {
    let receiver = hec::receiver(&["503:every=3"]);
    let letter = Letter::new();
    // So short a queue that some are refused.
    let forwarder = hec::builder(splunk(receiver.url()), &letter).max_queue_size(32).start().unwrap();
    let came_back = Arc::new(Mutex::new(HashSet::new()));
    let theirs = Arc::clone(&came_back);
    let layer = AuditLayer::new(forwarder.emitter()).on_refused(move |refused| {
        assert!(matches!(refused, Refused::Full(_)), "{refused:?}");
        assert!(theirs.lock().unwrap().insert(refused.event().id()), "it comes back twice");
    });
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    let audit = |thread| {
        let _request = info_span!("request", thread = %thread).entered();
        for event in 0..EVENTS {
            warn!(target: "audit", event_type = "tool_invoked", event_id = %id(thread, event), user_id = "u-17");
            warn!(target: "another", event_id = %id(thread, event + EVENTS), "not audited");
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (audit, dispatch) = (&audit, &dispatch);
            scope.spawn(move || dispatcher::with_default(dispatch, || audit(thread)));
        }
    });
    let report = drain_in_time(&forwarder, PATIENCE);
    let came_back = came_back.lock().unwrap();
    let all = (0..THREADS).flat_map(|thread| (0..EVENTS).map(move |event| id(thread, event)));
    let sent: Vec<EventId> = all.filter(|id| !came_back.contains(id)).collect();
    assert!(!came_back.is_empty() && !sent.is_empty(), "{} came back, {} did not", came_back.len(), sent.len());
    assert_eq!(report.ledger.refused["full"], came_back.len() as u64);
    assert_balanced(&sent, &receiver, &letter, &report);
}
