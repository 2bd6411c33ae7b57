//! What a further destination costs an emit, and what a destination costs that hangs.
//!
//! Each iteration is one event, prepared outside of the measured time; its time is that of its thread on a core. Events come
//! in bursts that every ring holds, while all consumers sleep: the emit is measured, not the fight for two cores.
//!
//! - `fanout/base/push` is a push of such a slot into such a queue, and `fanout/base/take_copy_push` what a further
//!   destination may cost: a buffer taken from a pool, the text copied into it, a push.
//! - `fanout/emit/N` is an emit to N destinations, `emitter` the same to one without a fan-out. The goal: each step from N to
//!   N + 1 costs no more than `take_copy_push`.
//! - `fanout/filter/…` is an emit to one destination beside another one, whose filter keeps the event away.
//! - `fanout/away/…` is an emit to two, of which one hangs, so that its ring is full and it refuses; and where both are well.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_queue::ArrayQueue;
use rustix::time::{ClockId, clock_gettime};
use siem_forward::policy::Filter;
use siem_forward::{AuditEvent, Builder, EventType, Fanout, Forwarder, Severity, Verdict, siem};

const SLOTS: usize = 20_000;
/// Short against the 2 ms that a batcher sleeps, and against the buffers of a pool.
const BURST: usize = 1_000;
const ASLEEP_AFTER: Duration = Duration::from_millis(8);
const BUFFER_BYTES: usize = 1024;
const BUFFERS: usize = 4096;
/// What hangs has a ring that is soon full.
const FEW_SLOTS: usize = 100;

fn prepared(events: usize) -> Vec<AuditEvent> {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low)
        .user_id("0199d6a7-8e0e-7c33-9d0a-111111111111")
        .user_email("somebody@example.com")
        .server_id("0199d6a7-8e0e-7c33-9d0a-222222222222")
        .tool_name("payments.refund")
        .decision("allow")
        .ip_address("10.194.128.204")
        .user_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0")
        .request_id("0199d6a7-8e0e-7c33-9d0a-444444444444")
        .detail("amount", 1250)
        .build();
    vec![event; events]
}

fn on_core() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the thread's start")
}

/// How many events are still on their way.
#[derive(Default)]
struct Backlog {
    sent: AtomicUsize,
    taken: Arc<AtomicUsize>,
}

impl Backlog {
    /// Once all that was sent is taken, long enough for every consumer to fall asleep.
    fn settle(&self) {
        while self.taken.load(Ordering::Relaxed) < self.sent.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(100));
        }
        thread::sleep(ASLEEP_AFTER);
    }
}

/// Times bursts of `emit`, each event of which is taken `taken_each` times.
fn time(iterations: u64, backlog: &Backlog, taken_each: usize, mut emit: impl FnMut(AuditEvent)) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = usize::try_from(iterations).expect("iterations fit");
    while left > 0 {
        let burst = left.min(BURST);
        left -= burst;
        backlog.settle();
        let events = prepared(burst);
        let begun = on_core();
        for event in events {
            emit(event);
        }
        spent += on_core().saturating_sub(begun);
        backlog.sent.fetch_add(burst * taken_each, Ordering::Relaxed);
    }
    spent
}

fn accepting(name: &str, backlog: &Backlog) -> Builder {
    let taken = Arc::clone(&backlog.taken);
    let accept = siem::from_fn("accept", move |batch| {
        taken.fetch_add(batch.len(), Ordering::Relaxed);
        Verdict::Accept
    });
    Forwarder::builder(accept).name(name).max_queue_size(SLOTS).batch_timeout(Duration::from_millis(1))
}

/// A slot as large as an event's.
struct Slot {
    _head: [u64; 5],
    text: Vec<u8>,
}

/// A pool, a queue, and a consumer as lazy as a batcher, that gives the buffers back.
struct Bare {
    pool: ArrayQueue<Vec<u8>>,
    queue: ArrayQueue<Option<Slot>>,
}

impl Bare {
    fn new() -> Self {
        let bare = Self { pool: ArrayQueue::new(BUFFERS), queue: ArrayQueue::new(SLOTS) };
        while bare.pool.push(Vec::with_capacity(BUFFER_BYTES)).is_ok() {}
        bare
    }

