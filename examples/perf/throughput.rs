//! How many events a second go from the emitter to the embedded receiver, at which CPU time, beside a bare loop?
//!
//! For each batch size and compression the library and the bare loop take turns, so that whatever else the machine does
//! meets them alike. The bare loop runs on one thread, which waits while the receiver reads, and on two, which share the
//! events as the library's two senders share the batches: the limit is the faster of both.

use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use siem_forward::Forwarder;
use siem_forward::net::Compression;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::Splunk;

use crate::figures::{count, median, rate, verdict};
use crate::rows::Rows;
use crate::sample::Sample;
use crate::{bare, by_hand};

/// No batch of any size here is cut by its bytes.
const BATCH_BYTES_MAX: usize = 10_000_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// The default, for which the goals are set.
const BATCH_SIZE: usize = 500;
const COLUMNS: [&str; 10] = [
    "question",
    "series",
    "compression",
    "batch_size",
    "repeat",
    "events_per_second",
    "engine_cpu_s_per_million",
    "producers_cpu_s_per_million",
    "receiver_cpu_s_per_million",
    "bytes_per_event",
];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Events of each measurement
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// How often each is measured; medians are shown
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// The most events in a request, one or several
    #[arg(long, value_delimiter = ',', default_value = "50,100,200,500,1000,2000")]
    batch_sizes: Vec<usize>,
    /// Threads that make events for the library
    #[arg(long, default_value_t = 1)]
    producers: u64,
    /// Room in the library's queue, in events
    #[arg(long, default_value_t = 20_000)]
    max_queue_size: usize,
    /// Append the rows to this file
    #[arg(long)]
    csv: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    Library,
    Bare(u64),
}

const SERIES: [Series; 3] = [Series::Library, Series::Bare(1), Series::Bare(2)];

impl Series {
    fn name(self) -> String {
        match self {
            Self::Library => "siem-forward".to_owned(),
            Self::Bare(1) => "bare loop, 1 thread".to_owned(),
            Self::Bare(threads) => format!("bare loop, {threads} threads"),
        }
    }
}

/// One measurement.
struct Measured {
    series: Series,
    compression: Compression,
    batch_size: usize,
    repeat: usize,
    per_second: f64,
    /// CPU-s per million events: of the library's threads, of those that make events, of the receiver. A bare loop is all
    /// producer.
    engine: f64,
    producers: f64,
    receiver: f64,
    bytes: f64,
}

pub(crate) fn ask(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let bytes = by_hand::compare(&splunk("http://127.0.0.1:1", Compression::None)?)?;
    let mut rows = Rows::begin(arguments.csv.as_deref(), &COLUMNS)?;
    let mut all = Vec::new();
    for repeat in 0..arguments.repeats {
        for compression in [Compression::None, Compression::Gzip] {
            for &batch_size in &arguments.batch_sizes {
                let mut series = SERIES;
                // Another one begins each time.
                series.rotate_left(repeat % SERIES.len());
                for series in series {
                    let measured = measure(arguments, series, compression, batch_size, repeat)?;
                    rows.write(&measured.row())?;
                    all.push(measured);
                }
            }
        }
    }
    rows.end()?;
    print(arguments, bytes, &all);
    Ok(())
}

fn splunk(url: &str, compression: Compression) -> Result<Splunk, Box<dyn Error>> {
    Ok(Splunk::new(url, "perf")?.host(by_hand::HOST).compression(compression))
}

fn measure(
    arguments: &Arguments,
    series: Series,
    compression: Compression,
    batch_size: usize,
    repeat: usize,
) -> Result<Measured, Box<dyn Error>> {
    let events = arguments.events;
    let receiver = Receiver::start(ReceiverConfig::default())?;
    let begun = Instant::now();
    let (engine, producers) = match series {
        Series::Library => through_the_library(&receiver, arguments, batch_size, compression)?,
        Series::Bare(threads) => (Duration::ZERO, bare_loop(&receiver, events, threads, batch_size, compression)?),
    };
    let elapsed = begun.elapsed();
    let counts = receiver.counts();
    if (counts.unique, counts.duplicated) != (events, 0) {
        return Err(format!("{}: of {events} events {} came", series.name(), counts.unique).into());
    }
    let per_million = |cpu: Duration| cpu.as_secs_f64() * 1e6 / float(events);
    Ok(Measured {
        series,
        compression,
        batch_size,
        repeat,
        per_second: float(events) / elapsed.as_secs_f64(),
        engine: per_million(engine),
        producers: per_million(producers),
        receiver: per_million(receiver.cpu_time()),
        bytes: float(counts.bytes) / float(events),
    })
}

/// CPU time of the engine's threads, and of the producers.
fn through_the_library(
    receiver: &Receiver,
    arguments: &Arguments,
    batch_size: usize,
    compression: Compression,
) -> Result<(Duration, Duration), Box<dyn Error>> {
    let &Arguments { events, producers, max_queue_size, .. } = arguments;
    let builder = Forwarder::builder(splunk(&receiver.url(), compression)?).max_queue_size(max_queue_size);
    let forwarder = builder.batch_size(batch_size).batch_bytes_max(BATCH_BYTES_MAX).start()?;
    let made = shared_out(events, producers, |numbers| {
        let emitter = forwarder.emitter();
        for number in numbers {
            let sample = Sample::of(number);
            let event = sample.fill(emitter.event(sample.event_type, sample.severity));
            event.send_timeout(PATIENCE).map_err(|refused| refused.to_string())?;
        }
        Ok(())
    });
    let report = forwarder.drain(PATIENCE);
    let made = made?;
    if report.ledger.delivered == events {
        Ok((report.metrics.worker_cpu_time, made))
    } else {
        Err(report.to_string().into())
    }
}

