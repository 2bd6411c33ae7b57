//! Records on their way into the file.

use serde::Serialize;
use serde::de::IgnoredAny;

use super::{Attempts, Origin};
use crate::batch::Batch;
use crate::event::escape::write_text;
use crate::event::{AuditEvent, EventId, Severity, Timestamp};
use crate::format::json;

/// Records to be written together, a line each. What they have in common is encoded once, since drain writes tens of
/// thousands of them within its deadline.
#[derive(Debug)]
pub(crate) struct Records {
    /// A record up to its id.
    before: Vec<u8>,
    /// A record from its severity on, up to the event itself.
    after: Vec<u8>,
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    /// Whose each line is.
    ids: Vec<EventId>,
}

/// Where a record of Kafka lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KafkaPlace {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// What was read from a topic and is no event.
#[cfg(all(feature = "cli", feature = "kafka"))]
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Misfit<'a> {
    #[serde(flatten)]
    pub(crate) place: &'a KafkaPlace,
    /// Its value, or the beginning of a long one.
    pub(crate) text: &'a str,
}

/// The first and the last part of a record, each an object of its own until they are joined.
#[derive(Serialize)]
struct Before<'a> {
    time: String,
    pipeline: &'a str,
    siem_type: &'a str,
    destination: &'a str,
}

#[derive(Serialize)]
struct After<'a> {
    cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a str>,
    attempts: u32,
    possible_duplicate: bool,
}

impl Records {
    pub(crate) fn new(origin: &Origin) -> Self {
        let Origin { pipeline, siem_type, destination } = origin;
        let before = Before { time: Timestamp::now().to_string(), pipeline, siem_type, destination };
        Self { before: open_object(&before), after: Vec::new(), bytes: Vec::new(), ends: Vec::new(), ids: Vec::new() }
    }

