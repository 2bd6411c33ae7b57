//! Any value, streamed into finished JSON: what a detail holds that is more than a text.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use ::serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::written::Written;
use crate::event::details::PAIRWISE_MAX;
use crate::event::escape::{write_float, write_text};

/// How deep details may be nested, the details object itself counted: far more than audit data needs, and far less
/// than the stack bears.
pub(crate) const DEPTH_MAX: usize = 64;

/// Appends the value that it reads to `out`. What was appended before an error stays there.
pub(crate) struct JsonValue<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// How many objects and arrays surround the value.
    pub(super) depth: usize,
}

impl JsonValue<'_> {
    fn inner(&mut self) -> JsonValue<'_> {
        JsonValue { out: self.out, depth: self.depth + 1 }
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        Err(too_deep())
    }
}

impl<'de> DeserializeSeed<'de> for JsonValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        write_float(value, self.out);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        write_text(value.as_bytes(), self.out);
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.out.extend_from_slice(Written.deserialize(deserializer)?.as_bytes());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.out.push(b'[');
        let first = self.out.len();
        while seq.next_element_seed(Comma(self.inner(), first))?.is_some() {}
        self.out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.out.push(b'{');
        let first = self.out.len();
        let mut keys = Keys::default();
        while map.next_key_seed(Key { out: self.out, first, keys: &mut keys })?.is_some() {
            self.out.push(b':');
            map.next_value_seed(self.inner())?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// An element of an array, with the comma before it unless it stands at the position of the first.
struct Comma<'a>(JsonValue<'a>, usize);

impl<'de> DeserializeSeed<'de> for Comma<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.0.out.len() > self.1 {
            self.0.out.push(b',');
        }
        deserializer.deserialize_any(self.0)
    }
}

/// A key of an object, with the comma before it; an error where the object has it already.
struct Key<'a> {
    out: &'a mut Vec<u8>,
    first: usize,
    keys: &'a mut Keys,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text as key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.out.len() > self.first {
            self.out.push(b',');
        }
        let start = self.out.len();
        write_text(key.as_bytes(), self.out);
        if self.keys.insert(start..self.out.len(), self.out) { Ok(()) } else { Err(repeated(key)) }
    }
}

/// The error of what is nested deeper than [`DEPTH_MAX`].
#[cold]
pub(crate) fn too_deep<E: Error>() -> E {
    E::custom(format_args!("details are nested deeper than {DEPTH_MAX}"))
}

/// The error that names a repeated key.
#[cold]
pub(crate) fn repeated<E: Error>(key: &str) -> E {
    E::custom(format_args!("the key {} is repeated", Quoted(key)))
}

/// A key in quotes, its control characters escaped, cut where it is long.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 64;
        f.write_str("\"")?;
        self.0.chars().take(CHARS_MAX).try_for_each(|char| write!(f, "{}", char.escape_debug()))?;
        f.write_str(if self.0.chars().nth(CHARS_MAX).is_some() { "…\"" } else { "\"" })
    }
}

/// The keys of one object as they were written, whose escaping is the same for the same text.
///
/// Few keys are compared pair by pair and cost no allocation; more go into a set, so that an object of a thousand
/// costs no million comparisons.
#[derive(Default)]
struct Keys {
    few: [Range<usize>; PAIRWISE_MAX],
    count: usize,
    many: HashSet<Box<[u8]>>,
}

impl Keys {
    /// Whether the key that lies at `range` of `out` is new.
    fn insert(&mut self, range: Range<usize>, out: &[u8]) -> bool {
        let at = |range: &Range<usize>| out.get(range.clone()).unwrap_or_default();
        let key = at(&range);
        let few = self.few.get(..self.count).unwrap_or_default();
        if few.iter().any(|other| at(other) == key) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(free) => {
                *free = range;
                self.count += 1;
                true
            }
            None => self.many.insert(key.into()),
        }
    }
}