    fn consume(&self, backlog: &Backlog, ended: &Receiver<()>) {
        while ended.recv_timeout(Duration::from_millis(2)).is_err_and(|error| error.is_timeout()) {
            while let Some(slot) = self.queue.pop() {
                let mut text = slot.map(|slot| slot.text).unwrap_or_default();
                if text.capacity() == BUFFER_BYTES {
                    text.clear();
                    drop(self.pool.push(text));
                }
                backlog.taken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn base(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout/base");
    group.throughput(Throughput::Elements(1));
    // As long as the text of the prepared events, and as many: what is copied is as cold as theirs.
    let texts = vec![vec![b'x'; prepared(1).first().map_or(0, AuditEvent::text_bytes)]; BURST];
    for name in ["push", "take_copy_push"] {
        group.bench_function(name, |bencher| {
            let (bare, backlog) = (Bare::new(), Backlog::default());
            let (end, ended): (Sender<()>, _) = bounded(0);
            thread::scope(|scope| {
                let consumer = scope.spawn(|| bare.consume(&backlog, &ended));
                let mut turn = texts.iter().cycle();
                bencher.iter_custom(|iterations| {
                    time(iterations, &backlog, 1, |event| {
                        let text = turn.next().expect("a cycle has no end");
                        let buffer = if name == "push" {
                            Vec::new()
                        } else {
                            let mut buffer = bare.pool.pop().expect("a buffer");
                            buffer.extend_from_slice(black_box(text));
                            buffer
                        };
                        let slot = Slot { _head: [event.text_bytes() as u64; 5], text: buffer };
                        assert!(bare.queue.push(Some(slot)).is_ok(), "room for a burst");
                        // What is prepared is not freed in the measured time by one and handed on by the other.
                        std::mem::forget(event);
                    })
                });
                drop(end);
                consumer.join().expect("the consumer");
            });
        });
    }
    group.finish();
}

fn emit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout/emit");
    group.throughput(Throughput::Elements(1));
    group.bench_function("emitter", |bencher| {
        let backlog = Backlog::default();
        let forwarder = accepting("one", &backlog).start().expect("a forwarder");
        let emitter = forwarder.emitter();
        bencher.iter_custom(|iterations| {
            time(iterations, &backlog, 1, |event| emitter.try_send(event).expect("room for a burst"))
        });
    });
    for destinations in 1..=4 {
        group.bench_function(BenchmarkId::from_parameter(destinations), |bencher| {
            let backlog = Backlog::default();
            let start = |number: usize| accepting(&number.to_string(), &backlog).start().expect("a forwarder");
            let fanout = Fanout::new((0..destinations).map(start)).expect("a fan-out");
            let emitter = fanout.emitter();
            bencher.iter_custom(|iterations| {
                time(iterations, &backlog, destinations, |event| emitter.try_send(event).expect("room for a burst"))
            });
        });
    }
    group.finish();
}

fn filter(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout/filter");
    group.throughput(Throughput::Elements(1));
    let filters = [
        ("severity", Filter::default().severity_min(Severity::High)),
        ("event_type", Filter::default().event_types([EventType::UserLogin])),
        ("decision", Filter::default().decisions(["deny"])),
    ];
    for (name, filter) in filters {
        group.bench_function(name, |bencher| {
            let backlog = Backlog::default();
            let all = accepting("all", &backlog).start().expect("a forwarder");
            let part = accepting("part", &backlog).filter(filter.clone()).start().expect("a forwarder");
            let fanout = Fanout::new([all, part]).expect("a fan-out");
            let emitter = fanout.emitter();
            bencher.iter_custom(|iterations| {
                time(iterations, &backlog, 1, |event| emitter.try_send(event).expect("room for a burst"))
            });
        });
    }
    group.finish();
}

/// One that hangs until it is let go, with its ring full.
fn hanging(released: Receiver<()>) -> Forwarder {
    let hang = siem::from_fn("hang", move |_| {
        assert!(released.recv().is_err(), "nothing is ever sent: it returns when the bench is over");
        Verdict::Accept
    });
    let builder = Forwarder::builder(hang).name("hanging").max_queue_size(FEW_SLOTS).batch_size(FEW_SLOTS);
    let forwarder = builder.batch_timeout(Duration::from_millis(1)).start().expect("a forwarder");
    let emitter = forwarder.emitter();
    // Its batcher takes more until its senders have all that they can hold.
    let mut full_for = 0;
    while full_for < 20 {
        full_for = if emitter.try_send(prepared(1).remove(0)).is_err() { full_for + 1 } else { 0 };
        thread::sleep(Duration::from_millis(1));
    }
    forwarder
}

fn away(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout/away");
    group.throughput(Throughput::Elements(1));
    group.bench_function("both_are_well", |bencher| {
        let backlog = Backlog::default();
        let forwarders = ["one", "two"].map(|name| accepting(name, &backlog).start().expect("a forwarder"));
        let fanout = Fanout::new(forwarders).expect("a fan-out");
        let emitter = fanout.emitter();
        bencher.iter_custom(|iterations| {
            time(iterations, &backlog, 2, |event| emitter.try_send(event).expect("room for a burst"))
        });
    });
    for is_last in [false, true] {
        let name = if is_last { "the_last_hangs" } else { "the_first_hangs" };
        group.bench_function(name, |bencher| {
            let backlog = Backlog::default();
            let (release, released) = bounded(0);
            let (live, hanging) = (accepting("live", &backlog).start().expect("a forwarder"), hanging(released));
            let forwarders = if is_last { [live, hanging] } else { [hanging, live] };
            let fanout = Fanout::new(forwarders).expect("a fan-out");
            let emitter = fanout.emitter();
            bencher.iter_custom(|iterations| {
                time(iterations, &backlog, 1, |event| drop(emitter.try_send(event).expect_err("one is away")))
            });
            drop(release);
            drop(fanout.abort());
        });
    }
    group.finish();
}

criterion_group!(benches, base, emit, filter, away);
criterion_main!(benches);
