//! `run`: NDJSON in, a SIEM out, and an account of every line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::config_file::ConfigFile;
use super::control::Control;
use super::draining::Draining;
use super::dry_run::{Form, dry_run};
use super::events_out::EventsOut;
use super::exporter::Exporter;
use super::failure::Failure;
use super::feed::{Fed, Feed, Seen, Strictness};
use super::figures::{age, count, counted};
use super::inputs::sources;
use super::overall::Overall;
use super::progress::Progress;
use super::pulse::Pulse;
use super::receive::seconds;
use super::report::{Lines, PipelineEnd, RunReport};
use super::service::Service;
use super::signals::Ended;
use super::usage::{peak_memory, process_cpu};
use super::{exit_code, print, tell};
use crate::config::{Config, PipelineConfig};
use crate::engine::{DeadLetterConfig, Fanout, Forwarder, Report, SiemConfig};
use crate::input::{Reader, RejectedFile};
use crate::policy::Overflow;

/// Of files no more lies in the ring of a batcher: enough to keep it busy. What is left of them is as safe where it is, and takes
/// no memory; the ring and its buffers stay in the caches, 6 % of the CPU time of `run`.
const OF_FILES_MAX: usize = 1_024;
/// A line may be this much longer than the event in it: JSON can write a character in six, and takes keys and quotes.
const LINE_BYTES_PER_EVENT_BYTE: usize = 6;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Files, patterns or folders to read, in this order, plain, gzip or zstd; standard input without it
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Stop at the first line that cannot become an event
    #[arg(long)]
    strict: bool,
    /// Send nothing: print the first 10 events as they would be sent, and count how the others would fare
    #[arg(long)]
    dry_run: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// How often a line of figures is written where standard error is no terminal; 0 for never
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    status_every: Duration,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward run --config siem.toml < audit.ndjson
  tail -F audit.ndjson | siem-forward run --config siem.toml
  siem-forward run --config siem.toml --input monday.ndjson 'archive/*.gz' AWSLogs --dry-run

A line is one event:
  {\"timestamp\":\"2026-01-01T00:00:00Z\",\"event_type\":\"user_login\",\"severity\":\"low\",\"user_id\":\"u-17\"}
or, with `[input] records = \"/Records\"`, each element of the array at this JSON pointer. One that
cannot become an event goes to `[input] rejected`, with file, line or record number, and reason.

--input: patterns have * ? [ ]; a folder is all files in it and below, in name order, but hidden
ones and folders behind links; - is standard input. Compression is told by the first bytes, not by
the name. What this run writes to is never read. --strict ends at a file that breaks off, too; what
comes behind is not forwarded. --dry-run needs no secret; it ends with 1 where not all is readable.
Every [siem.NAME] table gets every event that its filter lets pass; reading waits for the fullest queue.
SIGTERM, SIGINT and the end of the input deliver what was read; a second signal gives up on it.";

pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    if arguments.dry_run {
        return survey(arguments);
    }
    let config = arguments.config.load()?;
    let (enabled, disabled): (Vec<_>, Vec<_>) =
        config.pipelines.into_iter().partition(|pipeline| pipeline.siem.enabled);
    let mut config = Config { pipelines: enabled, ..config };
    if config.pipelines.is_empty() {
        let pipelines = disabled.into_iter().map(|pipeline| pipeline.name).collect();
        return Err(Failure::Disabled { pipelines });
    }
    let mut events_out = EventsOut::of(&config.pipelines, arguments.json)?;
    config.pipelines.iter().for_each(|pipeline| warn_if_full(pipeline.siem.dead_letter.as_ref()));
    let exporter = config.metrics.listen.map(Exporter::bind).transpose()?;
    let ended = Ended::watch()?;
    let control = Control::new(config.drain_timeout());
    let reader = arguments.reader(&config, &control)?;
    let rejected = config.input.rejected.clone();
    let rejected_file = rejected.as_ref().map(|path| open_rejected(path)).transpose()?;
    if let ([only], Some(_)) = (config.pipelines.as_mut_slice(), reader.bytes_total()) {
        // Of several, one that is away is to hold up the others as late as it may.
        keep_little(&mut only.siem);
    }
    let fanout = start(config.pipelines)?;
    if let Some(exporter) = exporter {
        exporter.serve(&fanout, None)?;
    }
    let feed = Feed::new(reader, rejected_file, &fanout).strictness(arguments.strictness());
    let begun = Instant::now();
    let (input, reports) = feed_and_drain(feed, &fanout, &control, &ended, &mut events_out, arguments.status_every);
    let result = RunReport {
        title: title(input.offered, &fanout),
        pipelines: ends(reports, &input, &fanout),
        elapsed: begun.elapsed(),
        emit: input.emit(),
        cpu: vec![("process", process_cpu())],
        peak_memory: peak_memory(),
        receiver: None,
        lines: Some(Lines {
            unreadable: input.unreadable,
            rejected: rejected.map(|path| path.display().to_string()),
            is_cut_short: input.is_cut_short,
            is_broken: input.is_broken,
        }),
        offered: input.offered,
    };
    if arguments.json {
        tell(&result.sentence());
        print(&format!("{}\n", result.to_json()))?;
    } else if events_out.is_taken() {
        tell(result.to_text().trim_end());
    } else {
        print(&result.to_text()).inspect_err(|_| tell(&result.sentence()))?;
    }
    Ok(exit_code(result.is_complete()))
}

