//! `tune`: finds the settings that suit this machine and this network, by measuring.
//!
//! Each trial starts the pipeline anew with one setting and puts it under load for a moment ([`bench`], [`load`]); which
//! settings are tried, and what counts as better, is decided without a clock ([`search`], [`noise`], [`target`]).

mod against;
mod bench;
mod ladder;
mod lines;
mod load;
mod measured;
mod memory;
mod noise;
mod plot;
mod report;
mod runner;
mod search;
mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::played::Played;
use super::signals::Ended;
use super::{exit_code, print, tell};
use crate::config::{Config, PipelineConfig};
use crate::table::{Paint, Secrets};
use against::{Extent, ask};
use bench::{Bench, Place, Source};
use ladder::{Bounds, Knob, Ladders, Setting};
use report::Report;
use runner::Runner;
use target::Target;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TuneArguments {
    /// The configuration to tune [default: one for Splunk, all keys at theirs]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of it first, in TOML, such as siem.splunk.senders=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The pipeline to tune, where several are configured
    #[arg(long, value_name = "NAME", requires = "config")]
    pipeline: Option<String>,
    /// What for: latency, throughput or cpu
    #[arg(long, value_enum, value_name = "TARGET", default_value = "throughput", hide_possible_values = true)]
    target: Target,
    /// How long it may take, all in all
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=3600))]
    max_seconds: u64,
    /// The modelled way to the SIEM and back: so much later the receiver answers
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 20,
        conflicts_with = "against",
        value_parser = clap::value_parser!(u64).range(0..=2000)
    )]
    round_trip: u64,
    /// Events a second at which latency is measured [default: a tenth of what is carried]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// Threads that make events
    #[arg(long, value_name = "THREADS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    producers: u64,
    /// Leave a key as it is; may be repeated
    #[arg(long, value_name = "KEY", value_parser = knob)]
    keep: Vec<Knob>,
    /// Measure every value of this key, and search for nothing
    #[arg(long, value_name = "KEY", value_parser = knob, conflicts_with_all = ["keep", "target"])]
    curve: Option<Knob>,
    /// Measure against the configured SIEM instead, with test events
    #[arg(long, requires = "config")]
    against: bool,
    /// With --against: send them without asking
    #[arg(long, requires = "against")]
    yes: bool,
    /// With --against: how many test events at most
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 50_000,
        requires = "against",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000)
    )]
    max_events: u64,
    /// With --against: how many a second at most
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = 5_000,
        requires = "against",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    max_rate: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward tune --config siem.toml                             most events a second, 20 ms away
  siem-forward tune --config siem.toml --target latency --rate 2000 --round-trip 80
  siem-forward tune --config siem.toml --target cpu --keep compression --max-seconds 180
  siem-forward tune --config siem.toml --curve batch_size
  siem-forward tune --config siem.toml --json | jq -r .recommended.toml
  siem-forward tune --config siem.toml --against --max-events 20000 --max-rate 1000

It starts the pipeline again and again with other values of batch_size, batch_bytes_max, senders,
batchers, max_queue_size, wait_strategy, compression, compression_level and, for latency,
batch_timeout_seconds, and compares the best with the configuration in turns. What repeats of the
same setting differ by is noise; a difference within it is told, and nothing is recommended.

Without --against nothing is sent to the SIEM, nothing is written, and no secret is read: a receiver
on loopback answers --round-trip later. That models the way, not its bandwidth nor the SIEM's pace.
Bodies larger than the default are tried with --against alone.
Exit codes: 0 it ran to its end; 1 it was ended, or nothing could be measured; 2 bad usage.";

