//! `worker`: Kafka's topics in, a SIEM out. What was read is committed once it has a fate, and never before.

mod figures;
mod reading;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use clap::Args;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::config_file::ConfigFile;
use super::exporter::{Exporter, Input};
use super::failure::Failure;
use super::feed::Seen;
use super::figures::{count, counted, per_million};
use super::pulse::Pulse;
use super::receive::seconds;
use super::report::ledger;
use super::run::{open_rejected, warn_if_full};
use super::service::{Service, Watchdog};
use super::signals::Ended;
use super::usage::{peak_memory, process_cpu};
use super::{exit_code, print, tell};
use crate::config::PipelineConfig;
use crate::engine::{Fanout, Forwarder, Pipeline, Report, Witness};
use crate::input::{Figures, Group, GroupError, GroupHost, Leaving, Tracker};
use figures::FiguresCollector;
use reading::{Reading, ReadingError};

/// How often what is due is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How often the rest is looked at: signals, figures, whether anything was lost.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the last commit and leaving the group have at least, where the drain has left them less. With the drain's own time it
/// lies below what systemd is told.
const LEAVE_TIME_MIN: Duration = Duration::from_secs(3);
/// The same once a second signal has come: a group that answers does so within this.
const LEAVE_TIME_URGED: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkerArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// The pipeline that the records go to, where the configuration has several
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// How often a line of figures is written; 0 for never
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    status_every: Duration,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward worker --config worker.toml
  siem-forward worker --config worker.toml --pipeline splunk
  siem-forward worker --config worker.toml --set input.kafka.instance_id='\"worker-1\"'

The configuration says in [input.kafka] what is read: brokers, topics, and the group, by default
siem-forward-NAME, after the pipeline. As many workers as there are partitions may run at the same
time, on as many machines: they share the partitions. A record is one event, in our own layout or as
[input.map] says; one that is none goes to the dead letter, with topic, partition and offset (without
a dead letter, to [input] rejected).

An offset is committed once every record up to it is delivered, in the dead letter on the disk, or
refused for good. SIGTERM and SIGINT deliver what was read, commit, and leave, within
drain_timeout_seconds and 3 more; a second signal does not wait. What is not committed then is read
again by the next worker, under the same ids.

Exit codes: 0 ended as asked; 1 something is in the dead letter, lost or unreadable, or the group
refuses us; 2 bad usage or configuration.";

/// How the reading ended.
#[derive(Debug)]
enum End {
    /// Somebody asked for it.
    Asked,
    /// It cannot go on.
    Failed(String),
}

pub(crate) fn worker(arguments: &WorkerArguments) -> Result<ExitCode, Failure> {
    let mut config = arguments.config.load()?;
    let input = config.input.kafka.take().ok_or(Failure::NoKafkaInput)?;
    if config.input.records.is_some() {
        return Err(Failure::ArrayInRecord);
    }
    let pipeline = pipeline(config.pipelines, arguments.pipeline.as_deref())?;
    let name = pipeline.name.clone();
    if !pipeline.siem.enabled {
        return Err(Failure::Disabled { pipelines: vec![name] });
    }
    input.cluster.prepare().map_err(GroupError::Join)?;
    let rejected = match (&pipeline.siem.dead_letter, config.input.rejected.as_deref()) {
        (Some(_), _) => None,
        (None, Some(path)) => Some(open_rejected(path)?),
        (None, None) => return Err(Failure::NoRejected),
    };
    warn_if_full(pipeline.siem.dead_letter.as_ref());
    let exporter = config.metrics.listen.map(Exporter::bind).transpose()?;
    let ended = Ended::watch()?;
    let drain_timeout = pipeline.siem.drain_timeout;
    let (tracker, figures) = (Arc::<Tracker>::default(), Arc::new(Figures::new(input.revoke_timeout)));
    let witness: Arc<dyn Witness> = Arc::<Tracker>::clone(&tracker);
    let fanout = Fanout::new([pipeline.builder().start_with(Some(witness))?])?;
    let [forwarder] = fanout.forwarders() else { return Err(Failure::Disabled { pipelines: vec![name] }) };
    if let Some(exporter) = exporter {
        let of_health = Arc::clone(&figures);
        exporter.serve(
            &fanout,
            Some(Input {
                name: "input.kafka",
                collector: Box::new(FiguresCollector::new(&figures)),
                health: Box::new(move || of_health.health()),
            }),
        )?;
    }
    let group_name = input.group.clone().unwrap_or_else(|| format!("siem-forward-{name}"));
    let host = Host {
        ended: ended.clone(),
        drain_timeout,
        pipeline: Arc::clone(&forwarder.pipeline),
        main: thread::current().id(),
        watchdog: Mutex::new(Watchdog::of_service()),
    };
    let group = Group::join(&input, &group_name, &tracker, &figures, Box::new(host))?;
    let mut reading = Reading::new(forwarder, &tracker, config.input.map, rejected);
    tell(&format!("reading {} as a member of the group {group_name}", input.topics.join(", ")));
    let mut worker = Worker {
        fanout: &fanout,
        forwarder,
        figures: &figures,
        ended: &ended,
        service: Service::ready(&fanout),
        pulse: Pulse::new(arguments.status_every, None),
        seen: Seen::default(),
        partitions: 0,
    };
    let end = worker.read(&group, &mut reading);
    let report = worker.drain(group.end(), drain_timeout, &end);
    let outcome = Outcome { name, end, report, reading: &reading, figures: &figures };
    tell(&outcome.sentence());
    if arguments.json {
        print(&format!("{}\n", outcome.to_json()))?;
    }
    Ok(exit_code(outcome.is_well()))
}

