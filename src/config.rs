//! The configuration file: TOML into pipelines that cannot be wrong.
//!
//! Each room takes its own keys out of the spanned table; what is left over is unknown; all mistakes come at once, each
//! with its line. The only `match` on a destination's type stands here. Used by `run`, once at start; nothing is started
//! and nothing is opened before all of it has been read.

mod keys;
mod metrics;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::append::is_one_file;
use crate::engine::{Builder, DESTINATIONS_MAX, Forwarder, SiemConfig};
use crate::event::AuditEvent;
#[cfg(feature = "kafka")]
use crate::input::KafkaInput;
use crate::input::{InputMap, RecordsPointer};
use crate::net::{BaseUrl, HttpConfig};
#[cfg(feature = "kafka")]
use crate::siem::Kafka;
use crate::siem::{Datadog, Elastic, File as NdjsonFile, FormatError, Siem, Splunk, Webhook};
use crate::table::{Overlay, Problems, Secrets, Spot, Table};

pub(crate) use keys::{Chapter, DESTINATIONS, DestinationKeys, general};

/// A configuration is a few KB; something else was named by mistake.
const BYTES_MAX: u64 = 256 * 1024;

/// As many as one fan-out carries.
const PIPELINES_MAX: usize = DESTINATIONS_MAX;

pub(crate) use metrics::MetricsConfig;

/// Everything that a file says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) input: InputConfig,
    pub(crate) metrics: MetricsConfig,
    /// One at least, each with a name and a dead letter of its own, in the order of the file.
    pub(crate) pipelines: Vec<PipelineConfig>,
}

/// What `[input]` says.
#[derive(Debug, Default)]
pub(crate) struct InputConfig {
    /// Where lines go that cannot become an event; nowhere by default, and they are only counted.
    pub(crate) rejected: Option<PathBuf>,
    /// Where in a document its records are; a line is one by default.
    pub(crate) records: Option<RecordsPointer>,
    /// Where the fields of an event come from; a record is of our own layout by default.
    pub(crate) map: Option<InputMap>,
    /// What `worker` reads.
    #[cfg(feature = "kafka")]
    pub(crate) kafka: Option<KafkaInput>,
}

/// One pipeline: `[siem.NAME]`.
#[derive(Debug)]
pub(crate) struct PipelineConfig {
    pub(crate) name: String,
    pub(crate) siem: SiemConfig,
    pub(crate) destination: Destination,
}

/// Where a pipeline leads.
#[derive(Debug)]
pub(crate) enum Destination {
    Splunk(Splunk),
    Datadog(Datadog),
    Elastic(Elastic),
    Webhook(Webhook),
    File(NdjsonFile),
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is larger than {} KiB: no configuration is, name another file", path.display(), BYTES_MAX / 1024)]
    TooLarge { path: PathBuf },
    #[error("{} has mistakes, nothing was started\n\n{problems}", path.display())]
    Mistakes { path: PathBuf, problems: Box<Problems> },
}

impl Config {
    /// Reads a file with the keys that `overrides` set, `KEY=VALUE` each, and the secrets that it names.
    ///
    /// # Errors
    /// When it cannot be read, or has mistakes: all of them.
    pub(crate) fn load(path: &Path, overrides: &[String], secrets: Secrets) -> Result<Self, ConfigError> {
        Self::of_bytes(path, &Self::bytes_of(path)?, overrides, secrets)
    }

    /// The bytes of a file, of one that is too large a few too many.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
        Ok(bytes)
    }

    /// The same of a file whose bytes are at hand.
    pub(crate) fn of_bytes(
        path: &Path,
        bytes: &[u8],
        overrides: &[String],
        secrets: Secrets,
    ) -> Result<Self, ConfigError> {
        if bytes.len() as u64 > BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let mistakes =
            |problems: Problems| ConfigError::Mistakes { path: path.to_owned(), problems: Box::new(problems) };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let mut problems = Problems::new(path, &String::from_utf8_lossy(bytes));
            problems.not_utf8(error.valid_up_to());
            mistakes(problems)
        })?;
        let overlay = Overlay::new(text, overrides);
        let mut problems = overlay.problems(path).secrets(secrets);
        match Self::read(&overlay, &mut problems) {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(mistakes(problems)),
        }
    }

    /// How long the end may take: as long as the most patient pipeline may.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.pipelines.iter().map(|pipeline| pipeline.siem.drain_timeout).max().unwrap_or_default()
    }

    fn read(overlay: &Overlay, problems: &mut Problems) -> Option<Self> {
        let mut root = Table::parse_with(overlay, problems)?;
        let metrics = MetricsConfig::read(&mut root, problems);
        root.require("siem", "a pipeline: [siem.splunk] with type, url, token and dead_letter", problems);
        let pipelines = root.take_table("siem", problems).map(|siem| PipelineConfig::read_all(siem, problems));
        let pipelines = pipelines.unwrap_or_default();
        let input = InputConfig::read(&mut root, &pipelines, problems);
        root.finish(problems);
        (!pipelines.is_empty()).then_some(Self { input, metrics, pipelines })
    }
}

