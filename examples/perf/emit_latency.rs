//! How long does an emit take while the batcher sleeps, beside a bare push of the same slot into the same queue?
//!
//! One event every 100 µs, whatever the number of producers: at this pace every consumer falls asleep between two events, and
//! what a producer pays for it shows in the slowest calls. Both take turns in rounds of a second. The consumer of the bare queue is as
//! lazy as the batcher. Events are prepared; the time of the call alone counts, by the time stamp counter, and what two reads of
//! the counter take is measured beside it.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use crossbeam_queue::ArrayQueue;
use siem_forward::siem::from_fn;
use siem_forward::{AuditEvent, EventType, Forwarder, Severity, Verdict};

use crate::figures::{count, verdict};
use crate::pace::Pace;
use crate::rows::Rows;
use crate::times::Times;

/// The default of `max_queue_size`, for which the batcher sleeps 4 ms at most.
const SLOTS: usize = 20_000;
const SLEEP: Duration = Duration::from_millis(4);
/// Of a thread's events the first, and one in so many after it, is measured by the forwarder itself, which takes longer.
const MEASURED_EVERY: usize = 2_053;
const P999_GOAL: f64 = 2.0;
pub(crate) const COLUMNS: [&str; 6] = ["question", "series", "producers", "calls", "level", "nanoseconds"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many rounds each series has
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// How long a round takes
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    round: u64,
    /// Between two events, whatever the number of threads
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pause: u64,
    /// How many threads emit, one or several numbers
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    producers: Vec<u32>,
    /// How many events a batch has; with the forwarder's default a sender is woken 20 times a second
    #[arg(long, value_name = "EVENTS", default_value_t = 500)]
    batch_size: usize,
    /// Append the rows to this file
    #[arg(long)]
    csv: Option<PathBuf>,
}

/// What so many producers have measured.
struct Lines {
    producers: u32,
    round: Duration,
    batch_size: usize,
    pause: Duration,
    clock: Times,
    bare: Times,
    emit: Times,
    /// Of these the ones that the forwarder itself measured.
    measured: Times,
    /// And the others.
    usual: Times,
}

/// What one round of producers has measured.
struct Round {
    clock: Times,
    seldom: Times,
    usual: Times,
}

impl Round {
    fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { clock: Times::new()?, seldom: Times::new()?, usual: Times::new()? })
    }

    fn add(&mut self, other: &Self) {
        self.clock.add(&other.clock);
        self.seldom.add(&other.seldom);
        self.usual.add(&other.usual);
    }
}

pub(crate) fn ask(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let pause = Duration::from_micros(arguments.pause);
    let mut rows = Rows::begin(arguments.csv.as_deref(), &COLUMNS)?;
    println!(
        "one event every {pause:?}, the consumer asleep; {} rounds of {} ms, batches of {}",
        arguments.rounds, arguments.round, arguments.batch_size
    );
    println!(
        "{:<10}{:<14}{:>9}{:>9}{:>9}{:>9}{:>10}{:>12}",
        "producers", "ns a call", "calls", "p50", "p99", "p99.9", "p99.99", "max"
    );
    let mut goals = Vec::new();
    for &producers in &arguments.producers {
        let round = Duration::from_millis(arguments.round);
        let mut lines = Lines {
            producers,
            round,
            batch_size: arguments.batch_size,
            pause,
            clock: Times::new()?,
            bare: Times::new()?,
            emit: Times::new()?,
            measured: Times::new()?,
            usual: Times::new()?,
        };
        for round in 0..arguments.rounds {
            for is_bare in [round % 2 == 0, round % 2 != 0] {
                if is_bare {
                    bare_round(&mut lines)?;
                } else {
                    emit_round(&mut lines)?;
                }
            }
        }
        lines.print();
        lines.record(&mut rows)?;
        goals.push(lines.goal());
    }
    rows.end()?;
    for goal in goals {
        println!("{goal}");
    }
    Ok(())
}

fn prepared(events: usize) -> Vec<AuditEvent> {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low)
        .user_id("u-2f6c1d9e")
        .tool_name("payments.refund")
        .decision("deny")
        .detail("amount", 1250)
        .build();
    vec![event; events]
}

