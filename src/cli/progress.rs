//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::figures::{bytes, count, rate};
use super::log::is_for_people;
use super::tell;

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
    /// Bytes that are read are shown, beside what becomes of them.
    is_input: bool,
}

impl Progress {
    /// Of `total` things, or of an unknown number.
    pub(crate) fn new(noun: &'static str, total: Option<u64>) -> Self {
        Self::of(noun, total, false)
    }

    /// Of an input of `total` bytes, or of an unknown number.
    pub(crate) fn of_input(total: Option<u64>) -> Self {
        Self::of("events", total, true)
    }

    /// Of work that takes this long at most.
    pub(crate) fn of_time(most: Duration) -> Self {
        let bar = is_for_people().then(|| {
            let bar = styled(ProgressBar::new(millis(most)), "  {wide_bar} {elapsed}  {msg}");
            // Nothing is told for seconds on end, and the time that goes by is.
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let begun = Instant::now();
        Self { bar, begun, last_line: begun, noun: "s", total: Some(most.as_secs()), is_input: false }
    }

    /// So much time is gone of the most that there is.
    pub(crate) fn set_time(&mut self, gone: Duration, note: &str) {
        let most = self.total.unwrap_or(0);
        let left = most.saturating_sub(gone.as_secs());
        if let Some(bar) = &self.bar {
            bar.set_position(millis(gone));
            bar.set_message(format!("{note}, at most {left} s left"));
        } else if self.is_due() {
            tell(&format!("{} of at most {most} s: {note}", gone.as_secs()));
        }
    }

    fn of(noun: &'static str, total: Option<u64>, is_input: bool) -> Self {
        let bar = is_for_people().then(|| bar(noun, total, is_input));
        let begun = Instant::now();
        Self { bar, begun, last_line: begun, noun, total, is_input }
    }

    /// This many are done; `note` says what else there is to know. Of an input, its bytes stay as they are.
    pub(crate) fn set(&mut self, done: u64, note: &str) {
        if let Some(bar) = &self.bar {
            if !self.is_input {
                bar.set_position(done);
            }
            bar.set_message(note.to_owned());
        } else if self.is_due() {
            let of =
                self.total.filter(|_| !self.is_input).map_or(String::new(), |total| format!(" of {}", count(total)));
            let speed = count(rate(done, self.begun.elapsed()));
            tell(&format!("{}{of} {} delivered, {speed}/s {note}", count(done), self.noun));
        }
    }

    /// This many bytes of the input are read, and so many things done, by this verb.
    pub(crate) fn set_input(&mut self, read: u64, done: u64, verb: &str, note: &str) {
        let elapsed = self.begun.elapsed();
        let fates = fates(done, verb, elapsed, note);
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            bar.set_message(fates);
        } else if self.is_due() {
            tell(&format!("{}; {fates}", reading(read, self.total, elapsed)));
        }
    }

    /// Whether somebody looks at it.
    pub(crate) fn is_drawn(&self) -> bool {
        self.bar.is_some()
    }

    /// Whether it is time for a line.
    fn is_due(&mut self) -> bool {
        let is_due = self.last_line.elapsed() >= LINE_INTERVAL;
        if is_due {
            self.last_line = Instant::now();
        }
        is_due
    }

    /// Clears the bar, so that the report stands alone.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `12.0 MB of 40.0 MB read (30 %), 2.0 MB/s, about 14 s left`.
fn reading(read: u64, total: Option<u64>, elapsed: Duration) -> String {
    let speed = rate(read, elapsed);
    let Some(total) = total else { return format!("{} read, {}/s", bytes(read), bytes(speed)) };
    // A file may have grown since.
    let percent = u128::from(read.min(total)) * 100 / u128::from(total.max(1));
    let left = total.saturating_sub(read).checked_div(speed);
    let left = left.map_or(String::new(), |seconds| format!(", about {seconds} s left"));
    format!("{} of {} read ({percent} %), {}/s{left}", bytes(read), bytes(total), bytes(speed))
}

/// `1,000 events delivered, 500/s, 3 queued`.
fn fates(done: u64, verb: &str, elapsed: Duration, note: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!(", {note}") };
    format!("{} events {verb}, {}/s{note}", count(done), count(rate(done, elapsed)))
}

fn bar(noun: &'static str, total: Option<u64>, is_input: bool) -> ProgressBar {
    let template = match total {
        Some(_) if is_input => {
            "  {wide_bar} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left  {msg}"
        }
        None if is_input => "  {spinner} {decimal_bytes} read  {decimal_bytes_per_sec}  {elapsed}  {msg}",
        Some(_) => "  {wide_bar} {human_pos}/{human_len} {prefix}  {whole_rate}  {eta} left  {msg}",
        None => "  {spinner} {human_pos} {prefix} delivered  {whole_rate}  {elapsed}  {msg}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_prefix(noun);
    styled(bar, template)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_tells_bytes_rate_and_an_estimate() {
        let seconds = Duration::from_secs;
        assert_eq!(
            reading(12_000_000, Some(40_000_000), seconds(6)),
            "12.0 MB of 40.0 MB read (30 %), 2.0 MB/s, about 14 s left"
        );
        assert_eq!(reading(0, Some(40_000_000), seconds(6)), "0 B of 40.0 MB read (0 %), 0 B/s");
        assert_eq!(reading(50, Some(40), seconds(1)), "50 B of 40 B read (100 %), 50 B/s, about 0 s left");
        assert_eq!(reading(12_000_000, None, seconds(6)), "12.0 MB read, 2.0 MB/s");
        assert_eq!(fates(1_000, "delivered", seconds(2), "3 queued"), "1,000 events delivered, 500/s, 3 queued");
        assert_eq!(fates(0, "readable", seconds(2), ""), "0 events readable, 0/s");
    }
}
