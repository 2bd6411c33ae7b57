//! What goes over the wire, over how many connections, and how soon a connection that hangs is let go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use siem_forward::net::{Compression, HttpConfig, Resolver};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};
use siem_forward::{AuditEvent, EventId, EventType, Forwarder, Severity, Timestamp};

use crate::hec::{Letter, assert_balanced, builder, ids, receiver, splunk, wait_for_fates};
use crate::support::{Hang, PATIENCE, send, wait_until};

/// Beyond its deadline, drain may take this long.
const BEYOND: Duration = Duration::from_millis(500);

fn sample(index: u32) -> AuditEvent {
    AuditEvent::builder(EventType::ToolInvoked, Severity::ALL[index as usize % 4])
        .id(EventId::from_u128(0x0123_4567_89ab_7def_8000_0000_0000_0000 | u128::from(index)))
        .timestamp("2026-01-01T00:00:00.031983Z".parse::<Timestamp>().unwrap())
        .user_id(format!("u-{index}"))
        .user_agent("Zürich \"quoted\"\n\u{1f512}")
        .detail("amount", index)
        .build()
}

#[test]
fn gzip_and_no_compression_deliver_the_same() {
    let delivered = [Compression::None, Compression::Gzip].map(|compression| {
        let receiver = Receiver::start(ReceiverConfig { keep: Keep::Bodies, ..ReceiverConfig::default() }).unwrap();
        let letter = Letter::new();
        let splunk = splunk(receiver.url()).compression(compression);
        let forwarder = builder(splunk, &letter).start().unwrap();
        let emitter = forwarder.emitter();
        let sent: Vec<EventId> = (0..1_234)
            .map(|index| {
                let event = sample(index);
                let id = event.id();
                emitter.send_timeout(event, PATIENCE).unwrap();
                id
            })
            .collect();
        let report = forwarder.drain(PATIENCE);
        assert!(report.all_delivered(), "{report}");
        assert_balanced(&sent, &receiver, &letter, &report);
        let counts = receiver.counts();
        let is_smaller = counts.bytes * 3 < counts.bytes_inflated;
        assert_eq!(is_smaller, compression == Compression::Gzip, "{counts:?}");
        let mut events = receiver.events();
        events.sort();
        events
    });
    assert_eq!(delivered[0], delivered[1]);
}

#[test]
fn each_sender_keeps_its_one_connection() {
    let receiver = receiver(&[]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).senders(3).batch_size(10).start().unwrap();
    let sent = send(&forwarder.emitter(), 5_000);
    let report = forwarder.drain(PATIENCE);
    let counts = receiver.counts();
    assert_eq!((counts.requests, counts.connections), (500, 3), "{counts:?}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// Answers that refuse are answers: the connection is as good as before.
#[test]
fn refusals_do_not_cost_a_connection() {
    let receiver = receiver(&["503:every=2", "500:every=3", "429:retry_after=0,every=5"]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).senders(2).batch_size(20).start().unwrap();
    let sent = send(&forwarder.emitter(), 2_000);
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    let counts = receiver.counts();
    assert!(counts.requests_failed > 50, "{counts:?}");
    assert_eq!(counts.connections, 2, "{counts:?}");
    assert!(report.all_delivered(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// With a receiver that never answers, and a request timeout that is far away.
fn hanging(receiver: &Receiver, letter: &Letter) -> (Forwarder, Vec<EventId>) {
    let splunk = splunk(receiver.url()).timeout(Duration::from_secs(60));
    let forwarder = builder(splunk, letter).drain_timeout(Duration::from_millis(600)).start().unwrap();
    let sent = send(&forwarder.emitter(), 500);
    // In the middle of it: one sender has a request out, the other waits to see what becomes of that connection.
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests >= 1), "{:?}", receiver.counts());
    (forwarder, sent)
}

#[test]
fn drain_keeps_its_deadline_while_the_receiver_hangs() {
    let (receiver, letter) = (receiver(&["hang"]), Letter::new());
    let (forwarder, sent) = hanging(&receiver, &letter);
    let deadline = Duration::from_millis(700);
    let begun = Instant::now();
    let report = forwarder.drain(deadline);
    let took = begun.elapsed();
    assert!(took >= deadline && took <= deadline + BEYOND, "{took:?}");
    assert!(report.deadline_reached && report.threads_left.is_empty(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

#[test]
fn abort_ends_at_once_while_the_receiver_hangs() {
    let (receiver, letter) = (receiver(&["hang:taken"]), Letter::new());
    let (forwarder, sent) = hanging(&receiver, &letter);
    let begun = Instant::now();
    let report = forwarder.abort();
    assert!(begun.elapsed() <= BEYOND, "{:?}", begun.elapsed());
    let dead = letter.records();
    let doubtful = dead.values().filter(|record| record["possible_duplicate"] == true).count();
    assert_eq!(doubtful, ids(&[&receiver]).len(), "what was under way may have been taken, and it alone");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// A name server that does not answer holds up neither an abort nor a drain.
#[test]
fn abort_and_drain_keep_their_deadline_while_the_name_is_asked_for() {
    for deadline in [Duration::ZERO, Duration::from_millis(300)] {
        let (hang, letter) = (Hang::new(), Letter::new());
        let (hook, asked) = (hang.hook(), Arc::new(AtomicBool::new(false)));
        let mut http = HttpConfig::default();
        let seen = Arc::clone(&asked);
        http.resolver = Resolver::new(move |_, _| {
            seen.store(true, Ordering::SeqCst);
            hook();
            Err(std::io::Error::other("too late"))
        });
        let forwarder = builder(splunk("http://siem.test:8088").http(http), &letter).start().unwrap();
        let sent = send(&forwarder.emitter(), 100);
        wait_until(&forwarder, |_| asked.load(Ordering::SeqCst));
        let begun = Instant::now();
        let report = if deadline.is_zero() { forwarder.abort() } else { forwarder.drain(deadline) };
        let took = begun.elapsed();
        assert!(took <= deadline + BEYOND, "{took:?} for {deadline:?}");
        let dead = letter.records();
        assert!(sent.iter().all(|id| dead[&id.to_string()]["cause"] == "undelivered"), "{report}");
        assert_eq!(report.ledger.lost_total(), 0, "{report}");
    }
}

#[test]
fn dropping_drains_within_the_configured_deadline() {
    let (receiver, letter) = (receiver(&["hang"]), Letter::new());
    let (forwarder, sent) = hanging(&receiver, &letter);
    let begun = Instant::now();
    drop(forwarder);
    let took = begun.elapsed();
    assert!(took <= Duration::from_millis(600) + BEYOND, "{took:?}");
    assert_eq!(receiver.counts().events, 0);
    let dead = letter.records();
    assert!(sent.iter().all(|id| dead.contains_key(&id.to_string())), "{} of {}", dead.len(), sent.len());
}

#[test]
fn dropping_delivers_what_can_be_delivered() {
    let (receiver, letter) = (receiver(&["delay:ms=20"]), Letter::new());
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 777);
    drop(forwarder);
    assert_eq!(ids(&[&receiver]).len(), sent.len());
    assert!(letter.records().is_empty());
}
