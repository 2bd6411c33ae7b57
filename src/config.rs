//! The configuration file: TOML into pipelines that cannot be wrong.
//!
//! Each room takes its own keys out of the spanned table; what is left over is unknown; all mistakes come at once, each
//! with its line. The only `match` on a destination's type stands here. Used by `run`, once at start; nothing is started
//! and nothing is opened before all of it has been read.

mod metrics;

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::{Builder, Forwarder, SiemConfig};
use crate::siem::Splunk;
use crate::table::{Problems, Table};

pub(crate) use metrics::MetricsConfig;

/// Everything that a file says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) input: InputConfig,
    pub(crate) metrics: MetricsConfig,
    pub(crate) pipeline: PipelineConfig,
}

/// What `[input]` says.
#[derive(Debug, Default)]
pub(crate) struct InputConfig {
    /// Where lines go that cannot become an event; nowhere by default, and they are only counted.
    pub(crate) rejected: Option<PathBuf>,
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
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has mistakes, nothing was started\n\n{problems}", path.display())]
    Mistakes { path: PathBuf, problems: Problems },
}

impl Config {
    /// Reads a file, and the secrets that it names.
    ///
    /// # Errors
    /// When it cannot be read, or has mistakes: all of them.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut problems = Problems::new(path, text);
        match Self::read(text, &mut problems) {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Mistakes { path: path.to_owned(), problems }),
        }
    }

    fn read(text: &str, problems: &mut Problems) -> Option<Self> {
        let mut root = Table::parse(text, problems)?;
        let input = InputConfig::read(&mut root, problems);
        let metrics = MetricsConfig::read(&mut root, problems);
        root.require("siem", "a pipeline: [siem.splunk] with type, url, token and dead_letter", problems);
        let pipeline = root.take_table("siem", problems).and_then(|siem| PipelineConfig::read(siem, problems));
        root.finish(problems);
        Some(Self { input, metrics, pipeline: pipeline? })
    }
}

impl InputConfig {
    fn read(root: &mut Table<'_>, problems: &mut Problems) -> Self {
        let Some(mut input) = root.take_table("input", problems) else { return Self::default() };
        let rejected = input.take_table("rejected", problems).and_then(|mut rejected| {
            rejected.require("path", "path = \"rejected.ndjson\"", problems);
            let path = rejected.take_output_path("path", problems);
            rejected.finish(problems);
            path
        });
        input.finish(problems);
        Self { rejected }
    }
}

impl PipelineConfig {
    /// The one pipeline of `[siem]`.
    fn read(mut siem: Table<'_>, problems: &mut Problems) -> Option<Self> {
        let tables = siem.take_tables(problems);
        let several = tables.len() > 1;
        let mut pipelines = Vec::new();
        for table in tables {
            if several {
                table.blame_whole("one of several pipelines", "this version forwards to one: keep one table", problems);
            }
            pipelines.extend(Self::read_one(table, problems));
        }
        if pipelines.is_empty() && problems.is_empty() {
            siem.blame_whole("holds no pipeline", "add [siem.splunk] with type, url, token and dead_letter", problems);
        }
        siem.finish(problems);
        pipelines.pop()
    }

    fn read_one(mut table: Table<'_>, problems: &mut Problems) -> Option<Self> {
        let name = table.name().to_owned();
        table.require("type", "type = \"splunk\"", problems);
        let siem_type = table.take_choice("type", &[("splunk", SiemType::Splunk)], problems);
        let siem = SiemConfig::read(&mut table, problems);
        let destination = match siem_type {
            Some(SiemType::Splunk) => Splunk::read(&mut table, problems).map(Destination::Splunk),
            // Without a type nobody knows the other keys: the one problem says enough.
            None => return None,
        };
        table.finish(problems);
        Some(Self { name, siem, destination: destination? })
    }

    /// The forwarder, ready to start.
    pub(crate) fn builder(self) -> Builder {
        let builder = match self.destination {
            Destination::Splunk(splunk) => Forwarder::builder(splunk),
        };
        builder.name(self.name).config(self.siem)
    }
}

#[derive(Debug, Clone, Copy)]
enum SiemType {
    Splunk,
}
