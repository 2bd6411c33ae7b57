//! One run: events against weather, then calm, drain and comparison.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use siem_forward::net::Compression;
use siem_forward::policy::{BreakerConfig, RetryConfig};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig, id_of};
use siem_forward::siem::Splunk;
use siem_forward::{ConnectionConfig, DeadLetterConfig, Forwarder};

use crate::producer::{self, Producer};
use crate::report::{Outcome, count};
use crate::weather::Weather;

const TOKEN: &str = "00000000-0000-0000-0000-000000005034";
/// How long a request may take: a receiver that hangs must not hold a sender for the whole of its second.
const TIMEOUT: Duration = Duration::from_millis(400);
/// How long the indexer takes, and how long an acknowledgement is waited for.
const INDEXING: Duration = Duration::from_millis(100);
const ACK_TIMEOUT: Duration = Duration::from_secs(3);
const PENDING_BYTES_MAX: usize = 8_000_000;
const BACKOFF_MAX: Duration = Duration::from_millis(200);
const DRAIN: Duration = Duration::from_secs(120);
/// When nothing is delivered for so long, something is broken, and the run ends.
const STALLED: Duration = Duration::from_secs(120);

/// Events against a SIEM that misbehaves in another way each second: nothing may be missing
#[derive(Debug, Parser)]
#[command(name = "soak", max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// How many events; 2e6 is as good as 2000000
    #[arg(long, default_value = "2e6", value_parser = number)]
    events: u64,
    /// Events a second; as fast as they are taken without it
    #[arg(long, value_parser = number)]
    rate: Option<u64>,
    /// Chooses the faults; without it another one each time, which is printed
    #[arg(long)]
    seed: Option<u64>,
    /// With indexer acknowledgement: delivered is what is indexed, and faults befall acknowledgements too
    #[arg(long)]
    ack: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  perf/soak/run.sh                               two million events
  perf/soak/run.sh --events 1e8 --seed 7         a hundred million, with the faults of another run
  perf/soak/run.sh --ack                         two million, each delivered only when it is indexed
  perf/soak/run.sh --events 1e9 --rate 50000     five and a half hours

Exit codes: 0 nothing is missing or given up, the books balance and memory is flat; 1 otherwise. Ctrl-C ends a run early,
with its report.";

