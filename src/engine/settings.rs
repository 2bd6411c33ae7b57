//! What can be set of a forwarder: the keys of the configuration that concern the engine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::policy::{BreakerConfig, Filter, Overflow, RetryConfig, Sampling, WaitStrategy};

/// The most text buffers that are kept for events to come: 4 MB of them.
pub(super) const POOL_BUFFERS_MAX: usize = 4096;

/// How events are collected into requests; the original's keys.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BatchConfig {
    /// The most events in one request, 1 to 1,000,000. Default 500, the top of the original's recommended range.
    pub batch_size: usize,
    /// The most bytes of one body before compression, 1 KB to 1 GB. Default 900,000, below Splunk Cloud's 1 MB.
    pub batch_bytes_max: usize,
    /// How long the first event of a batch waits for others, more than 0 and up to an hour. Default 5 s.
    pub batch_timeout: Duration,
    /// How many events may wait in the rings, 2 to 16,777,216. Default 20,000, recommended 10,000–100,000.
    pub max_queue_size: usize,
    /// How many bytes events above 1 KB may hold in the rings, besides the 1 KB that each slot may. Default 64,000,000.
    pub queue_bytes_max: usize,
    /// The most bytes of one event's text, 256 B to 16 MiB. Default 65,536; a larger one is refused.
    pub event_bytes_max: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            batch_size: 500,
            batch_bytes_max: 900_000,
            batch_timeout: Duration::from_secs(5),
            max_queue_size: 20_000,
            queue_bytes_max: 64_000_000,
            event_bytes_max: 65_536,
        }
    }
}

/// How often the destination is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthConfig {
    /// Between two checks, the first of which is at start; zero for none at all, else up to a day. Default 30 s.
    pub interval: Duration,
    /// Checks that must fail in a row before health turns red, 1 or more. Default 3.
    pub failures: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), failures: 3 }
    }
}

/// How long connections live, and how long acknowledgements are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// At this age a connection is replaced, so that a load balancer can balance and a change in DNS is seen; each at
    /// three quarters of it up to all of it, so that they do not all come at once. More than 0, up to a day. Default
    /// 300 s.
    pub age_max: Duration,
    /// How long a batch that was taken may stay without an acknowledgement, where the destination gives them, before it
    /// is sent again; more than 0, up to a day. Default 300 s, what Splunk recommends.
    pub ack_timeout: Duration,
    /// The most bytes of batches that wait for an acknowledgement; from there on nothing new is sent. Default 64,000,000.
    pub pending_bytes_max: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(300), ack_timeout: Duration::from_secs(300), pending_bytes_max: 64_000_000 }
    }
}

/// Everything that can be set of a forwarder, whatever its destination.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SiemConfig {
    /// Whether it forwards at all. Default true; if not, there are no threads and every event is refused as disabled.
    pub enabled: bool,
    /// How events are collected.
    pub batch: BatchConfig,
    /// What happens to an event for which there is no room. Default: it is refused.
    pub overflow: Overflow,
    /// Which events are meant for this destination. Default: all.
    pub filter: Filter,
    /// Which part of the events is kept. Default: all.
    pub sampling: Sampling,
    /// How failed batches are sent again.
    pub retry: RetryConfig,
    /// When nothing is sent any more for a while.
    pub breaker: BreakerConfig,
    /// How often the destination is asked whether it is well.
    pub health: HealthConfig,
    /// How long connections live, and how long acknowledgements are waited for.
    pub connection: ConnectionConfig,
    /// Threads that encode, 1 to 64. Default 1: one encodes 2–4 million events a second.
    pub batchers: usize,
    /// Threads that send, 1 to 256. Default 2.
    pub senders: usize,
    /// What a batcher does while no event comes. Default [`WaitStrategy::Sleeping`].
    pub wait_strategy: WaitStrategy,
    /// Which cores the threads run on. Default: wherever the system puts them.
    pub pin: Pin,
    /// Where events go that were refused for good. Default: nowhere, and they are counted as lost.
    pub dead_letter: Option<DeadLetterConfig>,
    /// How long dropping a forwarder, or the end of `run`, may take to deliver what is left. Default 30 s.
    pub drain_timeout: Duration,
}