/// The pipeline with this name, or the only one.
fn pipeline(pipelines: Vec<PipelineConfig>, asked: Option<&str>) -> Result<PipelineConfig, Failure> {
    let known = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut meant = pipelines.into_iter().filter(|pipeline| asked.is_none_or(|name| name == pipeline.name));
    match (meant.next(), meant.next(), asked) {
        (Some(only), None, _) => Ok(only),
        (None, _, Some(name)) => Err(Failure::NoSuchPipeline { name: name.to_owned(), known }),
        _ => Err(Failure::WhichPipeline { known }),
    }
}

/// What the membership asks of the worker while partitions are taken away.
struct Host {
    ended: Ended,
    drain_timeout: Duration,
    pipeline: Arc<Pipeline>,
    main: ThreadId,
    watchdog: Mutex<Option<Watchdog>>,
}

impl GroupHost for Host {
    /// It was asked for twice to end, or once so long ago.
    fn is_in_a_hurry(&self) -> bool {
        let asked = self.ended.asked_at();
        self.ended.is_urged() || asked.is_some_and(|asked| asked.elapsed() >= self.drain_timeout)
    }

    fn hasten(&self) {
        self.pipeline.cut_batches();
    }

    fn waits(&self) {
        // Once we end, another thread waits, and the main one feeds by itself.
        if thread::current().id() != self.main {
            return;
        }
        if let Some(watchdog) = &mut *self.watchdog.lock() {
            // Whatever lives: the wait has an end, behind which the main thread looks at that.
            watchdog.feed(true);
        }
    }
}

struct Worker<'a> {
    fanout: &'a Fanout,
    /// The only one of it.
    forwarder: &'a Forwarder,
    figures: &'a Figures,
    ended: &'a Ended,
    service: Service,
    pulse: Pulse,
    seen: Seen,
    /// How many are ours, as far as it was said.
    partitions: usize,
}

