//! A trial: the pipeline as it is configured, with one setting, started anew, under load for a moment.
//!
//! What is measured is what would be configured: each setting is laid over the file as `--set` does it, and read like any
//! other. Without `--against` the destination's own address is replaced by that of a receiver on loopback, its secrets are
//! not even fetched, and nothing is written: no event of a trial has a dead letter.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ladder::{Knob, Setting, table};
use super::load::{Ids, Load};
use super::measured::Figures;
use crate::cli::failure::Failure;
use crate::cli::played::Played;
use crate::cli::signals::Ended;
use crate::config::{Config, ConfigError, PipelineConfig};
use crate::engine::Forwarder;
use crate::ledger::Snapshot;
use crate::policy::{Filter, Overflow, Sampling};
use crate::receiver::{Fault, Keep, Receiver, ReceiverConfig};
use crate::table::Secrets;

/// What is left after a trial against the configured destination may take so long.
const DRAIN: Duration = Duration::from_secs(2);

/// The configuration's text, and what is laid over it.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) overrides: Vec<String>,
}

impl Source {
    /// Reads it with more laid over it.
    pub(super) fn load(&self, more: &[String], secrets: Secrets) -> Result<Config, ConfigError> {
        let overrides: Vec<String> = self.overrides.iter().chain(more).cloned().collect();
        Config::of_bytes(&self.path, &self.bytes, &overrides, secrets)
    }
}

/// Where events go.
#[derive(Debug)]
pub(super) enum Place {
    /// To a receiver of our own that answers so much later.
    Embedded { played: Played, round_trip: Duration },
    /// To the configured destination, so many a second and so many in all.
    Configured { per_second_max: u64, events_max: u64, events_left: AtomicU64 },
}

/// Where trials are run.
pub(super) struct Bench<'a> {
    pub(super) source: &'a Source,
    /// The pipeline's name.
    pub(super) name: &'a str,
    pub(super) base: &'a Setting,
    pub(super) place: Place,
    pub(super) producers: usize,
    /// Events a second at which latency is measured.
    pub(super) rate: u64,
    pub(super) ended: &'a Ended,
    /// When all time is over.
    pub(super) until: Instant,
}