/// The paths of all keys that are asked for when this text is read, for the test that compares them with those that are
/// described.
#[cfg(test)]
pub(crate) fn keys_asked(text: &str) -> Vec<String> {
    let overlay = Overlay::new(text, &[]);
    let mut problems = overlay.problems(Path::new("siem.toml")).secrets(Secrets::Omitted);
    Config::read(&overlay, &mut problems);
    problems.asked().map(str::to_owned).collect()
}

impl Destination {
    /// Appends the wire form of one event, as it would be sent.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        match self {
            Self::Splunk(splunk) => splunk.format_event(event, body),
            Self::Datadog(datadog) => datadog.format_event(event, body),
            Self::Elastic(elastic) => elastic.format_event(event, body),
            Self::Webhook(webhook) => webhook.format_event(event, body),
            Self::File(file) => file.format_event(event, body),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => kafka.format_event(event, body),
        }
    }

    /// Where it is, and how requests to it are made; `None` where it is spoken to by other means than HTTP.
    pub(crate) fn endpoint(&self) -> Option<(&BaseUrl, &HttpConfig)> {
        match self {
            Self::Splunk(splunk) => Some(splunk.endpoint()),
            Self::Datadog(datadog) => Some(datadog.address()),
            Self::Elastic(elastic) => Some(elastic.address()),
            Self::Webhook(webhook) => Some(webhook.address()),
            Self::File(_) => None,
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
        }
    }

    /// The file that it is, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file) => file.path(),
            Self::Splunk(_) | Self::Datadog(_) | Self::Elastic(_) | Self::Webhook(_) => None,
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
        }
    }

    /// Its type and its address.
    pub(crate) fn fingerprint(&self) -> (&'static str, String) {
        match self {
            Self::Splunk(splunk) => (splunk.siem_type(), Siem::destination(splunk)),
            Self::Datadog(datadog) => (datadog.siem_type(), Siem::destination(datadog)),
            Self::Elastic(elastic) => (elastic.siem_type(), Siem::destination(elastic)),
            Self::Webhook(webhook) => (webhook.siem_type(), Siem::destination(webhook)),
            Self::File(file) => (file.siem_type(), Siem::destination(file)),
            #[cfg(feature = "kafka")]
            Self::Kafka(kafka) => (kafka.siem_type(), Siem::destination(kafka)),
        }
    }

    /// Whether its batches wait for an acknowledgement.
    pub(crate) fn acknowledges(&self) -> bool {
        match self {
            Self::Splunk(splunk) => splunk.acknowledges(),
            Self::Datadog(_) | Self::Elastic(_) | Self::Webhook(_) | Self::File(_) => false,
            // By its reports.
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => true,
        }
    }
}

impl InputConfig {
    fn read(root: &mut Table<'_>, pipelines: &[PipelineConfig], problems: &mut Problems) -> Self {
        let Some(mut input) = root.take_table("input", problems) else { return Self::default() };
        let rejected = input.take_table("rejected", problems).and_then(|mut rejected| {
            rejected.require("path", "path = \"rejected.ndjson\"", problems);
            let path = rejected.take_output_path("path", problems);
            // Their records differ, and a replay of the one would stumble over the other.
            let is_letter = |path: &Path| {
                pipelines.iter().filter_map(PipelineConfig::dead_letter).any(|letter| is_one_file(path, letter))
            };
            if path.as_deref().is_some_and(is_letter) {
                rejected.blame("path", "is the dead letter's file", "name another file: each keeps its own", problems);
            }
            rejected.finish(problems);
            path
        });
        let records = input.take_parsed("records", "records = \"/Records\"", problems, RecordsPointer::new);
        let map = input.take_table("map", problems).map(|map| InputMap::read(map, problems));
        #[cfg(feature = "kafka")]
        let kafka = input.take_table("kafka", problems).and_then(|kafka| KafkaInput::read(kafka, problems));
        #[cfg(not(feature = "kafka"))]
        if let Some(kafka) = input.take_table("kafka", problems) {
            kafka.blame_whole("this build has no Kafka", WITH_KAFKA, problems);
        }
        input.finish(problems);
        Self {
            rejected,
            records,
            map,
            #[cfg(feature = "kafka")]
            kafka,
        }
    }
}

