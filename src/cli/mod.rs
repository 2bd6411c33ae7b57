//! The program: one file a command, and what the commands share.
//!
//! Standard output carries the result, everything else goes to standard error. Exit codes: 0 all delivered; 1 something
//! was not, a line was unreadable, or a destination that is checked does not answer; 2 bad usage or configuration.

mod backlog;
mod check;
mod columns;
mod config_file;
mod control;
mod dead_letter;
mod demo;
mod draining;
mod dry_run;
mod events_out;
mod exporter;
mod failure;
mod feed;
mod figures;
mod init;
mod inputs;
mod log;
mod overall;
mod paperwork;
mod played;
mod progress;
mod pulse;
mod receive;
mod replay;
mod report;
mod run;
mod sample;
mod selection;
mod service;
mod signals;
mod source;
mod status;
mod survey;
mod tally;
mod top;
mod tune;
mod usage;
mod watched;
#[cfg(feature = "kafka")]
mod worker;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::table::Secrets;
use failure::Failure;

/// Carries audit events into SIEMs, and accounts for every one.
#[derive(Debug, Parser)]
#[command(name = "siem-forward", version, long_version = LONG_VERSION, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// How everything on standard error is written
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "text|json",
        default_value = "text",
        hide_possible_values = true
    )]
    log_format: log::LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// These words, where this build has Kafka.
#[cfg(feature = "kafka")]
macro_rules! kafka {
    ($words:literal) => {
        $words
    };
}
#[cfg(not(feature = "kafka"))]
macro_rules! kafka {
    ($words:literal) => {
        ""
    };
}

/// The same, where it speaks TLS with it.
#[cfg(feature = "kafka-tls")]
macro_rules! kafka_tls {
    ($words:literal) => {
        $words
    };
}
#[cfg(not(feature = "kafka-tls"))]
macro_rules! kafka_tls {
    ($words:literal) => {
        ""
    };
}

/// What this build can do, for whoever reports a problem with it.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nfeatures: cli",
    kafka!(", kafka"),
    kafka_tls!(", kafka-tls"),
    "\ndestinations: splunk, datadog, elastic, webhook, file",
    kafka!(", kafka"),
    "\ninput: NDJSON and JSON, plain, gzip, zstd",
    "\ncompression: gzip",
    "\nTLS: rustls with ring, TLS 1.2 and 1.3"
);

const EXAMPLES: &str = "\
Examples:
  siem-forward init splunk > siem.toml                a configuration to begin with
  siem-forward demo                                   a million events through the whole engine
  siem-forward receive --port 8088                    a Splunk to test against
  siem-forward check --config siem.toml               every mistake in it, then the way to the SIEM
  siem-forward run --config siem.toml < audit.ndjson  forward real logs
  siem-forward status                                 what a running one does, and whether anything is red
  siem-forward top                                    the same, once a second, on a terminal
  siem-forward replay dead.ndjson --config siem.toml  send again what was refused or left over
  siem-forward tune --config siem.toml                which settings this machine and network want

Exit codes: 0 all delivered; 1 something was not, a line was unreadable, or a destination that is checked\ndoes not answer; 2 bad usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a complete configuration with every key, to begin with
    Init(init::InitArguments),
    /// Forward audit events from NDJSON to a SIEM
    Run(run::RunArguments),
    /// Forward audit events from Kafka to a SIEM
    #[cfg(feature = "kafka")]
    Worker(worker::WorkerArguments),
    /// Look for mistakes in a configuration, and go the way to its destination
    Check(check::CheckArguments),
    /// Look at a program that runs: one screen, and exit code 1 where anything is red
    Status(status::StatusArguments),
    /// Watch a program that runs, on a terminal
    Top(top::TopArguments),
    /// Send a dead letter again, to the destination that it was meant for
    Replay(replay::ReplayArguments),
    /// Look into a dead letter
    DeadLetter(dead_letter::DeadLetterArguments),
    /// Show the engine at work, against a receiver of its own
    Demo(demo::DemoArguments),
    /// Play a destination, to test against
    Receive(receive::ReceiveArguments),
    /// Find the settings that suit this machine and network, by measuring
    Tune(tune::TuneArguments),
    /// Print the completions of a shell
    Completions(paperwork::CompletionsArguments),
    /// Print or write man pages
    Man(paperwork::ManArguments),
}

/// Runs the program with its own command line.
pub fn main() -> ExitCode {
    // clap prints help to standard output and mistakes to standard error, and ends with 2 for the latter.
    let arguments = Arguments::parse();
    log::install(arguments.log_format);
    let result = match arguments.command {
        Command::Init(arguments) => init::init(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        #[cfg(feature = "kafka")]
        Command::Worker(arguments) => worker::worker(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Top(arguments) => top::top(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::DeadLetter(arguments) => dead_letter::dead_letter(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Receive(arguments) => receive::receive(&arguments),
        Command::Tune(arguments) => tune::tune(&arguments),
        Command::Completions(arguments) => paperwork::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => paperwork::man(&arguments, Arguments::command()),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            tell(&format!("error: {failure}"));
            failure.exit_code()
        }
    }
}

/// What `check --offline` says of a configuration with these bytes, called `siem.toml`: for tests and fuzzing, which throw
/// everything at it. The files and variables that it names are looked at.
///
/// # Errors
/// All its mistakes, as they are told.
pub fn read_configuration(bytes: &[u8]) -> Result<(), String> {
    let read = Config::of_bytes(Path::new("siem.toml"), bytes, &[], Secrets::Fetched);
    read.map(drop).map_err(|error| match error {
        ConfigError::Mistakes { problems, .. } => problems.to_string(),
        other => other.to_string(),
    })
}

/// Says something on standard error. Where that is gone there is nobody to tell.
fn tell(text: &str) {
    log::tell(text);
}

/// Writes the result to standard output.
///
/// # Errors
/// When standard output does not take it.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// The exit code of a run that came to an end.
fn exit_code(is_complete: bool) -> ExitCode {
    if is_complete { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
