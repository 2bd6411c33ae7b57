//! `replay`: a dead letter, sent again to the destination that it was meant for.

mod outcome;
mod resend;
mod target;
mod tracker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::backlog::{Claimed, backlog};
use super::config_file::ConfigFile;
use super::failure::Failure;
use super::figures::{count, counted, verb};
use super::progress::Progress;
use super::selection::Selection;
use super::signals::Ended;
use super::survey::{Damaged, survey};
use super::tally::Tally;
use super::{exit_code, print, tell};
use crate::config::PipelineConfig;
use crate::dead_letter::Record;
use crate::engine::Builder;
use outcome::Outcome;
use resend::Resend;
use target::{Foreign, Target};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplayArguments {
    /// Dead letters; what an earlier replay has left of them comes along
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// The pipeline to send through; where several are configured, the one that the records are of without it
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// Count what would be sent, by cause and pipeline; send and rename nothing
    #[arg(long)]
    dry_run: bool,
    /// The destination was known under this address when the records were written. May be repeated
    #[arg(long, value_name = "DESTINATION")]
    formerly: Vec<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward replay splunk.dead.ndjson --config siem.toml --dry-run
  siem-forward replay splunk.dead.ndjson --config siem.toml
  siem-forward replay splunk.dead.ndjson --config siem.toml --filter cause=http_403 --since 2h

FILE is renamed to FILE.replay-1 first: a running forwarder begins a new FILE. What is delivered is
taken out of it; what fails again stays in it with its new cause, and so does whatever was not
selected. Run the same command again to go on after an interruption: what was delivered is not
sent twice.

Records of a topic that are no events (cause no_event) stay where they are: there is nothing to send.

Exit codes: 0 all that was selected was delivered; 1 something was not, or a line is damaged;
2 bad usage or configuration, or records that are meant for another destination.";

/// What is to be done, known before anything is.
#[derive(Debug, Default)]
struct Plan {
    files: Vec<PathBuf>,
    /// What is to be sent.
    tally: Tally,
    unselected: u64,
    /// What cannot be sent there.
    foreign: Foreign,
    damaged: Damaged,
    /// What is no event, and never was.
    misfits: u64,
}

/// A pipeline that may be meant, and what there is to be sent through it.
struct Candidate {
    target: Target,
    builder: Builder,
    drain_timeout: Duration,
    tally: Tally,
    foreign: Foreign,
    /// Of the tally, those that say its name.
    named: u64,
}

pub(crate) fn replay(arguments: &ReplayArguments) -> Result<ExitCode, Failure> {
    let candidates = candidates(arguments)?;
    let (plan, Candidate { target, builder, drain_timeout, .. }) = Plan::of(arguments, candidates)?;
    if arguments.dry_run {
        return plan.show(arguments, &target);
    }
    if plan.foreign.records() > 0 {
        return Err(Failure::Foreign { refusal: target.refusal(&plan.foreign) });
    }
    let ended = Ended::watch()?;
    let selection = &arguments.selection;
    // A request may take its time, and be tried once more.
    let patience = drain_timeout + builder.request_timeout();
    let resend = Resend { builder: &builder, target: &target, selection, drain_timeout, patience, ended: &ended };
    let outcome = plan.carry_out(&resend)?;
    if arguments.json {
        tell(&outcome.sentence());
        print(&format!("{}\n", outcome.to_json()))?;
    } else {
        print(&format!("{}\n", outcome.sentence()))?;
    }
    Ok(exit_code(outcome.is_complete()))
}

/// The pipelines of the configuration, or the one that is asked for.
fn candidates(arguments: &ReplayArguments) -> Result<Vec<Candidate>, Failure> {
    let pipelines = arguments.config.load()?.pipelines;
    let known: Vec<String> = pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
    let asked = arguments.pipeline.as_ref();
    let meant = pipelines.into_iter().filter(|pipeline| asked.is_none_or(|name| *name == pipeline.name));
    let candidates: Vec<Candidate> = meant.map(|pipeline| Candidate::of(pipeline, &arguments.formerly)).collect();
    match asked {
        Some(name) if candidates.is_empty() => {
            Err(Failure::NoSuchPipeline { name: name.clone(), known: known.join(", ") })
        }
        _ => Ok(candidates),
    }
}

impl Candidate {
    fn of(pipeline: PipelineConfig, formerly: &[String]) -> Self {
        let (name, drain_timeout) = (pipeline.name.clone(), pipeline.siem.drain_timeout);
        let builder = pipeline.builder();
        let (siem_type, destination) = builder.fingerprint();
        let target = Target { pipeline: name, siem_type, destination, formerly: formerly.to_vec() };
        Self { target, builder, drain_timeout, tally: Tally::default(), foreign: Foreign::default(), named: 0 }
    }

    fn count(&mut self, record: &Record<'_>, bytes: u64) {
        if self.target.fits(record) {
            self.tally.add(record, bytes);
            self.named += u64::from(record.pipeline == self.target.pipeline);
        } else {
            self.foreign.add(record);
        }
    }

    /// The one that all records are meant for: by their destination, and of several that lead there by the name. Where it is
    /// none, the one that fits the most, whose refusal says what to do.
    fn choose(mut candidates: Vec<Self>) -> Result<Self, Failure> {
        let places = |is_meant: &dyn Fn(&Self) -> bool| {
            let meant = candidates.iter().enumerate().filter(|(_, candidate)| is_meant(candidate));
            meant.map(|(place, _)| place).collect::<Vec<_>>()
        };
        let fitting = places(&|candidate| candidate.foreign.records() == 0);
        let named =
            places(&|candidate| candidate.foreign.records() == 0 && candidate.named == candidate.tally.records());
        let there_are_none = candidates.iter().all(|candidate| candidate.tally.records() == 0);
        let place = match (fitting.as_slice(), named.as_slice()) {
            ([only], _) | (_, [only]) => *only,
            ([], _) => {
                let most = candidates.iter().enumerate().max_by_key(|(_, candidate)| candidate.tally.records());
                most.map_or(0, |(place, _)| place)
            }
            ([first, ..], _) if there_are_none => *first,
            _ => {
                let names = fitting.iter().filter_map(|place| candidates.get(*place));
                let names: Vec<&str> = names.map(|candidate| candidate.target.pipeline.as_str()).collect();
                return Err(Failure::Ambiguous { names: names.join(", ") });
            }
        };
        Ok(candidates.swap_remove(place))
    }
}

impl Plan {
    fn of(arguments: &ReplayArguments, mut candidates: Vec<Candidate>) -> Result<(Self, Candidate), Failure> {
        let mut plan = Self { files: backlog(&arguments.files)?, ..Self::default() };
        for file in &plan.files {
            survey(file, &mut plan.damaged, |record, line| {
                if !arguments.selection.takes(record) {
                    plan.unselected += 1;
                } else if record.form.is_misfit() {
                    plan.misfits += 1;
                } else {
                    for candidate in &mut candidates {
                        candidate.count(record, line.len() as u64 + 1);
                    }
                }
                Ok(())
            })?;
        }
        let mut chosen = Candidate::choose(candidates)?;
        plan.tally = std::mem::take(&mut chosen.tally);
        plan.foreign = std::mem::take(&mut chosen.foreign);
        Ok((plan, chosen))
    }

    fn show(&self, arguments: &ReplayArguments, target: &Target) -> Result<ExitCode, Failure> {
        if self.foreign.records() > 0 {
            tell(&format!("These would be refused:\n{}", target.refusal(&self.foreign)));
        }
        if arguments.json {
            let mut object = self.tally.to_json();
            if let Value::Object(object) = &mut object {
                let files = self.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
                object.insert("files".to_owned(), json!(files));
                object.insert("unselected".to_owned(), json!(self.unselected));
                object.insert("foreign".to_owned(), json!(self.foreign.records()));
                object.insert("damaged".to_owned(), json!(self.damaged.lines));
                object.insert("no_events".to_owned(), json!(self.misfits));
            }
            print(&format!("{object}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let records = self.tally.records();
        let mut parts = vec![format!(
            "{} would be sent to {} {}",
            counted(records, "record"),
            target.siem_type,
            target.destination
        )];
        for (number, what) in
            [(self.unselected, "not selected"), (self.damaged.lines, "damaged"), (self.misfits, "no event, and left")]
        {
            if number > 0 {
                parts.push(format!("{} {} {what}", count(number), verb(number, "is", "are")));
            }
        }
        let table = if records > 0 { self.tally.to_text() + "\n" } else { String::new() };
        print(&format!("{table}{}.\n", parts.join(", ")))?;
        Ok(ExitCode::SUCCESS)
    }

    fn carry_out(&self, resend: &Resend<'_>) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::new(self.tally.records(), self.damaged.lines, self.misfits);
        if self.tally.records() == 0 {
            return Ok(outcome);
        }
        let mut progress = Progress::new("records", Some(self.tally.records()));
        for file in &self.files {
            if resend.ended.is_asked() {
                break;
            }
            let claimed = match Claimed::take(file) {
                Ok(Some(claimed)) => claimed,
                Ok(None) => continue,
                // What was sent of the files before is told all the same.
                Err(failure) if outcome.has_begun() => {
                    outcome.fail(failure.to_string());
                    break;
                }
                Err(failure) => return Err(failure),
            };
            let before = outcome.delivered();
            let result = resend.file(&claimed, |tracker, forwarder| {
                outcome.show(&mut progress, before, tracker, forwarder);
            });
            match result {
                Ok(resent) => outcome.add(resent),
                Err(failure) if outcome.has_begun() => outcome.fail(failure.to_string()),
                Err(failure) => return Err(failure),
            }
            if outcome.is_at_its_end() {
                break;
            }
        }
        progress.finish();
        Ok(outcome)
    }
}
