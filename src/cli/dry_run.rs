//! `run --dry-run`: what would be sent of the input, and what not; how a user finds the right configuration.
//!
//! The first events are shown in the destination's wire form, of all others it is counted how they would fare. Nothing
//! is sent, nothing is connected to, no file is written, and the secrets may be missing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::feed::{Seen, Strictness};
use super::figures::{count, counted, verb};
use super::print;
use super::progress::Progress;
use super::signals::Ended;
use crate::config::PipelineConfig;
use crate::event::AuditEvent;
use crate::input::{InputError, Reader, RejectedLine, Unreadable};

/// So many events are shown.
const SHOWN_EVENTS: usize = 10;
/// More reasons than these help nobody; the rest are summed up.
const REASONS_MAX: usize = 30;

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
}

/// How an input would fare.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pipelines: Vec<Share>,
    readable: u64,
    unreadable: u64,
    /// In the order in which they came up.
    reasons: Vec<Reason>,
    /// Unreadable ones with yet other reasons.
    others: u64,
    broken: Vec<String>,
    is_cut_short: bool,
}

/// What one pipeline would get of it.
#[derive(Debug)]
struct Share {
    name: String,
    destination: String,
    /// The first events, as they would be sent.
    shown: Vec<Vec<u8>>,
    sent: u64,
    filtered: u64,
}

#[derive(Debug)]
struct Reason {
    text: String,
    count: u64,
    /// The first place where it came up.
    first: String,
}

/// Reads the whole input and tells how it would fare. True where all of it is readable.
pub(crate) fn dry_run(
    reader: Reader,
    pipelines: &[PipelineConfig],
    strictness: Strictness,
    form: Form,
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let ended = Ended::watch()?;
    let seen = Seen::default();
    let survey = thread::scope(|scope| {
        let mut progress = Progress::of_input(reader.bytes_total());
        let seen = &seen;
        let work = scope.spawn(move || Survey::of(reader, pipelines, strictness, stop, seen));
        while !work.is_finished() {
            thread::sleep(Duration::from_millis(20));
            if ended.is_asked() {
                stop.store(true, Ordering::Relaxed);
            }
            let unreadable = seen.unreadable();
            let note = if unreadable > 0 { format!("{} unreadable", count(unreadable)) } else { String::new() };
            progress.set_input(seen.bytes(), seen.events(), "readable", &note);
        }
        progress.finish();
        // It does not panic; should it, nothing is known of the input, and that is told.
        work.join().unwrap_or_else(|_| Survey { is_cut_short: true, ..Survey::default() })
    });
    match form {
        Form::Json => print(&format!("{}\n", survey.to_json()))?,
        Form::Text => print(&survey.to_text())?,
    }
    Ok(survey.is_complete())
}

impl Survey {
    fn of(
        mut reader: Reader,
        pipelines: &[PipelineConfig],
        strictness: Strictness,
        stop: &AtomicBool,
        seen: &Seen,
    ) -> Self {
        let mut survey = Self { pipelines: pipelines.iter().map(Share::of).collect(), ..Self::default() };
        while let Some(item) = reader.next() {
            match item {
                Ok(event) => {
                    if let Err(reason) = survey.take(&event, pipelines) {
                        survey.reject(&reader.reject(&event, reason));
                    }
                }
                Err(InputError::Rejected(line)) => survey.reject(&line),
                Err(broken @ InputError::Broken { .. }) => survey.broken.push(broken.to_string()),
            }
            seen.set(reader.bytes_read(), survey.readable, survey.unreadable);
            let is_wrong = survey.unreadable > 0 || !survey.broken.is_empty();
            let is_over = is_wrong && strictness == Strictness::Strict;
            if is_over || (reader.is_reading_file() && stop.load(Ordering::Relaxed)) {
                survey.is_cut_short = reader.next().is_some();
                break;
            }
        }
        survey
    }

    fn take(&mut self, event: &AuditEvent, pipelines: &[PipelineConfig]) -> Result<(), Unreadable> {
        let mut refused: Option<(Unreadable, Vec<&str>)> = None;
        let mut takers = 0;
        for (share, pipeline) in self.pipelines.iter_mut().zip(pipelines) {
            match share.take(event, pipeline) {
                Ok(()) => takers += 1,
                Err(reason) => refused.get_or_insert_with(|| (reason, Vec::new())).1.push(&pipeline.name),
            }
        }
        match refused {
            None => {
                self.readable += 1;
                Ok(())
            }
            Some((reason, _)) if takers == 0 => Err(reason),
            Some((reason, lacking)) => {
                Err(Unreadable::NotEverywhere { reason: Box::new(reason), lacking: lacking.join(", ") })
            }
        }
    }

    fn reject(&mut self, line: &RejectedLine) {
        self.unreadable += 1;
        let text = kind(line.reason());
        if let Some(known) = self.reasons.iter_mut().find(|known| known.text == text) {
            known.count += 1;
        } else if self.reasons.len() < REASONS_MAX {
            let first = line.to_string();
            // Without the reason, which stands beside it.
            let first = first.strip_suffix(&format!(": {}", line.reason())).unwrap_or(&first).to_owned();
            self.reasons.push(Reason { text, count: 1, first });
        } else {
            self.others += 1;
        }
    }

    fn is_complete(&self) -> bool {
        self.unreadable == 0 && self.broken.is_empty() && !self.is_cut_short
    }

