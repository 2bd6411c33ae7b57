//! Writing an event through any serializer.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use ::serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use ::serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::TEXT_FIELDS;
use crate::event::AuditEvent;
use crate::event::details::{Details, Member};

impl Serialize for AuditEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields();
        let texts: Vec<(&str, &str)> = TEXT_FIELDS
            .iter()
            .filter_map(|(field, name)| Some((*name, std::str::from_utf8(fields.get(*field)?).ok()?)))
            .collect();
        let has_details = !fields.details().is_empty();
        let mut map = serializer.serialize_map(Some(4 + texts.len() + usize::from(has_details)))?;
        map.serialize_entry("id", &Shown(self.id))?;
        map.serialize_entry("timestamp", &Shown(self.timestamp))?;
        map.serialize_entry("event_type", self.event_type().name())?;
        map.serialize_entry("severity", self.severity.name())?;
        for (name, text) in texts {
            map.serialize_entry(name, text)?;
        }
        if has_details {
            map.serialize_entry("details", &Shaped(fields.details()))?;
        }
        map.end()
    }
}

/// What is written as it is displayed.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The details, as a serializer wants them.
struct Shaped<'a>(&'a Details<'a>);

impl Serialize for Shaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(object) = self.0.whole() {
            return Json(object).serialize(serializer);
        }
        let mut members: Vec<Member<'_>> = Vec::new();
        self.0.for_each(|member| members.push(member));
        let mut map = serializer.serialize_map(Some(members.len()))?;
        for member in members {
            map.serialize_key(text(member.key)?)?;
            if member.is_json {
                map.serialize_value(&Json(member.value))?;
            } else {
                map.serialize_value(text(member.value)?)?;
            }
        }
        map.end()
    }
}

fn text<E: serde::ser::Error>(bytes: &[u8]) -> Result<&str, E> {
    std::str::from_utf8(bytes).map_err(E::custom)
}

/// Finished JSON, carried over value by value: keys keep their order and numbers their 64 bits, which a tree of values
/// in between would not promise.
struct Json<'a>(&'a [u8]);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serde_json::Deserializer::from_slice(self.0);
        json.deserialize_any(Carry(serializer)).map_err(S::Error::custom)
    }
}

/// Hands what it visits to a serializer.
struct Carry<S>(S);

macro_rules! carry {
    ($($visit:ident($type:ty) => $serialize:ident,)+) => {
        $(fn $visit<E: de::Error>(self, value: $type) -> Result<Self::Value, E> {
            self.0.$serialize(value).map_err(E::custom)
        })+
    };
}

impl<'de, S: Serializer> Visitor<'de> for Carry<S> {
    type Value = S::Ok;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    carry! {
        visit_bool(bool) => serialize_bool,
        visit_i64(i64) => serialize_i64,
        visit_u64(u64) => serialize_u64,
        visit_f64(f64) => serialize_f64,
        visit_str(&str) => serialize_str,
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = self.0.serialize_seq(None).map_err(de::Error::custom)?;
        while seq.next_element_seed(Element(&mut list))?.is_some() {}
        list.end().map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = self.0.serialize_map(None).map_err(de::Error::custom)?;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            object.serialize_key(&key).map_err(de::Error::custom)?;
            map.next_value_seed(Value(&mut object))?;
        }
        object.end().map_err(de::Error::custom)
    }
}

struct Element<'a, S>(&'a mut S);

impl<'de, S: SerializeSeq> DeserializeSeed<'de> for Element<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_element(&Pending(Cell::new(Some(deserializer)))).map_err(de::Error::custom)
    }
}

struct Value<'a, S>(&'a mut S);

impl<'de, S: SerializeMap> DeserializeSeed<'de> for Value<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.serialize_value(&Pending(Cell::new(Some(deserializer)))).map_err(de::Error::custom)
    }
}

/// A value that is still to be read: serializing it reads it, once.
struct Pending<D>(Cell<Option<D>>);

impl<'de, D: Deserializer<'de>> Serialize for Pending<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(deserializer) = self.0.take() else {
            return Err(S::Error::custom("the serializer asked for a value twice"));
        };
        deserializer.deserialize_any(Carry(serializer)).map_err(S::Error::custom)
    }
}