    /// What is known of the attempts to deliver those that are pushed from here on.
    pub(crate) fn attempted(&mut self, attempts: &Attempts) {
        let after = After {
            cause: &attempts.cause.label(),
            words: attempts.cause.as_words(),
            attempts: attempts.count,
            possible_duplicate: attempts.possible_duplicate,
        };
        self.after = open_object(&after);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The events that they are of, in their order.
    pub(crate) fn ids(&self) -> &[EventId] {
        &self.ids
    }

    /// How many of them, from the first on, have room in so many bytes, and their lines.
    pub(super) fn fitting(&self, room: u64) -> (usize, &[u8]) {
        let fitting = self.ends.partition_point(|end| *end as u64 <= room);
        let end = fitting.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        (fitting, self.bytes.get(..end).unwrap_or_default())
    }

    /// Adds the event at `index`, which has a wire form, and was read from `place`.
    pub(crate) fn push_wire(&mut self, batch: &Batch, index: usize, place: Option<&KafkaPlace>) {
        let (Some(mark), Some(wire)) = (batch.marks().get(index), batch.event(index)) else { return };
        self.push_head(mark.id, mark.timestamp, mark.severity, place);
        self.bytes.extend_from_slice(b",\"wire\":");
        if stands_as_json(wire) {
            self.bytes.extend_from_slice(wire);
        } else {
            write_text(String::from_utf8_lossy(wire).as_bytes(), &mut self.bytes);
        }
        self.close();
    }

    /// Adds an event that never got a wire form: its record holds the event itself.
    pub(crate) fn push_event(&mut self, event: &AuditEvent, place: Option<&KafkaPlace>) {
        self.push_head(event.id, event.timestamp, event.severity, place);
        self.bytes.extend_from_slice(b",\"event\":");
        json::write(event, &mut self.bytes);
        self.close();
    }

    /// Adds what never was an event. Its id is that of its place, so that it has the same whenever it is read; when it
    /// happened is not known, and neither is how severe it is: it stands among the gravest, where somebody looks.
    #[cfg(all(feature = "cli", feature = "kafka"))]
    pub(crate) fn push_misfit(&mut self, misfit: &Misfit<'_>) {
        let KafkaPlace { topic, partition, offset } = misfit.place;
        let id = EventId::from_foreign(&format!("{topic}[{partition}]@{offset}"));
        self.push_head(id, Timestamp::now(), Severity::Critical, None);
        self.bytes.extend_from_slice(b",\"record\":");
        // Strings and numbers always serialize.
        self.bytes.extend_from_slice(&serde_json::to_vec(misfit).unwrap_or_default());
        self.close();
    }

    fn push_head(&mut self, id: EventId, time: Timestamp, severity: Severity, place: Option<&KafkaPlace>) {
        self.ids.push(id);
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(&self.before);
        bytes.extend_from_slice(b",\"id\":\"");
        id.write(bytes);
        bytes.extend_from_slice(b"\",\"event_time\":\"");
        time.write_rfc3339(bytes);
        bytes.extend_from_slice(b"\",\"severity\":\"");
        bytes.extend_from_slice(severity.name().as_bytes());
        bytes.extend_from_slice(b"\",");
        bytes.extend_from_slice(self.after.get(1..).unwrap_or_default());
        if let Some(place) = place {
            bytes.extend_from_slice(b",\"kafka\":");
            bytes.extend_from_slice(&serde_json::to_vec(place).unwrap_or_default());
        }
    }

    fn close(&mut self) {
        self.bytes.extend_from_slice(b"}\n");
        self.ends.push(self.bytes.len());
    }
}

/// An object without its closing brace.
fn open_object(part: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and a bool always serialize.
    let mut object = serde_json::to_vec(part).unwrap_or_default();
    object.pop();
    object
}

/// Whether a wire form is written as it is: an object or an array in one line. Anything else is written as text, so that
/// whoever reads a string there knows that the text in it is meant.
fn stands_as_json(wire: &[u8]) -> bool {
    let is_framed = matches!((wire.first(), wire.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
    is_framed && !wire.iter().any(|byte| matches!(byte, b'\n' | b'\r')) && is_json(wire)
}

fn is_json(wire: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(wire).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;
    use crate::siem::{Cause, CauseKind};

    fn origin() -> Origin {
        Origin { pipeline: "splunk".into(), siem_type: "splunk", destination: "http://127.0.0.1".into() }
    }

    fn recorded() -> Records {
        let mut records = Records::new(&origin());
        records.attempted(&attempts());
        records
    }

    fn attempts() -> Attempts {
        let cause = Cause::new(CauseKind::Http(400)).words("Invalid data format\n");
        Attempts { cause, count: 2, possible_duplicate: true }
    }

    #[test]
    fn a_record_is_one_line_of_json_whatever_the_event_holds() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::High).user_id("a\n\"b\"\0").build();
        let mut records = recorded();
        records.push_event(&event, None);
        let line = records.bytes;
        let record: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(record["event"]["user_id"], "a\n\"b\"\0");
        assert_eq!(record["id"], event.id().to_string());
        assert_eq!(record["cause"], "http_400");
        assert_eq!(record["possible_duplicate"], true);
        assert_eq!(line.split(|byte| *byte == b'\n').count(), 2, "one line and nothing behind it");
    }

    #[cfg(all(feature = "cli", feature = "kafka"))]
    #[test]
    fn a_record_of_kafka_that_is_no_event_stands_with_its_place_under_the_same_id_each_time() {
        let mut records = recorded();
        for (partition, offset) in [(3, 17), (3, 17), (3, 18), (4, 17)] {
            let place = KafkaPlace { topic: "a \"b\"".into(), partition, offset };
            records.push_misfit(&Misfit { place: &place, text: "{\n\"" });
        }
        let lines: Vec<&[u8]> = records.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let record = super::super::Record::parse(lines[0]).unwrap();
        assert!(record.form.is_misfit() && record.form.wire().is_none() && record.form.event().is_err());
        assert_eq!((record.severity, &*record.cause), (Severity::Critical, "http_400"));
        let value: serde_json::Value = serde_json::from_slice(lines[0]).unwrap();
        let expected = serde_json::json!({"topic": "a \"b\"", "partition": 3, "offset": 17, "text": "{\n\""});
        assert_eq!((lines.len(), &value["record"]), (4, &expected));
        assert_eq!(records.ids[0], records.ids[1]);
        assert!(records.ids[1..].iter().collect::<std::collections::HashSet<_>>().len() == 3);
        // A replay that writes it again changes nothing of it.
        let mut again = Vec::new();
        record.write_again(&super::super::Since::DOUBT, &mut again);
        let again: serde_json::Value = serde_json::from_slice(&again).unwrap();
        assert_eq!((&again["record"], &again["id"]), (&expected, &value["id"]));
    }

    #[test]
    fn the_wire_form_stands_as_json_where_it_is_json_and_as_text_elsewhere() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::High).build();
        for (wire, expected) in [
            (r#"{"a":1}"#, serde_json::json!({"a": 1})),
            ("<13>plain", serde_json::json!("<13>plain")),
            ("{\n}", serde_json::json!("{\n}")),
            ("\"text\"", serde_json::json!("\"text\"")),
            ("{} ", serde_json::json!("{} ")),
            ("7", serde_json::json!("7")),
        ] {
            let mut batch = Batch::open(crate::batch::Shape::DEFAULT, Vec::new(), Vec::new());
            let write = |body: &mut Vec<u8>| {
                body.extend_from_slice(wire.as_bytes());
                Ok::<(), ()>(())
            };
            batch.append(&event, write).unwrap();
            batch.seal();
            let mut records = recorded();
            records.push_wire(&batch, 0, None);
            let record: serde_json::Value = serde_json::from_slice(&records.bytes).unwrap();
            assert_eq!(record["wire"], expected);
        }
    }
}
