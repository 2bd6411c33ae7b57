//! A full ring refuses, and hands the event back with the reason; nobody waits who did not ask to.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::support::{self, Hang, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, until};
use siem_forward::event::DetailValue;
use siem_forward::{AuditEvent, Builder, Emitter, EventId, EventType, Forwarder, Refused, Severity, Verdict};

/// A forwarder whose batcher has taken one event and hangs in it: from here on nothing leaves the ring.
struct Blocked {
    forwarder: Forwarder,
    hang: Hang,
    received: Received,
    sent: Vec<EventId>,
}

fn blocked(adapt: impl FnOnce(Builder) -> Builder) -> Blocked {
    let received = Received::default();
    let hang = Hang::new();
    let mut played = Played::new(&received);
    let (hook, format) = (hang.hook(), played.format_event);
    played.format_event = Box::new(move |event, body| {
        hook();
        format(event, body)
    });
    let forwarder = adapt(support::builder(played)).start().unwrap();
    let first = event_of(10);
    let sent = vec![first.id()];
    forwarder.emitter().try_send(first).unwrap();
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 1);
    Blocked { forwarder, hang, received, sent }
}

impl Blocked {
    fn offer(&mut self, event: AuditEvent) -> Result<(), Refused> {
        let id = event.id();
        self.forwarder.emitter().try_send(event).inspect(|()| self.sent.push(id))
    }

    /// Lets everything through, and compares.
    fn finish(mut self) {
        self.hang.release();
        let report = self.forwarder.drain(PATIENCE);
        assert!(report.all_delivered(), "{report}");
        assert_one_fate_each(&self.sent, &self.received.ids(), &NONE_DEAD, &report);
    }
}

/// An event of exactly so many bytes of text, more than five.
fn event_of(bytes: usize) -> AuditEvent {
    let event = AuditEvent::builder(EventType::UserLogin, Severity::High).user_agent("x".repeat(bytes - 5)).build();
    assert_eq!(event.text_bytes(), bytes);
    event
}

fn refused(forwarder: &Forwarder, reason: &str) -> u64 {
    forwarder.metrics().ledger.refused[reason]
}

#[test]
fn as_many_events_fit_as_the_queue_has_slots_and_the_next_comes_back_as_full() {
    let mut blocked = blocked(|builder| builder.max_queue_size(8));
    for _ in 0..8 {
        blocked.offer(event_of(20)).unwrap();
    }
    assert_eq!(blocked.forwarder.metrics().queue_size, 8);
    let event = event_of(20);
    let id = event.id();
    let Err(Refused::Full(back)) = blocked.offer(event) else { panic!("it is full") };
    assert_eq!((back.id(), back.user_agent()), (id, Some("x".repeat(15).as_str())));
    assert_eq!(refused(&blocked.forwarder, "full"), 1);
    let metrics = blocked.forwarder.metrics();
    assert_eq!((metrics.events_dropped, metrics.ledger.accepted, metrics.queue_size), (1, 1, 8));
    blocked.finish();
}

#[test]
fn large_events_are_bounded_by_their_bytes_and_small_ones_are_not() {
    let mut blocked = blocked(|builder| builder.queue_bytes_max(10_000));
    for _ in 0..4 {
        blocked.offer(event_of(2_400)).unwrap();
    }
    assert!(matches!(blocked.offer(event_of(2_400)), Err(Refused::Full(_))), "9,600 of 10,000 bytes are taken");
    for _ in 0..100 {
        blocked.offer(event_of(200)).unwrap();
    }
    assert_eq!(refused(&blocked.forwarder, "full"), 1);
    // What has left the ring has given its bytes back, and what was refused holds none.
    blocked.hang.release();
    support::wait_until(&blocked.forwarder, |metrics| metrics.queue_size == 0);
    let fits_again = || blocked.forwarder.emitter().try_send(event_of(9_000)).is_ok();
    until(fits_again);
    let report = blocked.forwarder.drain(PATIENCE);
    assert!(report.ledger.gaps > 0, "what was refused is told");
    let delivered = 106 + report.ledger.gaps;
    assert_eq!((report.ledger.delivered, blocked.received.len() as u64), (delivered, delivered), "{report}");
}

