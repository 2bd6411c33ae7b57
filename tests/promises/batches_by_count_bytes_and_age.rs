//! A batch leaves by count, by bytes and by age, never larger than its limits; one bad event costs itself alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{self, PATIENCE, Played, Received, assert_one_fate_each, dead_letter};
use proptest::prelude::*;
use siem_forward::siem::FormatError;
use siem_forward::{
    AuditEvent, Builder, DeadLetterConfig, EventId, EventType, Forwarder, Report, Severity, Shape, Verdict,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A body as it was sent, and when.
#[derive(Debug, Clone)]
struct Sent {
    at: Instant,
    body: Vec<u8>,
    events: Vec<Vec<u8>>,
}

/// A destination that keeps the bodies, and whose wire form of an event is its user's id and nothing else.
struct Bodies {
    received: Received,
    taken: Arc<Mutex<Vec<Sent>>>,
    letter: PathBuf,
    _directory: tempfile::TempDir,
}

impl Bodies {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let letter = directory.path().join("dead.ndjson");
        Self { received: Received::default(), taken: Arc::default(), letter, _directory: directory }
    }

    /// One sender, so that batches arrive in order.
    fn builder(&self, shape: Shape) -> Builder {
        let mut played = Played::new(&self.received);
        let (received, bodies) = (self.received.clone(), Arc::clone(&self.taken));
        played.shape = shape;
        played.format_event = Box::new(|event, body| {
            let text = event.user_id().unwrap_or_default();
            body.extend_from_slice(text.as_bytes());
            match text {
                "unformattable" => Err(FormatError::new("it has no such form")),
                "panic" => panic!("half-way"),
                _ => Ok(()),
            }
        });
        played.send_batch = Box::new(move |batch| {
            let events = batch.events().map(<[u8]>::to_vec).collect();
            bodies.lock().unwrap().push(Sent { at: Instant::now(), body: batch.body().to_vec(), events });
            received.take_all(batch);
            Verdict::Accept
        });
        support::builder(played).senders(1).dead_letter(DeadLetterConfig::new(&self.letter))
    }

    fn sent(&self) -> Vec<Sent> {
        self.taken.lock().unwrap().clone()
    }

    fn counts(&self) -> Vec<usize> {
        self.sent().iter().map(|sent| sent.events.len()).collect()
    }

    fn dead(&self) -> BTreeMap<String, serde_json::Value> {
        dead_letter(&self.letter)
    }

    fn assert_one_fate_each(&self, sent: &[EventId], report: &Report) {
        assert_one_fate_each(sent, &self.received.ids(), &self.dead(), report);
    }
}

fn event(text: &str) -> AuditEvent {
    AuditEvent::builder(EventType::ToolInvoked, Severity::Low).user_id(text).build()
}

fn send(forwarder: &Forwarder, texts: &[&str]) -> Vec<EventId> {
    let emitter = forwarder.emitter();
    let send = |text: &&str| {
        let event = event(text);
        let id = event.id();
        emitter.send_timeout(event, PATIENCE).unwrap();
        id
    };
    texts.iter().map(send).collect()
}

#[test]
fn by_count() {
    let bodies = Bodies::new();
    let forwarder = bodies.builder(Shape::DEFAULT).batch_size(10).batch_timeout(HOUR).start().unwrap();
    let sent = send(&forwarder, &["x"; 25]);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 20 && metrics.current_batch_size == 5);
    assert_eq!(bodies.counts(), [10, 10], "what is full leaves, and nothing else");
    let report = forwarder.drain(PATIENCE);
    assert_eq!(bodies.counts(), [10, 10, 5]);
    bodies.assert_one_fate_each(&sent, &report);
}

#[test]
fn by_the_count_that_the_destination_takes_at_most() {
    let bodies = Bodies::new();
    let mut shape = Shape::DEFAULT;
    shape.batch_size_max = 4;
    let forwarder = bodies.builder(shape).batch_size(10).batch_timeout(HOUR).start().unwrap();
    let sent = send(&forwarder, &["x"; 10]);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(bodies.counts(), [4, 4, 2]);
    bodies.assert_one_fate_each(&sent, &report);
}

/// A lone event waits for others as long as `batch_timeout`: not shorter, and hardly longer.
#[test]
fn by_age_when_nothing_else_comes() {
    let bodies = Bodies::new();
    let timeout = Duration::from_millis(300);
    let forwarder = bodies.builder(Shape::DEFAULT).batch_timeout(timeout).start().unwrap();
    let begun = Instant::now();
    let sent = send(&forwarder, &["alone"]);
    support::wait_until(&forwarder, |metrics| metrics.events_sent == 1);
    let waited = bodies.sent()[0].at - begun;
    assert!(waited >= timeout && waited < timeout + Duration::from_millis(500), "{waited:?}");
    let report = forwarder.drain(PATIENCE);
    bodies.assert_one_fate_each(&sent, &report);
}

/// The age is that of the first event: those that follow do not hold it up.
#[test]
fn by_age_while_others_trickle_in() {
    let bodies = Bodies::new();
    let timeout = Duration::from_millis(300);
    let forwarder = bodies.builder(Shape::DEFAULT).batch_timeout(timeout).start().unwrap();
    let begun = Instant::now();
    let mut sent = Vec::new();
    while bodies.sent().is_empty() {
        sent.extend(send(&forwarder, &["drop"]));
        std::thread::sleep(Duration::from_millis(10));
        assert!(begun.elapsed() < PATIENCE, "the first event never left");
    }
    let waited = bodies.sent()[0].at - begun;
    assert!(waited >= timeout && waited < timeout + Duration::from_millis(500), "{waited:?}");
    let report = forwarder.drain(PATIENCE);
    bodies.assert_one_fate_each(&sent, &report);
}