/// CPU time of the loops.
fn bare_loop(
    receiver: &Receiver,
    events: u64,
    threads: u64,
    batch_size: usize,
    compression: Compression,
) -> Result<Duration, String> {
    shared_out(events, threads, |numbers| {
        bare::send(receiver.address(), numbers, batch_size, compression).map_err(|error| error.to_string())
    })
}

/// Each thread does its part of the events; their CPU time.
fn shared_out(
    events: u64,
    threads: u64,
    work: impl Fn(std::ops::Range<u64>) -> Result<(), String> + Sync,
) -> Result<Duration, String> {
    let work = &work;
    thread::scope(|scope| {
        let part = |thread: u64| events * thread / threads..events * (thread + 1) / threads;
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let numbers = part(thread);
                scope.spawn(move || {
                    work(numbers)?;
                    Ok(bare::thread_cpu())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread has panicked".to_owned())))
            .sum::<Result<Duration, String>>()
    })
}

impl Measured {
    fn row(&self) -> Vec<String> {
        vec![
            "throughput".to_owned(),
            // No comma may stand in a value.
            self.series.name().replace(',', ""),
            name(self.compression).to_owned(),
            self.batch_size.to_string(),
            self.repeat.to_string(),
            format!("{:.0}", self.per_second),
            format!("{:.3}", self.engine),
            format!("{:.3}", self.producers),
            format!("{:.3}", self.receiver),
            format!("{:.1}", self.bytes),
        ]
    }
}

fn name(compression: Compression) -> &'static str {
    if compression == Compression::Gzip { "gzip" } else { "none" }
}

#[expect(clippy::cast_precision_loss, reason = "counts of events fit a float")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Medians of one compression and batch size.
struct Medians<'a> {
    of: Vec<&'a Measured>,
}

impl Medians<'_> {
    fn of(&self, series: Series, value: impl Fn(&Measured) -> f64) -> f64 {
        median(self.of.iter().filter(|one| one.series == series).map(|one| value(one)))
    }

    /// The faster of the bare loops.
    fn limit(&self) -> Series {
        let rate = |series| self.of(series, |one| one.per_second);
        if rate(Series::Bare(2)) > rate(Series::Bare(1)) { Series::Bare(2) } else { Series::Bare(1) }
    }

    /// How much of the limit the library reaches: the median of what it is in each repeat.
    fn share(&self) -> f64 {
        let limit = self.limit();
        let of = |series, repeat| {
            self.of.iter().find(|one| one.series == series && one.repeat == repeat).map(|one| one.per_second)
        };
        let repeats = self.of.iter().map(|one| one.repeat).max().unwrap_or_default();
        median((0..=repeats).filter_map(|repeat| Some(of(Series::Library, repeat)? / of(limit, repeat)?)))
    }
}

fn print(arguments: &Arguments, bytes: usize, all: &[Measured]) {
    println!(
        "{} events of {bytes} bytes, {} producer(s), medians of {}; CPU in seconds per million events",
        count(arguments.events),
        arguments.producers,
        arguments.repeats
    );
    println!(
        "{:<6}{:>7}{:>12}{:>12}{:>12}{:>7}{:>9}{:>11}{:>7}{:>10}",
        "", "batch", "events/s", "bare, 1", "bare, 2", "share", "engine", "producers", "bare", "receiver"
    );
    let mut goals = Vec::new();
    for compression in [Compression::None, Compression::Gzip] {
        for &batch_size in &arguments.batch_sizes {
            let of = all.iter().filter(|one| one.compression == compression && one.batch_size == batch_size);
            let medians = Medians { of: of.collect() };
            let limit = medians.limit();
            println!(
                "{:<6}{batch_size:>7}{:>12}{:>12}{:>12}{:>6.0}%{:>9.2}{:>11.2}{:>7.2}{:>10.2}",
                name(compression),
                rate(medians.of(Series::Library, |one| one.per_second)),
                rate(medians.of(Series::Bare(1), |one| one.per_second)),
                rate(medians.of(Series::Bare(2), |one| one.per_second)),
                medians.share() * 100.0,
                medians.of(Series::Library, |one| one.engine),
                medians.of(Series::Library, |one| one.producers),
                medians.of(limit, |one| one.producers),
                medians.of(Series::Library, |one| one.receiver),
            );
            if batch_size == BATCH_SIZE {
                goals.extend(goals_of(compression, &medians));
            }
        }
    }
    for goal in goals {
        println!("{goal}");
    }
}

/// The goals at the default batch size.
fn goals_of(compression: Compression, medians: &Medians<'_>) -> Vec<String> {
    let share = medians.share();
    let least = if compression == Compression::Gzip { 0.85 } else { 0.8 };
    let mut goals = vec![format!(
        "goal, compression {}: at least {:.0} % of the bare loop: {}",
        name(compression),
        least * 100.0,
        verdict(share >= least)
    )];
    if compression == Compression::None {
        let per_second = medians.of(Series::Library, |one| one.per_second);
        let cpu = medians.of(Series::Library, |one| one.engine);
        goals.push(format!("goal: at least 1,000,000 events/s beside the receiver: {}", verdict(per_second >= 1e6)));
        goals.push(format!("goal: at most 1.0 CPU-s per million in the engine: {}", verdict(cpu <= 1.0)));
    }
    goals
}
