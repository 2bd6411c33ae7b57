//! The work of one event, part by part, for callgrind, which counts its instructions: `perf/instructions/run.sh`.
//!
//! Instructions are the same on a busy machine and on an idle one, so that a change of 3 % can be told. For that each part
//! is set up so that nothing depends on time: whoever is not counted is held meanwhile, and whoever is counted finds all
//! that it works on. `emit/bare` is the base of `emit/prepared`.
//!
//! The parts:
//!
//! - `emit`: what the caller pays, for an event that is prepared, and for one that is built in place; from several threads.
//! - `build`: an event of thirteen fields that nobody takes.
//! - `encode`: the bytes of such an event for each destination.
//! - `batch/push`: out of the ring, into the batch, the buffer back, a hand-over each 500; encoding is not part of it.
//! - `verdict`: what a sender does once a batch of 500 is accepted, until it begins with the next.
//!
//! By itself this counts nothing: it prints each part's name and how many events it had, in the order of the dumps.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot run says so by a panic")]

mod sample;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use siem_forward::siem::{Datadog, Elastic, FormatError, Splunk};
use siem_forward::{AuditEvent, Batch, Builder, Emitter, EventBuilder, EventId, EventType, Forwarder, Health};
use siem_forward::{Severity, Siem, Verdict, format::json, net::Stop};

use sample::fields;

/// Of a thread's events one in so many is measured. Twice as many would be more than the pool has buffers for, while nobody
/// empties the ring.
const EMITTED: usize = 2_053;
const ENCODED: usize = 200;
const BATCH: usize = 500;
/// In all rounds together 64 producers leave the pool a buffer each.
const EACH_PRODUCER: usize = 60;
const SLOTS: usize = 20_000;

/// Here callgrind forgets what it has counted of this thread.
#[inline(never)]
fn begin() {
    black_box("begin");
}

/// Here it writes down what it has counted of this thread since.
#[inline(never)]
fn end() {
    black_box("end");
}

/// Says what has been counted: so many events, by so many threads.
fn tell(name: &str, events: usize, threads: usize) {
    println!("{name}\t{events}\t{threads}");
}

/// Counts what `work` does on this thread.
fn count(name: &str, events: usize, work: impl FnOnce()) {
    begin();
    work();
    end();
    tell(name, events, 1);
}

/// Waits until all are there, and then until all may go on.
fn meet_twice(meet: &Barrier) {
    meet.wait();
    meet.wait();
}

fn all_fields<To>(event: EventBuilder<To>) -> EventBuilder<To> {
    fields(event)
        .detail("currency", "EUR")
        .detail("reason", "amount exceeds the limit of the role \"clerk\"; a second approver is needed")
        .detail("attempt", 1)
}

fn built() -> AuditEvent {
    all_fields(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High)).build()
}

fn emit_built(emitter: &Emitter) {
    let event = emitter.event(EventType::AuthorizationDenied, Severity::High);
    all_fields(black_box(event)).try_send().expect("room");
}

/// Events of one moment.
fn prepared(events: usize) -> Vec<AuditEvent> {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low).user_id("u-17").build();
    vec![event; events]
}

/// Which of the threads are held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Each batcher at its first event, and each time after so many more.
    Batchers { every: usize },
    /// The sender at each batch.
    Sender,
}

/// A destination that holds threads, so often each: a wait for all to come, and another one for their leave. Between the last
/// but one and the last time they are counted.
struct Holding {
    held: Held,
    times: usize,
    meet: Arc<Barrier>,
    formatted: Arc<AtomicUsize>,
}

impl Holding {
    fn hold(&self, every: usize) {
        thread_local! {
            static CALLS: Cell<usize> = const { Cell::new(0) };
        }
        let calls = CALLS.get();
        CALLS.set(calls + 1);
        let time = calls / every + 1;
        if !calls.is_multiple_of(every) || time > self.times {
            return;
        }
        if time > 1 && time == self.times {
            end();
        }
        meet_twice(&self.meet);
        if time + 1 == self.times {
            begin();
        }
    }
}

impl Siem for Holding {
    type Connection = ();

    fn connect(&self, _stop: &Stop) -> Result<(), Verdict> {
        Ok(())
    }

