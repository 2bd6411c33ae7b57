//! A record as it is read back: what is known of an event, and the event itself.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::escape::write_text;
use crate::event::{AuditEvent, EventId, Severity, Timestamp};

/// One record. It borrows from its line what can be large.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) time: Timestamp,
    pub(crate) pipeline: Cow<'a, str>,
    pub(crate) siem_type: Cow<'a, str>,
    pub(crate) destination: Cow<'a, str>,
    pub(crate) id: EventId,
    pub(crate) event_time: Timestamp,
    pub(crate) severity: Severity,
    pub(crate) cause: Cow<'a, str>,
    pub(crate) words: Option<Cow<'a, str>>,
    pub(crate) attempts: u32,
    pub(crate) possible_duplicate: bool,
    /// Where it was read from, as it stands in the line.
    kafka: Option<&'a RawValue>,
    pub(crate) form: Form<'a>,
}

/// What a record holds of its event, as it stands in the line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form<'a> {
    Wire(&'a RawValue),
    Event(&'a RawValue),
    /// What never was an event, with the place that it was read from.
    Misfit(&'a RawValue),
}

/// What has become of an event since its record was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Since {
    /// Why it failed again, and when; `None` where nobody can say that it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    /// Besides those that the record tells of.
    pub(crate) attempts: u32,
    pub(crate) possible_duplicate: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) time: String,
    pub(crate) cause: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<String>,
}

impl Since {
    /// It may have been sent, and that is all there is to know.
    pub(crate) const DOUBT: Self = Self { failure: None, attempts: 0, possible_duplicate: true };
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("the line has no end: whoever wrote it was interrupted")]
    Torn,
    #[error("the line has more than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
    #[error("not UTF-8")]
    NotText,
    #[error("not a record: {0}")]
    NotARecord(String),
    #[error("it is no event")]
    NoEvent,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    pipeline: Cow<'a, str>,
    #[serde(borrow)]
    siem_type: Cow<'a, str>,
    #[serde(borrow)]
    destination: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    event_time: Cow<'a, str>,
    #[serde(borrow)]
    severity: Cow<'a, str>,
    #[serde(borrow)]
    cause: Cow<'a, str>,
    #[serde(borrow, default)]
    words: Option<Cow<'a, str>>,
    attempts: u32,
    possible_duplicate: bool,
    #[serde(borrow, default)]
    kafka: Option<&'a RawValue>,
    #[serde(borrow, default)]
    wire: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    record: Option<&'a RawValue>,
}

impl<'a> Record<'a> {
    /// Reads a line, without its end.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, Damage> {
        let text = std::str::from_utf8(line).map_err(|_| Damage::NotText)?;
        let damage = |words: &dyn std::fmt::Display| Damage::NotARecord(words.to_string());
        // The line's number is told by whoever reads the file.
        let no_line = |error: &serde_json::Error| error.to_string().replace(" at line 1 column ", " at byte ");
        let read: Read<'a> = serde_json::from_str(text).map_err(|error| damage(&no_line(&error)))?;
        let form = match (read.wire, read.event, read.record) {
            (Some(wire), None, None) => Form::Wire(wire),
            (None, Some(event), None) => Form::Event(event),
            (None, None, Some(record)) => Form::Misfit(record),
            (None, None, None) => return Err(damage(&"it holds neither `wire` nor `event` nor `record`")),
            _ => return Err(damage(&"it holds more than one of `wire`, `event` and `record`")),
        };
        let time = |key: &str, text: &str| text.parse().map_err(|error| damage(&format!("`{key}` is {error}")));
        Ok(Self {
            time: time("time", &read.time)?,
            event_time: time("event_time", &read.event_time)?,
            id: EventId::parse(&read.id).map_err(|error| damage(&format!("`id` is {error}")))?,
            severity: read.severity.parse().map_err(|error| damage(&error))?,
            pipeline: read.pipeline,
            siem_type: read.siem_type,
            destination: read.destination,
            cause: read.cause,
            words: read.words,
            attempts: read.attempts,
            possible_duplicate: read.possible_duplicate,
            kafka: read.kafka,
            form,
        })
    }

    /// Writes it again, with what has become of it since.
    pub(crate) fn write_again(&self, since: &Since, out: &mut Vec<u8>) {
        let mut text = |key: &str, value: &str| {
            out.extend_from_slice(key.as_bytes());
            write_text(value.as_bytes(), out);
        };
        let (time, cause, words) = match &since.failure {
            Some(failure) => (failure.time.clone(), failure.cause.as_str(), failure.words.as_deref()),
            None => (self.time.to_string(), &*self.cause, self.words.as_deref()),
        };
        text("{\"time\":", &time);
        text(",\"pipeline\":", &self.pipeline);
        text(",\"siem_type\":", &self.siem_type);
        text(",\"destination\":", &self.destination);
        text(",\"id\":", &self.id.to_string());
        text(",\"event_time\":", &self.event_time.to_string());
        text(",\"severity\":", self.severity.name());
        text(",\"cause\":", cause);
        if let Some(words) = words {
            text(",\"words\":", words);
        }
        let (key, form) = match self.form {
            Form::Wire(wire) => ("wire", wire),
            Form::Event(event) => ("event", event),
            Form::Misfit(record) => ("record", record),
        };
        let place = self.kafka.map(|place| format!(",\"kafka\":{place}")).unwrap_or_default();
        let rest = format!(
            ",\"attempts\":{},\"possible_duplicate\":{}{place},\"{key}\":{form}}}\n",
            self.attempts.saturating_add(since.attempts),
            self.possible_duplicate || since.possible_duplicate,
        );
        out.extend_from_slice(rest.as_bytes());
    }
}

