//! The engine's keys of the configuration file.

use std::ops::RangeInclusive;

use super::settings::{BatchConfig, ConnectionConfig, DeadLetterConfig, HealthConfig, Pin, SiemConfig};
use crate::policy::{BreakerConfig, Filter, Overflow, RetryConfig, Sampling, WaitStrategy};
use crate::table::{Key, Problems, Section, Table, TableOrWord};

/// Cores are numbered from 0; no machine has more.
const CORES: RangeInclusive<u64> = 0..=4095;
const DAY_SECONDS: f64 = 86_400.0;

impl SiemConfig {
    /// All that the engine reads, in the order in which a reader may care.
    pub(crate) const KEYS: [Section; 11] = [
        DEAD_LETTER,
        BATCHES,
        QUEUE,
        Overflow::KEYS,
        Filter::KEYS,
        Sampling::KEYS,
        RetryConfig::KEYS,
        BreakerConfig::KEYS,
        CONNECTIONS,
        THREADS,
        LIFE,
    ];
}

const DEAD_LETTER: Section = Section {
    title: "What the SIEM refuses for good",
    keys: &[
        Key::required("dead_letter.path", "\"splunk.dead.ndjson\"")
            .range("a text")
            .meaning("the file in which refused events are kept; `dead_letter = \"none\"` instead counts them as lost"),
        Key::default("dead_letter.bytes_max", "\"256 MB\"")
            .unit("bytes")
            .range("1 KB or more")
            .meaning("what does not fit any more is counted as lost; no older record is deleted"),
    ],
};

const BATCHES: Section = Section {
    title: "Batches",
    keys: &[
        Key::default("batch_size", "500")
            .unit("events")
            .range("1 to 1,000,000")
            .meaning("events in a request, 100–500: more cost less CPU and fewer requests, fewer arrive sooner"),
        Key::default("batch_bytes_max", "\"900 KB\"")
            .unit("bytes")
            .range("1 KB to 1 GB")
            .meaning("bytes of a body before compression; below what the SIEM takes, else it is halved"),
        Key::default("batch_timeout_seconds", "5")
            .unit("seconds")
            .range("0.001 to 3600")
            .meaning("how long a lone event waits for others: shorter arrives sooner, longer makes fewer requests"),
    ],
};

const QUEUE: Section = Section {
    title: "The queue",
    keys: &[
        Key::default("max_queue_size", "20000").unit("events").range("2 to 16,777,216").meaning(
            "events in the rings, 10,000–100,000: more bridges a longer outage, and takes 1 KB of memory each; where `run` reads nothing but files, for one destination, 1,024 for each batcher at most, since the rest is safe where it is (not with \"shed_by_severity\")",
        ),
        Key::default("queue_bytes_max", "\"64 MB\"")
            .unit("bytes")
            .range("0 B to 4294967295 B")
            .meaning("memory of queued events above 1 KB each, on top of that"),
        Key::default("event_bytes_max", "\"64 KiB\"")
            .unit("bytes")
            .range("256 B to 16 MiB")
            .meaning("a larger event is refused, and a line of more than six times as much is unreadable"),
    ],
};

const CONNECTIONS: Section = Section {
    title: "Connections and health",
    keys: &[
        Key::default("connection_age_seconds_max", "300").unit("seconds").range("0.001 to 86400").meaning(
            "a connection is replaced between three quarters of this age and all of it, and its name resolved anew: \
             shorter follows DNS and load balancers sooner, longer makes fewer handshakes",
        ),
        Key::default("ack_timeout_seconds", "300").unit("seconds").range("0.001 to 86400").meaning(
            "what was taken and is not acknowledged in this time is sent again: shorter repairs sooner, and sends more twice",
        ),
        Key::default("pending_bytes_max", "\"64 MB\"").unit("bytes").range("1 KB to 4294967295 B").meaning(
            "what may wait for an acknowledgement; at 20,000 events/s and 10 s of indexing, set `\"256 MB\"`",
        ),
        Key::default("health_check_interval_seconds", "30").unit("seconds").range("0 to 86400").meaning(
            "the destination is asked at start and then so often; 0 for never",
        ),
        Key::default("health_check_failures", "3").unit("checks").range("1 to 1,000,000").meaning(
            "checks that fail in a row before health turns red",
        ),
    ],
};

const THREADS: Section = Section {
    title: "Threads",
    keys: &[
        Key::default("batchers", "1").unit("threads").range("1 to 64").meaning(
            "threads that encode: more than one where one core cannot keep up",
        ),
        Key::default("senders", "2").unit("threads").range("1 to 256").meaning(
            "threads that send, one request each at a time: more carry more over a slow network, and load the SIEM more",
        ),
        Key::default("wait_strategy", "\"sleeping\"").range("\"sleeping\" or \"busy_spin\"").meaning(
            "what a batcher does while no event comes: it sleeps, up to 4 ms with 20,000 slots; or it looks without a pause, \
             which takes up an event sooner, and a core for each batcher all the time",
        ),
        Key::optional("pin.batchers", "not pinned", "[1]").unit("core numbers").range("0 to 4,095").meaning(
            "the cores of the batchers, in their order: steadier latency, and nobody else can use what idles",
        ),
        Key::optional("pin.senders", "not pinned", "[2, 3]").unit("core numbers").range("0 to 4,095").meaning(
            "the cores of the senders, in their order",
        ),
    ],
};

const LIFE: Section = Section {
    title: "Beginning and end",
    keys: &[
        Key::default("enabled", "true").range("true or false").meaning("whether it forwards at all"),
        Key::default("drain_timeout_seconds", "30")
            .unit("seconds")
            .range("0 to 86400")
            .meaning("how long the end may take; what is not delivered then is in the dead letter"),
    ],
};

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
            filter: Filter::read(table, problems),
            sampling: Sampling::read(table, problems),
            retry: RetryConfig::read(table, problems),
            breaker: BreakerConfig::read(table, problems),
            health: HealthConfig::read(table, problems),
            connection: ConnectionConfig::read(table, problems),
            batchers,
            senders: count(table, "senders", 1..=256, default.senders, problems),
            wait_strategy: WaitStrategy::read(table, problems),
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
