//! The configuration of a command: a file, and the keys that are set beside it.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{Config, ConfigError};
use crate::table::Secrets;

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration: a TOML file with a table for each pipeline, such as [siem.splunk]
    #[arg(long = "config", value_name = "FILE")]
    path: PathBuf,
    /// Set a key of it for this run, in TOML, such as siem.splunk.senders=4 or input.records='"/Records"'
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl ConfigFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it, and the secrets that it names.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.path, &self.overrides, Secrets::Fetched)
    }

    /// Reads it for a run that sends nothing: without its secrets.
    pub(crate) fn load_without_secrets(&self) -> Result<Config, ConfigError> {
        Config::load(&self.path, &self.overrides, Secrets::Omitted)
    }
}
