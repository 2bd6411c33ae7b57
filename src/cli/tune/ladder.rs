//! What is tuned: the keys, which values of each are tried, and a setting, which is one value of each.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::config::PipelineConfig;
use crate::net::Compression;
use crate::policy::WaitStrategy;
use crate::table::show_size;

/// A key that is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Knob {
    BatchSize,
    BatchBytesMax,
    BatchTimeout,
    Batchers,
    Senders,
    MaxQueueSize,
    WaitStrategy,
    Compression,
    CompressionLevel,
}

impl Knob {
    pub(super) const ALL: [Self; 9] = [
        Self::BatchSize,
        Self::BatchBytesMax,
        Self::BatchTimeout,
        Self::Batchers,
        Self::Senders,
        Self::MaxQueueSize,
        Self::WaitStrategy,
        Self::Compression,
        Self::CompressionLevel,
    ];

    /// Its name in a pipeline's table.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::BatchSize => "batch_size",
            Self::BatchBytesMax => "batch_bytes_max",
            Self::BatchTimeout => "batch_timeout_seconds",
            Self::Batchers => "batchers",
            Self::Senders => "senders",
            Self::MaxQueueSize => "max_queue_size",
            Self::WaitStrategy => "wait_strategy",
            Self::Compression => "compression",
            Self::CompressionLevel => "compression_level",
        }
    }

    /// How many steps that bring nothing are taken on the way to one that may: a batch that is full before its time is over
    /// does not feel a shorter time, until it is short enough.
    pub(super) fn patience(self) -> usize {
        if self == Self::BatchTimeout { 3 } else { 0 }
    }

    fn of(self, pipeline: &PipelineConfig) -> Option<Value> {
        let siem = &pipeline.siem;
        Some(match self {
            Self::BatchSize => Value::Count(siem.batch.batch_size as u64),
            Self::BatchBytesMax => Value::Bytes(siem.batch.batch_bytes_max as u64),
            Self::BatchTimeout => Value::Time(siem.batch.batch_timeout),
            Self::Batchers => Value::Count(siem.batchers as u64),
            Self::Senders => Value::Count(siem.senders as u64),
            Self::MaxQueueSize => Value::Count(siem.batch.max_queue_size as u64),
            Self::WaitStrategy => Value::Word(name(&WaitStrategy::NAMES, siem.wait_strategy)),
            // What is no HTTP has a key of this name with words of its own.
            Self::Compression => Value::Word(name(&Compression::NAMES, pipeline.destination.endpoint()?.1.compression)),
            Self::CompressionLevel => Value::Count(pipeline.destination.endpoint()?.1.compression_level.into()),
        })
    }
}

/// How the file calls it.
fn name<T: PartialEq + Copy>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

/// What stands behind a key; displayed as TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Count(u64),
    Bytes(u64),
    Time(Duration),
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Bytes(bytes) => write!(f, "\"{}\"", show_size(*bytes)),
            Self::Time(time) => write!(f, "{}", time.as_secs_f64()),
            Self::Word(word) => write!(f, "\"{word}\""),
        }
    }
}

impl Value {
    pub(super) fn to_json(self) -> Json {
        match self {
            Self::Count(number) | Self::Bytes(number) => json!(number),
            Self::Time(time) => json!(time.as_secs_f64()),
            Self::Word(word) => json!(word),
        }
    }
}

/// A value for each key that the destination has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting(BTreeMap<Knob, Value>);

/// A key whose value differs from the configuration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) knob: Knob,
    pub(super) before: Value,
    pub(super) now: Value,
}

impl Setting {
    /// What a pipeline is configured with.
    pub(super) fn of(pipeline: &PipelineConfig) -> Self {
        Self(Knob::ALL.iter().filter_map(|knob| Some((*knob, knob.of(pipeline)?))).collect())
    }

    pub(super) fn get(&self, knob: Knob) -> Option<Value> {
        self.0.get(&knob).copied()
    }

