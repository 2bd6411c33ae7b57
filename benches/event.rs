//! What building an event of ten fields and emitting it costs the caller.
//!
//! `copy` is the base: the same bytes, finished, copied into a buffer of the same pool's kind and pushed into a bare
//! queue. `emit` builds field by field in a pooled buffer and emits; `build` leaves the emitting out.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

mod sample;

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use siem_forward::{AuditEvent, Emitter, EventType, Forwarder, Severity, Verdict, siem};

use sample::fields;

const SLOTS: usize = 20_000;
/// As many as the pool has buffers for: the path that a service sees while its SIEM keeps up.
const BURST: u64 = 4_000;

fn bursts(iterations: u64, mut emit: impl FnMut(), wait: impl Fn()) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = iterations;
    while left > 0 {
        let burst = left.min(BURST);
        left -= burst;
        wait();
        let begun = Instant::now();
        for _ in 0..burst {
            emit();
        }
        spent += begun.elapsed();
    }
    spent
}

fn settle(forwarder: &Forwarder) {
    while forwarder.metrics().queue_size > 0 {
        thread::sleep(Duration::from_micros(100));
    }
}

fn event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("copy", |bencher| {
        let text = vec![b'x'; fields(AuditEvent::builder(EventType::UserLogin, Severity::Low)).build().text_bytes()];
        let pool: ArrayQueue<Vec<u8>> = ArrayQueue::new(4096);
        let queue: ArrayQueue<Vec<u8>> = ArrayQueue::new(SLOTS);
        while pool.push(Vec::with_capacity(1024)).is_ok() {}
        let emit = || {
            let mut buffer = pool.pop().unwrap_or_default();
            buffer.extend_from_slice(black_box(&text));
            assert!(queue.push(buffer).is_ok());
        };
        let empty = || {
            while let Some(mut buffer) = queue.pop() {
                buffer.clear();
                drop(pool.push(buffer));
            }
        };
        bencher.iter_custom(|iterations| bursts(iterations, emit, empty));
    });
    let accept = siem::from_fn("accept", |_| Verdict::Accept);
    let forwarder = Forwarder::builder(accept).max_queue_size(SLOTS).start().expect("a forwarder");
    let emitter: Emitter = forwarder.emitter();
    group.bench_function("emit", |bencher| {
        let emit = || {
            let event = emitter.event(EventType::AuthorizationDenied, Severity::High);
            fields(black_box(event)).try_send().expect("room for a burst");
        };
        bencher.iter_custom(|iterations| bursts(iterations, emit, || settle(&forwarder)));
    });
    group.bench_function("build", |bencher| {
        bencher.iter(|| black_box(fields(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High)).build()));
    });
    group.finish();
}

criterion_group!(benches, event);
criterion_main!(benches);
