//! What was refused is told in the SIEM's own stream: one `audit_gap` for each episode, with exact counts, and it has a
//! fate as any event has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};
use siem_forward::{
    AuditEvent, DeadLetterConfig, Emitter, EventId, EventType, Forwarder, Refused, Severity, Timestamp,
};

use crate::hec::{Letter, assert_balanced, builder, faults, splunk};
use crate::support::{
    self, Hang, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, dead_letter, fill, wait_until,
};

fn event(severity: Severity) -> AuditEvent {
    AuditEvent::builder(EventType::UserLogin, severity).build()
}

/// The `audit_gap` events that a collector holds.
fn gaps_at(receiver: &Receiver) -> Vec<Value> {
    let events = receiver.events().into_iter().map(|event| serde_json::from_str(&event).unwrap());
    let events = events.map(|mut event: Value| event["event"].take());
    events.filter(|event| event["event_type"] == "audit_gap").collect()
}

/// T14, in the SIEM's own words: an outage fills the ring, what comes then is refused, and when room is back one event
/// says from when to when, how many, and which.
#[test]
fn an_outage_that_filled_the_ring_is_told_by_one_event_with_exact_counts() {
    let config = ReceiverConfig { faults: faults(&["503"]), keep: Keep::Bodies, ..ReceiverConfig::default() };
    let receiver = Receiver::start(config).unwrap();
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).name("audit-eu").max_queue_size(200).start().unwrap();
    let emitter = forwarder.emitter();
    // Until nothing has moved for two seconds: the first that is refused.
    let mut sent = Vec::new();
    let mut refused = [0; 4];
    let begun = loop {
        let next = event(Severity::Low);
        let id = next.id();
        let before = Timestamp::now();
        match emitter.send_timeout(next, Duration::from_secs(2)) {
            Ok(()) => sent.push(id),
            Err(_) => break before,
        }
    };
    refused[Severity::Low as usize] += 1;
    for (severity, events) in Severity::ALL.into_iter().zip([100, 20, 0, 3]) {
        for _ in 0..events {
            assert!(matches!(emitter.try_send(event(severity)), Err(Refused::Full(_))));
            refused[severity as usize] += 1;
        }
    }
    let too_large = AuditEvent::builder(EventType::UserLogin, Severity::High).user_agent("x".repeat(70_000)).build();
    assert!(matches!(emitter.try_send(too_large), Err(Refused::TooLarge(_))));
    let ended = Timestamp::now();
    assert_eq!(forwarder.metrics().ledger.gaps, 0, "there is no room to tell it yet");

    receiver.set_faults(Vec::new());
    wait_until(&forwarder, |metrics| metrics.events_sent == sent.len() as u64 + 1);
    let gaps = gaps_at(&receiver);
    let [gap] = &gaps[..] else { unreachable!("one gap, one event: {gaps:?}") };
    assert_eq!(gap["severity"], "critical", "as severe as the worst that is missing");
    let details = &gap["details"];
    assert_eq!((&details["pipeline"], &details["events"]), (&json!("audit-eu"), &json!(125)), "{gap}");
    let full = json!({ "low": refused[0], "medium": refused[1], "critical": refused[3] });
    assert_eq!(details["refused"], json!({ "full": full, "too_large": { "high": 1 } }), "{gap}");
    let [first, last] = ["first", "last"].map(|key| details[key].as_str().unwrap().parse::<Timestamp>().unwrap());
    assert!(begun <= first && first < last && last <= ended, "{begun} {first} {last} {ended}");
    let told = gap["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(told > ended, "told when it was over");

    // Told once: what was told is not told again at the end.
    let report = forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.gaps, gaps_at(&receiver).len()), (1, 1), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// A forwarder whose destination hangs in its first request, with the events that were taken up to there.
struct Stalled {
    forwarder: Forwarder,
    hang: Hang,
    received: Received,
    emitters: Vec<Emitter>,
    sent: Vec<EventId>,
}