    /// How many threads, or 1 where that is not a number.
    pub(super) fn count(&self, knob: Knob) -> usize {
        match self.get(knob) {
            Some(Value::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => 1,
        }
    }

    pub(super) fn with(&self, knob: Knob, value: Value) -> Self {
        let mut changed = self.clone();
        changed.0.insert(knob, value);
        changed
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Knob, Value)> {
        self.0.iter().map(|(knob, value)| (*knob, *value))
    }

    pub(super) fn changes(&self, base: &Self) -> Vec<Change> {
        let change = |(knob, now): (Knob, Value)| {
            let before = base.get(knob).filter(|before| *before != now)?;
            Some(Change { knob, before, now })
        };
        self.iter().filter_map(change).collect()
    }

    /// What the changes are as arguments of `--set`, of the pipeline with this name.
    pub(super) fn overrides(&self, base: &Self, pipeline: &str) -> Vec<String> {
        let table = table(pipeline);
        self.changes(base).iter().map(|change| format!("{table}.{} = {}", change.knob.key(), change.now)).collect()
    }

    /// What it is called in a table.
    pub(super) fn words(&self, base: &Self) -> String {
        let changes = self.changes(base);
        if changes.is_empty() {
            return "as configured".to_owned();
        }
        let words = changes.iter().map(|change| format!("{}={}", change.knob.key(), change.now));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The path of a pipeline's table. A name that is no bare key is quoted, as JSON and TOML quote alike.
pub(super) fn table(pipeline: &str) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !pipeline.is_empty() && pipeline.chars().all(is_bare) {
        format!("siem.{pipeline}")
    } else {
        format!("siem.{}", json!(pipeline))
    }
}

/// Which way along a ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

impl Direction {
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// What bounds the values that are tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Cores that this process may use: more batchers than that would only take turns.
    pub(super) cores: u64,
    /// The most connections at a time.
    pub(super) senders: u64,
    /// The largest bodies: what is larger the destination itself must have taken.
    pub(super) body_bytes: u64,
}

/// The values of each key that are tried, in order, with the configuration's own among them.
#[derive(Debug)]
pub(super) struct Ladders(BTreeMap<Knob, Vec<Value>>);

impl Ladders {
    pub(super) fn new(base: &Setting, bounds: Bounds) -> Self {
        Self(base.iter().map(|(knob, value)| (knob, rungs(knob, value, bounds))).collect())
    }

    /// The setting with each value of this key.
    pub(super) fn all(&self, setting: &Setting, knob: Knob) -> Vec<Setting> {
        self.0.get(&knob).into_iter().flatten().map(|rung| setting.with(knob, *rung)).collect()
    }

    /// The setting with the next value of this key.
    pub(super) fn step(&self, setting: &Setting, knob: Knob, direction: Direction) -> Option<Setting> {
        if knob == Knob::CompressionLevel && setting.get(Knob::Compression) == Some(Value::Word("none")) {
            // A level of nothing.
            return None;
        }
        let (rungs, value) = (self.0.get(&knob)?, setting.get(knob)?);
        let at = rungs.iter().position(|rung| *rung == value)?;
        let next = match direction {
            Direction::Up => rungs.get(at + 1),
            Direction::Down => rungs.get(at.checked_sub(1)?),
        };
        next.map(|next| setting.with(knob, *next))
    }
}

fn rungs(knob: Knob, own: Value, bounds: Bounds) -> Vec<Value> {
    let counts = |counts: &[u64], max: u64| -> Vec<Value> {
        counts.iter().filter(|count| **count <= max).map(|count| Value::Count(*count)).collect()
    };
    let mut rungs = match knob {
        Knob::BatchSize => counts(&[50, 100, 200, 500, 1000, 2000, 5000, 10_000], u64::MAX),
        Knob::BatchBytesMax => [100_000, 200_000, 500_000, 900_000, 2_000_000, 5_000_000]
            .into_iter()
            .filter(|bytes| *bytes <= bounds.body_bytes)
            .map(Value::Bytes)
            .collect(),
        Knob::BatchTimeout => {
            [5, 20, 50, 100, 500, 1000, 5000].map(|millis| Value::Time(Duration::from_millis(millis))).to_vec()
        }
        Knob::Batchers => counts(&[1, 2, 4, 8, 16], bounds.cores),
        Knob::Senders => counts(&[1, 2, 4, 8, 16, 32], bounds.senders),
        // The recommended range: what bridges an outage is not for a steady load to decide.
        Knob::MaxQueueSize => counts(&[10_000, 20_000, 50_000, 100_000], u64::MAX),
        Knob::WaitStrategy => words(&WaitStrategy::NAMES),
        Knob::Compression => words(&Compression::NAMES),
        Knob::CompressionLevel => counts(&[1, 3, 6, 9], u64::MAX),
    };
    // A word is on its ladder.
    if !rungs.contains(&own) {
        rungs.push(own);
        rungs.sort_unstable();
    }
    rungs
}

fn words<T>(names: &[(&'static str, T)]) -> Vec<Value> {
    names.iter().map(|(name, _)| Value::Word(name)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::tune) fn base() -> Setting {
        Setting(
            [
                (Knob::BatchSize, Value::Count(500)),
                (Knob::BatchBytesMax, Value::Bytes(900_000)),
                (Knob::BatchTimeout, Value::Time(Duration::from_secs(5))),
                (Knob::Batchers, Value::Count(1)),
                (Knob::Senders, Value::Count(2)),
                (Knob::MaxQueueSize, Value::Count(20_000)),
                (Knob::WaitStrategy, Value::Word("sleeping")),
                (Knob::Compression, Value::Word("gzip")),
                (Knob::CompressionLevel, Value::Count(1)),
            ]
            .into(),
        )
    }

    pub(in crate::cli::tune) const BOUNDS: Bounds = Bounds { cores: 4, senders: 32, body_bytes: 900_000 };

    fn climb(from: &Setting, knob: Knob, direction: Direction, bounds: Bounds) -> Vec<String> {
        let (ladders, mut at, mut seen) = (Ladders::new(from, bounds), from.clone(), Vec::new());
        while let Some(next) = ladders.step(&at, knob, direction) {
            seen.push(next.get(knob).unwrap().to_string());
            at = next;
        }
        seen
    }

    #[test]
    fn a_ladder_begins_at_the_configured_value_and_keeps_its_bounds() {
        assert_eq!(climb(&base(), Knob::Senders, Direction::Up, BOUNDS), ["4", "8", "16", "32"]);
        assert_eq!(climb(&base(), Knob::Senders, Direction::Down, BOUNDS), ["1"]);
        assert_eq!(climb(&base(), Knob::Batchers, Direction::Up, BOUNDS), ["2", "4"]);
        assert!(climb(&base(), Knob::BatchBytesMax, Direction::Up, BOUNDS).is_empty());
        let against = Bounds { senders: 2, body_bytes: 5_000_000, ..BOUNDS };
        assert_eq!(climb(&base(), Knob::BatchBytesMax, Direction::Up, against), ["\"2 MB\"", "\"5 MB\""]);
        assert!(climb(&base(), Knob::Senders, Direction::Up, against).is_empty());
        // One that is on no ladder stands at its place.
        let odd = base().with(Knob::Senders, Value::Count(48)).with(Knob::BatchSize, Value::Count(300));
        assert_eq!(climb(&odd, Knob::Senders, Direction::Down, BOUNDS)[..2], ["32", "16"]);
        assert_eq!(climb(&odd, Knob::BatchSize, Direction::Down, BOUNDS)[..2], ["200", "100"]);
        assert_eq!(climb(&base(), Knob::Compression, Direction::Down, BOUNDS), ["\"none\""]);
        assert_eq!(climb(&base(), Knob::CompressionLevel, Direction::Up, BOUNDS), ["3", "6", "9"]);
        let plain = base().with(Knob::Compression, Value::Word("none"));
        assert!(climb(&plain, Knob::CompressionLevel, Direction::Up, BOUNDS).is_empty());
    }

    #[test]
    fn a_setting_is_told_by_what_it_changes() {
        let base = base();
        let setting = base
            .with(Knob::Senders, Value::Count(8))
            .with(Knob::BatchTimeout, Value::Time(Duration::from_millis(50)))
            .with(Knob::BatchBytesMax, Value::Bytes(500_000));
        assert_eq!(
            setting.overrides(&base, "eu.1"),
            [
                "siem.\"eu.1\".batch_bytes_max = \"500 KB\"",
                "siem.\"eu.1\".batch_timeout_seconds = 0.05",
                "siem.\"eu.1\".senders = 8"
            ]
        );
        assert_eq!(setting.words(&base), "batch_bytes_max=\"500 KB\" batch_timeout_seconds=0.05 senders=8");
        assert_eq!((base.words(&base), base.overrides(&base, "a").len()), ("as configured".to_owned(), 0));
    }
}
