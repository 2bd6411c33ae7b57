//! `dead-letter`: what lies there, as a table or as the records themselves.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::backlog::leftovers;
use super::failure::Failure;
use super::figures::{counted, verb};
use super::selection::Selection;
use super::survey::{Damaged, survey};
use super::tally::Tally;
use super::{exit_code, print, tell};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeadLetterArguments {
    #[command(subcommand)]
    command: DeadLetterCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLetterCommand {
    /// Count the records, by cause and pipeline
    #[command(after_help = LS_EXAMPLES)]
    Ls(LsArguments),
    /// Print the records, one JSON object a line
    #[command(after_help = CAT_EXAMPLES)]
    Cat(CatArguments),
}

#[derive(Debug, Args)]
struct LsArguments {
    /// Dead letters
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CatArguments {
    /// Dead letters
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    selection: Selection,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward dead-letter ls splunk.dead.ndjson               how many, why, since when
  siem-forward dead-letter cat splunk.dead.ndjson | head -1    the records themselves
  siem-forward replay splunk.dead.ndjson --config siem.toml    send them again";

const LS_EXAMPLES: &str = "\
Examples:
  siem-forward dead-letter ls splunk.dead.ndjson
  siem-forward dead-letter ls splunk.dead.ndjson --since 2h --json

A damaged line is told with its number, and left where it is.
Exit codes: 0; 1 where lines are damaged; 2 bad usage.";

const CAT_EXAMPLES: &str = "\
Examples:
  siem-forward dead-letter cat splunk.dead.ndjson --filter cause=http_400 | head -1
  siem-forward dead-letter cat splunk.dead.ndjson --since 2026-11-25T00:00:00Z

A damaged line is told on standard error, with its number, and left where it is.";

pub(crate) fn dead_letter(arguments: &DeadLetterArguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        DeadLetterCommand::Ls(arguments) => ls(arguments),
        DeadLetterCommand::Cat(arguments) => cat(arguments),
    }
}

fn ls(arguments: &LsArguments) -> Result<ExitCode, Failure> {
    let mut damaged = Damaged::default();
    let mut tally = Tally::default();
    for file in &arguments.files {
        survey(file, &mut damaged, |record, line| {
            if arguments.selection.takes(record) {
                tally.add(record, line.len() as u64 + 1);
            }
            Ok(())
        })?;
        for left in leftovers(file).into_iter().filter(|left| !arguments.files.contains(left)) {
            tell(&format!("{} is beside it: what a replay has left", left.display()));
        }
    }
    if arguments.json {
        let mut object = tally.to_json();
        if let Value::Object(object) = &mut object {
            object.insert("damaged".to_owned(), json!(damaged.lines));
        }
        print(&format!("{object}\n"))?;
    } else {
        print(&match tally.records() {
            0 => "No records.\n".to_owned(),
            _ => tally.to_text(),
        })?;
    }
    if damaged.lines > 0 {
        tell(&format!("{} {} damaged.", counted(damaged.lines, "line"), verb(damaged.lines, "is", "are")));
    }
    Ok(exit_code(damaged.lines == 0))
}

fn cat(arguments: &CatArguments) -> Result<ExitCode, Failure> {
    let mut damaged = Damaged::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut write = |file: &PathBuf| {
        survey(file, &mut damaged, |record, line| {
            if arguments.selection.takes(record) {
                out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(Failure::Output)?;
            }
            Ok(())
        })
    };
    let written = arguments.files.iter().try_for_each(&mut write);
    match written.and_then(|()| out.flush().map_err(Failure::Output)) {
        Ok(()) => Ok(exit_code(damaged.lines == 0)),
        // Whoever reads has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(failure),
    }
}
