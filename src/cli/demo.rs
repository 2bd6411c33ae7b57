//! `demo`: a million realistic events through the whole engine, over real HTTP, to the embedded receiver.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;

use super::failure::Failure;
use super::figures::{count, counted};
use super::played::Played;
use super::progress::Progress;
use super::report::{PipelineEnd, Received, RunReport};
use super::sample::Sample;
use super::signals::Ended;
use super::usage::{peak_memory, thread_cpu};
use super::{exit_code, print, tell};
use crate::engine::{ConnectionConfig, DeadLetterConfig, Emitter, Forwarder, Report};
use crate::event::{EventId, monotonic};
use crate::ledger::Quantiles;
use crate::net::{Compression, HttpConfig};
use crate::policy::BreakerConfig;
use crate::receiver::{Counts, Fault, Receiver, ReceiverConfig};

/// When nothing has been delivered for so long, the demo stops offering events: a fault that never lets any through
/// must not keep it running for ever.
const STALLED: Duration = Duration::from_secs(30);
/// A receiver of our own that shows a fault is well again before anybody has looked away.
const RECOVERY: Duration = Duration::from_secs(1);
/// Enough for 20,000 events a second and ten seconds until they are acknowledged.
const PENDING_BYTES_MAX: usize = 256_000_000;
const DRAIN: Duration = Duration::from_secs(30);
const TOKEN: &str = "00000000-0000-0000-0000-00000000demo";
/// Every this many events the cost of handing one in is measured: reading the clock twice for each would double it.
const MEASURE_EVERY: u64 = 8;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArguments {
    /// Whom the receiver plays: splunk, datadog, elastic or webhook
    #[arg(long = "as", value_name = "SIEM", value_enum, default_value = "splunk", hide_possible_values = true)]
    played: Played,
    /// How many events
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Events a second, all producers together; as fast as they are taken without it
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Threads that make events
    #[arg(long, default_value = "1")]
    producers: NonZeroUsize,
    /// Threads that encode
    #[arg(long, default_value = "1")]
    batchers: NonZeroUsize,
    /// Threads that send
    #[arg(long, default_value = "2")]
    senders: NonZeroUsize,
    /// How bodies are compressed; a real SIEM is better sent gzip
    #[arg(long, value_enum, default_value_t = CompressionChoice::None)]
    compression: CompressionChoice,
    /// Count as delivered what is acknowledged, which happens so many seconds after it was taken
    #[arg(long, value_name = "SECONDS", value_parser = super::receive::seconds)]
    ack_delay: Option<Duration>,
    /// A fault of the receiver, may be repeated; `siem-forward receive --help` lists them
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward demo                                     a million events, as fast as they go
  siem-forward demo --compression gzip
  siem-forward demo --as datadog
  siem-forward demo --events 100000 --rate 20000        at a tenth of the load: look at the latencies
  siem-forward demo --events 50000 --fault 503:every=3  a SIEM on a bad day: nothing is missing
  siem-forward demo --ack-delay 10                      with indexer acknowledgement, ten seconds late";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionChoice {
    None,
    Gzip,
}

impl From<CompressionChoice> for Compression {
    fn from(choice: CompressionChoice) -> Self {
        match choice {
            CompressionChoice::None => Self::None,
            CompressionChoice::Gzip => Self::Gzip,
        }
    }
}