/// Starts every pipeline, or none.
fn start(pipelines: Vec<PipelineConfig>) -> Result<Fanout, Failure> {
    let is_one = pipelines.len() == 1;
    let start = |pipeline: PipelineConfig| {
        let name = pipeline.name.clone();
        pipeline.builder().start().map_err(|error| {
            // Of several it must be said whose mistake it is.
            if is_one { Failure::Start(error) } else { Failure::StartOfOne { pipeline: name, error } }
        })
    };
    let forwarders: Vec<Forwarder> = pipelines.into_iter().map(start).collect::<Result<_, _>>()?;
    Ok(Fanout::new(forwarders)?)
}

/// Bounds the ring of one that reads nothing but files; but not where the less severe have a part of it alone.
fn keep_little(siem: &mut SiemConfig) {
    if matches!(siem.overflow, Overflow::ShedBySeverity(_)) {
        return;
    }
    let bounded = siem.batchers.saturating_mul(OF_FILES_MAX);
    siem.batch.max_queue_size = siem.batch.max_queue_size.min(bounded);
}

fn title(events: u64, fanout: &Fanout) -> String {
    let events = counted(events, "event");
    match fanout.forwarders() {
        [only] => format!("{events} to {}", only.destination()),
        several => format!("{events} to {}", counted(several.len() as u64, "destination")),
    }
}

/// Each pipeline's own books beside what was fed to it.
fn ends(reports: Vec<Report>, input: &Fed, fanout: &Fanout) -> Vec<PipelineEnd> {
    let offered = input.offered_to.iter().copied().chain(std::iter::repeat(0));
    let all = reports.into_iter().zip(fanout.forwarders()).zip(offered);
    let end = |((report, forwarder), offered): ((Report, &Forwarder), u64)| PipelineEnd {
        report,
        destination: forwarder.destination().to_owned(),
        offered,
    };
    all.map(end).collect()
}

/// What would become of the input.
fn survey(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let config = arguments.config.load_without_secrets()?;
    let control = Control::new(config.drain_timeout());
    let reader = arguments.reader(&config, &control)?;
    let form = if arguments.json { Form::Json } else { Form::Text };
    let is_complete = dry_run(reader, &config.pipelines, arguments.strictness(), form, &control.stop)?;
    Ok(exit_code(is_complete))
}

impl RunArguments {
    fn strictness(&self) -> Strictness {
        if self.strict { Strictness::Strict } else { Strictness::Lenient }
    }

    fn reader(&self, config: &Config, control: &Control) -> Result<Reader, Failure> {
        let files = |pipeline| [PipelineConfig::dead_letter(pipeline), pipeline.destination.path()];
        let written = config.pipelines.iter().flat_map(files).flatten();
        let own: Vec<&Path> = config.input.rejected.as_deref().into_iter().chain(written).collect();
        let sources = sources(&self.input, &own, &control.stop)?;
        let event_bytes_max = config.pipelines.iter().map(|pipeline| pipeline.siem.batch.event_bytes_max).max();
        let event_bytes_max = event_bytes_max.unwrap_or_default();
        let mut reader = Reader::open(sources, event_bytes_max * LINE_BYTES_PER_EVENT_BYTE)?;
        if let Some(records) = &config.input.records {
            reader = reader.with_records(records.clone());
        }
        if let Some(map) = &config.input.map {
            reader = reader.with_map(map.clone());
        }
        Ok(reader)
    }
}