#[test]
fn an_event_beyond_the_limit_comes_back_as_too_large_and_one_at_the_limit_is_taken() {
    let mut blocked = blocked(|builder| builder.event_bytes_max(3_000));
    blocked.offer(event_of(3_000)).unwrap();
    let event = event_of(3_001);
    let id = event.id();
    let Err(Refused::TooLarge(back)) = blocked.offer(event) else { panic!("it is too large") };
    assert_eq!(back.id(), id);
    // Small enough for a pooled buffer, and too large all the same; and so large that it is not even copied.
    let emitter = blocked.forwarder.emitter();
    let long = "x".repeat(20 << 20);
    let excessive = emitter.event(EventType::UserLogin, Severity::Low).user_agent(&long);
    assert!(matches!(excessive.try_send(), Err(Refused::TooLarge(_))));
    let detail = emitter.event(EventType::UserLogin, Severity::Low).detail("text", DetailValue::Text(&long));
    assert!(matches!(detail.try_send(), Err(Refused::TooLarge(_))));
    let listed = emitter.event(EventType::UserLogin, Severity::Low).detail_json("list", &[&long]);
    assert!(matches!(listed.try_send(), Err(Refused::TooLarge(_))));
    assert_eq!(refused(&blocked.forwarder, "too_large"), 4);
    blocked.finish();

    let blocked_small = self::blocked(|builder| builder.event_bytes_max(256));
    let emitter = blocked_small.forwarder.emitter();
    let pooled = emitter.event(EventType::UserLogin, Severity::Low).user_agent("x".repeat(252));
    assert!(matches!(pooled.try_send(), Err(Refused::TooLarge(_))));
    blocked_small.finish();
}

#[test]
fn send_timeout_waits_for_room_and_no_longer_than_its_timeout() {
    let mut blocked = blocked(|builder| builder.max_queue_size(2));
    blocked.offer(event_of(20)).unwrap();
    blocked.offer(event_of(20)).unwrap();
    let emitter = blocked.forwarder.emitter();
    for timeout in [Duration::ZERO, Duration::from_millis(80)] {
        let begun = Instant::now();
        assert!(matches!(emitter.send_timeout(event_of(20), timeout), Err(Refused::Full(_))));
        let elapsed = begun.elapsed();
        assert!(elapsed >= timeout && elapsed < timeout + Duration::from_millis(500), "{elapsed:?} for {timeout:?}");
    }
    assert_eq!(refused(&blocked.forwarder, "full"), 2, "a wait is one refusal, however often it looked");
    // One who waits is let in as soon as there is room.
    let event = event_of(20);
    blocked.sent.push(event.id());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| emitter.send_timeout(event, PATIENCE));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        blocked.hang.release();
        waiting.join().unwrap().unwrap();
    });
    blocked.finish();
}

#[test]
fn send_timeout_waits_for_nothing_but_room() {
    let blocked = blocked(|builder| builder.event_bytes_max(1000));
    let emitter = blocked.forwarder.emitter();
    let begun = Instant::now();
    assert!(matches!(emitter.send_timeout(event_of(1001), PATIENCE), Err(Refused::TooLarge(_))));
    blocked.finish();
    assert!(matches!(emitter.send_timeout(event_of(10), PATIENCE), Err(Refused::Closed(_))));
    assert!(begun.elapsed() < PATIENCE / 2);
}

