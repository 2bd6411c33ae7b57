//! A tape, read through serde.

use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use ::serde::forward_to_deserialize_any;

use super::tape::{Item, Kind};

/// What stands on a tape from here on.
#[derive(Debug)]
pub(super) struct Walk<'t, N>(&'t [N]);

impl<'t, N: Item> Walk<'t, N> {
    /// From the first of these nodes on.
    pub(super) fn new(nodes: &'t [N]) -> Self {
        Self(nodes)
    }

    #[inline]
    fn next(&mut self) -> Result<Kind<'t>, Reason> {
        let (first, rest) = self.0.split_first().ok_or_else(|| Reason("the value is cut off".to_owned()))?;
        self.0 = rest;
        Ok(first.kind())
    }
}

impl<'de, N: Item> Deserializer<'de> for &mut Walk<'de, N> {
    type Error = Reason;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Reason> {
        match self.next()? {
            Kind::Object { len, .. } => visitor.visit_map(Members { walk: self, left: len }),
            Kind::Array { len, .. } => visitor.visit_seq(Members { walk: self, left: len }),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(value),
            Kind::Signed(value) => visitor.visit_i64(value),
            Kind::Unsigned(value) => visitor.visit_u64(value),
            Kind::Float(value) => visitor.visit_f64(value),
            // serde has no such number; whoever takes it knows it by this.
            Kind::Written(text) => visitor.visit_newtype_struct(text.into_deserializer()),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What is left of an object or array.
struct Members<'w, 't, N> {
    walk: &'w mut Walk<'t, N>,
    left: usize,
}

impl<'t, N: Item> SeqAccess<'t> for Members<'_, 't, N> {
    type Error = Reason;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Reason> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.walk).map(Some)
    }
}

impl<'t, N: Item> MapAccess<'t> for Members<'_, 't, N> {
    type Error = Reason;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Reason> {
        self.next_element_seed(seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Reason> {
        seed.deserialize(&mut *self.walk)
    }
}

/// Why what was read is not what it should be.
#[derive(Debug)]
pub(super) struct Reason(pub(super) String);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

impl Error for Reason {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(reason.to_string())
    }
}
