//! A logger that turns every warning into an audit event of the very forwarder that warns: it neither recurses nor
//! deadlocks, and emitting never logs. Alone in its process, since there is one logger in each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::apart::ran_apart;
use crate::support::{
    self, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, drain_in_time, impatient, send,
};
use log::{LevelFilter, Log, Metadata, Record};
use siem_forward::siem::FormatError;
use siem_forward::{Cause, Emitter, EventId, EventType, Forwarder, Pin, Refused, Severity, Verdict};

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

static RECURSED: AtomicBool = AtomicBool::new(false);

/// What the logger's events were answered with.
#[derive(Default)]
struct Answers {
    taken: Vec<EventId>,
    own_thread: usize,
    closed: usize,
    texts: Vec<String>,
}

struct FeedingBack {
    emitter: Mutex<Option<Emitter>>,
    answers: Mutex<Answers>,
}

static LOGGER: FeedingBack = FeedingBack {
    emitter: Mutex::new(None),
    answers: Mutex::new(Answers { taken: Vec::new(), own_thread: 0, closed: 0, texts: Vec::new() }),
};

impl Log for FeedingBack {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if LOGGING.replace(true) {
            RECURSED.store(true, Ordering::SeqCst);
        }
        let emitter = self.emitter.lock().unwrap().clone();
        if let Some(emitter) = emitter {
            let event = siem_forward::AuditEvent::builder(EventType::AuditGap, Severity::High);
            let event = event.detail("message", &record.args().to_string()).build();
            let id = event.id();
            let answer = emitter.send_timeout(event, PATIENCE);
            let mut answers = self.answers.lock().unwrap();
            answers.texts.push(record.args().to_string());
            match answer {
                Ok(()) => answers.taken.push(id),
                Err(Refused::OwnThread(_)) => answers.own_thread += 1,
                Err(Refused::Closed(_)) => answers.closed += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        LOGGING.set(false);
        // A logger that panics as well: no worker ends by it.
        assert!(!record.args().to_string().contains("http_500"), "a logger that panics");
    }

    fn flush(&self) {}
}

/// Every kind of warning that workers make: failures, refusal of us, panics of both kinds, losses, and a pinning that fails.
fn in_trouble(received: &Received) -> Forwarder {
    support::panic_quietly();
    let mut played = Played::new(received);
    let (format, accept) = (played.format_event, played.send_batch);
    played.format_event = Box::new(move |event, body| match event.tool_name() {
        Some("unformattable") => Err(FormatError::new("no")),
        Some("panic") => panic!("in format_event"),
        _ => format(event, body),
    });
    let requests = AtomicU32::new(0);
    played.send_batch = Box::new(move |batch| match requests.fetch_add(1, Ordering::Relaxed) {
        0 => Verdict::retry(Cause::http(500)),
        1 => Verdict::Halt(Cause::http(401)),
        2 => panic!("in send_batch"),
        _ => accept(batch),
    });
    let mut pin = Pin::default();
    pin.batchers = vec![9999];
    let builder = support::builder(played).batch_size(5).retry(impatient()).pin(pin);
    builder.batch_timeout(Duration::from_millis(20)).drain_timeout(PATIENCE).start().unwrap()
}

/// T12: neither from a caller's thread nor from a worker's.
#[test]
fn warnings_become_events_of_the_forwarder_that_warns_and_nothing_recurses_or_hangs() {
    if ran_apart() {
        return;
    }
    let quiet = support::builder(Played::new(&Received::default())).max_queue_size(2).start().unwrap();
    let received = Received::default();
    log::set_logger(&LOGGER).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let forwarder = in_trouble(&received);
    *LOGGER.emitter.lock().unwrap() = Some(forwarder.emitter());

    // From a caller's thread a warning becomes an event, as anybody's does.
    log::warn!("the service's own");
    let mut sent = send(&forwarder.emitter(), 100);
    for tool in ["unformattable", "panic"] {
        sent.push(support::send_one(&forwarder.emitter(), tool, 0));
    }
    // One hundred and the logger's own; two have no form, and no dead letter takes them.
    support::wait_until(&forwarder, |metrics| metrics.events_sent + metrics.events_failed >= 103);
    let report = drain_in_time(&forwarder, PATIENCE);
    sent.extend(LOGGER.answers.lock().unwrap().taken.clone());
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);

    // After the end: handed back as closed.
    log::warn!("after the end");
    drop(forwarder);
    let answers = LOGGER.answers.lock().unwrap();
    assert_eq!(answers.taken.len(), 1, "{:?}", answers.texts);
    assert_eq!(report.ledger.refused["own_thread"], answers.own_thread as u64);
    assert_eq!(answers.closed, 1, "a drop after a drain says nothing: {:?}", answers.texts);
    for expected in ["a request failed", "refuses us", "panic in send_batch", "panic in format_event", "are lost"] {
        assert!(answers.texts.iter().any(|text| text.contains(expected)), "{expected}: {:?}", answers.texts);
    }
    let different: HashSet<_> = answers.texts.iter().collect();
    assert_eq!(different.len(), answers.texts.len(), "each kind once in ten seconds: {:?}", answers.texts);
    let before = answers.texts.len();
    drop(answers);

    // Emitting logs nothing, whatever it is answered with; what was refused the batcher tells, on its own thread.
    let emitter = quiet.emitter();
    support::fill(&emitter);
    for bytes in [10, 100_000] {
        let event = emitter.event(EventType::UserLogin, Severity::Low).user_agent("x".repeat(bytes));
        drop(event.send_timeout(Duration::from_millis(1)));
    }
    let only_of_gaps = |texts: &[String]| texts.iter().skip(before).all(|text| text.contains(" since the start: "));
    assert!(only_of_gaps(&LOGGER.answers.lock().unwrap().texts));
    quiet.drain(PATIENCE);
    assert!(emitter.event(EventType::UserLogin, Severity::Low).try_send().is_err());
    let answers = LOGGER.answers.lock().unwrap();
    assert!(answers.texts.len() == before + 1 && only_of_gaps(&answers.texts), "{:?}", answers.texts);
    assert_eq!((answers.closed, answers.taken.len()), (1, 1), "it was logged by a worker, and told once");
    drop(answers);
    assert!(!RECURSED.load(Ordering::SeqCst), "emitting logs, or a warning warns");
}
