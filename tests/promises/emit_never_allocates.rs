//! Emitting allocates nothing while the pool lasts, and does not wait for anybody.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};

use crate::apart::ran_apart;
use crate::support::{self, Hang, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, fill};
use siem_forward::fanout::{FanoutEmitter, NotTaken};
use siem_forward::ledger::RefusedReason;
use siem_forward::policy::{Filter, Overflow, Sampling, Shed};
use siem_forward::{AuditEvent, Emitter, EventBuilder, EventType, Fanout, Forwarder, Refused, Severity};

/// Allocations of this thread alone: the workers allocate as they like.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

/// Fourteen fields and about 600 bytes, filled in a pooled buffer.
fn emit(emitter: &Emitter, index: u32) -> Result<(), Refused> {
    fill_in(emitter.event(EventType::ToolInvoked, Severity::Medium), index).try_send()
}

fn emit_to_all(emitter: &FanoutEmitter, index: u32) -> Result<(), NotTaken> {
    fill_in(emitter.event(EventType::ToolInvoked, Severity::Medium), index).try_send()
}

fn fill_in<To>(event: EventBuilder<To>, index: u32) -> EventBuilder<To> {
    event
        .user_id("0199d6a7-8e0e-7c33-9d0a-111111111111")
        .user_email("somebody@example.com")
        .server_id("0199d6a7-8e0e-7c33-9d0a-222222222222")
        .tool_name("create_ticket")
        .decision("allow")
        .policy_id("0199d6a7-8e0e-7c33-9d0a-333333333333")
        .ip_address("10.194.128.204")
        .user_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0")
        .request_id("0199d6a7-8e0e-7c33-9d0a-444444444444")
        .detail("arguments", "a \"quoted\" text\nof two lines")
        .detail("attempt", index)
        .detail("duration_ms", 12.25)
        .detail("cached", false)
        .detail("parent", None::<&str>)
}

#[test]
fn building_and_emitting_in_a_pooled_buffer_allocates_nothing_from_the_first_event_on() {
    let received = Received::default();
    let forwarder = support::builder(Played::new(&received)).start().unwrap();
    let emitter = forwarder.emitter();
    // A thread that never emitted before: its first event counts as well.
    let count = std::thread::spawn(move || {
        allocations(|| {
            for index in 0..3000 {
                emit(&emitter, index).unwrap();
            }
        })
    });
    assert_eq!(count.join().unwrap(), 0);
    let report = forwarder.drain(PATIENCE);
    assert_eq!((report.ledger.delivered, received.len()), (3000, 3000), "{report}");
}

/// The counter counts, and what it counts past the end of the pool is the one buffer that an event needs.
#[test]
fn past_the_end_of_the_pool_an_event_allocates_its_buffer_and_no_more() {
    let hang = Hang::new();
    let (forwarder, _received) = hanging(&hang, 64);
    let emitter = forwarder.emitter();
    // Hanging, the batcher makes nothing good that is kept below.
    emit(&emitter, 0).unwrap();
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 1);
    let kept: Vec<_> = (0..64).map(|_| emitter.event(EventType::UserLogin, Severity::Low)).collect();
    assert_eq!(allocations(|| emit(&emitter, 0).unwrap()), 1);
    drop((kept, hang));
    assert_eq!(forwarder.drain(PATIENCE).ledger.delivered, 2);
}

/// An event that is sampled away keeps its pooled buffer, nine in ten here: the batcher puts others in their place, so
/// that the pool lasts for as long as it would without sampling.
#[test]
fn sampling_allocates_nothing_and_does_not_eat_up_the_pool() {
    let received = Received::default();
    let mut sampling = Sampling::default();
    sampling.medium = 0.1;
    let forwarder = support::builder(Played::new(&received)).sampling(sampling).start().unwrap();
    let emitter = forwarder.emitter();
    let (mut kept, mut sampled) = (0, 0);
    // 3,000 of the pool's 4,096 buffers in each round.
    let mut round = || {
        allocations(|| {
            for index in 0..3000 {
                match emit(&emitter, index) {
                    Ok(()) => kept += 1,
                    Err(refused) => {
                        assert!(matches!(refused, Refused::Sampled(_)));
                        sampled += 1;
                    }
                }
            }
        })
    };
    assert_eq!(round(), 0);
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut rounds_without = 0;
    while rounds_without < 3 {
        assert!(std::time::Instant::now() < deadline, "the pool is never full again");
        std::thread::sleep(std::time::Duration::from_millis(20));
        rounds_without = if round() == 0 { rounds_without + 1 } else { 0 };
    }
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.refused["sampled"], sampled);
    assert!(report.ledger.balances(kept), "{report}");
    assert_eq!((received.len() as u64, report.ledger.gaps), (kept, 0), "sampling leaves no gap");
    assert!(sampled > 5 * kept, "{sampled} of {}", sampled + kept);
}

