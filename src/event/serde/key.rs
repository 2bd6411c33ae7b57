//! The keys of an event, and the names of details.

use std::borrow::Cow;
use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::TEXT_FIELDS;
use crate::event::Field;

/// A key of the event. Two bytes, which stay in a register: moved through memory with a name beside it, it took an eighth of a
/// line's time, since the processor waits where it loads more than it has just stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Id,
    Timestamp,
    EventType,
    Severity,
    Text(Field),
    Details,
    /// None of ours.
    Other,
}

impl Key {
    /// Told by its first bytes, then compared whole: a match of texts compares with all that are as long, and a search in
    /// `TEXT_FIELDS` costs five times as much.
    #[inline]
    fn of(name: &str) -> Self {
        // No two of them begin alike, or the second would be none of ours.
        macro_rules! known {
            ($($known:literal => $key:expr,)+) => {{
                let its = head(name.as_bytes());
                $(if its == const { head($known.as_bytes()) } {
                    return if name == $known { $key } else { Self::Other };
                })+
            }};
        }
        known! {
            "id" => Self::Id,
            "timestamp" => Self::Timestamp,
            "event_type" => Self::EventType,
            "severity" => Self::Severity,
            "user_id" => Self::Text(Field::UserId),
            "user_email" => Self::Text(Field::UserEmail),
            "server_id" => Self::Text(Field::ServerId),
            "tool_name" => Self::Text(Field::ToolName),
            "decision" => Self::Text(Field::Decision),
            "policy_id" => Self::Text(Field::PolicyId),
            "ip_address" => Self::Text(Field::IpAddress),
            "user_agent" => Self::Text(Field::UserAgent),
            "request_id" => Self::Text(Field::RequestId),
            "details" => Self::Details,
        }
        Self::Other
    }

    /// As it is written; empty for one that is none of ours.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Timestamp => "timestamp",
            Self::EventType => "event_type",
            Self::Severity => "severity",
            Self::Text(field) => TEXT_FIELDS.iter().find(|(its, _)| *its == field).map_or("", |(_, name)| name),
            Self::Details => "details",
            Self::Other => "",
        }
    }
}

/// The first eight bytes of a name, or all of a shorter one. Of the names above no two share them.
#[inline]
pub(super) const fn head(mut name: &[u8]) -> u64 {
    if let Some(head) = name.first_chunk() {
        return u64::from_le_bytes(*head);
    }
    let mut head = 0;
    while let [first, rest @ ..] = name {
        head = head << 8 | *first as u64;
        name = rest;
    }
    head
}

/// Reads a key, and where it is none of ours, its name.
pub(super) struct KeySeed<'a, 'de>(pub(super) &'a mut Cow<'de, str>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_, 'de> {
    type Value = Key;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, 'de> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as key")
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Key, E> {
        let key = Key::of(name);
        if key == Key::Other {
            *self.0 = Cow::Borrowed(name);
        }
        Ok(key)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        let key = Key::of(name);
        if key == Key::Other {
            *self.0 = Cow::Owned(name.to_owned());
        }
        Ok(key)
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