/// With batches of one: one is being sent, one lies in the hand-over, and each batcher waits with another.
fn stalled(batchers: usize, letter: Option<&std::path::Path>) -> Stalled {
    let received = Received::default();
    let hang = Hang::new();
    let mut played = Played::new(&received);
    let (hook, send_batch) = (hang.hook(), played.send_batch);
    played.send_batch = Box::new(move |batch| {
        hook();
        send_batch(batch)
    });
    let mut builder = support::builder(played).senders(1).batch_size(1).batchers(batchers).max_queue_size(8 * batchers);
    if let Some(path) = letter {
        builder = builder.dead_letter(DeadLetterConfig::new(path));
    }
    let forwarder = builder.start().unwrap();
    let emitters: Vec<Emitter> = (0..batchers).map(|_| forwarder.emitter()).collect();
    let sent = emitters.iter().flat_map(|emitter| support::send(emitter, 3)).collect();
    wait_until(&forwarder, |metrics| metrics.ledger.accepted == 2 + batchers as u64);
    Stalled { forwarder, hang, received, emitters, sent }
}

impl Stalled {
    /// Fills every ring; one event more in each is refused.
    fn fill(&mut self) {
        self.sent.extend(self.emitters.iter().flat_map(fill));
    }
}

#[test]
fn of_several_batchers_one_tells_what_all_rings_refused() {
    let mut stalled = stalled(3, None);
    stalled.fill();
    stalled.hang.release();
    wait_until(&stalled.forwarder, |metrics| metrics.ledger.gaps == 1);
    let report = stalled.forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.gaps, report.ledger.refused["full"]), (1, 3), "{report}");
    assert_one_fate_each(&stalled.sent, &stalled.received.ids(), &NONE_DEAD, &report);
}

/// A drain does not wait for the end of an episode: what is not told yet is told as the last event of the stream.
#[test]
fn a_drain_tells_what_was_not_told_yet() {
    for batchers in [1, 3] {
        let mut stalled = stalled(batchers, None);
        stalled.fill();
        let refused = AtomicU64::new(batchers as u64);
        let report = std::thread::scope(|scope| {
            let drain = scope.spawn(|| stalled.forwarder.drain(PATIENCE));
            support::until(|| match stalled.emitters[0].try_send(event(Severity::Low)) {
                Err(Refused::Closed(_)) => true,
                answer => {
                    assert!(matches!(answer, Err(Refused::Full(_))));
                    refused.fetch_add(1, Ordering::Relaxed);
                    false
                }
            });
            stalled.hang.release();
            drain.join().unwrap()
        });
        assert_eq!((report.ledger.gaps, report.ledger.refused["full"]), (1, refused.into_inner()), "{report}");
        assert!(report.all_delivered(), "{report}");
        assert_one_fate_each(&stalled.sent, &stalled.received.ids(), &NONE_DEAD, &report);
    }
}

/// What an abort leaves in the dead letter includes the gap: whoever replays it tells the SIEM.
#[test]
fn an_abort_writes_the_gap_down_with_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let mut stalled = stalled(1, Some(&path));
    stalled.fill();
    let report = stalled.forwarder.abort();
    let dead = dead_letter(&path);
    let gaps: Vec<&Value> = dead.values().filter(|record| record["wire"]["event_type"] == "audit_gap").collect();
    assert_eq!((gaps.len(), report.ledger.gaps), (1, 1), "{report}");
    assert_eq!(gaps[0]["wire"]["details"]["refused"], json!({ "full": { "low": 1 } }));
    stalled.hang.release();
    assert_one_fate_each(&stalled.sent, &stalled.received.ids(), &dead, &report);
}

/// A pipeline's name may be as long as it likes: the gap's own event is not bounded by what callers may hold.
#[test]
fn a_gap_with_a_long_name_is_told_and_holds_no_bytes_afterwards() {
    let received = Received::default();
    let forwarder = support::builder(Played::new(&received))
        .name("n".repeat(10_000))
        .queue_bytes_max(5_000)
        .event_bytes_max(4_000)
        .start()
        .unwrap();
    let emitter = forwarder.emitter();
    let large = |bytes: usize| AuditEvent::builder(EventType::UserLogin, Severity::Low).user_agent("x".repeat(bytes));
    assert!(matches!(emitter.try_send(large(4_100).build()), Err(Refused::TooLarge(_))));
    wait_until(&forwarder, |metrics| metrics.ledger.gaps == 1 && metrics.queue_size == 0);
    // Had its bytes been given back without being taken, this would find room for any number.
    let mut hang = Vec::new();
    for _ in 0..10 {
        let event = large(3_000).build();
        hang.push(event.id());
        emitter.send_timeout(event, PATIENCE).unwrap();
    }
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_one_fate_each(&hang, &received.ids(), &NONE_DEAD, &report);
}
