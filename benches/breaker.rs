//! What the circuit breaker costs a request: leave to send, and what became of it.
//!
//! `mutex` is the base: two times a lock that nobody else wants, or that four threads want. `closed` is a permit and its
//! success, `open` a permit that is refused, `status` a look at it. A request carries 500 events, so that an event pays a
//! five-hundredth of this. Each iteration is one request; from four threads its time is that of its thread on a core.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use siem_forward::policy::{BreakerConfig, CircuitBreaker};

const NOW: Duration = Duration::from_secs(10);

/// The time of this thread on a core.
fn on_core() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the thread's start")
}

/// The mean time of `act` on its own thread, times `iterations`.
fn time(iterations: u64, threads: u32, act: impl Fn() + Sync) -> Duration {
    let start = Barrier::new(threads as usize);
    let each = iterations.div_ceil(u64::from(threads));
    let run = || {
        start.wait();
        let begun = on_core();
        (0..each).for_each(|_| act());
        on_core().saturating_sub(begun)
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        run() + others.into_iter().map(|other| other.join().expect("a thread")).sum::<Duration>()
    })
}

fn breaker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breaker");
    for threads in [1, 4] {
        group.bench_function(BenchmarkId::new("mutex", threads), |bencher| {
            let held = Mutex::new(0_u64);
            let twice = || {
                *held.lock() += 1;
                *held.lock() += 1;
            };
            bencher.iter_custom(|iterations| time(iterations, threads, twice));
        });
        group.bench_function(BenchmarkId::new("closed", threads), |bencher| {
            let breaker = CircuitBreaker::new(BreakerConfig::default());
            let pass = || breaker.permit(black_box(NOW)).expect("it is closed").succeeded(black_box(NOW));
            bencher.iter_custom(|iterations| time(iterations, threads, pass));
        });
    }
    let open = CircuitBreaker::new(BreakerConfig::default());
    open.permit(NOW).expect("it is closed").refused(NOW, "HTTP 403");
    group.bench_function("open", |bencher| bencher.iter(|| open.permit(black_box(NOW)).expect_err("it is open")));
    group.bench_function("status", |bencher| bencher.iter(|| open.status()));
    group.finish();
}

criterion_group!(benches, breaker);
criterion_main!(benches);
