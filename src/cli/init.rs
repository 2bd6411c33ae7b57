//! `init`: a configuration with every key in it, to begin with.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, builder::PossibleValue};

use super::failure::Failure;
use super::print;
use crate::config::{Chapter, DESTINATIONS, DestinationKeys, general};
use crate::table::{Key, Unset};

/// Comments are folded at this width.
const WIDTH: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArguments {
    /// Where audit events shall go
    #[arg(value_parser = destinations())]
    destination: String,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward init splunk > siem.toml
  siem-forward init datadog | less

Fill in where it is and the place of its secret; every other key stands there at its default, with what
it trades. Nothing is overwritten: the configuration goes to standard output.";

fn destinations() -> PossibleValuesParser {
    DESTINATIONS.iter().map(|known| PossibleValue::new(known.name).help(known.about)).collect::<Vec<_>>().into()
}

pub(crate) fn init(arguments: &InitArguments) -> Result<ExitCode, Failure> {
    for destination in DESTINATIONS.iter().filter(|known| known.name == arguments.destination) {
        print(&configuration(destination))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A complete file.
fn configuration(destination: &DestinationKeys) -> String {
    let mut text = String::new();
    comment(&format!("siem-forward: audit events to {}.", destination.about), &mut text);
    let DestinationKeys { place, secret, .. } = destination;
    text.push_str("#\n");
    let secret = secret.map_or(String::new(), |secret| format!(", and put the secret where `{secret}` says"));
    comment(&format!("Fill in {place}{secret}. Then:"), &mut text);
    text.push_str(
        "#\n\
         #   siem-forward check --config siem.toml\n\
         #   siem-forward run --config siem.toml < audit.ndjson\n\
         #\n\
         # A key with a # directly before it stands at its default, or shows how it is written.\n",
    );
    write_chapter(&destination.chapter(), &mut text);
    for chapter in general() {
        write_chapter(&chapter, &mut text);
    }
    text
}

fn write_chapter(chapter: &Chapter, text: &mut String) {
    text.extend(["\n[", chapter.table, "]\n"]);
    for section in &chapter.sections {
        let underline = "-".repeat(section.title.chars().count());
        text.extend(["\n# ", section.title, "\n# ", &underline, "\n"]);
        for key in section.keys {
            text.push('\n');
            comment(key.meaning, text);
            comment(&facts(key), text);
            let sign = if matches!(key.unset, Unset::Required(_)) { "" } else { "#" };
            text.extend([sign, &key.toml(), "\n"]);
        }
    }
}

/// What it may be, and what holds without it.
fn facts(key: &Key) -> String {
    let mut facts = Vec::new();
    if !key.beside.is_empty() {
        facts.push(format!("only with {}", key.beside));
    }
    // A size is written with its unit.
    let unit = if key.unit == "bytes" { "" } else { key.unit };
    facts.push([key.range, unit].join(" ").trim_end().to_owned());
    match key.unset {
        Unset::Required(_) => facts.push("required".to_owned()),
        Unset::Means(unset, _) => facts.push(format!("without it: {unset}")),
        Unset::Is(_) => {}
    }
    facts.join("; ")
}

/// Appends a comment, folded between words.
fn comment(words: &str, text: &mut String) {
    let mut width = WIDTH;
    for word in words.split(' ') {
        let chars = word.chars().count();
        if width + 1 + chars > WIDTH {
            if text.ends_with(|char| char != '\n') && !text.is_empty() {
                text.push('\n');
            }
            text.push('#');
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + chars;
    }
    text.push('\n');
}

#[cfg(test)]
#[path = "init_tests.rs"]
mod tests;
