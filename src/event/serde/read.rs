//! Reading an event: a map's values are appended straight to the event's buffer, in the order in which they come.
//!
//! Audit data must not be smuggled past whoever looks at it: a repeated key is an error at any depth, and a key that is
//! none of ours is kept as a detail, never dropped.

use std::borrow::Cow;
use std::fmt;

use ::serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::field::Text;
use super::json::repeated;
use super::key::{Key, KeySeed};
use super::members::{Detail, DetailKeys, Details};
use crate::event::kind::TypeCode;
use crate::event::{
    AuditEvent, DetailValue, EventId, EventType, Field, InvalidTimestamp, Severity, TextBuffer, Timestamp,
    UnknownSeverity, now,
};

/// Where the text of an id goes that is no UUID.
const ORIGINAL_ID: &str = "original_id";

impl<'de> Deserialize<'de> for AuditEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EventSeed { buffer: TextBuffer::with_capacity(256), id: None, is_plain: false }.deserialize(deserializer)
    }
}

/// Reads an event into this buffer, which must be empty. An error loses the buffer.
pub(crate) struct EventSeed {
    pub(crate) buffer: TextBuffer,
    /// Of an event that comes without one; `None` gives it a fresh one.
    pub(crate) id: Option<EventId>,
    /// Whether it is known that no text of it needs an escape where it is written.
    pub(crate) is_plain: bool,
}

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = AuditEvent;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<AuditEvent, D::Error> {
        debug_assert_eq!(self.buffer.len(), 0);
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventSeed {
    type Value = AuditEvent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an audit event, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AuditEvent, A::Error> {
        let mut reading = Reading::new(self.buffer, self.id);
        let mut other = Cow::Borrowed("");
        while let Some(key) = map.next_key_seed(KeySeed(&mut other))? {
            reading.read(key, &other, &mut map)?;
        }
        reading.finish(self.is_plain)
    }
}

/// An event of which not all keys have come yet.
struct Reading {
    text: TextBuffer,
    id: Option<EventId>,
    timestamp: Option<Timestamp>,
    event_type: Option<TypeCode>,
    severity: Option<Severity>,
    /// A bit for each known key that came, be it `null`.
    seen: u32,
    /// Of the details.
    keys: DetailKeys,
}

impl Reading {
    fn new(text: TextBuffer, id: Option<EventId>) -> Self {
        Self { text, id, timestamp: None, event_type: None, severity: None, seen: 0, keys: DetailKeys::default() }
    }

    /// Reads the value of one key; `other` is its name where it is none of ours.
    #[inline]
    fn read<'de, A: MapAccess<'de>>(&mut self, key: Key, other: &str, map: &mut A) -> Result<(), A::Error> {
        self.see(key)?;
        match key {
            Key::Id => {
                map.next_value_seed(Text(key, |text: &str| self.set_id(text)))?;
            }
            Key::Timestamp => {
                if let Some(time) = map.next_value_seed(Text(key, |text: &str| text.parse()))? {
                    self.timestamp = Some(time.map_err(|error: InvalidTimestamp| wrong("timestamp", &error))?);
                }
            }
            Key::EventType => {
                let set = |text: &str| EventType::custom(text).map(|event_type| self.set_type(event_type));
                if let Some(set) = map.next_value_seed(Text(key, set))? {
                    set.map_err(|error| wrong("event_type", &error))?;
                }
            }
            Key::Severity => {
                if let Some(severity) = map.next_value_seed(Text(key, |text: &str| text.parse()))? {
                    self.severity = Some(severity.map_err(|error: UnknownSeverity| wrong("severity", &error))?);
                }
            }
            Key::Text(field) => {
                map.next_value_seed(Text(key, |text: &str| self.text.push(field, text)))?;
            }
            Key::Details => map.next_value_seed(Details { text: &mut self.text, keys: &mut self.keys })?,
            Key::Other => {
                self.keys.note(other);
                map.next_value_seed(Detail { text: &mut self.text, key: other })?;
            }
        }
        Ok(())
    }

    #[inline]
    fn see<E: Error>(&mut self, key: Key) -> Result<(), E> {
        let bit = match key {
            Key::Id => 1 << 16,
            Key::Timestamp => 1 << 17,
            Key::EventType => 1 << 18,
            Key::Severity => 1 << 19,
            Key::Details => 1 << 20,
            Key::Text(field) => 1 << (field as u32),
            // Looked for among the details.
            Key::Other => return Ok(()),
        };
        if self.seen & bit != 0 {
            return Err(repeated(key.name()));
        }
        self.seen |= bit;
        Ok(())
    }

    /// An id that is no UUID becomes one by hash, and its text is kept. An empty one identifies nothing.
    fn set_id(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.id = Some(EventId::parse(text).unwrap_or_else(|_| {
            self.text.push_detail(ORIGINAL_ID, DetailValue::Text(text));
            self.keys.note(ORIGINAL_ID);
            EventId::from_foreign(text)
        }));
    }

    fn set_type(&mut self, event_type: EventType<'_>) {
        self.event_type = Some(TypeCode::of(event_type));
        if let EventType::Custom(_) = event_type {
            self.text.push(Field::CustomType, event_type.name());
        }
    }

    #[expect(
        clippy::inline_always,
        reason = "moved into a call it takes a tenth of a microsecond: a processor waits where it loads more at once than it has just stored"
    )]
    #[inline(always)]
    fn finish<E: Error>(self, is_plain: bool) -> Result<AuditEvent, E> {
        if let Some(key) = self.keys.repeated(&self.text) {
            return Err(repeated(&key));
        }
        let at = now();
        Ok(AuditEvent {
            id: self.id.unwrap_or_else(|| EventId::generate(at.wall)),
            timestamp: self.timestamp.ok_or_else(|| E::custom("timestamp is missing"))?,
            created: at.monotonic,
            event_type: self.event_type.ok_or_else(|| E::custom("event_type is missing"))?,
            severity: self.severity.ok_or_else(|| E::custom("severity is missing"))?,
            text: self.text,
            is_plain,
        })
    }
}

fn wrong<E: Error>(key: &str, error: &dyn fmt::Display) -> E {
    E::custom(format_args!("{key}: {error}"))
}
