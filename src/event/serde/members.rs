//! The details, read member by member into records.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::JsonValue;
use super::key::{Name, head};
use crate::event::details::PAIRWISE_MAX;
use crate::event::{DetailValue, TextBuffer};

/// The details: their members become records.
pub(super) struct Details<'a> {
    pub(super) text: &'a mut TextBuffer,
    pub(super) keys: &'a mut DetailKeys,
}

impl<'de> DeserializeSeed<'de> for Details<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Details<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object as details")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, _text: &str) -> Result<(), E> {
        no_object()
    }

    fn visit_bool<E: Error>(self, _value: bool) -> Result<(), E> {
        no_object()
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<(), E> {
        no_object()
    }

    fn visit_u64<E: Error>(self, _value: u64) -> Result<(), E> {
        no_object()
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<(), E> {
        no_object()
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _number: D) -> Result<(), D::Error> {
        no_object()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<(), A::Error> {
        no_object()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Name)? {
            self.keys.note(&key);
            map.next_value_seed(Detail { text: self.text, key: &key })?;
        }
        Ok(())
    }
}

/// The default errors repeat the value, which a reason for a rejection should not.
#[cold]
fn no_object<E: Error>() -> Result<(), E> {
    Err(E::custom("details must be an object"))
}

/// The value of one member, which becomes a record: a text as it is, anything else as finished JSON.
pub(super) struct Detail<'a> {
    pub(super) text: &'a mut TextBuffer,
    pub(super) key: &'a str,
}

impl Detail<'_> {
    fn push(self, value: DetailValue<'_>) {
        self.text.push_detail(self.key, value);
    }

    fn stream<E>(self, read: impl FnOnce(JsonValue<'_>) -> Result<(), E>) -> Result<(), E> {
        let start = self.text.open_detail(self.key);
        read(JsonValue { out: self.text.tail(), depth: 1 })?;
        self.text.close_record(start);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Detail<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Detail<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(DetailValue::Bool(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(DetailValue::Signed(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(DetailValue::Unsigned(value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(DetailValue::Float(value));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.push(DetailValue::Text(value));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(DetailValue::Null);
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.push(DetailValue::Null);
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.stream(|value| value.visit_newtype_struct(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.stream(|value| value.visit_seq(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.stream(|value| value.visit_map(map))
    }
}

/// The keys of all details, of which none may come twice; a key of the event that is none of ours counts as one of theirs.
///
/// Noted are a few bytes of each: only where two have the same are the keys themselves looked at.
#[derive(Default)]
pub(super) struct DetailKeys {
    heads: [u64; PAIRWISE_MAX],
    count: usize,
    may_repeat: bool,
}

impl DetailKeys {
    /// There is one more.
    #[inline]
    pub(super) fn note(&mut self, key: &str) {
        let head = head(key.as_bytes());
        let before = self.heads.get(..self.count).unwrap_or(&self.heads);
        self.may_repeat |= before.contains(&head);
        match self.heads.get_mut(self.count) {
            Some(place) => *place = head,
            None => self.may_repeat = true,
        }
        self.count += 1;
    }

    /// One that comes twice in this text, of which they are the keys.
    pub(super) fn repeated<'t>(&self, text: &'t TextBuffer) -> Option<Cow<'t, str>> {
        if !self.may_repeat {
            return None;
        }
        let mut seen = HashSet::with_capacity(self.count);
        text.members().map(|member| member.key).find(|key| !seen.insert(*key)).map(String::from_utf8_lossy)
    }
}
