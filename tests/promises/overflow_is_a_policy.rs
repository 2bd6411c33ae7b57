//! Who finds no room comes back, waits, or makes room for the more severe: as the configuration says, and not otherwise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::support::{self, Hang, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, wait_until};
use siem_forward::ledger::RefusedReason;
use siem_forward::policy::{Overflow, Sampling, Shed};
use siem_forward::{
    AuditEvent, Builder, Emitter, EventId, EventType, Forwarder, Refused, Severity, StartError, Verdict,
};

/// A forwarder whose destination hangs in its first request, and behind it everything up to the ring: from here on
/// nothing leaves that.
struct Stalled {
    forwarder: Forwarder,
    hang: Hang,
    received: Received,
    sent: Mutex<Vec<EventId>>,
}

fn stalled(adapt: impl FnOnce(Builder) -> Builder) -> Stalled {
    let received = Received::default();
    let hang = Hang::new();
    let mut played = Played::new(&received);
    let (hook, send_batch) = (hang.hook(), played.send_batch);
    played.send_batch = Box::new(move |batch| {
        hook();
        send_batch(batch)
    });
    let forwarder = adapt(support::builder(played).senders(1).batch_size(10)).start().unwrap();
    // One batch is being sent, one lies in the hand-over, and the batcher waits with the third.
    let sent = support::send(&forwarder.emitter(), 30);
    wait_until(&forwarder, |metrics| metrics.ledger.accepted == 30);
    Stalled { forwarder, hang, received, sent: Mutex::new(sent) }
}

impl Stalled {
    fn offer(&self, emitter: &Emitter, event: AuditEvent) -> Result<(), Refused> {
        let id = event.id();
        emitter.try_send(event).inspect(|()| self.sent.lock().unwrap().push(id))
    }

    fn finish(mut self) {
        self.hang.release();
        let report = self.forwarder.drain(PATIENCE);
        assert!(report.all_delivered(), "{report}");
        assert_one_fate_each(&self.sent.lock().unwrap(), &self.received.ids(), &NONE_DEAD, &report);
    }
}

fn event(severity: Severity) -> AuditEvent {
    AuditEvent::builder(EventType::ToolInvoked, severity).build()
}

fn block(timeout: Duration) -> Overflow {
    Overflow::Block { timeout }
}

/// Low first, then medium, then high are refused while the more severe are still taken; critical is taken until the last
/// slot is. Four threads at a time.
#[test]
fn critical_finds_room_while_low_then_medium_then_high_are_refused() {
    const THREADS: u32 = 4;
    let stalled = stalled(|builder| builder.max_queue_size(1000).overflow(Overflow::ShedBySeverity(Shed::default())));
    let refused = [(); 4].map(|()| AtomicU64::new(0));
    // What of the ring is filled when events of this severity are refused.
    for (severity, limit) in Severity::ALL.into_iter().zip([500, 750, 900, 1000]) {
        let start = Barrier::new(THREADS as usize);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let emitter = stalled.forwarder.emitter();
                    start.wait();
                    let mut is_taken = true;
                    while is_taken {
                        for less in Severity::ALL.into_iter().take_while(|less| *less < severity) {
                            let answer = stalled.offer(&emitter, event(less));
                            assert!(matches!(answer, Err(Refused::Shed(_))), "{less} while {severity} is taken");
                            refused[less as usize].fetch_add(1, Ordering::Relaxed);
                        }
                        is_taken = match stalled.offer(&emitter, event(severity)) {
                            Ok(()) => true,
                            Err(Refused::Full(_)) if severity == Severity::Critical => false,
                            Err(Refused::Shed(back)) if severity != Severity::Critical => {
                                assert_eq!(back.severity(), severity);
                                false
                            }
                            Err(other) => panic!("{severity}: {other:?}"),
                        };
                    }
                    refused[severity as usize].fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        let queued = stalled.forwarder.metrics().ledger.queued;
        // Threads that look at the same moment pass a limit by one each, and no further; the ring's end nobody passes.
        let beyond = if severity == Severity::Critical { 0 } else { u64::from(THREADS) - 1 };
        assert!((limit..=limit + beyond).contains(&queued), "{severity} is refused from {queued} on");
    }
    let metrics = stalled.forwarder.metrics();
    for severity in Severity::ALL {
        let reason = if severity == Severity::Critical { RefusedReason::Full } else { RefusedReason::Shed };
        let ours = refused[severity as usize].load(Ordering::Relaxed);
        assert!(
            ours >= u64::from(THREADS) && metrics.events_dropped_by[&(reason, severity)] == ours,
            "{severity}: {metrics:?}"
        );
    }
    stalled.finish();
}