pub(crate) fn run() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(any_seed);
    eprintln!("{} events, --seed {seed}", count(arguments.events));
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let outcome = soak(&arguments, seed, &stop)?;
    if arguments.json {
        println!("{}", outcome.to_json());
    } else {
        print!("{}", outcome.to_text());
    }
    Ok(if outcome.passes() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn soak(arguments: &Arguments, seed: u64, stop: &AtomicBool) -> Result<Outcome, Box<dyn Error>> {
    let config = ReceiverConfig {
        token: Some(TOKEN.to_owned()),
        keep: Keep::Runs,
        ack: arguments.ack.then_some(INDEXING),
        ..ReceiverConfig::default()
    };
    let receiver = Receiver::start(config)?;
    let path = std::env::temp_dir().join(format!("siem-forward-soak-{}.dead.ndjson", std::process::id()));
    let forwarder = forwarder(&receiver, &path, arguments.ack)?;
    let begun = Instant::now();
    let mut weather = Weather::begin(&receiver, seed, arguments.ack)?;
    let producer = Producer::start(forwarder.emitter(), arguments.events, arguments.rate, seed)?;
    let tenth = watch(arguments, &forwarder, &mut weather, &producer, stop)?;
    weather.calm();
    let (offered, refusal) = producer.join();
    let report = forwarder.drain(DRAIN);
    let elapsed = begun.elapsed();
    weather.end();

    let (dead, dead_causes) = dead_letter(&path)?;
    let expected = (0..offered).map(|number| producer::id(number).as_u128());
    let missing = receiver.missing(expected.filter(|id| !dead.contains(id)));
    if dead.is_empty() {
        // Nothing is in it; a leftover would be only untidy.
        drop(std::fs::remove_file(&path));
    } else {
        eprintln!("the dead letter is {}", path.display());
    }
    Ok(Outcome {
        seed,
        events: arguments.events,
        offered,
        refusal,
        elapsed,
        faults: weather.past,
        report,
        received: receiver.counts(),
        dead: dead.len() as u64,
        dead_causes,
        missing,
        memory_early: tenth,
        memory_end: peak_memory(),
    })
}

fn forwarder(receiver: &Receiver, dead_letter: &Path, ack: bool) -> Result<Forwarder, Box<dyn Error>> {
    let splunk = Splunk::new(receiver.url(), TOKEN)?.compression(Compression::None).timeout(TIMEOUT).ack(ack);
    let mut retry = RetryConfig::default();
    retry.retry_backoff_max = BACKOFF_MAX;
    retry.retry_after_max = Duration::from_secs(1);
    let mut breaker = BreakerConfig::default();
    // A fault lasts a second: a breaker that rests longer would sit out the next one.
    breaker.recovery_timeout = BACKOFF_MAX;
    let mut connection = ConnectionConfig::default();
    connection.ack_timeout = ACK_TIMEOUT;
    // Full soon, so that memory shows early what it will be.
    connection.pending_bytes_max = PENDING_BYTES_MAX;
    let builder = Forwarder::builder(splunk)
        .connection(connection)
        .name("soak")
        .retry(retry)
        .breaker(breaker)
        .batch_timeout(Duration::from_millis(200));
    Ok(builder.dead_letter(DeadLetterConfig::new(dead_letter)).start()?)
}

/// Changes the weather and shows how far it is, until all is offered; gives the peak of memory at a tenth of the events, and at how many.
fn watch(
    arguments: &Arguments,
    forwarder: &Forwarder,
    weather: &mut Weather<'_>,
    producer: &Producer,
    stop: &AtomicBool,
) -> Result<Option<(u64, u64)>, Box<dyn Error>> {
    let bar = std::io::stderr().is_terminal().then(|| bar(arguments.events));
    let (mut tenth, mut last, mut moved, mut line) = (None, 0, Instant::now(), Instant::now());
    while !producer.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        let done = forwarder.metrics().events_sent;
        if done != last {
            (last, moved) = (done, Instant::now());
        }
        if tenth.is_none() && done >= arguments.events / 10 && weather.is_menu_shown() {
            tenth = peak_memory().map(|peak| (peak, done));
        }
        if stop.load(Ordering::Relaxed) || moved.elapsed() >= STALLED {
            weather.calm();
            producer.stop();
            break;
        }
        if weather.is_over() {
            weather.change()?;
        }
        if let Some(bar) = &bar {
            bar.set_position(done);
            bar.set_message(weather.describe());
        } else if line.elapsed() >= Duration::from_secs(10) {
            line = Instant::now();
            eprintln!("{} of {} delivered; now {}", count(done), count(arguments.events), weather.describe());
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(tenth)
}

fn bar(events: u64) -> ProgressBar {
    let bar = ProgressBar::new(events);
    // A template of ours that does not parse is the default bar: no reason to fail.
    if let Ok(style) = ProgressStyle::with_template("  {wide_bar} {human_pos}/{human_len}  {eta} left  {msg}") {
        bar.set_style(style);
    }
    bar
}

type DeadLetter = (HashSet<u128>, BTreeMap<String, u64>);

/// The ids in the dead letter, and how many records each cause has.
fn dead_letter(path: &Path) -> Result<DeadLetter, Box<dyn Error>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let (mut ids, mut causes) = (HashSet::new(), BTreeMap::new());
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        let word = |key: &str| record.get(key).and_then(serde_json::Value::as_str);
        ids.insert(id_of(word("id").ok_or("a record of the dead letter has no id")?.as_bytes()));
        *causes.entry(word("cause").unwrap_or("unknown").to_owned()).or_default() += 1;
    }
    Ok((ids, causes))
}

/// The largest resident memory so far, in bytes; `None` where the system does not tell.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn any_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}

/// A whole number above 0, also written as `1e9`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within 2^53")]
fn number(text: &str) -> Result<u64, String> {
    let wanted = || format!("{text:?} is no whole number from 1 to 1e15");
    let value: f64 = text.replace('_', "").parse().map_err(|_| wanted())?;
    if value.fract() == 0.0 && (1.0..=1e15).contains(&value) { Ok(value as u64) } else { Err(wanted()) }
}
