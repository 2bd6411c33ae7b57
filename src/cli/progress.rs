//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::figures::{count, rate};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How far a piece of work is.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    begun: Instant,
    last_line: Instant,
    noun: &'static str,
    total: Option<u64>,
}

impl Progress {
    /// Of `total` things, or of an unknown number. `quiet` shows nothing at all.
    pub(crate) fn new(noun: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(noun, total));
        let begun = Instant::now();
        Self { bar, begun, last_line: begun, noun, total }
    }

    /// This many are done; `note` says what else there is to know.
    pub(crate) fn set(&mut self, done: u64, note: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(note.to_owned());
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let of = self.total.map_or(String::new(), |total| format!(" of {}", count(total)));
            let speed = count(rate(done, self.begun.elapsed()));
            // Where standard error is gone there is nobody to tell.
            let written = writeln!(std::io::stderr(), "{}{of} {} delivered, {speed}/s {note}", count(done), self.noun);
            drop(written);
        }
    }

    /// Clears the bar, so that the report stands alone.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(noun: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "  {wide_bar} {human_pos}/{human_len} {prefix}  {whole_rate}  {eta} left  {msg}",
        None => "  {spinner} {human_pos} {prefix} delivered  {whole_rate}  {elapsed}  {msg}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_prefix(noun);
    // A template of ours that does not parse is the default bar: no reason to fail.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("whole_rate", whole_rate));
    }
    bar
}

/// The rate without the decimals that would only flicker.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, for people")]
fn whole_rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let written = write!(out, "{}/s", count(state.per_sec() as u64));
    debug_assert!(written.is_ok());
}
