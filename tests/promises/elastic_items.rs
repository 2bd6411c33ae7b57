//! Elasticsearch answers event by event: who is told to wait goes again alone, whoever is stored is not sent twice, and what is
//! refused to all is refused to none of them.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails its test")]

use siem_forward::EventId;
use siem_forward::receiver::Play;

use crate::hec::{Letter, TIMEOUT, assert_balanced, builder, elastic, faults, playing, wait_for_fates};
use crate::support::{PATIENCE, send, send_one, until};

/// 200 events, of which three are poison.
fn send_some(emitter: &siem_forward::Emitter) -> Vec<EventId> {
    let mut sent = send(emitter, 60);
    sent.extend((0..3).map(|index| send_one(emitter, "poison", index)));
    sent.extend(send(emitter, 137));
    sent
}

#[test]
fn an_event_that_is_told_to_wait_goes_again_and_its_neighbours_do_not() {
    for fault in ["429:contains=poison,first=3", "503:contains=poison,first=3", "503:event=7,first=9"] {
        let (receiver, letter) = (playing(Play::Elastic, &[fault]), Letter::new());
        let forwarder = builder(elastic(receiver.url(), TIMEOUT), &letter).start().unwrap();
        let sent = send_some(&forwarder.emitter());
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(receiver.fault_hits() >= 3, "{fault}: it is never met");
        let counts = receiver.counts();
        assert_eq!((counts.conflicts, counts.unique), (0, 200), "{fault}: {counts:?}");
        assert!(letter.records().is_empty(), "{fault}: {report}");
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}

/// In one answer some are refused for good, and the others are stored, or were before.
#[test]
fn events_of_one_answer_have_fates_of_their_own() {
    let receiver = playing(Play::Elastic, &["reset_after:first=1", "400:contains=poison"]);
    let letter = Letter::new();
    let forwarder = builder(elastic(receiver.url(), TIMEOUT), &letter).senders(1).start().unwrap();
    let sent = send_some(&forwarder.emitter());
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(receiver.counts().conflicts > 0, "{:?}", receiver.counts());
    assert_eq!(letter.records().len(), 3, "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// An index that is blocked, or a credential that may not write, is told event by event, with a status of 200.
#[test]
fn what_is_refused_to_all_waits_and_blames_no_event() {
    for fault in ["403:contains=create", "401:contains=create"] {
        let (receiver, letter) = (playing(Play::Elastic, &[fault]), Letter::new());
        let forwarder = builder(elastic(receiver.url(), TIMEOUT), &letter).start().unwrap();
        let sent = send_some(&forwarder.emitter());
        assert!(receiver.wait_until(PATIENCE, |counts| counts.requests >= 5), "{:?}", receiver.counts());
        until(|| !forwarder.health().healthy);
        assert_eq!((receiver.counts().events, letter.records().len()), (0, 0), "{fault}");
        receiver.set_faults(faults(&[]));
        wait_for_fates(&forwarder, sent.len());
        let report = forwarder.drain(PATIENCE);
        assert!(letter.records().is_empty(), "{fault}: {report}");
        assert_eq!(receiver.counts().conflicts, 0);
        assert_balanced(&sent, &receiver, &letter, &report);
    }
}