impl Form<'_> {
    /// The recorded wire form, byte for byte; `None` where the event never had one.
    pub(crate) fn wire(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            // As text stands what is no object and no array in one line.
            Self::Wire(raw) if raw.get().starts_with('"') => {
                let text: String = serde_json::from_str(raw.get()).ok()?;
                Some(Cow::Owned(text.into_bytes()))
            }
            Self::Wire(raw) => Some(Cow::Borrowed(raw.get().as_bytes())),
            Self::Event(_) | Self::Misfit(_) => None,
        }
    }

    /// Whether it never was an event, so that there is nothing to send.
    pub(crate) fn is_misfit(&self) -> bool {
        matches!(self, Self::Misfit(_))
    }

    /// The event itself, where the record holds it rather than a wire form.
    ///
    /// # Errors
    /// When what it holds is none.
    pub(crate) fn event(&self) -> Result<AuditEvent, Damage> {
        match self {
            Self::Wire(raw) | Self::Event(raw) => {
                serde_json::from_str(raw.get()).map_err(|error| Damage::NotARecord(error.to_string()))
            }
            Self::Misfit(_) => Err(Damage::NoEvent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attempts, Origin, Records};
    use super::*;
    use crate::batch::{Batch, Shape};
    use crate::event::EventType;
    use crate::siem::{Cause, CauseKind};

    /// The line of an event with this wire form.
    fn line(event: &AuditEvent, wire: Option<&[u8]>) -> Vec<u8> {
        let origin = Origin { pipeline: "a \"b\"".into(), siem_type: "splunk", destination: "http://127.0.0.1".into() };
        let mut records = Records::new(&origin);
        let cause = Cause::new(CauseKind::Http(400)).words("Invalid \"data\"\n");
        records.attempted(&Attempts { cause, count: 2, possible_duplicate: true });
        match wire {
            None => records.push_event(event, None),
            Some(wire) => {
                let mut batch = Batch::open(Shape::DEFAULT, Vec::new(), Vec::new());
                let write = |body: &mut Vec<u8>| {
                    body.extend_from_slice(wire);
                    Ok::<(), ()>(())
                };
                batch.append(event, write).unwrap();
                batch.seal();
                records.push_wire(&batch, 0, None);
            }
        }
        let (_, lines) = records.fitting(u64::MAX);
        lines.strip_suffix(b"\n").unwrap().to_vec()
    }

    fn event() -> AuditEvent {
        AuditEvent::builder(EventType::UserLogin, Severity::High).user_id("a\n\"b\"").detail("n", 1.5).build()
    }

    #[test]
    fn what_was_written_is_read_back() {
        let event = event();
        let line = line(&event, None);
        let record = Record::parse(&line).unwrap();
        assert_eq!((record.id, record.severity, record.event_time), (event.id(), Severity::High, event.timestamp()));
        assert_eq!(
            (&*record.pipeline, &*record.cause, record.words.as_deref()),
            ("a \"b\"", "http_400", Some("Invalid \"data\"\n"))
        );
        assert!(record.attempts == 2 && record.possible_duplicate && record.form.wire().is_none());
        let read = record.form.event().unwrap();
        assert_eq!((read.id(), read.user_id(), read.details()), (event.id(), event.user_id(), event.details()));
    }

    #[test]
    fn the_wire_form_comes_back_byte_for_byte() {
        for wire in [
            r#"{"a": 1.0e0 , "b":"\u00e9é"}"#,
            "[1,2]",
            "<13>plain \"quoted\" \\ é",
            "{\n}",
            "{} ",
            " {}",
            "\"text\"",
            "7",
            "null",
            "",
            "{\"a\":1}{\"b\":2}",
        ] {
            let line = line(&event(), Some(wire.as_bytes()));
            let record = Record::parse(&line).unwrap();
            assert_eq!(record.form.wire().as_deref(), Some(wire.as_bytes()), "{wire}");
        }
    }

    #[test]
    fn one_that_failed_again_keeps_its_event_and_has_the_new_cause() {
        for wire in [None, Some("{\"a\": 1}".as_bytes()), Some(b"<13>plain")] {
            let line = line(&event(), wire);
            let record = Record::parse(&line).unwrap();
            let failure =
                Failure { time: "2026-11-25T00:00:00.000000Z".to_owned(), cause: "http_403".to_owned(), words: None };
            let time = failure.time.clone();
            let since = Since { failure: Some(failure), attempts: 3, possible_duplicate: false };
            let mut again = Vec::new();
            record.write_again(&since, &mut again);
            let again = Record::parse(again.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!((&*again.cause, &again.words, again.attempts), ("http_403", &None, 5));
            assert!(again.possible_duplicate, "once in doubt, always in doubt");
            assert_eq!(again.time.to_string(), time);
            assert_eq!((again.id, again.event_time, &again.pipeline), (record.id, record.event_time, &record.pipeline));
            assert_eq!(again.form.wire(), record.form.wire());
            let user = |record: &Record<'_>| record.form.event().ok().map(|event| event.user_id().map(str::to_owned));
            assert_eq!(user(&again), user(&record));
        }
    }

    #[test]
    fn doubt_alone_changes_nothing_else() {
        let certain = String::from_utf8(line(&event(), None))
            .unwrap()
            .replace("\"possible_duplicate\":true", "\"possible_duplicate\":false");
        let mut again = Vec::new();
        Record::parse(certain.as_bytes()).unwrap().write_again(&Since::DOUBT, &mut again);
        let expected = certain.replace("\"possible_duplicate\":false", "\"possible_duplicate\":true") + "\n";
        assert_eq!(String::from_utf8(again).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_no_record_says_why() {
        let good = String::from_utf8(line(&event(), None)).unwrap();
        for (line, words) in [
            ("", "EOF"),
            ("{\"half\":", "EOF"),
            ("[]", "invalid"),
            ("{\"a\":1}", "missing field `time`"),
            (&good.replace("\"high\"", "\"urgent\""), "severity"),
            (&good.replace("\"event\":", "\"object\":"), "neither `wire` nor `event` nor `record`"),
            (&good.replace("\"event\":", "\"wire\":{},\"event\":"), "more than one"),
            (&good.replace("\"event\":", "\"record\":{},\"event\":"), "more than one"),
            (&good.replace("\"time\":\"2", "\"time\":\"x2"), "`time` is not a time"),
        ] {
            let words_of = Record::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(words_of.contains(words), "{line}: {words_of}");
        }
        assert!(matches!(Record::parse(b"\xff"), Err(Damage::NotText)));
    }
}
