//! Reading an event: a map's values are appended straight to the event's buffer, in the order in which they come.
//!
//! Audit data must not be smuggled past whoever looks at it: a repeated key is an error at any depth, and a key that is
//! none of ours is kept as a detail, never dropped.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use ::serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::field::Text;
use super::json::repeated;
use super::key::{Key, KeySeed};
use super::members::{Detail, Details};
use crate::event::details::PAIRWISE_MAX;
use crate::event::kind::TypeCode;
use crate::event::{AuditEvent, DetailValue, EventId, EventType, Field, Severity, TextBuffer, Timestamp, now};

/// Where the text of an id goes that is no UUID.
const ORIGINAL_ID: &str = "original_id";

impl<'de> Deserialize<'de> for AuditEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EventSeed { buffer: TextBuffer::with_capacity(256) }.deserialize(deserializer)
    }
}

/// Reads an event into this buffer, which must be empty. An error loses the buffer.
pub(crate) struct EventSeed {
    pub(crate) buffer: TextBuffer,
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
        let mut reading = Reading::new(self.buffer);
        while let Some(key) = map.next_key_seed(KeySeed)? {
            reading.read(key, &mut map)?;
        }
        reading.finish()
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
    details: usize,
}

impl Reading {
    fn new(text: TextBuffer) -> Self {
        Self { text, id: None, timestamp: None, event_type: None, severity: None, seen: 0, details: 0 }
    }

    /// Reads the value of one key.
    fn read<'de, A: MapAccess<'de>>(&mut self, key: Key<'de>, map: &mut A) -> Result<(), A::Error> {
        self.see(&key)?;
        match key {
            Key::Id => {
                if let Some(text) = map.next_value_seed(Text("id"))? {
                    self.set_id(&text);
                }
            }
            Key::Timestamp => {
                if let Some(text) = map.next_value_seed(Text("timestamp"))? {
                    self.timestamp = Some(text.parse().map_err(|error| wrong("timestamp", &error))?);
                }
            }
            Key::EventType => {
                if let Some(text) = map.next_value_seed(Text("event_type"))? {
                    let event_type = EventType::custom(&text).map_err(|error| wrong("event_type", &error))?;
                    self.set_type(event_type);
                }
            }
            Key::Severity => {
                if let Some(text) = map.next_value_seed(Text("severity"))? {
                    self.severity = Some(text.parse().map_err(|error| wrong("severity", &error))?);
                }
            }
            Key::Text(field, name) => {
                if let Some(text) = map.next_value_seed(Text(name))? {
                    self.text.push(field, &text);
                }
            }
            Key::Details => self.details += map.next_value_seed(Details(&mut self.text))?,
            Key::Other(key) => {
                self.details += 1;
                map.next_value_seed(Detail { text: &mut self.text, key: &key })?;
            }
        }
        Ok(())
    }

    fn see<E: Error>(&mut self, key: &Key<'_>) -> Result<(), E> {
        let (bit, name) = match key {
            Key::Id => (1 << 16, "id"),
            Key::Timestamp => (1 << 17, "timestamp"),
            Key::EventType => (1 << 18, "event_type"),
            Key::Severity => (1 << 19, "severity"),
            Key::Details => (1 << 20, "details"),
            Key::Text(field, name) => (1 << (*field as u32), *name),
            // Looked for among the details.
            Key::Other(_) => return Ok(()),
        };
        if self.seen & bit != 0 {
            return Err(repeated(name));
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
            self.details += 1;
            EventId::from_foreign(text)
        }));
    }

    fn set_type(&mut self, event_type: EventType<'_>) {
        self.event_type = Some(TypeCode::of(event_type));
        if let EventType::Custom(_) = event_type {
            self.text.push(Field::CustomType, event_type.name());
        }
    }

    fn finish<E: Error>(self) -> Result<AuditEvent, E> {
        if let Some(key) = repeated_detail(&self.text, self.details) {
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
        })
    }
}

/// A key of the details that comes twice; a key of the event that is none of ours counts as one of theirs.
fn repeated_detail(text: &TextBuffer, count: usize) -> Option<Cow<'_, str>> {
    if count <= 1 {
        return None;
    }
    let key = if count <= PAIRWISE_MAX {
        let mut keys: [&[u8]; PAIRWISE_MAX] = [b""; PAIRWISE_MAX];
        keys.iter_mut().zip(text.members()).for_each(|(slot, member)| *slot = member.key);
        let mut pairs = keys.iter().enumerate().take(count);
        pairs.find_map(|(index, key)| keys.get(..index)?.contains(key).then_some(*key))
    } else {
        let mut seen = HashSet::with_capacity(count);
        text.members().map(|member| member.key).find(|key| !seen.insert(*key))
    };
    key.map(String::from_utf8_lossy)
}

fn wrong<E: Error>(key: &str, error: &dyn fmt::Display) -> E {
    E::custom(format_args!("{key}: {error}"))
}