    fn format_event(&self, _event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        body.extend_from_slice(b"{}");
        match self.held {
            Held::Batchers { every } => self.hold(every),
            Held::Sender => {
                self.formatted.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn send_batch(&self, (): &mut (), _batch: &Batch) -> Verdict {
        if self.held == Held::Sender {
            self.hold(1);
        }
        Verdict::Accept
    }

    fn health_check(&self, (): &mut ()) -> Health {
        Health::healthy()
    }
}

/// A forwarder whose batches go by their size alone.
fn forwarder(siem: impl Siem, adapt: impl FnOnce(Builder) -> Builder) -> Forwarder {
    let builder = Forwarder::builder(siem).max_queue_size(SLOTS).batch_size(BATCH);
    adapt(builder.batch_timeout(Duration::from_secs(3600))).start().expect("a forwarder")
}

/// Lets `emit` use an emitter whose batcher is held.
fn beside_a_held_batcher(emit: impl FnOnce(&Emitter)) {
    let meet = Arc::new(Barrier::new(2));
    let held = Held::Batchers { every: usize::MAX };
    let siem = Holding { held, times: 1, meet: Arc::clone(&meet), formatted: Arc::default() };
    let forwarder = forwarder(siem, |builder| builder);
    let emitter = forwarder.emitter();
    emit_built(&emitter);
    meet.wait();
    // The first of a thread is measured, and what is made at first use is made.
    emit_built(&emitter);
    emit(&emitter);
    meet.wait();
}

fn emit() {
    let queue = ArrayQueue::new(SLOTS);
    let events = prepared(EMITTED);
    count("emit/bare", EMITTED, || {
        for event in events {
            assert!(queue.push(Some(event)).is_ok());
        }
    });
    beside_a_held_batcher(|emitter| {
        let events = prepared(EMITTED);
        count("emit/prepared", EMITTED, || {
            for event in events {
                emitter.try_send(event).expect("room");
            }
        });
    });
    beside_a_held_batcher(|emitter| {
        count("emit/built", EMITTED, || (0..EMITTED).for_each(|_| emit_built(emitter)));
    });
}

fn emit_from(producers: usize) {
    beside_a_held_batcher(|emitter| {
        let meet = Barrier::new(producers);
        thread::scope(|scope| {
            for _ in 0..producers {
                scope.spawn(|| {
                    emit_built(emitter);
                    meet.wait();
                    begin();
                    (0..EACH_PRODUCER).for_each(|_| emit_built(emitter));
                    end();
                });
            }
        });
        tell(&format!("emit/producers/{producers}"), producers * EACH_PRODUCER, producers);
    });
}

fn build() {
    drop(black_box(built()));
    count("build", ENCODED, || (0..ENCODED).for_each(|_| drop(black_box(built()))));
}

fn encode() {
    let id = EventId::parse("0199d6a7-8e0e-7c33-9d0a-3f5b1e2c4d6f").expect("it is a UUID");
    let event = all_fields(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High).id(id))
        .timestamp("2026-01-05T12:34:56.123456789Z".parse::<siem_forward::Timestamp>().expect("it is a time"))
        .build();
    let each = |name: &str, write: &dyn Fn(&AuditEvent, &mut Vec<u8>)| {
        let mut body = Vec::new();
        write(&event, &mut body);
        count(&format!("encode/{name}"), ENCODED, || {
            for _ in 0..ENCODED {
                body.clear();
                write(black_box(&event), &mut body);
            }
        });
    };
    each("json", &|event, body| json::write(event, body));
    let splunk = Splunk::new("http://127.0.0.1:8088", "token").expect("a destination");
    each("splunk", &|event, body| splunk.format_event(event, body).expect("its form"));
    let datadog = Datadog::new("us1", "key").expect("a destination");
    each("datadog", &|event, body| datadog.format_event(event, body).expect("its form"));
    let elastic = Elastic::new("http://127.0.0.1:9200").expect("a destination");
    each("elastic", &|event, body| elastic.format_event(event, body).expect("its form"));
}

/// The last of these rounds is counted, by when bodies come back from the senders.
const ROUNDS: usize = 3;

fn push_into_batches(name: &str, batchers: usize) {
    let meet = Arc::new(Barrier::new(batchers + 1));
    let held = Held::Batchers { every: BATCH };
    let siem = Holding { held, times: ROUNDS + 1, meet: Arc::clone(&meet), formatted: Arc::default() };
    // Room in the hand-over, so that no batcher waits for a sender.
    let forwarder = forwarder(siem, |builder| builder.batchers(batchers).senders(batchers));
    let emitters: Vec<Emitter> = (0..batchers).map(|_| forwarder.emitter()).collect();
    emitters.iter().for_each(emit_built);
    meet.wait();
    for round in 0..ROUNDS {
        // What has been sent has given its body back.
        while forwarder.metrics().ledger.delivered < (round * batchers * BATCH) as u64 {
            thread::sleep(Duration::from_millis(1));
        }
        for emitter in &emitters {
            (0..BATCH).for_each(|_| emit_built(emitter));
        }
        meet_twice(&meet);
    }
    meet.wait();
    tell(name, batchers * BATCH, batchers);
}

fn verdict() {
    let meet = Arc::new(Barrier::new(2));
    let formatted = Arc::new(AtomicUsize::new(0));
    let siem =
        Holding { held: Held::Sender, times: ROUNDS + 1, meet: Arc::clone(&meet), formatted: Arc::clone(&formatted) };
    let forwarder = forwarder(siem, |builder| builder.senders(1));
    let emitter = forwarder.emitter();
    meet_at_batches(&emitter, &formatted, &meet);
    tell("verdict/accept", BATCH, 1);
}

/// The sender goes on only once the next batch has been handed over: it does not wait for it. One event more than a batch holds
/// tells so, by being formatted.
fn meet_at_batches(emitter: &Emitter, formatted: &AtomicUsize, meet: &Barrier) {
    let emit = |events| prepared(events).into_iter().for_each(|event| emitter.try_send(event).expect("room"));
    emit(BATCH + 1);
    meet.wait();
    for round in 1..=ROUNDS {
        emit(BATCH);
        while formatted.load(Ordering::Relaxed) <= (round + 1) * BATCH {
            thread::yield_now();
        }
        meet_twice(meet);
    }
    meet.wait();
}

fn main() {
    // First: what other threads have freed meanwhile would change what the allocator does.
    build();
    emit();
    [1, 4, 16, 64].into_iter().for_each(emit_from);
    encode();
    push_into_batches("batch/push", 1);
    for batchers in [1, 2, 4, 8] {
        push_into_batches(&format!("batch/batchers/{batchers}"), batchers);
    }
    verdict();
}
