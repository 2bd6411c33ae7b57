//! What an event costs the batcher between the ring and the batch, its encoding left out.
//!
//! `bare` is the base: an event out of a queue, finished bytes into a body, an entry for it, and the buffer back to a pool.
//! `batcher` is the engine, with a destination that writes the same bytes: what it adds is closing, limits, books, a look at
//! the clock for each chunk, the guard against a destination that panics, and the hand-over of each batch to a sender. The
//! number is the size of a batch. Each iteration is one event, and its time is that of its thread on a core, from an event that
//! is held until the ring is filled to one that is held again.

#![allow(
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a bench that cannot run says so by a panic; counts of events fit a float"
)]

mod sample;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use rustix::time::{ClockId, clock_gettime};
use siem_forward::siem::FormatError;
use siem_forward::{AuditEvent, Batch, EventType, Forwarder, Health, Severity, Siem, Verdict};
use siem_forward::{format::json, net::Stop};

use sample::fields;

/// As many as the pool has buffers for, nearly: the path that events take while the SIEM keeps up.
const ROUND: u64 = 4_000;
const BUFFERS: usize = 4_096;
const BUFFER_BYTES: usize = 1_024;
/// More than any of these batches.
const BYTES_MAX: usize = 10_000_000;
const SIZES: [usize; 3] = [100, 500, 2_000];

fn built() -> AuditEvent {
    fields(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High)).build()
}

fn finished() -> Vec<u8> {
    let mut finished = Vec::new();
    json::write(&built(), &mut finished);
    finished
}

/// The time of this thread on a core.
fn on_core() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the thread's start")
}

/// What the base knows of an event in a batch, as large as a `Mark`.
#[derive(Clone, Copy)]
struct Entry {
    _of_event: [u64; 5],
    _end: usize,
}

/// A slot as large as an event's.
struct Slot {
    head: [u64; 5],
    text: Vec<u8>,
}

/// The same by hand.
struct Bare {
    queue: ArrayQueue<Option<Slot>>,
    pool: ArrayQueue<Vec<u8>>,
    finished: Vec<u8>,
}

impl Bare {
    fn new() -> Self {
        let pool = ArrayQueue::new(BUFFERS);
        while pool.push(Vec::with_capacity(BUFFER_BYTES)).is_ok() {}
        Self { queue: ArrayQueue::new(BUFFERS), pool, finished: finished() }
    }

    fn fill(&self, events: u64) {
        let text = vec![b'x'; built().text_bytes()];
        for number in 0..events {
            let mut buffer = self.pool.pop().expect("a buffer");
            buffer.extend_from_slice(&text);
            let slot = Slot { head: [number; 5], text: buffer };
            assert!(self.queue.push(Some(slot)).is_ok(), "room");
        }
    }

    fn empty(&self, body: &mut Vec<u8>, entries: &mut Vec<Entry>, size: usize) {
        while let Some(Some(Slot { head, mut text })) = self.queue.pop() {
            body.extend_from_slice(black_box(&self.finished));
            body.push(b'\n');
            entries.push(Entry { _of_event: head, _end: body.len() });
            text.clear();
            drop(self.pool.push(text));
            if entries.len() == size {
                black_box((&body, &entries));
                body.clear();
                entries.clear();
            }
        }
    }
}

/// A destination that takes everything, and holds the batcher before each round.
struct Holding {
    finished: Vec<u8>,
    meet: Arc<Barrier>,
    /// What the last round took, in nanoseconds.
    spent: Arc<AtomicU64>,
}

impl Siem for Holding {
    type Connection = ();

    fn connect(&self, _stop: &Stop) -> Result<(), Verdict> {
        Ok(())
    }

    fn format_event(&self, _event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        thread_local! {
            static LEFT: Cell<u64> = const { Cell::new(0) };
            static BEGUN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        }
        body.extend_from_slice(black_box(&self.finished));
        let left = LEFT.get();
        LEFT.set(left.wrapping_sub(1));
        if left == 0 {
            LEFT.set(ROUND - 1);
            let spent = on_core().saturating_sub(BEGUN.get());
            self.spent.store(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            self.meet.wait();
            self.meet.wait();
            BEGUN.set(on_core());
        }
        Ok(())
    }

    fn send_batch(&self, (): &mut (), batch: &Batch) -> Verdict {
        black_box(batch);
        Verdict::Accept
    }

    fn health_check(&self, (): &mut ()) -> Health {
        Health::healthy()
    }
}

/// The mean time of an event, times `iterations`.
fn scaled(iterations: u64, rounds: u64, spent: Duration) -> Duration {
    spent.mul_f64(iterations as f64 / (rounds * ROUND) as f64)
}

fn bare(iterations: u64, size: usize) -> Duration {
    let bare = Bare::new();
    let (mut body, mut entries) = (Vec::new(), Vec::new());
    let rounds = iterations.div_ceil(ROUND);
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        bare.fill(ROUND);
        let begun = on_core();
        bare.empty(&mut body, &mut entries, size);
        spent += on_core().saturating_sub(begun);
    }
    scaled(iterations, rounds, spent)
}

fn batcher(iterations: u64, size: usize) -> Duration {
    let (meet, spent_last) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU64::new(0)));
    let siem = Holding { finished: finished(), meet: Arc::clone(&meet), spent: Arc::clone(&spent_last) };
    let builder = Forwarder::builder(siem).max_queue_size(BUFFERS).batch_size(size).batch_bytes_max(BYTES_MAX);
    let forwarder = builder.batch_timeout(Duration::from_secs(3600)).start().expect("a forwarder");
    let emitter = forwarder.emitter();
    let emit = || {
        fields(emitter.event(EventType::AuthorizationDenied, Severity::High)).try_send().expect("room");
    };
    emit();
    meet.wait();
    let rounds = iterations.div_ceil(ROUND);
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        (0..ROUND).for_each(|_| emit());
        meet.wait();
        meet.wait();
        spent += Duration::from_nanos(spent_last.load(Ordering::Relaxed));
    }
    meet.wait();
    scaled(iterations, rounds, spent)
}

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch/push");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        group.bench_function(BenchmarkId::new("bare", size), |bencher| {
            bencher.iter_custom(|iterations| bare(iterations, size));
        });
        group.bench_function(BenchmarkId::new("batcher", size), |bencher| {
            bencher.iter_custom(|iterations| batcher(iterations, size));
        });
    }
    group.finish();
}

criterion_group!(benches, batch);
criterion_main!(benches);
