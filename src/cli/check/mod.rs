//! `check`: what a configuration says, and whether its destinations would take events. Nothing is sent unless asked for.

mod expiry;
#[cfg(feature = "kafka")]
mod input;
mod report;
mod step;
mod trip;

use std::process::ExitCode;

use clap::Args;

use super::config_file::ConfigFile;
use super::failure::Failure;
use super::{exit_code, print};
use crate::config::ConfigError;
use crate::table::Paint;

#[cfg(feature = "kafka")]
use input::Input;
use report::{Pipeline, Report, mistakes};
use trip::Trip;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Send one event, marked as a test, and say what the SIEM answered
    #[arg(long, conflicts_with = "offline")]
    send: bool,
    /// Look at the file alone; nothing is connected to
    #[arg(long)]
    offline: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward check --config siem.toml             the file, then name, connection, TLS and token
  siem-forward check --config siem.toml --send      the same, and one test event all the way
  siem-forward check --config siem.toml --offline   the file alone, as in a build
  siem-forward check --config siem.toml --json | jq '.pipelines[].steps[] | select(.status != \"ok\")'

Without --send nothing is written to the SIEM. The test event has the event_type siem_forward_check.
Exit codes: 0 all is well, warnings aside; 1 the destination does not answer or refuses; 2 the file has mistakes.";

pub(crate) fn check(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let (file, paint) = (arguments.config.path().display().to_string(), Paint::of_stdout());
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(ConfigError::Mistakes { problems, .. }) if arguments.json => {
            return tell_wrong(&Report::wrong(&file, mistakes(&problems), None));
        }
        Err(ConfigError::Mistakes { problems, .. }) => {
            print(&report::wrong(&file, &problems, paint))?;
            return Ok(ExitCode::from(2));
        }
        Err(error) if arguments.json => return tell_wrong(&Report::wrong(&file, Vec::new(), Some(error.to_string()))),
        Err(error) => return Err(error.into()),
    };
    let mut report = Report::right(&file);
    // Each line as soon as it is known: a destination that does not answer takes its time.
    let say = |text: String| if arguments.json { Ok(()) } else { print(&text) };
    say(report::right(&file, paint))?;
    #[cfg(feature = "kafka")]
    if let Some(Err(complaint)) = config.input.kafka.as_ref().map(|input| input.cluster.prepare()) {
        return unusable(&file, complaint, arguments.json, paint);
    }
    for config in config.pipelines {
        let mut pipeline = Pipeline::new(&config);
        say(pipeline.headline(paint))?;
        let trip = Trip::new(config);
        if let Err(complaint) = trip.prepare() {
            return unusable(&file, complaint, arguments.json, paint);
        }
        if !arguments.offline {
            trip.go(arguments.send, |step| {
                say(step.to_text(paint))?;
                pipeline.add(step);
                Ok(())
            })?;
        }
        let shares = trip.memory();
        say(report::memory(&shares, paint))?;
        pipeline.set_memory(&shares);
        report.add(pipeline);
    }
    #[cfg(feature = "kafka")]
    if let Some(input) = &config.input.kafka {
        let mut topics = Input::new(input);
        say(topics.headline(paint))?;
        if !arguments.offline {
            let step = Input::go(input);
            say(step.to_text(paint))?;
            topics.add(step);
        }
        report.set_input(topics.to_json(), topics.is_well());
    }
    if arguments.json {
        print(&format!("{}\n", report.to_json()))?;
    }
    Ok(exit_code(report.is_well()))
}

/// What the file names cannot be used.
fn unusable(file: &str, complaint: String, as_json: bool, paint: Paint) -> Result<ExitCode, Failure> {
    if as_json {
        return tell_wrong(&Report::wrong(file, Vec::new(), Some(complaint)));
    }
    print(&format!("{} {complaint}\n", paint.red("error:")))?;
    Ok(ExitCode::from(2))
}

fn tell_wrong(report: &Report) -> Result<ExitCode, Failure> {
    print(&format!("{}\n", report.to_json()))?;
    Ok(ExitCode::from(2))
}