impl Default for SiemConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            batch: BatchConfig::default(),
            overflow: Overflow::default(),
            filter: Filter::default(),
            sampling: Sampling::default(),
            retry: RetryConfig::default(),
            breaker: BreakerConfig::default(),
            health: HealthConfig::default(),
            connection: ConnectionConfig::default(),
            batchers: 1,
            senders: 2,
            wait_strategy: WaitStrategy::default(),
            pin: Pin::default(),
            dead_letter: None,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl SiemConfig {
    /// # Errors
    /// The first setting that is out of its range.
    pub(super) fn in_range(&self) -> Result<(), StartError> {
        let batch = &self.batch;
        let hour = Duration::from_secs(3600);
        let base = self.retry.retry_backoff_base;
        check("batch_size", batch.batch_size, (1..=1_000_000).contains(&batch.batch_size), "1 to 1,000,000 events")?;
        let bytes = batch.batch_bytes_max;
        check("batch_bytes_max", bytes, (1000..=1_000_000_000).contains(&bytes), "1 KB to 1 GB")?;
        let age = batch.batch_timeout;
        check("batch_timeout_seconds", age.as_secs_f64(), !age.is_zero() && age <= hour, "more than 0, up to an hour")?;
        let slots = batch.max_queue_size;
        check("max_queue_size", slots, (2..=16_777_216).contains(&slots), "2 to 16,777,216 events")?;
        let bytes = batch.event_bytes_max;
        check("event_bytes_max", bytes, (256..=crate::event::EVENT_BYTES_LIMIT).contains(&bytes), "256 B to 16 MiB")?;
        self.overflow_in_range()?;
        check("batchers", self.batchers, (1..=64).contains(&self.batchers), "1 to 64 threads")?;
        check("batchers", self.batchers, self.batchers <= slots, "at most one thread for each slot of the queue")?;
        check("senders", self.senders, (1..=256).contains(&self.senders), "1 to 256 threads")?;
        let age = self.connection.age_max;
        check("connection_age_seconds_max", age.as_secs_f64(), !age.is_zero(), "more than 0")?;
        check(
            "breaker.failure_threshold",
            self.breaker.failure_threshold,
            self.breaker.failure_threshold >= 1,
            "1 or more",
        )?;
        check(
            "breaker.success_threshold",
            self.breaker.success_threshold,
            self.breaker.success_threshold >= 1,
            "1 or more",
        )?;
        check("health_check_failures", self.health.failures, self.health.failures >= 1, "1 or more")?;
        check("retry_attempts", self.retry.retry_attempts, self.retry.retry_attempts >= 1, "1 or more")?;
        check("retry_backoff_base", base, base.is_finite() && base >= 0.0, "0 or more")
    }

    fn overflow_in_range(&self) -> Result<(), StartError> {
        match self.overflow {
            Overflow::Refuse => {}
            Overflow::Block { timeout } => {
                let is_in_range = !timeout.is_zero() && timeout <= Duration::from_secs(3600);
                check("block_timeout_seconds", timeout.as_secs_f64(), is_in_range, "more than 0, up to an hour")?;
            }
            Overflow::ShedBySeverity(shed) => {
                let parts = format_args!("{{ low = {}, medium = {}, high = {} }}", shed.low, shed.medium, shed.high);
                check("shed", parts, shed.is_in_range(), "each 0.01 to 1, and none above the next")?;
            }
        }
        let Sampling { low, medium, high, .. } = self.sampling;
        let parts = format_args!("{{ low = {low}, medium = {medium}, high = {high} }}");
        check("sampling", parts, self.sampling.is_in_range(), "each 0 to 1")?;
        check("filter", "a list without entries", self.filter.is_in_range(), "lists with one entry or more")
    }
}

fn check(
    key: &'static str,
    value: impl std::fmt::Display,
    is_in_range: bool,
    range: &'static str,
) -> Result<(), StartError> {
    if is_in_range { Ok(()) } else { Err(StartError::Setting { key, value: value.to_string(), range }) }
}

/// Core numbers for the threads, in order; a thread past the end of its list is not pinned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pin {
    /// The cores of the batchers.
    pub batchers: Vec<usize>,
    /// The cores of the senders.
    pub senders: Vec<usize>,
}

/// Where the dead letter lies, and how large it may grow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterConfig {
    /// The file, made with mode 0600 where it does not exist, appended to where it does, and begun anew where it was moved
    /// away. One forwarder's at a time: `<path>.lock` beside it says whose, from start to drain.
    pub path: PathBuf,
    /// The most bytes of the file. Default 256,000,000; what does not fit is counted as lost.
    pub bytes_max: u64,
}

impl DeadLetterConfig {
    /// At this path, up to 256 MB.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), bytes_max: 256_000_000 }
    }
}

/// Why a forwarder did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of its range.
    #[error("{key} = {value} is out of its range: {range}")]
    Setting {
        /// The key, as in the configuration file.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// The destination cannot be used as it is configured: what is wrong and what to do.
    #[error("{0}")]
    Destination(String),
    /// The dead letter cannot be opened.
    #[error("the dead letter {path} cannot be opened{advice}", path = path.display(), advice = advice(.source))]
    DeadLetter {
        /// Where it was to lie.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another forwarder writes to this dead letter, in this process or in another one.
    #[error("the dead letter {path} is in use {user}", path = path.display(), user = user(*.holder))]
    DeadLetterInUse {
        /// Where it lies.
        path: PathBuf,
        /// The process that uses it, where it has said so.
        holder: Option<u32>,
    },
    /// A thread cannot be started.
    #[error("the thread {name} cannot be started")]
    Thread {
        /// Its name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// What to do about a file that cannot be opened.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ", make its folder first",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ", name a file that this user may write",
        io::ErrorKind::IsADirectory => ", name a file",
        _ => "",
    }
}

fn user(holder: Option<u32>) -> String {
    let user = match holder {
        Some(process) if process == std::process::id() => "by another forwarder of this process".to_owned(),
        Some(process) => format!("by process {process}"),
        None => "by another process".to_owned(),
    };
    format!("{user}: give each its own, or end the other first")
}