/// What is tuned without a configuration. Nobody is there: it only says what kind of destination it is.
const BUILT_IN: &str = "\
[siem.splunk]
type = \"splunk\"
url = \"https://splunk.example:8088\"
token = { env = \"SPLUNK_HEC_TOKEN\" }
dead_letter = \"none\"
";
/// The least that the largest bodies are tried up to: the default, below what Splunk Cloud takes.
const BODY_BYTES: u64 = 900_000;
/// The same where the SIEM itself says what it takes.
const BODY_BYTES_AGAINST: u64 = 5_000_000;
const SENDERS: u64 = 32;
/// A SIEM in use has others to serve as well.
const SENDERS_AGAINST: u64 = 8;

fn knob(text: &str) -> Result<Knob, String> {
    let known = Knob::ALL.iter().find(|knob| knob.key() == text);
    let keys = || Knob::ALL.map(Knob::key).join(", ");
    known.copied().ok_or_else(|| format!("no key that is tuned; those are {}", keys()))
}

pub(crate) fn tune(arguments: &TuneArguments) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let source = arguments.source()?;
    let secrets = if arguments.against { Secrets::Fetched } else { Secrets::Omitted };
    let pipeline = chosen(source.load(&[], secrets)?, arguments.pipeline.as_deref())?;
    let base = Setting::of(&pipeline);
    let place = arguments.place(&pipeline)?;
    let bounds = arguments.bounds(&base);
    let (siem_type, destination) = pipeline.destination.fingerprint();
    let time = Duration::from_secs(arguments.max_seconds);
    if arguments.against {
        let events = arguments.max_events;
        let extent = Extent {
            destination: &destination,
            events,
            per_second: arguments.max_rate,
            time,
            connections: bounds.senders,
        };
        ask(&extent, arguments.yes)?;
    }
    let ended = Ended::watch()?;
    // Whatever a forwarder would warn of in a trial is in its figures, or ends the tuning.
    log::set_max_level(log::LevelFilter::Off);
    let producers = usize::try_from(arguments.producers).unwrap_or(1);
    let asked = arguments.rate.unwrap_or(0);
    // What was told and agreed to is kept.
    let rate = if arguments.against { asked.min(arguments.max_rate) } else { asked };
    // Whoever thinks before saying yes does so in time of his own.
    let begun = if arguments.against { Instant::now() } else { begun };
    let bench = Bench {
        source: &source,
        name: &pipeline.name,
        base: &base,
        place,
        producers,
        rate,
        ended: &ended,
        until: begun + time,
    };
    let mut runner = Runner::new(bench, arguments.target, begun, time);
    let found = runner.find(&Ladders::new(&base, bounds), &arguments.keep, arguments.curve)?;
    let report = Report {
        target: arguments.target,
        pipeline: pipeline.name.clone(),
        siem_type,
        against: arguments.against.then_some(destination),
        round_trip: (!arguments.against).then(|| Duration::from_millis(arguments.round_trip)),
        rate: runner.rate(),
        producers,
        cores: cores(),
        max_seconds: arguments.max_seconds,
        elapsed: begun.elapsed(),
        is_cut_short: ended.is_asked(),
        memory: found.tried.iter().map(|tried| runner.memory(&tried.setting)).collect(),
        found,
    };
    if arguments.json {
        tell(&report.sentence());
        print(&format!("{}\n", report.to_json()))?;
    } else {
        print(&report.to_text(Paint::of_stdout()))?;
    }
    Ok(exit_code(!report.is_cut_short))
}

impl TuneArguments {
    fn source(&self) -> Result<Source, Failure> {
        let (path, bytes) = match &self.config {
            Some(path) => (path.clone(), Config::bytes_of(path)?),
            None => (Path::new("siem.toml").to_owned(), BUILT_IN.as_bytes().to_vec()),
        };
        Ok(Source { path, bytes, overrides: self.overrides.clone() })
    }

    fn place(&self, pipeline: &PipelineConfig) -> Result<Place, Failure> {
        if self.against {
            let events_max = self.max_events;
            let events_left = AtomicU64::new(events_max);
            return Ok(Place::Configured { per_second_max: self.max_rate, events_max, events_left });
        }
        let siem_type = pipeline.destination.fingerprint().0;
        let played = Played::value_variants().iter().find(|played| played.name() == siem_type);
        let played = played.ok_or(Failure::TuneNotPlayed { pipeline: pipeline.name.clone(), siem_type })?;
        Ok(Place::Embedded { played: *played, round_trip: Duration::from_millis(self.round_trip) })
    }

    /// Never below what is configured: that is somebody's own decision.
    fn bounds(&self, base: &Setting) -> Bounds {
        let (senders, body_bytes) =
            if self.against { (SENDERS_AGAINST, BODY_BYTES_AGAINST) } else { (SENDERS, BODY_BYTES) };
        let own = |knob| base.count(knob) as u64;
        Bounds {
            cores: (cores() as u64).max(own(Knob::Batchers)),
            senders: senders.max(own(Knob::Senders)),
            body_bytes,
        }
    }
}

/// The pipeline with this name, or the only one.
fn chosen(config: Config, asked: Option<&str>) -> Result<PipelineConfig, Failure> {
    let known = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut meant = config.pipelines.into_iter().filter(|pipeline| asked.is_none_or(|name| name == pipeline.name));
    match (meant.next(), meant.next(), asked) {
        (Some(only), None, _) => Ok(only),
        (None, _, Some(name)) => Err(Failure::NoSuchPipeline { name: name.to_owned(), known }),
        _ => Err(Failure::TuneWhich { known }),
    }
}

/// Cores that this process may use: the system's mask and a container's quota are heeded.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
