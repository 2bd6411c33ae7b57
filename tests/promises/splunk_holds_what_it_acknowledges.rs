//! Acknowledgements end to end: whatever the indexer does with them, delivered is what it has indexed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::time::Duration;

use siem_forward::{ConnectionConfig, EventId};

use crate::hec::{Letter, acknowledging, assert_acknowledged, builder, faults, ids, splunk, wait_for_fates};
use crate::menu::{Doubles, OF_ACKS, serve_patiently};
use crate::support::{PATIENCE, send};

/// T2: others took an error of the question for the delivery of everything that waited for an acknowledgement.
#[test]
fn a_question_that_fails_delivers_nothing_and_loses_nothing() {
    // Those that last, and leave the indexer the truth.
    let lasting = OF_ACKS.iter().filter(|case| case.acked == Doubles::Never && !case.amid.contains("first"));
    serve_patiently(&lasting.copied().collect::<Vec<_>>(), |case, _| {
        let receiver = acknowledging(Duration::ZERO, &[case.amid]);
        let letter = Letter::new();
        let forwarder = builder(splunk(receiver.url()).ack(true), &letter).start().unwrap();
        let sent = send(&forwarder.emitter(), 300);
        assert!(receiver.wait_until(PATIENCE, |counts| counts.indexed == 300), "{:?}", receiver.counts());
        assert!(receiver.wait_until(PATIENCE, |counts| counts.ack_requests >= 4), "{:?}", receiver.counts());
        let ledger = forwarder.metrics().ledger;
        assert_eq!((ledger.delivered, ledger.dead_lettered, ledger.in_flight), (0, 0, 300), "{ledger:?}");
        assert_eq!(receiver.unacknowledged(sent.iter().map(|id| id.as_u128())), 300, "nobody was told");

        receiver.set_faults(faults(&[]));
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(report.all_delivered(), "{report}");
        assert!(ids(&[&receiver]).values().all(|times| *times == 1), "nothing had to be sent again");
        assert_acknowledged(&sent, &receiver, &letter, &report);
    });
}

/// T5: a number that is given again, by an indexer that was restarted, belonged to a batch that others never resolved,
/// or took for indexed when its successor was.
#[test]
fn an_indexer_that_restarts_holds_every_event_in_the_end() {
    let receiver = acknowledging(Duration::from_millis(150), &[]);
    let letter = Letter::new();
    let mut connection = ConnectionConfig::default();
    connection.ack_timeout = Duration::from_secs(2);
    let forwarder = builder(splunk(receiver.url()).ack(true), &letter).connection(connection).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent: Vec<EventId> = Vec::new();
    let mut restarts = 0;
    // Until three restarts have lost something, each time with numbers that are given again at once.
    while restarts < 3 {
        let (before, lost) = (receiver.counts().events, receiver.counts().lost);
        sent.extend(send(&emitter, 200));
        assert!(receiver.wait_until(PATIENCE, |counts| counts.events >= before + 150));
        receiver.restart_indexer();
        sent.extend(send(&emitter, 200));
        restarts += u32::from(receiver.counts().lost > lost);
    }
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    let counts = receiver.counts();
    assert!(report.all_delivered(), "{report}");
    assert_eq!(report.ledger.in_flight, 0, "{report}");
    assert_eq!(receiver.missing(sent.iter().map(|id| id.as_u128())), 0, "delivered and not indexed: {counts:?}");
    assert!(counts.lost > 0 && counts.duplicated >= counts.lost, "what was lost came again: {counts:?}");
    assert_acknowledged(&sent, &receiver, &letter, &report);
}