#[test]
fn shedding_allocates_nothing_neither_for_the_taken_nor_for_the_shed() {
    let hang = Hang::new();
    let received = Received::default();
    let (hook, mut played) = (hang.hook(), Played::new(&received));
    let format = played.format_event;
    played.format_event = Box::new(move |event, body| {
        hook();
        format(event, body)
    });
    let overflow = Overflow::ShedBySeverity(Shed::default());
    let forwarder = support::builder(played).max_queue_size(1000).overflow(overflow).start().unwrap();
    let emitter = forwarder.emitter();
    emit(&emitter, 0).unwrap();
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 1);
    let count = allocations(|| {
        for index in 0..750 {
            emit(&emitter, index).unwrap();
        }
        for index in 0..200 {
            assert!(matches!(emit(&emitter, index), Err(Refused::Shed(_))));
        }
    });
    assert_eq!(count, 0);
    drop(hang);
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.refused["shed"], 200);
    assert!(report.ledger.balances(751), "{report}");
}

#[test]
fn handing_in_a_prepared_event_allocates_nothing() {
    let received = Received::default();
    let forwarder = support::builder(Played::new(&received)).start().unwrap();
    let emitter = forwarder.emitter();
    let prepare = |_| AuditEvent::builder(EventType::UserLogin, Severity::Low).user_id("u-17").build();
    let events: Vec<AuditEvent> = (0..3000).map(prepare).collect();
    let sent: Vec<_> = events.iter().map(AuditEvent::id).collect();
    let count = allocations(|| {
        for event in events {
            emitter.try_send(event).unwrap();
        }
    });
    assert_eq!(count, 0);
    let report = forwarder.drain(PATIENCE);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn cloning_an_emitter_allocates_nothing() {
    let forwarder = support::builder(Played::new(&Received::default())).start().unwrap();
    let emitter = forwarder.emitter();
    assert_eq!(allocations(|| drop((emitter.clone(), emitter.clone()))), 0);
}

#[test]
fn being_refused_allocates_nothing() {
    let mut hang = Hang::new();
    let (forwarder, received) = hanging(&hang, 1000);
    let emitter = forwarder.emitter();
    let mut prepared = vec![AuditEvent::builder(EventType::UserLogin, Severity::Low).build()];
    // The ring is filled with events that own their buffers, so that the pool lasts.
    let mut sent = fill(&emitter);
    // All but the one that the batcher takes and hangs in.
    support::wait_until(&forwarder, |metrics| metrics.ledger.accepted == 1);
    sent.extend(fill(&emitter));
    let count = allocations(|| {
        for index in 0..500 {
            assert!(matches!(emit(&emitter, index), Err(Refused::Full(_))));
            let refused = emitter.try_send(prepared.pop().unwrap()).unwrap_err();
            assert!(matches!(refused, Refused::Full(_)));
            prepared.push(refused.into_event());
        }
    });
    assert_eq!(count, 0);
    hang.release();
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.refused["full"], 1002);
    let prepared = prepared.pop().unwrap();
    assert_eq!(allocations(|| assert!(matches!(emitter.try_send(prepared), Err(Refused::Closed(_))))), 0);
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

/// A thread that waits for a lock or sleeps gives up its core of its own will, and the system counts that. Alone in its
/// process, whose other threads could make it wait for their pages.
#[test]
fn emitting_waits_for_nobody() {
    if ran_apart() {
        return;
    }
    let received = Received::default();
    let forwarder = support::builder(Played::new(&received)).max_queue_size(1000).batch_size(10).start().unwrap();
    let done = AtomicBool::new(false);
    let (given_up, accepted) = std::thread::scope(|scope| {
        // Somebody who reads the books all the time: emitting shares no lock with it.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                forwarder.metrics();
            }
        });
        let emit_many = || {
            let emitter = forwarder.emitter();
            let before = given_up_cores();
            let accepted = (0..20_000).filter(|index| emit(&emitter, *index).is_ok()).count();
            (given_up_cores() - before, accepted)
        };
        let threads = [(); 3].map(|()| scope.spawn(emit_many));
        let results = threads.map(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
        results.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    // Not zero: a page fault may have to wait for another one of the process.
    assert!(given_up < 30, "{given_up} times in 60,000 events");
    let report = forwarder.drain(PATIENCE);
    let delivered = accepted as u64 + report.ledger.gaps;
    assert_eq!((report.ledger.delivered, received.len() as u64), (delivered, delivered), "{report}");
    assert_eq!(report.ledger.refused["full"], 60_000 - accepted as u64);
}

/// A copy for each further destination, in a buffer of its own pool; of one that filters them out none.
#[test]
fn a_fanout_allocates_nothing_from_the_first_event_on() {
    let received = [(); 3].map(|()| Received::default());
    let mut builders = received.each_ref().map(|received| support::builder(Played::new(received))).to_vec();
    let nothing = Received::default();
    builders.push(support::builder(Played::new(&nothing)).filter(Filter::default().decisions(["deny"])));
    let started =
        builders.into_iter().zip(["a", "b", "c", "d"]).map(|(builder, name)| builder.name(name).start().unwrap());
    let fanout = Fanout::new(started).unwrap();
    let emitter = fanout.emitter();
    let count = std::thread::spawn(move || {
        allocations(|| {
            for index in 0..3000 {
                emit_to_all(&emitter, index).unwrap();
            }
            drop(emitter.clone());
        })
    });
    assert_eq!(count.join().unwrap(), 0);
    let reports = fanout.drain(PATIENCE);
    assert!(received.iter().all(|received| received.len() == 3000));
    assert_eq!((reports[3].ledger.refused["filtered"], nothing.len()), (3000, 0));
}

/// Neither at the one that is away, whose copies come back to its pool, nor at the others; nor for what comes back.
#[test]
fn a_destination_that_hangs_costs_a_fanout_no_allocation_and_no_wait() {
    if ran_apart() {
        return;
    }
    for hangs_last in [false, true] {
        let hang = Hang::new();
        let (hanging, at_hanging) = hanging(&hang, 1000);
        let live = Received::default();
        let forwarder = support::builder(Played::new(&live)).name("live").max_queue_size(50_000).start().unwrap();
        let forwarders = if hangs_last { [forwarder, hanging] } else { [hanging, forwarder] };
        let fanout = Fanout::new(forwarders).unwrap();
        let emitter = fanout.emitter();
        // Until its ring is full, and its pool with it.
        let mut sent = 0;
        let mut refused = 0;
        while refused < 100 {
            sent += 1;
            refused += u64::from(emit_to_all(&emitter, 0).is_err());
        }
        let name = fanout.forwarders()[usize::from(hangs_last)].name();
        let before = given_up_cores();
        let count = allocations(|| {
            for index in 0..3000 {
                let not_taken = emit_to_all(&emitter, index).unwrap_err();
                assert!(not_taken.reasons().eq([(name, RefusedReason::Full)]));
            }
        });
        let waits = given_up_cores() - before;
        assert_eq!(count, 0, "hangs last: {hangs_last}");
        assert!(waits < 10, "{waits} times in 3,000 events");
        sent += 3000;
        refused += 3000;
        drop(hang);
        let reports = fanout.drain(PATIENCE);
        let (away, live_report) = (&reports[usize::from(hangs_last)], &reports[usize::from(!hangs_last)]);
        assert_eq!((live.len() as u64, live_report.ledger.delivered), (sent, sent));
        assert_eq!(away.ledger.refused["full"], refused);
        assert!(away.ledger.balances(sent - refused), "{away}");
        assert_eq!(at_hanging.len() as u64, sent - refused + away.ledger.gaps);
    }
}

fn given_up_cores() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// A forwarder whose batcher hangs at its first event.
fn hanging(hang: &Hang, max_queue_size: usize) -> (Forwarder, Received) {
    let received = Received::default();
    let mut played = Played::new(&received);
    let (hook, format) = (hang.hook(), played.format_event);
    played.format_event = Box::new(move |event, body| {
        hook();
        format(event, body)
    });
    let forwarder = support::builder(played).max_queue_size(max_queue_size).start().unwrap();
    (forwarder, received)
}
