//! How long from an event's due time until its sender knows that the SIEM has it, at a tenth of what the machine can do?
//!
//! Each event counts from the time at which it was due, not from when the producer came round to it: a stall delays all that were
//! due meanwhile, and all of them show it. First the same pipeline is measured at full load, to know what a tenth is.

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use siem_forward::net::Compression;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::Splunk;
use siem_forward::{Builder, Forwarder};

use crate::figures::{count, time, verdict};
use crate::rows::Rows;
use crate::sample::Sample;
use crate::stamped::{Schedule, Stamped, Stamps};
use crate::times::Times;

const BATCH_TIMEOUT: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// At full load, to know what a tenth of it is.
const EVENTS_AT_FULL_LOAD: u64 = 300_000;
const P99_GOAL: f64 = 10e6;
const P999_GOAL: f64 = 20e6;
const COLUMNS: [&str; 7] = ["question", "series", "compression", "events_per_second", "events", "level", "nanoseconds"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// For how long events come, with each compression
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Events a second, instead of a tenth of what goes through at full load
    #[arg(long)]
    rate: Option<u64>,
    /// Append the rows to this file
    #[arg(long)]
    csv: Option<PathBuf>,
}

/// What one compression came to.
struct Line {
    compression: &'static str,
    per_second: u64,
    /// From the due time until it is held; and until the producer called.
    held: Times,
    called: Times,
}

pub(crate) fn ask(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut rows = Rows::begin(arguments.csv.as_deref(), &COLUMNS)?;
    let mut lines = Vec::new();
    for (name, compression) in [("none", Compression::None), ("gzip", Compression::Gzip)] {
        let per_second = match arguments.rate {
            Some(rate) => rate,
            None => full_load(compression)? / 10,
        };
        let line = paced(name, compression, per_second.max(1), arguments.seconds)?;
        line.record(&mut rows)?;
        lines.push(line);
    }
    rows.end()?;
    print(arguments, &lines);
    Ok(())
}

fn stamps() -> Result<Arc<Stamps>, Box<dyn Error>> {
    Ok(Arc::new(Stamps { schedule: OnceLock::new(), held: Mutex::new(Times::new()?) }))
}

fn builder(receiver: &Receiver, compression: Compression, stamps: &Arc<Stamps>) -> Result<Builder, Box<dyn Error>> {
    let splunk = Splunk::new(receiver.url(), "perf")?.compression(compression);
    Ok(Forwarder::builder(Stamped { splunk, stamps: Arc::clone(stamps) }).batch_timeout(BATCH_TIMEOUT))
}

/// Events a second, as fast as they are taken.
fn full_load(compression: Compression) -> Result<u64, Box<dyn Error>> {
    let receiver = Receiver::start(ReceiverConfig::default())?;
    let forwarder = builder(&receiver, compression, &stamps()?)?.start()?;
    let emitter = forwarder.emitter();
    let begun = Instant::now();
    for number in 0..EVENTS_AT_FULL_LOAD {
        let sample = Sample::of(number);
        let event = sample.fill(emitter.event(sample.event_type, sample.severity));
        event.send_timeout(PATIENCE).map_err(|refused| refused.to_string())?;
    }
    let report = forwarder.drain(PATIENCE);
    let micros = u64::try_from(begun.elapsed().as_micros())?;
    if report.all_delivered() { Ok(EVENTS_AT_FULL_LOAD * 1_000_000 / micros) } else { Err(report.to_string().into()) }
}

fn paced(name: &'static str, compression: Compression, per_second: u64, seconds: u64) -> Result<Line, Box<dyn Error>> {
    let receiver = Receiver::start(ReceiverConfig::default())?;
    let stamps = stamps()?;
    let forwarder = builder(&receiver, compression, &stamps)?.start()?;
    let emitter = forwarder.emitter();
    // The first health check and the first connections are made.
    thread::sleep(Duration::from_millis(300));
    let schedule = Schedule { begun: Instant::now(), pause: Duration::from_nanos(1_000_000_000 / per_second) };
    let schedule = *stamps.schedule.get_or_init(|| schedule);
    let mut called = Times::new()?;
    let events = per_second * seconds;
    for number in 0..events {
        let due = schedule.pause.as_nanos() * u128::from(number);
        let early = due.saturating_sub(schedule.begun.elapsed().as_nanos());
        if early > 0 {
            // A service's threads do not spin, and would take a core from those that are measured.
            thread::sleep(Duration::from_nanos(u64::try_from(early)?));
        }
        called.record(schedule.late(number, Instant::now()));
        let sample = Sample::of(number);
        let event = sample.fill(emitter.event(sample.event_type, sample.severity));
        // Should it have to wait, that too is part of the latency.
        event.send_timeout(PATIENCE).map_err(|refused| refused.to_string())?;
    }
    let report = forwarder.drain(PATIENCE);
    let held = std::mem::replace(&mut *stamps.held.lock().unwrap_or_else(PoisonError::into_inner), Times::new()?);
    if !report.all_delivered() || held.calls() != events || receiver.counts().unique != events {
        return Err(format!("{report} {} of {events} were seen", held.calls()).into());
    }
    Ok(Line { compression: name, per_second, held, called })
}

impl Line {
    fn record(&self, rows: &mut Rows) -> std::io::Result<()> {
        for (series, times) in [("held", &self.held), ("called", &self.called)] {
            let begin = ["delivery_latency", series, self.compression, &self.per_second.to_string()];
            rows.write_levels(&begin, times)?;
        }
        Ok(())
    }
}

fn print(arguments: &Arguments, lines: &[Line]) {
    println!(
        "batch_timeout {BATCH_TIMEOUT:?}, {} s at a tenth of the full load; from each event's due time",
        arguments.seconds
    );
    println!(
        "{:<12}{:>10}  {:<24}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "compression", "events/s", "until", "p50", "p90", "p99", "p99.9", "max"
    );
    for line in lines {
        for (until, times) in [("the producer calls", &line.called), ("the SIEM has it", &line.held)] {
            let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(|level| time(times.at(level)));
            println!(
                "{:<12}{:>10}  {until:<24}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}",
                line.compression,
                count(line.per_second)
            );
        }
    }
    for line in lines {
        let (p99, p999) = (line.held.at(0.99), line.held.at(0.999));
        println!(
            "goal, compression {}: p99 below {}: {}; p99.9 below {}: {}",
            line.compression,
            time(P99_GOAL),
            verdict(p99 < P99_GOAL),
            time(P999_GOAL),
            verdict(p999 < P999_GOAL)
        );
    }
}