impl Worker<'_> {
    /// Reads until somebody asks for the end, or it cannot go on.
    fn read(&mut self, group: &Group, reading: &mut Reading<'_>) -> End {
        let (mut looked, mut committed) = (Instant::now(), Instant::now());
        let mut records: u32 = 0;
        loop {
            match reading.step(group) {
                Ok(true) => records = records.wrapping_add(1),
                Ok(false) => records = 0,
                Err(ReadingError::Group(GroupError::Refused(words))) => {
                    return End::Failed(format!("the group refuses us: {words}"));
                }
                Err(error) => return End::Failed(error.to_string()),
            }
            // A look at the clock for each record would cost as much as to commit it.
            if !records.is_multiple_of(64) {
                continue;
            }
            let now = Instant::now();
            if now.duration_since(looked) < LOOK_EVERY {
                continue;
            }
            looked = now;
            if self.ended.is_asked() {
                return End::Asked;
            }
            if let Some(words) = self.lost() {
                return End::Failed(words);
            }
            if now.duration_since(committed) >= COMMIT_EVERY {
                committed = now;
                group.commit();
            }
            self.look(reading, None);
        }
    }

    fn look(&mut self, reading: &Reading<'_>, draining: Option<Duration>) {
        let partitions = self.figures.partitions().len();
        if std::mem::replace(&mut self.partitions, partitions) != partitions {
            tell(&format!("partitions: {partitions}"));
        }
        self.seen.set(reading.bytes(), reading.events(), reading.unreadable());
        self.service.tick(self.fanout, draining);
        self.pulse.tick(self.fanout, &self.seen);
        self.complain();
    }

    fn complain(&self) {
        if let Some(words) = self.figures.take_complaint() {
            self.forwarder
                .pipeline
                .warn("kafka", || format!("Kafka says: {words}; what is not committed is read again"));
        }
    }

    /// Whether something was lost that Kafka still has: nothing behind it would ever be committed.
    fn lost(&self) -> Option<String> {
        let ledger = self.forwarder.metrics().ledger;
        let kept = ledger.lost.get("no_dead_letter").copied().unwrap_or(0);
        let lost = ledger.lost_total().saturating_sub(kept);
        (lost > 0).then(|| {
            format!(
                "{} could not be kept, and nothing behind it is committed: see the log, make room for the dead letter, \
                 and start again",
                counted(lost, "event")
            )
        })
    }

    /// Delivers what was read, commits that, and lets go of the rest: within the drain's own time and a little more, and
    /// at once where somebody asks a second time.
    fn drain(&mut self, leaving: Leaving, timeout: Duration, end: &End) -> Report {
        if matches!(end, End::Asked) {
            tell("ending: what was read is delivered and committed; a second signal leaves it to others");
        }
        // Asked while a partition was given up, some of the time has passed.
        let deadline = self.ended.asked_at().unwrap_or_else(Instant::now) + timeout;
        let forwarder = self.forwarder;
        let report = thread::scope(|scope| {
            let left = deadline.saturating_duration_since(Instant::now());
            let drain = scope.spawn(move || forwarder.drain(left));
            while !drain.is_finished() {
                if self.ended.is_urged() {
                    forwarder.abort();
                }
                thread::sleep(LOOK_EVERY / 5);
                let left = deadline.saturating_duration_since(Instant::now());
                self.service.tick(self.fanout, Some(left));
            }
            drain.join().unwrap_or_else(|_| forwarder.abort())
        });
        let drained = Instant::now();
        let (until, mut urged) = (deadline.max(drained + LEAVE_TIME_MIN), None);
        let has_left = leaving.leave(|| {
            let now = Instant::now();
            self.service.tick(self.fanout, Some(until.saturating_duration_since(now)));
            let urged = self.ended.is_urged().then(|| *urged.get_or_insert(now));
            now < urged.map_or(until, |urged| until.min(urged + LEAVE_TIME_URGED))
        });
        self.complain();
        if !has_left {
            tell("warning: the group was not left, since no broker answers: what is not committed is delivered again");
        }
        report
    }
}

/// What became of all that was read.
struct Outcome<'a> {
    name: String,
    end: End,
    report: Report,
    reading: &'a Reading<'a>,
    figures: &'a Figures,
}

impl Outcome<'_> {
    fn is_well(&self) -> bool {
        let ledger = &self.report.ledger;
        let is_kept = ledger.dead_lettered == 0 && ledger.lost_total() == 0 && self.reading.unreadable() == 0;
        is_kept && matches!(self.end, End::Asked) && ledger.balances(self.reading.events())
    }

    fn sentence(&self) -> String {
        let mut text = self.report.to_string();
        if self.reading.unreadable() > 0 {
            text = format!("{text} {} were no events.", count(self.reading.unreadable()));
        }
        if self.report.deadline_reached {
            text.push_str(" The drain's deadline was reached: the rest is read again by the next worker.");
        }
        if let End::Failed(words) = &self.end {
            text = format!("error: {words}\n{text}");
        }
        text
    }

    fn to_json(&self) -> Value {
        let mut object = ledger(&self.report.ledger);
        let pipeline: Map<String, Value> = std::iter::once((self.name.clone(), json!(object.clone()))).collect();
        let (commits, commits_failed) = self.figures.commits();
        let (assigned, revoked) = self.figures.rebalances();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("pipelines", Value::Object(pipeline));
        put("offered", json!(self.reading.events()));
        put("unreadable", json!(self.reading.unreadable()));
        put("balances", json!(self.report.ledger.balances(self.reading.events())));
        put("commits", json!({ "ok": commits, "failed": commits_failed }));
        put("partitions", json!({ "assigned": assigned, "revoked": revoked }));
        put("cpu_seconds_per_million", json!(per_million(process_cpu(), self.reading.events())));
        put("peak_rss_bytes", json!(peak_memory()));
        put("error", if let End::Failed(words) = &self.end { json!(words) } else { Value::Null });
        Value::Object(object)
    }
}
