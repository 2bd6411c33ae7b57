//! What the metrics cost: an event on its way, and a scrape.
//!
//! `push/bare` is the same slot pushed into the same queue, `push/emitter` an emit, which now and then is measured; their
//! difference is all that the caller pays, not only for the metrics. `emit` is what measuring one emit in 2,053 adds to each.
//! `record` is what a sender pays for a batch of 500 that is delivered. The sum of both, an event each, is what the metrics
//! cost: 5 ns at most. `scrape` is what one costs whoever asks, of a pipeline whose histograms are full: a scrape a second
//! that takes 10 ms would be 1 % of a core.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use hdrhistogram::Histogram;
use prometheus::{Registry, TextEncoder};
use siem_forward::{AuditEvent, EventType, Forwarder, Severity, Verdict, siem};

const SLOTS: usize = 20_000;
const BURST: u64 = 2_000;
/// Long enough for the consumer to fall asleep, so that the push is measured and not the fight for two cores.
const ASLEEP_AFTER: Duration = Duration::from_millis(8);
const HOUR_NANOS: u64 = 3_600_000_000_000;

fn bursts(iterations: u64, push: impl Fn(AuditEvent), settle: impl Fn()) -> Duration {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low).user_id("u-17").build();
    let (mut spent, mut left) = (Duration::ZERO, iterations);
    while left > 0 {
        let burst = left.min(BURST);
        left -= burst;
        settle();
        let events = vec![event.clone(); usize::try_from(burst).expect("a burst fits")];
        let begun = Instant::now();
        for event in events {
            push(event);
        }
        spent += begun.elapsed();
    }
    spent
}

fn forwarder() -> Forwarder {
    let accept = siem::from_fn("accept", |_| Verdict::Accept);
    Forwarder::builder(accept).max_queue_size(SLOTS).start().expect("a forwarder")
}

fn settle(forwarder: &Forwarder) {
    while forwarder.metrics().queue_size > 0 {
        std::thread::sleep(Duration::from_micros(100));
    }
    std::thread::sleep(ASLEEP_AFTER);
}

fn event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics/push");
    group.throughput(Throughput::Elements(1));
    group.bench_function("bare", |bencher| {
        let queue = ArrayQueue::new(SLOTS);
        let push = |event| assert!(queue.push(Some(event)).is_ok());
        let empty = || {
            while let Some(event) = queue.pop() {
                black_box(event);
            }
        };
        bencher.iter_custom(|iterations| bursts(iterations, push, empty));
    });
    let forwarder = forwarder();
    let emitter = forwarder.emitter();
    group.bench_function("emitter", |bencher| {
        let push = |event| emitter.try_send(event).expect("room for a burst");
        bencher.iter_custom(|iterations| bursts(iterations, push, || settle(&forwarder)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("metrics/emit");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one_in_2053_measured", |bencher| {
        let waiting = Waiting::default();
        bencher.iter(|| measure_now_and_then(&waiting));
    });
    group.finish();

    let mut group = criterion.benchmark_group("metrics/record");
    group.throughput(Throughput::Elements(1));
    let histogram = || Histogram::<u64>::new_with_bounds(1, HOUR_NANOS, 2).expect("bounds");
    // The events of a batch, created 700 ns one after the other.
    let latencies: Vec<u64> = (0..500).map(|index| 5_000_000 - index * 700).collect();
    group.throughput(Throughput::Elements(500));
    group.bench_function("batch/one_by_one", |bencher| {
        let mut recorder = histogram();
        bencher.iter(|| black_box(&latencies).iter().for_each(|nanos| recorder.saturating_record(*nanos)));
    });
    group.bench_function("batch/as_the_recorder", |bencher| {
        let mut recorder = histogram();
        bencher.iter(|| add_together(&mut recorder, black_box(&latencies)));
    });
    group.finish();
}

/// The times that no batcher has taken out yet.
#[derive(Default)]
struct Waiting {
    left: AtomicUsize,
    times: [AtomicU64; 15],
}

/// As `src/engine/timing.rs` does, with a clock that takes twice as long. Whoever takes the times out is no caller.
fn measure_now_and_then(waiting: &Waiting) {
    thread_local! {
        static UNMEASURED: Cell<u32> = const { Cell::new(0) };
    }
    let left = UNMEASURED.get();
    UNMEASURED.set(left.saturating_sub(1));
    if left == 0 {
        UNMEASURED.set(2_052);
        let begun = Instant::now();
        black_box(&waiting);
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let place = waiting.left.fetch_add(1, Ordering::Relaxed) % waiting.times.len();
        if let Some(time) = waiting.times.get(place) {
            time.store(nanos, Ordering::Relaxed);
        }
    }
}

/// As `src/ledger/recorder.rs` does.
fn add_together(recorder: &mut Histogram<u64>, latencies: &[u64]) {
    let (mut alike, mut times) = (0..0, 0);
    for nanos in latencies {
        if !alike.contains(nanos) {
            recorder.saturating_record_n(alike.start, times);
            alike = recorder.lowest_equivalent(*nanos)..recorder.next_non_equivalent(*nanos);
            times = 0;
        }
        times += 1;
    }
    recorder.saturating_record_n(alike.start, times);
}

fn scrape(criterion: &mut Criterion) {
    let (forwarder, registry) = (forwarder(), Registry::new());
    forwarder.register(&registry).expect("a name that is free");
    let emitter = forwarder.emitter();
    for _ in 0..50_000 {
        let sent = emitter.event(EventType::UserLogin, Severity::Low).send_timeout(Duration::from_secs(10));
        sent.expect("room");
    }
    let mut group = criterion.benchmark_group("metrics/scrape");
    group.bench_function("gather", |bencher| bencher.iter(|| black_box(registry.gather())));
    group.bench_function("text", |bencher| {
        bencher.iter(|| TextEncoder::new().encode_to_string(&registry.gather()).expect("text"));
    });
    group.finish();
}

criterion_group!(benches, event, scrape);
criterion_main!(benches);