/// A dead letter that is full from the start will keep nothing: said at once, since nobody may look at the end.
pub(super) fn warn_if_full(dead_letter: Option<&DeadLetterConfig>) {
    let Some(DeadLetterConfig { path, bytes_max, .. }) = dead_letter else { return };
    // One that is not there yet has room; one that cannot be looked at is for the start to complain about.
    let bytes = std::fs::metadata(path).map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
    if bytes >= *bytes_max {
        tell(&format!(
            "warning: the dead letter {} is full, with {bytes} of {bytes_max} bytes: what the destination refuses will be \
             lost; move the file away, or raise bytes_max",
            path.display()
        ));
    }
}

pub(super) fn open_rejected(path: &Path) -> Result<RejectedFile, Failure> {
    RejectedFile::open(path).map_err(|source| Failure::Open { path: path.to_owned(), source })
}

/// Feeds the input to all pipelines and drains, on a thread of its own; this one shows progress and heeds signals.
fn feed_and_drain(
    feed: Feed,
    fanout: &Fanout,
    control: &Control,
    ended: &Ended,
    events_out: &mut EventsOut,
    status_every: Duration,
) -> (Fed, Vec<Report>) {
    let seen = Seen::default();
    let mut pulse = Pulse::new(status_every, feed.bytes_total());
    let mut progress = Progress::of_input(feed.bytes_total());
    thread::scope(|scope| {
        let seen = &seen;
        let work = scope.spawn(move || {
            let input = feed.run(control, seen);
            let timeout =
                if control.stop.load(Ordering::Relaxed) { control.drain_timeout / 2 } else { control.drain_timeout };
            (input, control.drain(fanout, timeout))
        });
        let (mut service, mut draining) = (Service::ready(fanout), Draining::new());
        while !work.is_finished() {
            thread::sleep(Duration::from_millis(20));
            if ended.is_asked() {
                control.stop();
            }
            if ended.is_urged() || events_out.has_just_closed() {
                control.stop_now();
                fanout.abort();
            }
            service.tick(fanout, control.draining());
            match control.draining() {
                Some(left) => draining.show(&mut progress, fanout, left),
                None if progress.is_drawn() => show(&mut progress, fanout, seen),
                None => pulse.tick(fanout, seen),
            }
        }
        progress.finish();
        // The feed does not panic; should it, nothing is known of the input, and the books still are.
        work.join().unwrap_or_else(|_| (Fed::default(), fanout.drain(control.drain_timeout)))
    })
}

fn show(progress: &mut Progress, fanout: &Fanout, seen: &Seen) {
    let overall = Overall::of(fanout);
    let mut notes = vec![
        format!("{} queued", count(overall.queued())),
        format!("{} in flight", count(overall.in_flight())),
        format!("the oldest {}", age(overall.oldest())),
    ];
    for (number, what) in [(seen.unreadable(), "unreadable"), (overall.failed_requests(), "failed requests")] {
        if number > 0 {
            notes.push(format!("{} {what}", count(number)));
        }
    }
    notes.extend(overall.complaint());
    progress.set_input(seen.bytes(), overall.delivered(), "delivered", &notes.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Shed;

    #[test]
    fn the_ring_of_one_that_reads_files_has_room_for_so_many_for_each_batcher_and_no_more_than_is_configured() {
        let bounded = |batchers, slots, overflow| {
            let mut siem = SiemConfig { overflow, batchers, ..SiemConfig::default() };
            siem.batch.max_queue_size = slots;
            keep_little(&mut siem);
            siem.batch.max_queue_size
        };
        assert_eq!(bounded(1, 20_000, Overflow::Refuse), 1_024);
        assert_eq!(bounded(2, 20_000, Overflow::Refuse), 2_048);
        assert_eq!(bounded(2, 100, Overflow::Refuse), 100);
        assert_eq!(bounded(1, 20_000, Overflow::ShedBySeverity(Shed::default())), 20_000);
    }
}
