//! The details, read member by member into records.

use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::json::JsonValue;
use super::key::Name;
use crate::event::{DetailValue, TextBuffer};

/// The details: their members become records. Answers how many there are.
pub(crate) struct Details<'a>(pub(crate) &'a mut TextBuffer);

impl<'de> DeserializeSeed<'de> for Details<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Details<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object as details")
    }

    fn visit_unit<E: Error>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_none<E: Error>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, _text: &str) -> Result<usize, E> {
        no_object()
    }

    fn visit_bool<E: Error>(self, _value: bool) -> Result<usize, E> {
        no_object()
    }

    fn visit_i64<E: Error>(self, _value: i64) -> Result<usize, E> {
        no_object()
    }

    fn visit_u64<E: Error>(self, _value: u64) -> Result<usize, E> {
        no_object()
    }

    fn visit_f64<E: Error>(self, _value: f64) -> Result<usize, E> {
        no_object()
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _number: D) -> Result<usize, D::Error> {
        no_object()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<usize, A::Error> {
        no_object()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(key) = map.next_key_seed(Name)? {
            map.next_value_seed(Detail { text: self.0, key: &key })?;
            count += 1;
        }
        Ok(count)
    }
}

/// The default errors repeat the value, which a reason for a rejection should not.
#[cold]
fn no_object<E: Error>() -> Result<usize, E> {
    Err(E::custom("details must be an object"))
}

/// The value of one member, which becomes a record: a text as it is, anything else as finished JSON.
pub(crate) struct Detail<'a> {
    pub(crate) text: &'a mut TextBuffer,
    pub(crate) key: &'a str,
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
