//! The keys of an event, and the names of details.

use std::borrow::Cow;
use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::TEXT_FIELDS;
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

impl Key<'_> {
    fn known(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "timestamp" => Self::Timestamp,
            "event_type" => Self::EventType,
            "severity" => Self::Severity,
            "details" => Self::Details,
            _ => {
                let (field, name) = TEXT_FIELDS.iter().find(|(_, known)| *known == name)?;
                Self::Text(*field, name)
            }
        })
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
        Ok(Key::known(name).unwrap_or(Key::Other(Cow::Borrowed(name))))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key<'de>, E> {
        Ok(Key::known(name).unwrap_or_else(|| Key::Other(Cow::Owned(name.to_owned()))))
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
