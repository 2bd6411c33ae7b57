//! The program: one file a command, and what the commands share.
//!
//! Standard output carries the result, everything else goes to standard error. Exit codes: 0 all delivered; 1 something
//! was not, or a line was unreadable; 2 bad usage or configuration.

mod backlog;
mod control;
mod dead_letter;
mod demo;
mod draining;
mod exporter;
mod failure;
mod feed;
mod figures;
mod log;
mod progress;
mod receive;
mod replay;
mod report;
mod run;
mod sample;
mod selection;
mod service;
mod signals;
mod source;
mod survey;
mod tally;
mod usage;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Carries audit events into SIEMs, and accounts for every one.
#[derive(Debug, Parser)]
#[command(name = "siem-forward", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward demo                                   a million events through the whole engine
  siem-forward receive --port 8088                    a Splunk HEC to test against
  siem-forward run --config siem.toml < audit.ndjson  forward real logs
  siem-forward replay dead.ndjson --config siem.toml  send again what was refused or left over

Exit codes: 0 all delivered; 1 something was not, or a line was unreadable; 2 bad usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Forward audit events from NDJSON to a SIEM
    Run(run::RunArguments),
    /// Send a dead letter again, to the destination that it was meant for
    Replay(replay::ReplayArguments),
    /// Look into a dead letter
    DeadLetter(dead_letter::DeadLetterArguments),
    /// Show the engine at work, against a receiver of its own
    Demo(demo::DemoArguments),
    /// Play a Splunk HTTP Event Collector, to test against
    Receive(receive::ReceiveArguments),
}

/// Runs the program with its own command line.
pub fn main() -> ExitCode {
    // clap prints help to standard output and mistakes to standard error, and ends with 2 for the latter.
    let arguments = Arguments::parse();
    log::install();
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::DeadLetter(arguments) => dead_letter::dead_letter(&arguments),
        Command::Demo(arguments) => demo::demo(&arguments),
        Command::Receive(arguments) => receive::receive(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            tell(&format!("error: {failure}"));
            failure.exit_code()
        }
    }
}

/// Says something on standard error. Where that is gone there is nobody to tell.
fn tell(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
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
