//! What is known of each pipeline of a program that runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::exposition::{Exposition, Sample, whole};
use super::partition::Partition;

/// One look at a program.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) version: Option<String>,
    pub(crate) pipelines: Vec<Pipeline>,
    /// Of a worker, what it reads.
    pub(crate) partitions: Vec<Partition>,
}

/// One look at a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) siem_type: String,
    pub(crate) is_healthy: bool,
    /// Why it is not healthy, and since when.
    pub(crate) reason: Option<String>,
    /// `closed`, `open` or `half_open`.
    pub(crate) breaker: String,
    /// Accepted and queued, since the start.
    pub(crate) came: u64,
    pub(crate) delivered: u64,
    /// Dead-lettered and lost.
    pub(crate) failed: u64,
    /// Refused, and handed back to their callers; not what a filter keeps away, which is meant for others.
    pub(crate) dropped: u64,
    /// Queued and in flight.
    pub(crate) waiting: u64,
    /// How full the queue is, 0 to 1.
    pub(crate) fill: f64,
    /// Of the oldest event that waits; zero where none does.
    pub(crate) oldest: Duration,
    /// From creation to acceptance, over the last minute; `None` where nothing came in it.
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    /// Failed requests by cause, those that occurred.
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) last_error: Option<LastError>,
}

#[derive(Debug, Clone)]
pub(crate) struct LastError {
    pub(crate) words: String,
    pub(crate) ago: Duration,
}

impl Observed {
    /// Reads it of a scrape and of what `/readyz` says, where there is one.
    pub(super) fn of(scrape: &Exposition, ready: Option<&Value>) -> Self {
        let build = scrape.of("siem_build_info").first();
        let version = build.and_then(|info| info.label("version")).map(str::to_owned);
        let named = scrape.of("siem_health_status").iter().filter_map(|sample| {
            let name = sample.label("pipeline")?;
            Some(Pipeline::of(scrape, name, sample, ready))
        });
        let mut pipelines: Vec<Pipeline> = named.collect();
        pipelines.sort_by(|one, other| one.name.cmp(&other.name));
        Self { version, pipelines, partitions: Partition::all(scrape) }
    }

    /// Those through which nothing goes.
    pub(crate) fn red(&self) -> impl Iterator<Item = &Pipeline> {
        self.pipelines.iter().filter(|pipeline| pipeline.is_red())
    }
}

impl Pipeline {
    fn of(scrape: &Exposition, name: &str, health: &Sample, ready: Option<&Value>) -> Self {
        let sum = |family: &str| scrape.sum(family, name);
        let quantile = |quantile: &str| {
            let mut all = scrape.of_pipeline("siem_delivery_latency_last_minute_seconds", name);
            seconds(all.find(|sample| sample.label("quantile") == Some(quantile))?.value)
        };
        let breaker = scrape.of_pipeline("siem_breaker_state", name).find(|sample| sample.value > 0.0);
        let failures = scrape.of_pipeline("siem_batches_failed_total", name).filter(|sample| sample.value > 0.0);
        let failures =
            failures.filter_map(|sample| Some((sample.label("error_type")?.to_owned(), whole(sample.value))));
        let refused = scrape.of_pipeline("siem_events_dropped_total", name);
        let refused = refused.filter(|sample| sample.label("reason") != Some("filtered"));
        let queued = sum("siem_queue_size");
        let said = |list: &str, name: &str| {
            let all = ready?.get(list)?.as_array()?;
            all.iter().find(|one| one.get("pipeline").and_then(Value::as_str) == Some(name))
        };
        // A worker has one pipeline, through which nothing goes where nothing comes in.
        let input =
            said("reasons", "input.kafka").and_then(|one| Some(format!("input.kafka: {}", text(one, "reason")?)));
        Self {
            name: name.to_owned(),
            siem_type: health.label("siem_type").unwrap_or_default().to_owned(),
            is_healthy: health.value > 0.0 && input.is_none(),
            reason: said("reasons", name).and_then(|one| text(one, "reason")).or(input),
            breaker: breaker.and_then(|sample| sample.label("state")).unwrap_or("unknown").to_owned(),
            came: whole(sum("siem_events_accepted_total") + queued),
            delivered: whole(sum("siem_events_sent_total")),
            failed: whole(sum("siem_events_failed_total")),
            dropped: whole(refused.fold(0.0, |sum, sample| sum + sample.value)),
            waiting: whole(sum("siem_events_in_flight") + queued),
            fill: sum("siem_queue_fill_ratio").clamp(0.0, 1.0),
            oldest: seconds(sum("siem_oldest_undelivered_age_seconds")).unwrap_or_default(),
            p50: quantile("0.5"),
            p99: quantile("0.99"),
            failures: failures.collect(),
            last_error: said("last_errors", name).and_then(|one| {
                let ago = seconds(one.get("seconds_ago")?.as_f64()?)?;
                Some(LastError { words: text(one, "error")?, ago })
            }),
        }
    }

    /// Whether nothing goes through it, for all that is known. What was dropped an hour ago makes nothing red now: that is
    /// for alerts, which see when it happened.
    pub(crate) fn is_red(&self) -> bool {
        !self.is_healthy || self.breaker == "open"
    }

    pub(crate) fn to_json(&self) -> Value {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        json!({
            "pipeline": self.name,
            "siem_type": self.siem_type,
            "red": self.is_red(),
            "healthy": self.is_healthy,
            "reason": self.reason,
            "breaker": self.breaker,
            "events_in": self.came,
            "delivered": self.delivered,
            "failed": self.failed,
            "dropped": self.dropped,
            "waiting": self.waiting,
            "queue_fill_ratio": self.fill,
            "oldest_undelivered_age_seconds": self.oldest.as_secs_f64(),
            "delivery_latency_seconds": { "p50": seconds(self.p50), "p99": seconds(self.p99) },
            "failed_requests": self.failures,
            "last_error": self.last_error.as_ref().map(|error| json!({
                "error": error.words, "seconds_ago": error.ago.as_secs_f64(),
            })),
        })
    }
}

/// A text of an object; a line stays a line, whatever a destination said.
fn text(object: &Value, key: &str) -> Option<String> {
    let text = object.get(key)?.as_str()?;
    Some(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect())
}

/// `None` for what is no time.
fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}
