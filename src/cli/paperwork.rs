//! What is made of the program's own arguments: completions for shells, and man pages.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::failure::Failure;
use super::{print, tell};

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArguments {
    /// The shell to complete in
    shell: Shell,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  siem-forward completions bash > ~/.local/share/bash-completion/completions/siem-forward
  siem-forward completions zsh > ~/.zfunc/_siem-forward
  siem-forward completions fish > ~/.config/fish/completions/siem-forward.fish";

#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArguments {
    /// Write all pages into this folder, one for the program and one for each command
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

const MAN_EXAMPLES: &str = "\
Examples:
  siem-forward man | man -l -              read the page of the program
  siem-forward man --out ~/.local/share/man/man1
  man siem-forward-run                     then, the page of a command";

pub(crate) fn completions(arguments: &CompletionsArguments, mut program: clap::Command) -> Result<ExitCode, Failure> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, name, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(arguments: &ManArguments, program: clap::Command) -> Result<ExitCode, Failure> {
    // The program's own pages: what clap says of its `help` command is in everybody's.
    let program = program.disable_help_subcommand(true);
    let Some(folder) = &arguments.out else {
        let mut page = Vec::new();
        clap_mangen::Man::new(program).render(&mut page).map_err(Failure::Output)?;
        print(&String::from_utf8_lossy(&page))?;
        return Ok(ExitCode::SUCCESS);
    };
    let pages = write_pages(program, folder).map_err(|source| Failure::Open { path: folder.clone(), source })?;
    tell(&format!("{pages} pages written to {}", folder.display()));
    Ok(ExitCode::SUCCESS)
}

fn write_pages(program: clap::Command, folder: &Path) -> io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(program, folder)?;
    std::fs::read_dir(folder)?.try_fold(0, |pages, entry| {
        let is_ours = entry?.file_name().to_string_lossy().starts_with("siem-forward");
        Ok(pages + usize::from(is_ours))
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::{Arguments, LONG_VERSION};
    use super::*;
    use crate::config::DESTINATIONS;

    /// Every command, from the program down, with its full name.
    fn commands(name: &str, command: &clap::Command) -> Vec<(String, clap::Command)> {
        let below =
            command.get_subcommands().flat_map(|below| commands(&format!("{name} {}", below.get_name()), below));
        std::iter::once((name.to_owned(), command.clone())).chain(below).collect()
    }

    fn all() -> Vec<(String, clap::Command)> {
        commands("siem-forward", &Arguments::command())
    }

    /// The arguments of an example, without what the shell makes of the rest and without its explanation.
    fn arguments(example: &str) -> Vec<String> {
        let example = example.split("  ").next().unwrap();
        let ours = example.split(" | ").next().unwrap().split(['<', '>']).next().unwrap();
        ours.split_whitespace().map(|word| word.replace('\'', "")).collect()
    }

    #[test]
    fn every_command_teaches_by_examples_that_it_understands() {
        for (name, mut command) in all() {
            let help = command.render_long_help().to_string();
            let examples = help.split_once("\nExamples:\n").map(|(_, examples)| examples);
            let examples = examples.unwrap_or_else(|| panic!("{name} has no examples: {help}"));
            let ours = examples.lines().filter_map(|line| line.strip_prefix("  "));
            let ours: Vec<_> = ours.filter(|line| line.starts_with("siem-forward ")).collect();
            assert!(!ours.is_empty(), "{name}: {examples}");
            for example in ours {
                let understood = Arguments::try_parse_from(arguments(example));
                assert!(understood.is_ok(), "{example}: {}", understood.unwrap_err());
            }
        }
    }

    #[test]
    fn completions_know_every_command_and_are_no_mistake_to_their_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "siem-forward", &mut script);
            let script = String::from_utf8(script).unwrap();
            for (name, _) in all() {
                let last = name.rsplit(' ').next().unwrap();
                assert!(script.contains(last), "{shell}: {name}");
            }
            if shell == Shell::Bash {
                let mut bash = std::process::Command::new("bash");
                assert!(bash.args(["-n", "-c", &script]).status().unwrap().success());
            }
        }
    }

    #[test]
    fn there_is_a_page_for_every_command_with_its_examples() {
        let folder = tempfile::tempdir().unwrap();
        let pages = write_pages(Arguments::command().disable_help_subcommand(true), folder.path()).unwrap();
        assert_eq!(pages, all().len());
        for (name, _) in all() {
            let page = std::fs::read_to_string(folder.path().join(format!("{}.1", name.replace(' ', "-")))).unwrap();
            assert!(page.contains("Examples:"), "{name}");
        }
    }

    #[test]
    fn the_long_version_names_what_is_built_in() {
        for known in DESTINATIONS {
            assert_eq!(LONG_VERSION.contains(known.name), known.is_built(), "{LONG_VERSION}");
        }
        let long = Arguments::command().render_long_version();
        assert!(long.starts_with("siem-forward 0.") && long.contains("\nfeatures: cli"), "{long}");
        assert_eq!(Arguments::command().render_version().lines().count(), 1);
    }
}