impl PipelineConfig {
    /// The pipelines of `[siem]`: a table each.
    fn read_all(mut siem: Table<'_>, problems: &mut Problems) -> Vec<Self> {
        let (mut pipelines, mut letters) = (Vec::new(), Vec::new());
        for (index, table) in siem.take_tables(problems).into_iter().enumerate() {
            if index == PIPELINES_MAX {
                let what = format!("is one pipeline more than the {PIPELINES_MAX} that are possible");
                table.blame_whole(&what, "run a second program for it", problems);
            }
            pipelines.extend(Self::read(table, &mut letters, problems));
        }
        if pipelines.is_empty() && problems.is_empty() {
            siem.blame_whole("holds no pipeline", "add [siem.splunk] with type, url, token and dead_letter", problems);
        }
        siem.finish(problems);
        pipelines
    }

    /// One pipeline. Its dead letter joins those that were read before, of which it must not be one.
    fn read(mut table: Table<'_>, letters: &mut Vec<Letter>, problems: &mut Problems) -> Option<Self> {
        let name = table.name().to_owned();
        table.require("type", "type = \"splunk\"", problems);
        let siem_type = table.take_choice("type", &SIEM_TYPES, problems);
        // A table without a type that is called like one is read as such, so that all its other mistakes are told too.
        let siem_type = siem_type.or_else(|| SIEM_TYPES.iter().find(|(of, _)| *of == name).map(|(_, known)| *known));
        let siem = SiemConfig::read(&mut table, problems);
        if let Some(letter) = &siem.dead_letter {
            let letter = Letter { path: letter.path.clone(), pipeline: name.clone(), spot: table.spot("dead_letter") };
            letter.blame_if_shared(letters, problems);
            letters.push(letter);
        }
        let destination = match siem_type {
            Some(SiemType::Splunk) => Splunk::read(&mut table, problems).map(Destination::Splunk),
            Some(SiemType::Datadog) => Datadog::read(&mut table, problems).map(Destination::Datadog),
            Some(SiemType::Elastic) => Elastic::read(&mut table, problems).map(Destination::Elastic),
            Some(SiemType::Webhook) => Webhook::read(&mut table, problems).map(Destination::Webhook),
            Some(SiemType::File) => NdjsonFile::read(&mut table, problems).map(Destination::File),
            #[cfg(feature = "kafka")]
            Some(SiemType::Kafka) => {
                Kafka::read(&mut table, siem.connection.ack_timeout, problems).map(Destination::Kafka)
            }
            #[cfg(not(feature = "kafka"))]
            Some(SiemType::Kafka) => {
                table.blame("type", "this build has no Kafka", WITH_KAFKA, problems);
                return None;
            }
            // Without a type nobody knows the other keys: the one problem says enough.
            None => return None,
        };
        table.finish(problems);
        Some(Self { name, siem, destination: destination? })
    }

    /// The path of its dead letter, where it has one.
    pub(crate) fn dead_letter(&self) -> Option<&Path> {
        self.siem.dead_letter.as_ref().map(|letter| letter.path.as_path())
    }

    /// The forwarder, ready to start.
    pub(crate) fn builder(self) -> Builder {
        let builder = match self.destination {
            Destination::Splunk(splunk) => Forwarder::builder(splunk),
            Destination::Datadog(datadog) => Forwarder::builder(datadog),
            Destination::Elastic(elastic) => Forwarder::builder(elastic),
            Destination::Webhook(webhook) => Forwarder::builder(webhook),
            Destination::File(file) => Forwarder::builder(file),
            #[cfg(feature = "kafka")]
            Destination::Kafka(kafka) => Forwarder::builder(kafka),
        };
        builder.name(self.name).config(self.siem)
    }
}

/// A dead letter that a pipeline has for itself, and where the file says so.
struct Letter {
    path: PathBuf,
    pipeline: String,
    spot: Spot,
}

impl Letter {
    /// One file has one writer, and a replay of it leads to one destination. Both lines are told.
    fn blame_if_shared(&self, others: &[Self], problems: &mut Problems) {
        let Some(other) = others.iter().find(|other| is_one_file(&self.path, &other.path)) else { return };
        let help = "name another file: each pipeline keeps its own";
        for (one, other) in [(other, self), (self, other)] {
            problems.push_at(&one.spot, &format!("is the dead letter of siem.{} as well", other.pipeline), help);
        }
    }
}

/// By the names in the file.
const SIEM_TYPES: [(&str, SiemType); 6] = [
    ("splunk", SiemType::Splunk),
    ("datadog", SiemType::Datadog),
    ("elastic", SiemType::Elastic),
    ("webhook", SiemType::Webhook),
    ("file", SiemType::File),
    ("kafka", SiemType::Kafka),
];

#[cfg(not(feature = "kafka"))]
const WITH_KAFKA: &str = "build one that has it with `cargo build --release --features kafka`";

#[derive(Debug, Clone, Copy)]
enum SiemType {
    Splunk,
    Datadog,
    Elastic,
    Webhook,
    File,
    Kafka,
}