/// The bytes of large events are kept for the more severe as the slots are.
#[test]
fn a_large_critical_event_finds_room_while_large_ones_that_are_less_severe_are_refused() {
    let stalled =
        stalled(|builder| builder.queue_bytes_max(100_000).overflow(Overflow::ShedBySeverity(Shed::default())));
    let emitter = stalled.forwarder.emitter();
    let large = |severity| AuditEvent::builder(EventType::ToolInvoked, severity).user_agent("x".repeat(8_000)).build();
    let taken = Severity::ALL.map(|severity| {
        let mut taken = 0;
        loop {
            match stalled.offer(&emitter, large(severity)) {
                Ok(()) => taken += 1,
                Err(Refused::Shed(_)) if severity != Severity::Critical => return taken,
                Err(Refused::Full(_)) if severity == Severity::Critical => return taken,
                Err(other) => panic!("{severity}: {other:?}"),
            }
        }
    });
    assert!(taken.iter().all(|taken| *taken > 0), "{taken:?}");
    assert!(stalled.offer(&emitter, event(Severity::Low)).is_ok(), "small ones are not bounded by their bytes");
    stalled.finish();
}

/// One that waits by its own choice is let in when its part of the ring has room again.
#[test]
fn send_timeout_waits_for_room_below_the_limit_of_its_severity() {
    let mut stalled = stalled(|builder| builder.max_queue_size(10).overflow(Overflow::ShedBySeverity(Shed::default())));
    let emitter = stalled.forwarder.emitter();
    for _ in 0..5 {
        stalled.offer(&emitter, event(Severity::Low)).unwrap();
    }
    let begun = Instant::now();
    let timeout = Duration::from_millis(50);
    assert!(matches!(emitter.send_timeout(event(Severity::Low), timeout), Err(Refused::Shed(_))));
    assert!(begun.elapsed() >= timeout);
    let waiting = event(Severity::Low);
    stalled.sent.lock().unwrap().push(waiting.id());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| emitter.send_timeout(waiting, PATIENCE));
        stalled.hang.release();
        waiting.join().unwrap().unwrap();
    });
    stalled.finish();
}

#[test]
fn a_closed_forwarder_that_sheds_answers_closed() {
    let forwarder = support::builder(Played::new(&Received::default()))
        .overflow(Overflow::ShedBySeverity(Shed::default()))
        .start()
        .unwrap();
    let emitter = forwarder.emitter();
    forwarder.drain(PATIENCE);
    for severity in Severity::ALL {
        assert!(matches!(emitter.try_send(event(severity)), Err(Refused::Closed(_))));
    }
}

#[test]
fn block_waits_until_there_is_room() {
    let mut stalled = stalled(|builder| builder.max_queue_size(2).overflow(block(PATIENCE)));
    let emitter = stalled.forwarder.emitter();
    stalled.offer(&emitter, event(Severity::Low)).unwrap();
    stalled.offer(&emitter, event(Severity::Low)).unwrap();
    let waits = [event(Severity::Low), event(Severity::Critical)];
    stalled.sent.lock().unwrap().extend(waits.iter().map(AuditEvent::id));
    std::thread::scope(|scope| {
        let waiting = waits.map(|event| scope.spawn(|| emitter.try_send(event)));
        let begun = Instant::now();
        // The caller's own deadline counts, where there is one.
        assert!(matches!(emitter.send_timeout(event(Severity::Low), Duration::ZERO), Err(Refused::Full(_))));
        assert!(begun.elapsed() < PATIENCE / 2);
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        stalled.hang.release();
        for waiting in waiting {
            waiting.join().unwrap().unwrap();
        }
    });
    stalled.finish();
}