    fn to_json(&self) -> Value {
        let reasons = self
            .reasons
            .iter()
            .map(|reason| json!({ "reason": reason.text, "count": reason.count, "first": reason.first }));
        let pipelines = self.pipelines.iter().map(|share| (share.name.clone(), share.to_json()));
        // Of one pipeline its events are all; of several each has its own.
        let events = if let [only] = self.pipelines.as_slice() { only.events() } else { Value::Null };
        json!({
            "dry_run": true,
            "events": events,
            "pipelines": pipelines.collect::<Map<_, _>>(),
            "readable": self.readable,
            "unreadable": self.unreadable,
            "reasons": reasons.collect::<Vec<_>>(),
            "other_reasons": self.others,
            "broken": self.broken,
            "input_complete": self.broken.is_empty() && !self.is_cut_short,
        })
    }

    fn to_text(&self) -> String {
        let mut lines = Vec::new();
        for share in &self.pipelines {
            if self.pipelines.len() > 1 {
                lines.push(share.sentence());
            }
            lines.extend(share.shown.iter().map(|body| String::from_utf8_lossy(body).into_owned()));
            if !share.shown.is_empty() || self.pipelines.len() > 1 {
                lines.push(String::new());
            }
        }
        lines.extend(self.rows());
        lines.push(String::new());
        lines.extend(self.broken.iter().cloned());
        let sent = match self.pipelines.as_slice() {
            [only] => only.counts(),
            _ => format!("{} {} readable", counted(self.readable, "event"), verb(self.readable, "is", "are")),
        };
        let mut sentence = format!(
            "{sent}, {} {} unreadable. Nothing was sent.",
            count(self.unreadable),
            verb(self.unreadable, "is", "are")
        );
        if self.is_cut_short {
            sentence.push_str(" The input was not read to its end.");
        }
        lines.push(sentence);
        lines.join("\n") + "\n"
    }

    /// How many are readable, and how many are not for which reason.
    fn rows(&self) -> Vec<String> {
        let mut rows = vec![(count(self.readable), "readable".to_owned(), String::new())];
        let mut reasons: Vec<&Reason> = self.reasons.iter().collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        rows.extend(
            reasons
                .iter()
                .map(|reason| (count(reason.count), reason.text.clone(), format!("first at {}", reason.first))),
        );
        if self.others > 0 {
            rows.push((count(self.others), "for other reasons".to_owned(), String::new()));
        }
        let number = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
        let text = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0);
        let row = |row: &(String, String, String)| {
            format!("  {:>number$}  {:<text$}  {}", row.0, row.1, row.2).trim_end().to_owned()
        };
        rows.iter().map(row).collect()
    }
}

impl Share {
    fn of(pipeline: &PipelineConfig) -> Self {
        let destination = pipeline.destination.fingerprint().1;
        Self { name: pipeline.name.clone(), destination, shown: Vec::new(), sent: 0, filtered: 0 }
    }

    fn take(&mut self, event: &AuditEvent, pipeline: &PipelineConfig) -> Result<(), Unreadable> {
        if !pipeline.siem.filter.takes(event) {
            self.filtered += 1;
            return Ok(());
        }
        if event.text_bytes() > pipeline.siem.batch.event_bytes_max {
            return Err(Unreadable::TooLarge { bytes: event.text_bytes() });
        }
        if self.shown.len() < SHOWN_EVENTS {
            let mut body = Vec::new();
            let formatted = pipeline.destination.format_event(event, &mut body);
            formatted.map_err(|error| Unreadable::NotAnEvent(error.to_string()))?;
            self.shown.push(body);
        }
        self.sent += 1;
        Ok(())
    }

    fn events(&self) -> Value {
        // What is no JSON on the wire is shown as a text.
        let event = |body: &Vec<u8>| {
            serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body)))
        };
        self.shown.iter().map(event).collect()
    }

    fn to_json(&self) -> Value {
        let Self { destination, sent, filtered, .. } = self;
        json!({ "destination": destination, "events": self.events(), "sent": sent, "filtered": filtered })
    }

    /// `12 events would be sent to https://siem.example, 3 are filtered out`.
    fn counts(&self) -> String {
        let sent = format!("{} would be sent to {}", counted(self.sent, "event"), self.destination);
        if self.filtered == 0 {
            return sent;
        }
        format!("{sent}, {} {} filtered out", count(self.filtered), verb(self.filtered, "is", "are"))
    }

    fn sentence(&self) -> String {
        format!("siem.{}: {}.", self.name, self.counts())
    }
}

/// What lines that differ in a number or a place have in common.
fn kind(reason: &Unreadable) -> String {
    match reason {
        Unreadable::TooLong { .. } => "the line is too long: see event_bytes_max".to_owned(),
        Unreadable::TooLarge { .. } => "the event is larger than event_bytes_max".to_owned(),
        Unreadable::NotUtf8 { .. } => "not UTF-8".to_owned(),
        other => {
            let text = other.to_string();
            let place = text.rfind(" at byte ").filter(|place| {
                text.get(place + " at byte ".len()..).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            });
            place.and_then(|place| text.get(..place)).unwrap_or(&text).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_a_place_are_one() {
        let not_json = |text: &str| kind(&Unreadable::NotJson(text.to_owned()));
        assert_eq!(not_json("expected value at byte 17"), "not JSON: expected value");
        assert_eq!(not_json("it says \" at byte x"), "not JSON: it says \" at byte x");
        assert_eq!(kind(&Unreadable::NotUtf8 { byte: 3 }), "not UTF-8");
        assert_eq!(kind(&Unreadable::NotAnEvent("timestamp is missing".to_owned())), "timestamp is missing");
    }
}