pub(crate) fn demo(arguments: &DemoArguments) -> Result<ExitCode, Failure> {
    let ended = Ended::watch()?;
    let config = ReceiverConfig {
        play: arguments.played.part(arguments.ack_delay)?,
        token: Some(TOKEN.to_owned()),
        faults: arguments.faults.clone(),
        ack: arguments.ack_delay,
        ..ReceiverConfig::default()
    };
    let receiver =
        Receiver::start(config).map_err(|source| Failure::Listen { address: "a loopback port".to_owned(), source })?;
    let dead_letter = dead_letter_path();
    let http = HttpConfig { compression: arguments.compression.into(), ..HttpConfig::default() };
    let connection = ConnectionConfig { pending_bytes_max: PENDING_BYTES_MAX, ..ConnectionConfig::default() };
    let breaker = BreakerConfig { recovery_timeout: RECOVERY, ..BreakerConfig::default() };
    let forwarder = arguments
        .played
        .builder(&receiver.url(), TOKEN, http, arguments.ack_delay.is_some())?
        .connection(connection)
        .breaker(breaker)
        .batchers(arguments.batchers.get())
        .senders(arguments.senders.get())
        .dead_letter(DeadLetterConfig::new(&dead_letter))
        .start()?;
    let begun = Instant::now();
    let (producers, report) = produce_and_drain(arguments, &forwarder, &ended)?;
    let elapsed = begun.elapsed();
    if report.ledger.dead_lettered == 0 {
        // Nothing is in it; a leftover would be only untidy.
        drop(std::fs::remove_file(&dead_letter));
    }
    let offered = producers.iter().map(|produced| produced.offered).sum();
    let pipeline = PipelineEnd { report, destination: forwarder.destination().to_owned(), offered };
    let result = compare(arguments, &receiver, &producers, pipeline, elapsed);
    if arguments.json {
        tell(&result.sentence());
        print(&format!("{}\n", result.to_json()))?;
    } else {
        print(&result.to_text())?;
    }
    Ok(exit_code(result.is_complete()))
}

/// Where events go that the receiver was told to refuse.
fn dead_letter_path() -> PathBuf {
    std::env::temp_dir().join(format!("siem-forward-demo-{}.dead.ndjson", std::process::id()))
}

/// What one producer has done.
struct Produced {
    /// Its events were numbered from 0 to here, and each was answered with `Ok`.
    offered: u64,
    emit: Option<Histogram<u64>>,
    cpu: Duration,
}

/// Offers all events and drains, showing how far it is.
fn produce_and_drain(
    arguments: &DemoArguments,
    forwarder: &Forwarder,
    ended: &Ended,
) -> Result<(Vec<Produced>, Report), Failure> {
    let stop = AtomicBool::new(false);
    let producers = arguments.producers.get() as u64;
    thread::scope(|scope| {
        let stop = &stop;
        let work = scope.spawn(move || {
            let threads: Vec<_> = (0..producers)
                .map(|producer| {
                    let share = arguments.events / producers + u64::from(producer < arguments.events % producers);
                    let pace = arguments.rate.map(|rate| producers * 1_000_000_000 / rate);
                    let emitter = forwarder.emitter();
                    let thread = thread::Builder::new().name(format!("producer-{producer}"));
                    thread.spawn_scoped(scope, move || produce(producer, share, pace, &emitter, stop))
                })
                .collect();
            let mut produced = Vec::with_capacity(threads.len());
            let mut failed = None;
            for thread in threads {
                match thread.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(done)) => produced.push(done),
                    // A producer does not panic; should one, its events are missing, and that is what the report says.
                    Ok(Err(_)) => {}
                    Err(error) => failed = failed.or(Some(Failure::Thread(error))),
                }
            }
            let report = forwarder.drain(DRAIN);
            failed.map_or(Ok((produced, report)), Err)
        });
        watch(arguments, forwarder, ended, stop, || work.is_finished());
        work.join().unwrap_or_else(|_| Ok((Vec::new(), forwarder.drain(DRAIN))))
    })
}