#[test]
fn block_waits_no_longer_than_its_timeout_and_that_is_one_refusal() {
    let timeout = Duration::from_millis(80);
    let stalled = stalled(|builder| builder.max_queue_size(2).overflow(block(timeout)));
    let emitter = stalled.forwarder.emitter();
    stalled.offer(&emitter, event(Severity::Low)).unwrap();
    stalled.offer(&emitter, event(Severity::Low)).unwrap();
    for is_built in [false, true] {
        let begun = Instant::now();
        let answer = if is_built {
            emitter.event(EventType::UserLogin, Severity::Critical).try_send()
        } else {
            emitter.try_send(event(Severity::Critical))
        };
        assert!(matches!(answer, Err(Refused::Full(_))));
        let elapsed = begun.elapsed();
        assert!(elapsed >= timeout && elapsed < timeout + Duration::from_secs(2), "{elapsed:?}");
    }
    assert_eq!(stalled.forwarder.metrics().ledger.refused["full"], 2);
    stalled.finish();
}

#[test]
fn block_ends_when_the_forwarder_closes() {
    let stalled = stalled(|builder| builder.max_queue_size(2).overflow(block(PATIENCE)));
    let emitter = stalled.forwarder.emitter();
    stalled.offer(&emitter, event(Severity::Low)).unwrap();
    stalled.offer(&emitter, event(Severity::Low)).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| emitter.try_send(event(Severity::Low)));
        stalled.forwarder.abort();
        assert!(matches!(waiting.join().unwrap(), Err(Refused::Closed(_))));
    });
    assert!(begun.elapsed() < PATIENCE / 2);
}

/// A destination that emits into its own full forwarder would wait for itself.
#[test]
fn block_never_blocks_a_thread_of_the_forwarder_itself() {
    let received = Received::default();
    let own: Arc<OnceLock<Emitter>> = Arc::default();
    let (theirs, answer) = (Arc::clone(&own), Arc::new(OnceLock::new()));
    let (mut hang, told) = (Hang::new(), Arc::clone(&answer));
    let hook = hang.hook();
    let mut played = Played::new(&received);
    let accept = played.send_batch;
    played.send_batch = Box::new(move |batch| -> Verdict {
        hook();
        let begun = Instant::now();
        let refused = theirs.get().unwrap().try_send(event(Severity::Critical)).unwrap_err();
        // Of the requests the first one's answer will do.
        told.get_or_init(|| (refused.reason(), begun.elapsed()));
        accept(batch)
    });
    let builder = support::builder(played).senders(1).batch_size(1).max_queue_size(2);
    let forwarder = builder.overflow(block(PATIENCE)).start().unwrap();
    own.set(forwarder.emitter()).unwrap();
    let sent = support::send(&forwarder.emitter(), 5);
    hang.release();
    let report = forwarder.drain(PATIENCE);
    let (reason, elapsed) = *answer.get().unwrap();
    assert_eq!(reason, RefusedReason::OwnThread);
    assert!(elapsed < PATIENCE / 2, "{elapsed:?}");
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn a_policy_out_of_its_range_does_not_start_and_says_what_may_be() {
    let start = |adapt: &dyn Fn(Builder) -> Builder| {
        adapt(support::builder(Played::new(&Received::default()))).start().unwrap_err()
    };
    let shed = |low, medium, high| {
        let mut shed = Shed::default();
        (shed.low, shed.medium, shed.high) = (low, medium, high);
        Overflow::ShedBySeverity(shed)
    };
    let sampling = |high| {
        let mut sampling = Sampling::default();
        sampling.high = high;
        sampling
    };
    for (overflow, key) in [
        (block(Duration::ZERO), "block_timeout_seconds"),
        (block(Duration::from_secs(3601)), "block_timeout_seconds"),
        (shed(0.0, 0.5, 0.9), "shed"),
        (shed(0.5, 0.4, 0.9), "shed"),
        (shed(0.5, 0.6, 1.1), "shed"),
        (shed(f64::NAN, 0.6, 0.9), "shed"),
    ] {
        let error = start(&|builder| builder.overflow(overflow));
        assert!(matches!(error, StartError::Setting { key: told, .. } if told == key), "{error}");
    }
    for part in [-0.1, 1.1, f64::NAN] {
        let error = start(&|builder| builder.sampling(sampling(part)));
        assert!(matches!(error, StartError::Setting { key: "sampling", .. }), "{error}");
    }
}
