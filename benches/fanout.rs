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
//!
//! Behind them comes a table of how long single emits to two take, by quantiles, at a fixed pace, each built in place as a
//! service does: both are well, or one hangs and still has room, or has none any more. The states take turns in one run. The goal: p99 as when both are well, at most
//! 1.2 times. `cargo bench --bench fanout -- quantiles` prints the table alone.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that cannot run says so by a panic, and prints what it measured; nanoseconds fit a float"
)]

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_queue::ArrayQueue;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use siem_forward::policy::Filter;
use siem_forward::{AuditEvent, Builder, EventBuilder, EventType, Fanout, Forwarder, Severity, Verdict, siem};

const SLOTS: usize = 20_000;
/// Short against the 4 ms that a batcher sleeps, and against the buffers of a pool.
const BURST: usize = 1_000;
const ASLEEP_AFTER: Duration = Duration::from_millis(8);
const BUFFER_BYTES: usize = 1024;
const BUFFERS: usize = 4096;
/// What hangs has a ring that is soon full.
const FEW_SLOTS: usize = 100;
/// Of the table: above what a round sends, and how fast it sends.
const ROUND_SLOTS: usize = 100_000;
const PER_SECOND: u32 = 20_000;
const P99_GOAL: f64 = 1.2;

fn filled<To>(event: EventBuilder<To>) -> EventBuilder<To> {
    event
        .user_id("0199d6a7-8e0e-7c33-9d0a-111111111111")
        .user_email("somebody@example.com")
        .server_id("0199d6a7-8e0e-7c33-9d0a-222222222222")
        .tool_name("payments.refund")
        .decision("allow")
        .ip_address("10.194.128.204")
        .user_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0")
        .request_id("0199d6a7-8e0e-7c33-9d0a-444444444444")
        .detail("amount", 1250)
}

fn prepared(events: usize) -> Vec<AuditEvent> {
    let event = filled(AuditEvent::builder(EventType::ToolInvoked, Severity::Low)).build();
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

/// What becomes one that hangs until it is let go, with so many slots in its ring.
fn hanging_with(slots: usize, released: Receiver<()>) -> Builder {
    let hang = siem::from_fn("hang", move |_| {
        assert!(released.recv().is_err(), "nothing is ever sent: it returns when the bench is over");
        Verdict::Accept
    });
    Forwarder::builder(hang).name("hanging").max_queue_size(slots).batch_timeout(Duration::from_millis(1))
}

/// One that hangs until it is let go, with its ring full.
fn hanging(released: Receiver<()>) -> Forwarder {
    let builder = hanging_with(FEW_SLOTS, released).batch_size(FEW_SLOTS);
    let forwarder = builder.start().expect("a forwarder");
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

/// How the one is that stands beside a live one.
#[derive(Clone, Copy)]
enum Beside {
    Well,
    /// And has room for what comes.
    Hangs,
    /// And has no room any more: it refuses each event.
    IsFull,
}

const STATES: [Beside; 3] = [Beside::Well, Beside::Hangs, Beside::IsFull];

impl Beside {
    fn name(self) -> &'static str {
        match self {
            Self::Well => "both are well",
            Self::Hangs => "one hangs, with room",
            Self::IsFull => "one hangs, without",
        }
    }

    fn forwarder(self, backlog: &Backlog, released: Receiver<()>) -> Forwarder {
        match self {
            Self::Well => accepting("beside", backlog).max_queue_size(ROUND_SLOTS).start().expect("a forwarder"),
            Self::Hangs => hanging_with(ROUND_SLOTS, released).start().expect("a forwarder"),
            Self::IsFull => hanging(released),
        }
    }
}

/// One round: builds and emits at a fixed pace to a live one and the one beside it, and times each into `times`; what comes
/// back is dropped within that time, as a caller would who does no more with it.
fn round(beside: Beside, round: Duration, times: &mut Histogram<u64>) {
    let (release, released) = bounded(0);
    let backlog = Backlog::default();
    let live = accepting("live", &backlog).max_queue_size(ROUND_SLOTS).start().expect("a forwarder");
    let fanout = Fanout::new([beside.forwarder(&backlog, released), live]).expect("a fan-out");
    let emitter = fanout.emitter();
    let clock = quanta::Clock::new();
    let pause = Duration::from_secs(1) / PER_SECOND;
    let events = u64::try_from(round.as_nanos() / pause.as_nanos()).expect("events of a round");
    let mut due = Instant::now();
    for _ in 0..events {
        due += pause;
        while Instant::now() < due {
            spin_loop();
        }
        let begun = clock.raw();
        drop(filled(emitter.event(EventType::ToolInvoked, Severity::Low)).try_send());
        let ended = clock.raw();
        times.saturating_record(clock.delta_as_nanos(begun, ended).max(1));
    }
    drop(release);
    let reports = fanout.drain(Duration::from_secs(30));
    let live = reports.last().expect("the live one");
    assert_eq!(live.ledger.delivered, events, "the live one gets every event");
}

/// The table. `--test` does all of it once, quickly.
fn quantiles() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (rounds, length) = if is_test { (1, Duration::from_millis(50)) } else { (12, Duration::from_secs(1)) };
    let histogram = || Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that it accepts");
    let mut times = STATES.map(|_| histogram());
    for number in 0..rounds {
        // Another one begins each time: none is always the one after the one that hangs.
        for turn in 0..STATES.len() {
            let state = (turn + number) % STATES.len();
            if let (Some(beside), Some(times)) = (STATES.get(state), times.get_mut(state)) {
                round(*beside, length, times);
            }
        }
    }
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>10} {:>10}",
        "ns to build and emit to two", "p50", "p99", "p99.9", "max", "p99/well"
    );
    let at_99 = |times: &Histogram<u64>| times.value_at_quantile(0.99) as f64;
    let ratios = times.each_ref().map(|of| at_99(of) / times.first().map_or(1.0, at_99));
    for ((state, times), ratio) in STATES.iter().zip(&times).zip(ratios) {
        let at = |quantile| times.value_at_quantile(quantile);
        let (name, max) = (state.name(), times.max());
        println!("{name:<28} {:>8} {:>8} {:>8} {max:>10} {ratio:>10.2}", at(0.5), at(0.99), at(0.999));
    }
    let verdict = if ratios.iter().all(|ratio| *ratio <= P99_GOAL) { "met" } else { "not met" };
    println!("goal {verdict}: p99 at most {P99_GOAL} times of where both are well");
}

criterion_group!(benches, base, emit, filter, away);

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if asked.is_empty() || !is_asked("quantiles") {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
    if is_asked("quantiles") {
        quantiles();
    }
}