/// One who blocks by choice when the forwarder closes is told so, long before the timeout.
#[test]
fn send_timeout_notices_the_close() {
    let mut blocked = blocked(|builder| builder.max_queue_size(2));
    blocked.offer(event_of(20)).unwrap();
    blocked.offer(event_of(20)).unwrap();
    let emitter = blocked.forwarder.emitter();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| emitter.send_timeout(event_of(20), PATIENCE));
        std::thread::sleep(Duration::from_millis(20));
        blocked.forwarder.abort();
        assert!(matches!(waiting.join().unwrap(), Err(Refused::Closed(_))));
    });
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[test]
fn a_drained_forwarder_answers_closed_and_its_emitters_outlive_it() {
    let received = Received::default();
    let forwarder = support::builder(Played::new(&received)).start().unwrap();
    let emitter = forwarder.emitter();
    let sent = support::send(&emitter, 3);
    let report = forwarder.drain(PATIENCE);
    assert!(matches!(emitter.try_send(event_of(20)), Err(Refused::Closed(_))));
    assert!(matches!(emitter.try_send(event_of(2_000)), Err(Refused::Closed(_))));
    assert_eq!(refused(&forwarder, "closed"), 2);
    drop(forwarder);
    let copy = emitter.clone();
    assert!(matches!(copy.event(EventType::UserLogin, Severity::Low).try_send(), Err(Refused::Closed(_))));
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn a_disabled_forwarder_refuses_every_event_as_disabled() {
    let received = Received::default();
    let forwarder = support::builder(Played::new(&received)).enabled(false).event_bytes_max(300).start().unwrap();
    let emitter = forwarder.emitter();
    for event in [event_of(20), event_of(290), event_of(301), event_of(2_000), event_of(100_000)] {
        let id = event.id();
        let Err(Refused::Disabled(back)) = emitter.try_send(event) else { panic!("it is disabled") };
        assert_eq!(back.id(), id);
    }
    assert!(matches!(emitter.send_timeout(event_of(20), PATIENCE), Err(Refused::Disabled(_))));
    assert!(matches!(emitter.event(EventType::UserLogin, Severity::Low).try_send(), Err(Refused::Disabled(_))));
    assert_eq!(refused(&forwarder, "disabled"), 7);
    let report = forwarder.drain(PATIENCE);
    assert!(matches!(emitter.try_send(event_of(20)), Err(Refused::Disabled(_))));
    assert_one_fate_each(&[], &received.ids(), &NONE_DEAD, &report);
}

/// A destination that emits into its own forwarder, from both kinds of workers, is refused: it would feed itself for ever,
/// or wait for itself.
#[test]
fn a_worker_that_emits_is_refused_as_own_thread() {
    let received = Received::default();
    let mut played = Played::new(&received);
    let own: Arc<OnceLock<Emitter>> = Arc::default();
    let answers: Arc<Mutex<Vec<Refused>>> = Arc::default();
    let feed_back = {
        let (own, answers) = (Arc::clone(&own), Arc::clone(&answers));
        move || {
            let refused = own.get().unwrap().send_timeout(event_of(20), PATIENCE).unwrap_err();
            answers.lock().unwrap().push(refused);
        }
    };
    let (format, feed) = (played.format_event, feed_back.clone());
    played.format_event = Box::new(move |event, body| {
        feed();
        format(event, body)
    });
    let theirs = received.clone();
    played.send_batch = Box::new(move |batch| {
        feed_back();
        theirs.take_all(batch);
        Verdict::Accept
    });
    let forwarder = support::builder(played).start().unwrap();
    own.set(forwarder.emitter()).unwrap();
    let sent = support::send(&forwarder.emitter(), 3);
    let report = forwarder.drain(PATIENCE);
    let answers = answers.lock().unwrap();
    assert!(answers.len() >= 4 && answers.iter().all(|answer| matches!(answer, Refused::OwnThread(_))));
    assert_eq!(report.ledger.refused["own_thread"], answers.len() as u64);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn an_emitter_is_shared_and_its_refusal_shows_no_text() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let forwarder = support::builder(Played::new(&Received::default())).enabled(false).start().unwrap();
    let emitter = forwarder.emitter();
    is_shared(&emitter);
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).user_id("secret").build();
    let refused = emitter.try_send(event).unwrap_err();
    assert_eq!(refused.to_string(), "the forwarder is disabled");
    assert_eq!(format!("{refused:?}"), "Refused(disabled)");
    assert_eq!(refused.event().user_id(), Some("secret"));
    assert_eq!(refused.into_event().user_id(), Some("secret"));
}
