//! The keys of an event, and the names of details.

use std::borrow::Cow;
use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use crate::event::Field;

/// A key of the event.
pub(super) enum Key<'de> {
    Id,
    Timestamp,
    EventType,
    Severity,
    Text(Field, &'static str),
    Details,
    Other(Cow<'de, str>),
}

impl<'de> Key<'de> {
    /// By its bytes, which the compiler compares one position after the other: for the texts' names a search in
    /// `TEXT_FIELDS` costs five times as much.
    #[inline]
    fn of(name: &'de str) -> Self {
        match name.as_bytes() {
            b"id" => Self::Id,
            b"timestamp" => Self::Timestamp,
            b"event_type" => Self::EventType,
            b"severity" => Self::Severity,
            b"user_id" => Self::Text(Field::UserId, "user_id"),
            b"user_email" => Self::Text(Field::UserEmail, "user_email"),
            b"server_id" => Self::Text(Field::ServerId, "server_id"),
            b"tool_name" => Self::Text(Field::ToolName, "tool_name"),
            b"decision" => Self::Text(Field::Decision, "decision"),
            b"policy_id" => Self::Text(Field::PolicyId, "policy_id"),
            b"ip_address" => Self::Text(Field::IpAddress, "ip_address"),
            b"user_agent" => Self::Text(Field::UserAgent, "user_agent"),
            b"request_id" => Self::Text(Field::RequestId, "request_id"),
            b"details" => Self::Details,
            _ => Self::Other(Cow::Borrowed(name)),
        }
    }

    fn into_owned<'o>(self) -> Key<'o> {
        match self {
            Self::Id => Key::Id,
            Self::Timestamp => Key::Timestamp,
            Self::EventType => Key::EventType,
            Self::Severity => Key::Severity,
            Self::Text(field, name) => Key::Text(field, name),
            Self::Details => Key::Details,
            Self::Other(name) => Key::Other(Cow::Owned(name.into_owned())),
        }
    }
}

pub(super) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as key")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Key<'de>, E> {
        Ok(Key::of(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key<'de>, E> {
        Ok(Key::of(name).into_owned())
    }
}

/// The name of a member of the details, borrowed where the format lends it.
pub(super) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as key")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
