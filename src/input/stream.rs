//! A line, read through serde as it is scanned, without a tape in between.

use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use ::serde::forward_to_deserialize_any;

use super::scan::{Number, Refused, Scan};

impl<'de> Deserializer<'de> for &mut Scan<'de> {
    type Error = Refused;

    /// How deep it may go is the visitor's to say.
    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let first = self.peek();
        if first == b'"' {
            // Nearly always.
            return visitor.visit_borrowed_str(self.text_behind_quote()?);
        }
        match first {
            b'{' => {
                self.skip();
                visitor.visit_map(Members { scan: self, is_first: true })
            }
            b'[' => {
                self.skip();
                visitor.visit_seq(Members { scan: self, is_first: true })
            }
            b'-' | b'0'..=b'9' => match self.number()? {
                Number::Signed(value) => visitor.visit_i64(value),
                Number::Unsigned(value) => visitor.visit_u64(value),
                Number::Float(value) => visitor.visit_f64(value),
            },
            b't' => self.word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.word("false").and_then(|()| visitor.visit_bool(false)),
            b'n' => self.word("null").and_then(|()| visitor.visit_unit()),
            _ => Err(Refused),
        }
    }

    /// What must be a text: a key.
    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_str(self.text()?)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// An object or array that is open.
struct Members<'s, 'l> {
    scan: &'s mut Scan<'l>,
    is_first: bool,
}

impl Members<'_, '_> {
    /// Whether there is another one; else the end is taken.
    #[inline]
    fn has_more(&mut self, end: u8) -> Result<bool, Refused> {
        if self.is_first {
            self.is_first = false;
            return Ok(self.scan.has_any(end));
        }
        self.scan.has_more(end)
    }
}

impl<'l> SeqAccess<'l> for Members<'_, 'l> {
    type Error = Refused;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'l>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.has_more(b']')? { seed.deserialize(&mut *self.scan).map(Some) } else { Ok(None) }
    }
}

impl<'l> MapAccess<'l> for Members<'_, 'l> {
    type Error = Refused;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'l>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.has_more(b'}')? { seed.deserialize(&mut *self.scan).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'l>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.scan.take(b':')?;
        seed.deserialize(&mut *self.scan)
    }
}

/// What is wrong is told by the other parsers, so that nothing is put into words here.
impl Error for Refused {
    fn custom<T: fmt::Display>(_reason: T) -> Self {
        Self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused by the scan")
    }
}

impl std::error::Error for Refused {}
