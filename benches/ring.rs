//! What an emit costs beside a bare push of the same slot into the same queue.
//!
//! Each iteration is one event, and its time is that of its thread on a core. Events are prepared outside of the
//! measured time and pushed in bursts that the ring holds, so that nothing is refused; `bare` measures the harness and
//! the queue, `emitter` adds all that we do, and `emitter/block`, `emitter/shed` and `emitter/sampling` what the other policies
//! add to that. The goal is nothing: `block` begins where there is no room, `shed` looks at a flag while it is far from its limits,
//! `sampling` at the id. Of the sampled events practically all are kept, so that the push is compared with a push.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use rustix::time::{ClockId, clock_gettime};
use siem_forward::policy::{Overflow, Sampling, Shed};
use siem_forward::{AuditEvent, Builder, Emitter, EventType, Forwarder, Severity, Verdict, siem};

const SLOTS: usize = 20_000;
/// Short against the 4 ms that either consumer sleeps, so that hardly a burst has one at work beside it.
const BURST: usize = 2_000;
const ASLEEP_AFTER: Duration = Duration::from_millis(8);

type Queue = Arc<ArrayQueue<Option<AuditEvent>>>;

fn prepared(events: usize) -> Vec<AuditEvent> {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low).user_id("u-17").build();
    vec![event; events]
}

/// How far the consumer is behind, told without a look at the queue.
#[derive(Default)]
struct Backlog {
    pushed: AtomicUsize,
    taken: AtomicUsize,
}

impl Backlog {
    fn await_empty(&self) {
        while self.taken.load(Ordering::Relaxed) < self.pushed.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

/// A consumer as lazy as the batcher.
fn consumer(queue: &Queue, backlog: &Arc<Backlog>, done: &Arc<AtomicBool>) -> thread::JoinHandle<()> {
    let (queue, backlog, done) = (Arc::clone(queue), Arc::clone(backlog), Arc::clone(done));
    thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            while let Some(event) = queue.pop() {
                black_box(event);
                backlog.taken.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(4));
        }
    })
}

/// The time of this thread on a core: four producers share fewer, and a wait for one is not a cost of the push.
fn on_core() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the thread's start")
}

/// Times bursts of pushes on `producers` threads; the mean time of a push on its own thread, times `iterations`.
fn time(iterations: u64, producers: usize, push: impl Fn(AuditEvent) + Sync, backlog: &Backlog) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = usize::try_from(iterations).expect("iterations fit");
    while left > 0 {
        let each = left.min(BURST).div_ceil(producers);
        left = left.saturating_sub(each * producers);
        backlog.await_empty();
        // Long enough for either consumer to fall asleep: the push is measured, not the fight for two cores.
        thread::sleep(ASLEEP_AFTER);
        let start = Barrier::new(producers);
        let burst: Duration = thread::scope(|scope| {
            let run = || {
                let events = prepared(each);
                start.wait();
                let begun = on_core();
                for event in events {
                    push(event);
                }
                on_core().saturating_sub(begun)
            };
            let threads: Vec<_> = (1..producers).map(|_| scope.spawn(run)).collect();
            let mine = run();
            mine + threads.into_iter().map(|thread| thread.join().expect("a producer")).sum::<Duration>()
        });
        backlog.pushed.fetch_add(each * producers, Ordering::Relaxed);
        spent += burst;
    }
    spent
}

type Policy = (&'static str, fn(Builder) -> Builder);

const POLICIES: [Policy; 4] = [
    ("emitter", |builder| builder),
    ("emitter/block", |builder| builder.overflow(Overflow::Block { timeout: Duration::from_secs(1) })),
    ("emitter/shed", |builder| builder.overflow(Overflow::ShedBySeverity(Shed::default()))),
    ("emitter/sampling", |builder| {
        let mut sampling = Sampling::default();
        // The decision is made, and the event is kept.
        sampling.low = 1.0 - 1e-9;
        builder.sampling(sampling)
    }),
];

fn ring(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring/push");
    group.throughput(Throughput::Elements(1));
    for producers in [1, 4] {
        group.bench_function(BenchmarkId::new("bare", producers), |bencher| {
            let queue: Queue = Arc::new(ArrayQueue::new(SLOTS));
            let (backlog, done) = (Arc::default(), Arc::new(AtomicBool::new(false)));
            let consumer = consumer(&queue, &backlog, &done);
            let push = |event| assert!(queue.push(Some(event)).is_ok());
            bencher.iter_custom(|iterations| time(iterations, producers, push, &backlog));
            done.store(true, Ordering::Relaxed);
            consumer.join().expect("the consumer");
        });
        for (name, adapt) in POLICIES {
            // One producer shows what a policy adds; four show the queue.
            if producers > 1 && name != "emitter" {
                continue;
            }
            group.bench_function(BenchmarkId::new(name, producers), |bencher| {
                let backlog = Arc::new(Backlog::default());
                let behind = Arc::clone(&backlog);
                let accept = siem::from_fn("accept", move |batch| {
                    behind.taken.fetch_add(batch.len(), Ordering::Relaxed);
                    Verdict::Accept
                });
                let builder = adapt(Forwarder::builder(accept)).max_queue_size(SLOTS);
                let forwarder = builder.start().expect("a forwarder");
                let emitter: Emitter = forwarder.emitter();
                let push = |event| emitter.try_send(event).expect("room for a burst");
                bencher.iter_custom(|iterations| time(iterations, producers, push, &backlog));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, ring);
criterion_main!(benches);
