//! `top`: a program that runs, once a second, on a terminal.
//!
//! One thread asks, this one draws and heeds keys: a program that hangs does not make the screen hang.

mod history;
mod partitions;
mod screen;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use crossbeam_channel::{Receiver, bounded};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::failure::Failure;
use super::watched::{Endpoint, Observed, Unseen};
use history::History;
use screen::Screen;

/// How often the program is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a key or a new size of the terminal is heeded.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TopArguments {
    /// Where the program shows itself: its `[metrics] listen`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    url: Endpoint,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward top
  siem-forward top --url http://127.0.0.1:9091
  ssh -t collector.example.org siem-forward top

q, Escape or Ctrl-C leaves. With NO_COLOR set there is no colour; what is red is written RED anyway.";

type Looked = Result<Observed, Unseen>;

pub(crate) fn top(arguments: &TopArguments) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    let looks = look_every_second(arguments.url.clone()).map_err(Failure::Thread)?;
    let has_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut terminal = ratatui::try_init().map_err(Failure::Terminal)?;
    let shown = show(&mut terminal, &looks, &arguments.url, has_colour);
    let restored = ratatui::try_restore();
    shown.and(restored).map_err(Failure::Terminal)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends when nobody takes what it sees any more.
fn look_every_second(endpoint: Endpoint) -> io::Result<Receiver<Looked>> {
    let (sender, looks) = bounded(1);
    let look = move || {
        while sender.send(endpoint.look()).is_ok() {
            thread::sleep(EVERY);
        }
    };
    thread::Builder::new().name("look".to_owned()).spawn(look)?;
    Ok(looks)
}

fn show(
    terminal: &mut DefaultTerminal,
    looks: &Receiver<Looked>,
    endpoint: &Endpoint,
    has_colour: bool,
) -> io::Result<()> {
    let begun = Instant::now();
    let (mut history, url) = (History::default(), endpoint.url().to_string());
    loop {
        for look in looks.try_iter() {
            history.add(begun.elapsed(), look.map_err(|unseen| unseen.to_string()));
        }
        let screen = Screen { url: &url, history: &history, has_colour };
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(PATIENCE)?
            && let Event::Key(key) = event::read()?
            && leaves(key)
        {
            return Ok(());
        }
    }
}

fn leaves(key: KeyEvent) -> bool {
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
