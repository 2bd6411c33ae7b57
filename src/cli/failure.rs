//! Why a command could not do its work.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use super::inputs::InputsError;
use super::watched::Unseen;
use crate::append::LockError;
use crate::config::ConfigError;
use crate::engine::StartError;
use crate::engine::fanout::FanoutError;
use crate::input::OpenError;
use crate::ledger::RegisterError;
use crate::siem::{IntakeError, SplunkError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Input(#[from] OpenError),
    #[error(transparent)]
    Inputs(#[from] InputsError),
    #[error("the {} enabled = false: there is nothing to run", subject(pipelines))]
    Disabled { pipelines: Vec<String> },
    #[cfg(feature = "kafka")]
    #[error("there is nothing to read: add [input.kafka] with brokers and topics")]
    NoKafkaInput,
    #[cfg(feature = "kafka")]
    #[error(
        "a record that is no event would be lost once it is committed: let the pipeline have a dead_letter, or add [input] rejected = {{ path = \"rejected.ndjson\" }}"
    )]
    NoRejected,
    #[cfg(feature = "kafka")]
    #[error("[input] records is for files with an array in a document; a record of Kafka is one event: leave it out")]
    ArrayInRecord,
    #[cfg(feature = "kafka")]
    #[error(
        "a worker forwards to one: there are the pipelines {known}; say which by --pipeline, and start a worker for each"
    )]
    WhichPipeline { known: String },
    #[cfg(feature = "kafka")]
    #[error(transparent)]
    Group(#[from] crate::input::GroupError),
    #[error("{}", crate::engine::chain(.0))]
    Start(#[from] StartError),
    #[error("siem.{pipeline}: {}", crate::engine::chain(.error))]
    StartOfOne { pipeline: String, error: StartError },
    #[error(transparent)]
    Fanout(#[from] FanoutError),
    #[error("the configuration has no pipeline {name}: it has {known}")]
    NoSuchPipeline { name: String, known: String },
    #[error("there are the pipelines {known}: say which one to tune by --pipeline")]
    TuneWhich { known: String },
    #[error(
        "siem.{pipeline} leads to {siem_type}, which the embedded receiver does not play: --against measures against the \
         configured destination itself"
    )]
    TuneNotPlayed { pipeline: String, siem_type: &'static str },
    #[error("nothing was sent: {why}\n{words}")]
    TuneUnasked { words: String, why: &'static str },
    #[error("ended, and nothing is recommended: requests to the SIEM failed: {words}")]
    TuneRefused { words: String },
    #[error("nothing could be measured: {words}; raise --max-seconds, or see whether the machine does something else")]
    TuneUnmeasured { words: String },
    #[error(transparent)]
    Splunk(#[from] SplunkError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error("{destination} has no acknowledgements: leave that option out, or say --as splunk")]
    NoAcknowledgements { destination: &'static str },
    #[error("{destination} has its ids at a place that is known: leave --id-field out, or say --as webhook")]
    IdFieldIsKnown { destination: &'static str },
    #[error("siem.{pipeline} writes its events to standard output, and so does {other}: one of them must go elsewhere")]
    StdoutIsTaken { pipeline: String, other: &'static str },
    #[error("the receiver cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(
        "[metrics] listen: {address} cannot be listened on, nothing was started: {source}; choose another port, or end what has it"
    )]
    Metrics { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Unseen(#[from] Unseen),
    #[error("top draws on a terminal, and there is none: `siem-forward status` prints one screen")]
    NoTerminal,
    #[error("the terminal cannot be drawn on: {0}")]
    Terminal(io::Error),
    #[error("{} cannot be opened: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} cannot be replayed: {source}", path.display())]
    Replayed { path: PathBuf, source: LockError },
    #[error("the records do not fit the destination, nothing was sent\n{refusal}")]
    Foreign { refusal: String },
    #[error("the records may be sent by several pipelines, nothing was sent: say --pipeline and one of {names}")]
    Ambiguous { names: String },
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
}

impl Failure {
    /// 2 where the user has to change something, 1 where the machine refused, or nobody answers.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Output(_)
            | Self::Thread(_)
            | Self::Signals(_)
            | Self::Start(StartError::Thread { .. })
            | Self::StartOfOne { error: StartError::Thread { .. }, .. }
            | Self::Terminal(_)
            | Self::TuneRefused { .. }
            | Self::TuneUnmeasured { .. }
            | Self::Unseen(_) => ExitCode::from(1),
            _ => ExitCode::from(2),
        }
    }
}

/// Such as `pipelines a, b have`.
fn subject(pipelines: &[String]) -> String {
    let names = pipelines.join(", ");
    if pipelines.len() == 1 { format!("pipeline {names} has") } else { format!("pipelines {names} have") }
}
