//! One record's value into one event.

use crate::event::{AuditEvent, EventId, TextBuffer};
use crate::format::json;
use crate::input::ndjson::Parser;
use crate::input::{InputMap, RejectedLine, Unit, Unreadable};

/// A value may be this much longer than the event in it: JSON can write a character in six, and takes keys and quotes.
const VALUE_BYTES_PER_EVENT_BYTE: usize = 6;

/// Stands for the id of a record that has none, until it is given its own.
const NO_ID: EventId = EventId::from_u128(0);

/// Reads values: in our own layout, or as a map says.
pub(crate) struct RecordReader {
    parser: Parser,
    value_bytes_max: usize,
}

impl RecordReader {
    pub(crate) fn new(map: Option<InputMap>, event_bytes_max: usize) -> Self {
        let mut parser = Parser::new();
        parser.set_absent_id(NO_ID);
        if let Some(map) = map {
            parser.set_map(map);
        }
        Self { parser, value_bytes_max: event_bytes_max.saturating_mul(VALUE_BYTES_PER_EVENT_BYTE) }
    }

    /// How many bytes of text an event of this value is likely to have.
    pub(crate) fn text_bytes(&self, value: &[u8]) -> usize {
        self.parser.text_bytes(value)
    }

    /// The event in this value, in this buffer. One without an id has this one: it must be the same whenever the record is read,
    /// or nobody could tell the copies.
    ///
    /// # Errors
    /// Why it is none; a record without a value is none.
    pub(crate) fn read(
        &mut self,
        value: &[u8],
        buffer: TextBuffer,
        id: impl FnOnce() -> EventId,
    ) -> Result<AuditEvent, Unreadable> {
        if value.len() > self.value_bytes_max {
            return Err(Unreadable::TooLong { bytes: value.len() as u64, bytes_max: self.value_bytes_max });
        }
        let mut event = self.parser.parse(value, buffer)?;
        if event.id == NO_ID {
            event.id = id();
        }
        Ok(event)
    }

    /// The id of an event that comes without one: of where and when it was written, since a topic that is made anew has the
    /// same places again.
    pub(crate) fn id(topic: &str, partition: i32, offset: i64, written_at: Option<i64>) -> EventId {
        EventId::from_foreign(&format!("{topic}[{partition}]@{offset}/{}", written_at.unwrap_or(0)))
    }

    /// A record that is no event, by its place.
    pub(crate) fn reject(topic: &str, partition: i32, offset: i64, reason: Unreadable, value: &[u8]) -> RejectedLine {
        let head = value.get(..HEAD_BYTES_MAX).unwrap_or(value);
        RejectedLine::new(
            &format!("{topic}[{partition}]"),
            Unit::Offset,
            u64::try_from(offset).unwrap_or(0),
            reason,
            head,
        )
    }

    /// An event that is too large for the forwarder: its text is our own layout.
    pub(crate) fn reject_event(topic: &str, partition: i32, offset: i64, event: &AuditEvent) -> RejectedLine {
        let mut text = Vec::new();
        json::write(event, &mut text);
        Self::reject(topic, partition, offset, Unreadable::TooLarge { bytes: event.text_bytes() }, &text)
    }
}

/// Of a value that is longer this much is shown.
const HEAD_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_an_event_or_a_line_that_says_where_it_lies() {
        let mut reader = RecordReader::new(None, 1_000);
        let mut read =
            |value: &str| reader.read(value.as_bytes(), TextBuffer::with_capacity(64), || EventId::from_u128(7));
        let event = read(r#"{"timestamp":"2026-01-01T00:00:00Z","event_type":"user_login","severity":"low"}"#).unwrap();
        for (value, reason) in
            [("", "not JSON"), ("{}", "timestamp is missing"), (&*"x".repeat(6_001), "the line has 6001")]
        {
            let reason_told = read(value).unwrap_err();
            assert!(reason_told.to_string().starts_with(reason), "{reason_told}");
            let line = RecordReader::reject("audit", 3, 17, reason_told, value.as_bytes());
            assert!(line.to_string().starts_with(&format!("audit[3]: offset 17: {reason}")), "{line}");
        }
        let line = RecordReader::reject_event("audit", 0, 1, &event);
        assert!(line.text().contains(&event.id().to_string()));
    }

    /// In each of the ways in which a value is read.
    #[test]
    fn an_event_without_an_id_has_that_of_its_record_and_any_other_keeps_its_own() {
        let map = "timestamp = \"/timestamp\"\nevent_type = \"/event_type\"\nseverity = \"/severity\"\nid = \"/id\"\n";
        let map = InputMap::from_toml(map).unwrap();
        let head = r#""timestamp":"2026-01-01T00:00:00Z","event_type":"user_login","severity":"low""#;
        let id = RecordReader::id("audit", 3, 17, Some(1_767_225_600_000));
        for mut reader in [RecordReader::new(None, 1_000), RecordReader::new(Some(map), 1_000)] {
            let mut read = |value: &str| {
                let event = reader.read(value.as_bytes(), TextBuffer::with_capacity(64), || id);
                event.unwrap().id()
            };
            // Parsed, also with a key that is escaped, and read by the parser of large numbers.
            for end in ["", r#","\u0061":1"#, r#","n":1e400"#, r#","id":null"#, r#","id":"""#] {
                assert_eq!(read(&format!("{{{head}{end}}}")), id, "{end}");
            }
            let own = "01980000-0000-7000-8000-000000000001";
            assert_eq!(read(&format!("{{{head},\"id\":\"{own}\"}}")).to_string(), own);
        }
        assert_ne!(id, RecordReader::id("audit", 3, 17, Some(1_767_225_600_001)), "a topic that was made anew");
        assert_ne!(id, RecordReader::id("audit", 3, 18, Some(1_767_225_600_000)));
    }
}