/// A queue with the same slot, and a consumer that sleeps as long as the batcher.
fn bare_round(lines: &mut Lines) -> Result<(), Box<dyn Error>> {
    let queue: ArrayQueue<Option<AuditEvent>> = ArrayQueue::new(SLOTS);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                while let Some(event) = queue.pop() {
                    drop(event);
                }
                thread::sleep(SLEEP);
            }
        });
        let timed = producers(lines, |event| queue.push(Some(event)).is_ok());
        done.store(true, Ordering::Relaxed);
        let round = timed?;
        lines.bare.add(&round.seldom);
        lines.bare.add(&round.usual);
        lines.clock.add(&round.clock);
        Ok(())
    })
}

fn emit_round(lines: &mut Lines) -> Result<(), Box<dyn Error>> {
    let forwarder = Forwarder::builder(from_fn("nothing", |_| Verdict::Accept))
        .max_queue_size(SLOTS)
        .batch_size(lines.batch_size)
        .start()?;
    let emitter = forwarder.emitter();
    let round = producers(lines, |event| emitter.try_send(event).is_ok())?;
    lines.emit.add(&round.seldom);
    lines.emit.add(&round.usual);
    lines.measured.add(&round.seldom);
    lines.usual.add(&round.usual);
    lines.clock.add(&round.clock);
    drop(forwarder.abort());
    Ok(())
}

/// One round of so many threads: the times of the calls, and of nothing between two reads of the clock.
///
/// The threads are new, so that each counts its events from the first.
fn producers(lines: &Lines, call: impl Fn(AuditEvent) -> bool + Sync) -> Result<Round, Box<dyn Error>> {
    let Lines { producers: threads, round, pause, .. } = *lines;
    let call = &call;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let yields = usize::try_from(threads)? >= cores;
    let each = usize::try_from(round.as_nanos() / pause.as_nanos())? / usize::try_from(threads)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let mut times = Round::new()?;
                Ok(scope.spawn(move || {
                    let events = prepared(each);
                    let clock = quanta::Clock::new();
                    let mut pace = Pace::new(pause * threads, pause * thread, yields);
                    let mut all = true;
                    for (number, event) in events.into_iter().enumerate() {
                        pace.wait();
                        let nothing = clock.raw();
                        let begun = clock.raw();
                        all &= call(event);
                        let ended = clock.raw();
                        let took = clock.delta_as_nanos(begun, ended);
                        times.clock.record(clock.delta_as_nanos(nothing, begun));
                        let of =
                            if number.is_multiple_of(MEASURED_EVERY) { &mut times.seldom } else { &mut times.usual };
                        of.record(took);
                    }
                    all.then_some(times).ok_or("an event was refused")
                }))
            })
            .collect::<Result<_, Box<dyn Error>>>()?;
        let mut sum = Round::new()?;
        for thread in threads {
            sum.add(&thread.join().map_err(|_| "a producer has panicked")??);
        }
        Ok(sum)
    })
}

impl Lines {
    fn series(&self) -> [(&'static str, &Times); 5] {
        [
            ("clock alone", &self.clock),
            ("bare push", &self.bare),
            ("try_send", &self.emit),
            ("measured", &self.measured),
            ("the others", &self.usual),
        ]
    }

    fn print(&self) {
        for (name, times) in self.series() {
            println!(
                "{:<10}{name:<14}{:>9}{:>9.1}{:>9.0}{:>9.0}{:>10.0}{:>12.0}",
                self.producers,
                count(times.calls()),
                times.median(),
                times.at(0.99),
                times.at(0.999),
                times.at(0.9999),
                times.at(1.0)
            );
        }
    }

    fn record(&self, rows: &mut Rows) -> std::io::Result<()> {
        for (name, times) in self.series() {
            rows.write_levels(&["emit_latency", name, &self.producers.to_string()], times)?;
        }
        Ok(())
    }

    /// Of p99.9 alone: half of the calls are as short as a step of the counter. What a push costs on average is told by
    /// `cargo bench --bench ring`.
    fn goal(&self) -> String {
        let times = self.emit.at(0.999) / self.bare.at(0.999);
        let producers = self.producers;
        let met = verdict(times <= P999_GOAL);
        format!("goal, {producers} producer(s): at most {P999_GOAL} times the bare push at p99.9: {times:.2}, {met}")
    }
}