/// Shows progress until the work is done; stops the producers when asked to, or when nothing moves any more.
fn watch(
    arguments: &DemoArguments,
    forwarder: &Forwarder,
    ended: &Ended,
    stop: &AtomicBool,
    is_done: impl Fn() -> bool,
) {
    let mut progress = Progress::new("events", Some(arguments.events));
    let (mut last, mut moved) = (0, Instant::now());
    while !is_done() {
        thread::sleep(Duration::from_millis(50));
        let metrics = forwarder.metrics();
        let done = metrics.events_sent + metrics.events_failed;
        if done != last {
            (last, moved) = (done, Instant::now());
        }
        if ended.is_urged() {
            forwarder.abort();
        }
        if (ended.is_asked() || moved.elapsed() >= STALLED) && !stop.swap(true, Ordering::Relaxed) {
            tell("stopping: what was offered is delivered, or written down after 30 s");
        }
        let failed: u64 = metrics.error_counts.values().sum();
        let note = if failed > 0 { format!("{} failed requests", count(failed)) } else { String::new() };
        progress.set(done, &note);
    }
    progress.finish();
}

/// Offers `share` events, waits for room where there is none, and measures what handing in costs.
fn produce(producer: u64, share: u64, pace: Option<u64>, emitter: &Emitter, stop: &AtomicBool) -> Produced {
    let mut sample = Sample::new(producer);
    let mut emit = Histogram::new_with_bounds(1, 60_000_000_000, 3).ok();
    let begun = Instant::now();
    let mut offered = 0;
    while offered < share && !stop.load(Ordering::Relaxed) {
        if let Some(pace) = pace {
            let due = Duration::from_nanos(offered.saturating_mul(pace));
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let started = monotonic();
        let (event_type, severity) = sample.next_kind();
        let event = emitter.event(event_type, severity).id(event_id(producer, offered));
        let event = sample.fill(event).event;
        let waited = Cell::new(false);
        let sent = emitter.send_while(event, || {
            waited.set(true);
            !stop.load(Ordering::Relaxed)
        });
        if sent.is_err() {
            break;
        }
        if offered % MEASURE_EVERY == 0
            && !waited.get()
            && let Some(emit) = &mut emit
        {
            emit.saturating_record(monotonic().saturating_sub(started).max(1));
        }
        offered += 1;
    }
    Produced { offered, emit, cpu: thread_cpu() }
}

/// The id of a producer's event, so that the comparison needs no list of them: a UUID of version 8.
fn event_id(producer: u64, number: u64) -> EventId {
    // An odd factor maps the numbers below 2^62 one to one onto themselves, and spreads neighbours.
    let spread = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << 62) - 1));
    EventId::from_u128(u128::from(producer) << 80 | 0x8 << 76 | 0b10 << 62 | spread)
}

/// Puts our own count of `Ok`s beside the receiver's ids and the ledger.
fn compare(
    arguments: &DemoArguments,
    receiver: &Receiver,
    producers: &[Produced],
    pipeline: PipelineEnd,
    elapsed: Duration,
) -> RunReport {
    let Counts { unique, duplicated, .. } = receiver.counts();
    let expected = producers
        .iter()
        .zip(0..)
        .flat_map(|(produced, producer)| (0..produced.offered).map(move |number| event_id(producer, number).as_u128()));
    let missing = receiver.missing(expected);
    let mut emit: Option<Histogram<u64>> = None;
    for produced in producers.iter().filter_map(|produced| produced.emit.as_ref()) {
        match &mut emit {
            // The same bounds: adding cannot fail.
            Some(emit) => drop(emit.add(produced)),
            None => emit = Some(produced.clone()),
        }
    }
    let compression = match arguments.compression {
        CompressionChoice::None => "without compression",
        CompressionChoice::Gzip => "with gzip",
    };
    let cpu = vec![
        ("engine", pipeline.report.metrics.worker_cpu_time),
        ("producers", producers.iter().map(|produced| produced.cpu).sum()),
        ("receiver", receiver.cpu_time()),
    ];
    RunReport {
        title: format!("{} to the embedded receiver {compression}", counted(arguments.events, "event")),
        elapsed,
        emit: Quantiles::of(emit.as_ref()),
        cpu,
        peak_memory: peak_memory(),
        receiver: Some(Received { unique, duplicated, missing }),
        lines: None,
        offered: pipeline.offered,
        pipelines: vec![pipeline],
    }
}