/// T21: an event of exactly the destination's limit is delivered, wherever in a batch it stands; one byte more goes to the
/// dead letter alone.
#[test]
fn an_event_beyond_the_destinations_limit_is_dead_lettered_alone() {
    let bodies = Bodies::new();
    let mut shape = Shape::framed(b"[", b", ", b"]");
    shape.event_bytes_max = 100;
    let forwarder = bodies.builder(shape).batch_timeout(HOUR).start().unwrap();
    let (largest, too_large) = ("y".repeat(100), "z".repeat(101));
    let sent = send(&forwarder, &[&largest, &too_large, "a", &largest, &too_large, "b"]);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(bodies.sent()[0].body, format!("[{largest}, a, {largest}, b]").as_bytes());
    let dead = bodies.dead();
    assert_eq!(dead.len(), 2);
    for index in [1, 4] {
        let record = &dead[&sent[index].to_string()];
        assert_eq!(record["cause"], "too_large");
        assert_eq!(record["words"], "its wire form has 101 bytes");
        assert_eq!(record["event"]["user_id"], too_large.as_str());
        assert_eq!((&record["attempts"], &record["possible_duplicate"]), (&0.into(), &false.into()));
    }
    bodies.assert_one_fate_each(&sent, &report);
}

/// An event that has no wire form, or whose formatting panics half-way, leaves no trace in the body; its record holds the
/// event itself.
#[test]
fn an_event_that_cannot_be_formatted_is_dead_lettered_alone() {
    let bodies = Bodies::new();
    support::panic_quietly();
    let forwarder = bodies.builder(Shape::DEFAULT).batch_timeout(HOUR).start().unwrap();
    let texts = ["unformattable", "a", "panic", "b", "unformattable", "unformattable", "c", "panic"];
    let sent = send(&forwarder, &texts);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(bodies.sent().len(), 1);
    assert_eq!(bodies.sent()[0].body, b"a\nb\nc\n");
    let dead = bodies.dead();
    for (id, text) in sent.iter().zip(texts) {
        let expected = match text {
            "unformattable" => ("format", "it has no such form"),
            "panic" => ("panic", "format_event panicked"),
            _ => continue,
        };
        let record = &dead[&id.to_string()];
        assert_eq!((record["cause"].as_str(), record["words"].as_str()), (Some(expected.0), Some(expected.1)));
        assert_eq!(record["event"]["user_id"], text);
        assert_eq!(record["event"]["id"], id.to_string());
    }
    assert!(!forwarder.health().healthy, "a panic turns health red");
    bodies.assert_one_fate_each(&sent, &report);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the sizes: no body exceeds its limit, none is sent before it is full, order is kept, and nothing is lost.
    #[test]
    fn by_bytes_exactly(
        sizes in prop::collection::vec(prop_oneof![1usize..200, 900usize..1200, 1usize..3000], 1..60),
        limit in 1000usize..2500,
        theirs in prop_oneof![Just(usize::MAX), 1000usize..2500],
        count in 1usize..40,
        shape in prop_oneof![Just(Shape::DEFAULT), Just(Shape::framed(b"{\"events\":[", b",", b"]}"))],
    ) {
        let bodies = Bodies::new();
        let mut shape = shape;
        shape.batch_bytes_max = theirs;
        let forwarder =
            bodies.builder(shape).batch_bytes_max(limit).batch_size(count).batch_timeout(HOUR).start().unwrap();
        let texts: Vec<String> = sizes.iter().enumerate().map(|(index, size)| text(index, *size)).collect();
        let sent = send(&forwarder, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        let report = forwarder.drain(PATIENCE);

        let limit = limit.min(theirs);
        let around = shape.prefix.len() + shape.suffix.len();
        let (fits, too_large): (Vec<_>, Vec<_>) = texts.iter().zip(&sent).partition(|(text, _)| text.len() + around <= limit);
        let batches = bodies.sent();
        for (index, batch) in batches.iter().enumerate() {
            prop_assert!(batch.body.len() <= limit, "{} > {limit}", batch.body.len());
            let framed = [shape.prefix, &batch.events.join(shape.separator), shape.suffix].concat();
            prop_assert_eq!(&batch.body, &framed);
            if let Some(next) = batches.get(index + 1) {
                let with_next = batch.body.len() + shape.separator.len() + next.events[0].len();
                prop_assert!(batch.events.len() == count || with_next > limit, "sent before it was full");
            }
        }
        let delivered: Vec<&[u8]> = batches.iter().flat_map(|batch| batch.events.iter().map(Vec::as_slice)).collect();
        prop_assert_eq!(delivered, fits.iter().map(|(text, _)| text.as_bytes()).collect::<Vec<_>>());
        let dead = bodies.dead();
        prop_assert_eq!(dead.len(), too_large.len());
        for (_, id) in too_large {
            prop_assert_eq!(&dead[&id.to_string()]["cause"], "too_large");
        }
        bodies.assert_one_fate_each(&sent, &report);
    }
}

/// A text of this size that tells which event it is, where there is room for it.
fn text(index: usize, size: usize) -> String {
    let mut text = format!("{index:x}:");
    text.truncate(size);
    text.extend(std::iter::repeat_n('x', size - text.len()));
    text
}