impl Bench<'_> {
    /// Measures a setting for so long: two thirds at the load, where a batch takes its time to fill, the rest flat out.
    pub(super) fn trial(&self, setting: &Setting, length: Duration) -> Result<Figures, Failure> {
        let begun = Instant::now();
        let receiver = self.receiver()?;
        let forwarder = self.start(setting, receiver.as_ref())?;
        let load = self.load(setting, &forwarder);
        let (latency, refused) = load.paced(self.rate, length * 2 / 3)?;
        let speed = load.flat_out(self.per_second_max(), length / 3)?;
        let metrics = forwarder.metrics();
        let failed_requests = metrics.error_counts.values().sum();
        self.end(&forwarder);
        if let Place::Configured { .. } = self.place
            && failed_requests > 0
        {
            return Err(Failure::TuneRefused { words: failures(&metrics) });
        }
        Ok(Figures {
            events_per_second: speed.events_per_second,
            cpu_seconds_per_million: speed.cpu_seconds_per_million,
            latency,
            refused,
            failed_requests,
            wire_bytes_per_event: receiver.as_ref().and_then(wire_bytes_per_event),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Events a second that a setting carries flat out.
    pub(super) fn capacity(&self, setting: &Setting, length: Duration) -> Result<f64, Failure> {
        let receiver = self.receiver()?;
        let forwarder = self.start(setting, receiver.as_ref())?;
        let speed = self.load(setting, &forwarder).flat_out(self.per_second_max(), length)?;
        self.end(&forwarder);
        Ok(speed.events_per_second)
    }

    /// Whether a trial of this length stays within this part of the events that may be sent.
    #[expect(clippy::cast_precision_loss, reason = "a part of a count")]
    pub(super) fn affords(&self, length: Duration, part: f64) -> bool {
        let Place::Configured { per_second_max, events_max, events_left } = &self.place else { return true };
        let needed = (2 * self.rate + per_second_max) as f64 * length.as_secs_f64() / 3.0;
        let left = events_left.load(Ordering::Relaxed);
        events_max.saturating_sub(left) as f64 + needed <= *events_max as f64 * part
    }

    /// The most memory that a setting may take; `None` where it is no configuration.
    pub(super) fn memory(&self, setting: &Setting) -> Option<u64> {
        let pipeline = self.pipeline(setting, &[], Secrets::Omitted).ok()?;
        let acknowledges = pipeline.destination.acknowledges();
        Some(pipeline.builder().trial().memory(acknowledges).iter().map(|share| share.bytes).sum())
    }

    fn load<'a>(&'a self, setting: &Setting, forwarder: &'a Forwarder) -> Load<'a> {
        let (ids, allowance) = match &self.place {
            Place::Embedded { .. } => (Ids::Counted, None),
            Place::Configured { events_left, .. } => (Ids::Generated, Some(events_left)),
        };
        let rings = setting.count(Knob::Batchers);
        Load { forwarder, rings, producers: self.producers, ids, allowance, ended: self.ended, until: self.until }
    }

    /// As many may be sent a second; any number where there is none.
    pub(super) fn per_second_max(&self) -> Option<u64> {
        match self.place {
            Place::Embedded { .. } => None,
            Place::Configured { per_second_max, .. } => Some(per_second_max),
        }
    }

    /// A new one for each trial: what it remembers of the last one is no part of this one.
    fn receiver(&self) -> Result<Option<Receiver>, Failure> {
        let Place::Embedded { played, round_trip } = &self.place else { return Ok(None) };
        let config = ReceiverConfig {
            play: played.part(None)?,
            faults: delay(*round_trip),
            keep: Keep::Runs,
            ..ReceiverConfig::default()
        };
        let listen = |source| Failure::Listen { address: "a loopback port".to_owned(), source };
        Receiver::start(config).map(Some).map_err(listen)
    }

    fn start(&self, setting: &Setting, receiver: Option<&Receiver>) -> Result<Forwarder, Failure> {
        let table = table(self.name);
        let (redirected, secrets) = match (receiver, &self.place) {
            (Some(receiver), Place::Embedded { played, .. }) => {
                (redirected(&table, *played, &receiver.url()), Secrets::Omitted)
            }
            _ => (Vec::new(), Secrets::Fetched),
        };
        let mut pipeline = self.pipeline(setting, &redirected, secrets)?;
        // What says which events are meant for whom, and what becomes of those that are refused, is not on trial.
        let siem = &mut pipeline.siem;
        siem.enabled = true;
        siem.overflow = Overflow::default();
        siem.filter = Filter::default();
        siem.sampling = Sampling::default();
        siem.dead_letter = None;
        siem.health.interval = Duration::ZERO;
        siem.drain_timeout = Duration::ZERO;
        Ok(pipeline.builder().start()?)
    }

    fn pipeline(&self, setting: &Setting, more: &[String], secrets: Secrets) -> Result<PipelineConfig, Failure> {
        let overrides: Vec<String> =
            setting.overrides(self.base, self.name).into_iter().chain(more.iter().cloned()).collect();
        let pipelines = self.source.load(&overrides, secrets)?.pipelines;
        let missing = || Failure::NoSuchPipeline { name: self.name.to_owned(), known: "others".to_owned() };
        pipelines.into_iter().find(|pipeline| pipeline.name == self.name).ok_or_else(missing)
    }

    /// A receiver of our own misses nothing that is dropped; a SIEM's connections are closed in order.
    fn end(&self, forwarder: &Forwarder) {
        let timeout = if let Place::Configured { .. } = self.place { DRAIN } else { Duration::ZERO };
        drop(forwarder.drain(timeout));
    }
}

/// What leads a pipeline to a receiver on loopback, whose answers mean success.
fn redirected(table: &str, played: Played, url: &str) -> Vec<String> {
    let mut overrides = vec![format!("{table}.url = \"{url}\""), format!("{table}.proxy = \"none\"")];
    match played {
        // An indexer's pace is not modelled.
        Played::Splunk => overrides.push(format!("{table}.ack = false")),
        Played::Webhook => overrides.push(format!("{table}.accepted = [200]")),
        Played::Datadog | Played::Elastic => {}
    }
    overrides
}

/// The fault that answers so much later; none for no time.
fn delay(round_trip: Duration) -> Vec<Fault> {
    let millis = round_trip.as_millis();
    // A test holds this text to what a fault is written as.
    let fault = || format!("delay:ms={millis}").parse().ok();
    if millis == 0 { Vec::new() } else { fault().into_iter().collect() }
}

#[expect(clippy::cast_precision_loss, reason = "a mean of a few digits")]
fn wire_bytes_per_event(receiver: &Receiver) -> Option<f64> {
    let counts = receiver.counts();
    (counts.events > 0).then(|| counts.bytes as f64 / counts.events as f64)
}

/// Failed requests by cause.
fn failures(metrics: &Snapshot) -> String {
    let failures = metrics.error_counts.iter().map(|(cause, times)| format!("{cause} {times}"));
    failures.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_a_delay_of_the_receiver() {
        let faults = delay(Duration::from_millis(20));
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), ["delay:ms=20"]);
        assert!(delay(Duration::ZERO).is_empty());
    }
}
