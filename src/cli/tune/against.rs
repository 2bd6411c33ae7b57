//! `--against`: what is sent to the configured destination, said before it is, and asked.

use std::io::{BufRead, IsTerminal, stdin};
use std::time::Duration;

use super::load::EVENT_TYPE;
use crate::cli::failure::Failure;
use crate::cli::figures::count;
use crate::cli::tell;

/// The most that is sent.
#[derive(Debug)]
pub(super) struct Extent<'a> {
    /// Without secrets.
    pub(super) destination: &'a str,
    pub(super) events: u64,
    pub(super) per_second: u64,
    pub(super) time: Duration,
    pub(super) connections: u64,
}

/// Says what is about to be sent, and asks where it was not said already.
///
/// # Errors
/// When nobody says yes.
pub(super) fn ask(extent: &Extent<'_>, is_said: bool) -> Result<(), Failure> {
    let words = words(extent);
    if is_said {
        tell(&words);
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Failure::TuneUnasked { words, why: "say --yes where nobody can be asked" });
    }
    tell(&format!("{words}\nType yes to begin:"));
    let mut answer = String::new();
    // What cannot be read is no yes.
    let is_read = stdin().lock().read_line(&mut answer).is_ok();
    if is_read && answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::TuneUnasked { words, why: "it was not answered with yes" })
    }
}

fn words(extent: &Extent<'_>) -> String {
    let Extent { destination, events, per_second, time, connections } = extent;
    format!(
        "tune --against sends test events to {destination}:\n  at most {} events, {} a second, for {} s, over {}\n  \
         each of the type {EVENT_TYPE} with details.test = true; they stay there, and count as others do",
        count(*events),
        count(*per_second),
        time.as_secs(),
        if *connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_asked_knows_what_is_sent_where_and_how_many() {
        let extent = Extent {
            destination: "https://splunk.example:8088 index audit",
            events: 20_000,
            per_second: 2_000,
            time: Duration::from_secs(60),
            connections: 8,
        };
        assert_eq!(
            words(&extent),
            "tune --against sends test events to https://splunk.example:8088 index audit:
  at most 20,000 events, 2,000 a second, for 60 s, over 8 connections
  each of the type siem_forward_tune with details.test = true; they stay there, and count as others do"
        );
    }
}
