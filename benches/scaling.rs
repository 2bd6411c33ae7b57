//! How many events a second by cores, producers, batchers and senders: the model of docs/scaling.md beside what is measured.
//!
//! First what an event costs its producer and the forwarder's threads, each on a core, is measured at rest. From that and
//! nothing else the model says how many events a second each arrangement should do, and then it is tried. `x` is the
//! measured over the modelled; an arrangement of more threads than cores is limited by the cores. Where the destination
//! takes a while, the senders limit.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that cannot run says so by a panic, and prints what it measured; counts fit a float"
)]

mod sample;

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use siem_forward::{Emitter, EventType, Forwarder, Severity, Verdict, siem};

use sample::fields;

const BATCH: usize = 500;
/// As many as the pool has buffers for.
const BURST: u32 = 4_000;

/// Cores: as many as there are.
const ALL: usize = usize::MAX;

#[derive(Clone, Copy)]
struct Arrangement {
    /// One, or [`ALL`].
    cores: usize,
    producers: usize,
    batchers: usize,
    senders: usize,
    /// How long the destination takes for a batch.
    round_trip: Duration,
}

impl Arrangement {
    const fn new(cores: usize, producers: usize, batchers: usize) -> Self {
        Self { cores, producers, batchers, senders: 2, round_trip: Duration::ZERO }
    }

    const fn away(self, senders: usize, milliseconds: u64) -> Self {
        Self { senders, round_trip: Duration::from_millis(milliseconds), ..self }
    }
}

/// What an event takes of a core, in seconds.
#[derive(Clone, Copy)]
struct Cost {
    producer: f64,
    forwarder: f64,
}

impl Cost {
    /// Events a second, and what limits them.
    fn model(self, arrangement: Arrangement) -> (f64, &'static str) {
        let Arrangement { cores, producers, batchers, senders, round_trip } = arrangement;
        let limits = [
            (producers as f64 / self.producer, "producers"),
            (batchers as f64 / self.forwarder, "batchers"),
            (senders as f64 * BATCH as f64 / round_trip.as_secs_f64(), "senders"),
            (cores as f64 / (self.producer + self.forwarder), "cores"),
        ];
        limits.into_iter().min_by(|one, other| one.0.total_cmp(&other.0)).expect("four")
    }
}

fn emit(emitter: &Emitter) -> bool {
    let event = fields(emitter.event(EventType::AuthorizationDenied, Severity::High))
        .detail("reason", "amount exceeds the limit of the role \"clerk\"; a second approver is needed");
    event.send_timeout(Duration::from_secs(60)).is_ok()
}

fn forwarder(arrangement: Arrangement) -> Forwarder {
    let round_trip = arrangement.round_trip;
    let take = siem::from_fn("takes a while", move |_| {
        if !round_trip.is_zero() {
            thread::sleep(round_trip);
        }
        Verdict::Accept
    });
    let builder = Forwarder::builder(take).batch_size(BATCH).max_queue_size(20_000 * arrangement.batchers);
    builder.batchers(arrangement.batchers).senders(arrangement.senders).start().expect("a forwarder")
}

/// Bursts that the ring holds, so that nobody waits for room.
fn cost(bursts: u32) -> Cost {
    let on_core = || -> Duration { clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after its start") };
    let forwarder = forwarder(Arrangement::new(ALL, 1, 1));
    let emitter = forwarder.emitter();
    let mut produced = Duration::ZERO;
    for _ in 0..bursts {
        let begun = on_core();
        for _ in 0..BURST {
            assert!(emit(&emitter), "room for a burst");
        }
        produced += on_core().saturating_sub(begun);
        while forwarder.metrics().queue_size > 0 {
            thread::sleep(Duration::from_micros(100));
        }
    }
    drop(forwarder.drain(Duration::from_secs(60)));
    let events = f64::from(bursts * BURST);
    let worked = forwarder.metrics().worker_cpu_time;
    Cost { producer: produced.as_secs_f64() / events, forwarder: worked.as_secs_f64() / events }
}

/// Events a second, flat out, until all are delivered. On one core all threads inherit it.
fn measure(arrangement: Arrangement, events: usize) -> f64 {
    let run = || {
        if let ([core, ..], 1) = (core_affinity::get_core_ids().expect("cores").as_slice(), arrangement.cores) {
            assert!(core_affinity::set_for_current(*core), "a core of its own");
        }
        let forwarder = forwarder(arrangement);
        let emitters: Vec<Emitter> = (0..arrangement.producers).map(|_| forwarder.emitter()).collect();
        let each = events / arrangement.producers;
        let begun = Instant::now();
        thread::scope(|scope| {
            for emitter in &emitters {
                scope.spawn(move || assert!((0..each).all(|_| emit(emitter)), "room within a minute"));
            }
        });
        let report = forwarder.drain(Duration::from_secs(60));
        let took = begun.elapsed();
        let sent = (each * arrangement.producers) as u64;
        assert_eq!(report.ledger.delivered, sent, "{report}");
        sent as f64 / took.as_secs_f64()
    };
    thread::scope(|scope| scope.spawn(run).join().expect("a run"))
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (bursts, events, away) = if is_test { (2, 4_000, 2_000) } else { (100, 1_000_000, 200_000) };
    let cost = cost(bursts);
    let nanos = |seconds: f64| seconds * 1e9;
    println!(
        "an event takes {:.0} ns of its producer, {:.0} ns of the forwarder",
        nanos(cost.producer),
        nanos(cost.forwarder)
    );
    let arrangements = [
        Arrangement::new(1, 1, 1),
        Arrangement::new(1, 4, 2),
        Arrangement::new(ALL, 1, 1),
        Arrangement::new(ALL, 2, 1),
        Arrangement::new(ALL, 2, 2),
        Arrangement::new(ALL, 4, 2),
        Arrangement::new(ALL, 1, 1).away(1, 20),
        Arrangement::new(ALL, 1, 1).away(4, 20),
        Arrangement::new(ALL, 1, 1).away(16, 20),
    ];
    let cores = core_affinity::get_core_ids().map_or(1, |cores| cores.len());
    println!(
        "{:>5} {:>9} {:>8} {:>7} {:>10} {:>14} {:>14} {:>6}  limited by",
        "cores", "producers", "batchers", "senders", "round trip", "modelled 1/s", "measured 1/s", "x"
    );
    for arrangement in arrangements {
        let arrangement = Arrangement { cores: arrangement.cores.min(cores), ..arrangement };
        let Arrangement { cores, producers, batchers, senders, round_trip } = arrangement;
        let (modelled, limit) = cost.model(arrangement);
        let measured = measure(arrangement, if round_trip.is_zero() { events } else { away });
        println!(
            "{cores:>5} {producers:>9} {batchers:>8} {senders:>7} {:>7} ms {modelled:>14.0} {measured:>14.0} {:>6.2}  {limit}",
            round_trip.as_millis(),
            measured / modelled
        );
    }
}
