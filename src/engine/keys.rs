//! The engine's keys of the configuration file.

use std::ops::RangeInclusive;

use super::settings::{BatchConfig, ConnectionConfig, DeadLetterConfig, HealthConfig, Pin, SiemConfig};
use crate::policy::{BreakerConfig, Overflow, RetryConfig, Sampling};
use crate::table::{Problems, Table, TableOrWord};

/// Cores are numbered from 0; no machine has more.
const CORES: RangeInclusive<u64> = 0..=4095;
const DAY_SECONDS: f64 = 86_400.0;

impl SiemConfig {
    /// Takes the engine's keys out of a pipeline's table; an absent key is its default.
    pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
        let default = Self::default();
        let batchers = count(table, "batchers", 1..=64, default.batchers, problems);
        let batch = BatchConfig::read(table, batchers, problems);
        Self {
            enabled: table.take_bool("enabled", problems).unwrap_or(default.enabled),
            batch,
            overflow: Overflow::read(table, problems),
            sampling: Sampling::read(table, problems),
            retry: RetryConfig::read(table, problems),
            breaker: BreakerConfig::read(table, problems),
            health: HealthConfig::read(table, problems),
            connection: ConnectionConfig::read(table, problems),
            batchers,
            senders: count(table, "senders", 1..=256, default.senders, problems),
            pin: Pin::read(table, problems),
            dead_letter: DeadLetterConfig::read(table, problems),
            drain_timeout: table
                .take_seconds("drain_timeout_seconds", 0.0..=DAY_SECONDS, problems)
                .unwrap_or(default.drain_timeout),
        }
    }
}

impl BatchConfig {
    fn read(table: &mut Table<'_>, batchers: usize, problems: &mut Problems) -> Self {
        let default = Self::default();
        let slots_min = (batchers as u64).max(2);
        Self {
            batch_size: count(table, "batch_size", 1..=1_000_000, default.batch_size, problems),
            batch_bytes_max: bytes(table, "batch_bytes_max", 1000..=1_000_000_000, default.batch_bytes_max, problems),
            batch_timeout: table
                .take_seconds("batch_timeout_seconds", 0.001..=3600.0, problems)
                .unwrap_or(default.batch_timeout),
            max_queue_size: count(table, "max_queue_size", slots_min..=16_777_216, default.max_queue_size, problems),
            queue_bytes_max: bytes(
                table,
                "queue_bytes_max",
                0..=u64::from(u32::MAX),
                default.queue_bytes_max,
                problems,
            ),
            event_bytes_max: bytes(
                table,
                "event_bytes_max",
                256..=crate::event::EVENT_BYTES_LIMIT as u64,
                default.event_bytes_max,
                problems,
            ),
        }
    }
}

impl HealthConfig {
    fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
        let default = Self::default();
        let interval = table.take_seconds("health_check_interval_seconds", 0.0..=DAY_SECONDS, problems);
        let failures = table.take_integer("health_check_failures", 1..=1_000_000, problems);
        Self {
            interval: interval.unwrap_or(default.interval),
            failures: failures.and_then(|count| u32::try_from(count).ok()).unwrap_or(default.failures),
        }
    }
}

impl ConnectionConfig {
    fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
        let default = Self::default();
        let mut seconds = |key, default| table.take_seconds(key, 0.001..=DAY_SECONDS, problems).unwrap_or(default);
        let age_max = seconds("connection_age_seconds_max", default.age_max);
        let ack_timeout = seconds("ack_timeout_seconds", default.ack_timeout);
        let bytes_max = u64::from(u32::MAX);
        let pending_bytes_max =
            bytes(table, "pending_bytes_max", 1000..=bytes_max, default.pending_bytes_max, problems);
        Self { age_max, ack_timeout, pending_bytes_max }
    }
}

impl Pin {
    fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
        let Some(mut pin) = table.take_table("pin", problems) else { return Self::default() };
        let mut cores = |key| {
            let cores = pin.take_list_of_integers(key, CORES, problems).unwrap_or_default();
            cores.into_iter().filter_map(|core| usize::try_from(core).ok()).collect()
        };
        let read = Self { batchers: cores("batchers"), senders: cores("senders") };
        pin.finish(problems);
        read
    }
}

impl DeadLetterConfig {
    /// Required: whoever wants no dead letter says so.
    fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
        const EXAMPLE: &str = "dead_letter = { path = \"dead.ndjson\" }, or \"none\" to count what is refused as lost";
        table.require("dead_letter", EXAMPLE, problems);
        let TableOrWord::Table(mut letter) = table.take_table_or("dead_letter", "none", EXAMPLE, problems)? else {
            return None;
        };
        letter.require("path", "path = \"dead.ndjson\"", problems);
        let path = letter.take_output_path("path", problems);
        let bytes_max = letter.take_bytes("bytes_max", 1000..=u64::MAX, problems);
        letter.finish(problems);
        let mut read = Self::new(path?);
        read.bytes_max = bytes_max.unwrap_or(read.bytes_max);
        Some(read)
    }
}

fn count(
    table: &mut Table<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: usize,
    problems: &mut Problems,
) -> usize {
    table.take_integer(key, range, problems).and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
}

fn bytes(
    table: &mut Table<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: usize,
    problems: &mut Problems,
) -> usize {
    table.take_bytes(key, range, problems).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(default)
}
