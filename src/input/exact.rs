//! The exact parser: slower, for what the fast one refuses though it is JSON.
//!
//! Numbers beyond 64 bits stay as they were written, and half a surrogate pair becomes U+FFFD. `serde_json` judges the
//! syntax first; what it let pass is only taken apart here, without recursion.

use std::borrow::Cow;
use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::tape::{Item, Kind};

/// A node of the exact tape.
#[derive(Debug)]
pub(super) enum ExactNode<'i> {
    Object { len: usize, count: usize },
    Array { len: usize, count: usize },
    Text(Cow<'i, str>),
    Null,
    Bool(bool),
    Number(&'i str),
}

impl Item for ExactNode<'_> {
    fn kind(&self) -> Kind<'_> {
        match self {
            Self::Object { len, count } => Kind::Object { len: *len, count: *count },
            Self::Array { len, count } => Kind::Array { len: *len, count: *count },
            Self::Text(text) => Kind::Text(text),
            Self::Null => Kind::Null,
            Self::Bool(value) => Kind::Bool(*value),
            Self::Number(text) => Kind::Written(text),
        }
    }
}

/// The tape of a text, or where it is no JSON.
pub(super) fn exact_tape(text: &str) -> Result<Vec<ExactNode<'_>>, serde_json::Error> {
    // Checks the syntax of all of it, whatever its numbers and surrogates.
    serde_json::from_str::<&RawValue>(text)?;
    let mut tape = Vec::new();
    // The open objects and arrays: their places, and how many values they hold so far.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let taken = match first {
            b'{' | b'[' => {
                count(&mut open);
                open.push((tape.len(), 0));
                tape.push(ExactNode::Null);
                1
            }
            b'}' | b']' => {
                close(&mut tape, &mut open, first);
                1
            }
            b'"' => {
                count(&mut open);
                let (quoted, _) = rest.split_at_checked(quoted_len(rest)).unwrap_or((rest, ""));
                tape.push(ExactNode::Text(unquoted(quoted)?));
                quoted.len()
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => 1,
            _ => {
                count(&mut open);
                let end = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or(rest);
                tape.push(match word {
                    "null" => ExactNode::Null,
                    "true" => ExactNode::Bool(true),
                    "false" => ExactNode::Bool(false),
                    number => ExactNode::Number(number),
                });
                end
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(tape)
}

/// One more value in the innermost that is open.
fn count(open: &mut [(usize, usize)]) {
    if let Some((_, values)) = open.last_mut() {
        *values += 1;
    }
}

fn close(tape: &mut [ExactNode<'_>], open: &mut Vec<(usize, usize)>, bracket: u8) {
    let Some((place, values)) = open.pop() else { return };
    let count = tape.len() - place - 1;
    if let Some(head) = tape.get_mut(place) {
        *head = match bracket {
            b'}' => ExactNode::Object { len: values / 2, count },
            _ => ExactNode::Array { len: values, count },
        };
    }
}

/// The length of the text in quotes with which `rest` begins.
fn quoted_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|bytes| memchr::memchr2(b'"', b'\\', bytes)) {
        at += found;
        if bytes.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

fn unquoted(quoted: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    Surrogates.deserialize(&mut serde_json::Deserializer::from_str(quoted))
}

/// Reads a text by its bytes: as those, `serde_json` passes half a surrogate pair on, encoded as if it were a character.
struct Surrogates;

impl<'de> DeserializeSeed<'de> for Surrogates {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Surrogates {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        // Without escapes there is no half of a pair.
        std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(E::custom)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        let mut bytes = bytes.to_vec();
        let mut from = 0;
        // In UTF-8 only surrogates are encoded as ED A0..BF xx, and U+FFFD is just as long.
        while let Some(found) = bytes.get(from..).and_then(|rest| memchr::memchr(0xed, rest)) {
            from += found;
            if let Some([_, second, third]) = bytes.get(from..from + 3)
                && *second >= 0xa0
            {
                debug_assert!(*third >= 0x80);
                if let Some(half) = bytes.get_mut(from..from + 3) {
                    half.copy_from_slice("\u{fffd}".as_bytes());
                }
            }
            from += 1;
        }
        String::from_utf8(bytes).map(Cow::Owned).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_as_written_and_half_a_pair_becomes_one_replacement() {
        let text = r#" {"a\ud800b" : [1e400,-0.10, {} ,true,null,[]],"é\"\\":"\udc00\ud83d\ude00\ud7ff 한"} "#;
        let tape = exact_tape(text).unwrap();
        let kinds: Vec<Kind<'_>> = tape.iter().map(Item::kind).collect();
        let expected = [
            Kind::Object { len: 2, count: 10 },
            Kind::Text("a\u{fffd}b"),
            Kind::Array { len: 6, count: 6 },
            Kind::Written("1e400"),
            Kind::Written("-0.10"),
            Kind::Object { len: 0, count: 0 },
            Kind::Bool(true),
            Kind::Null,
            Kind::Array { len: 0, count: 0 },
            Kind::Text("é\"\\"),
            Kind::Text("\u{fffd}😀\u{d7ff} 한"),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn what_is_no_json_is_none() {
        for wrong in ["", "{", "01", "{\"a\" 1}", "[1,]", "\"\\ud80\"", "1 2", "\"\u{1}\""] {
            assert!(exact_tape(wrong).is_err(), "{wrong}");
        }
    }
}
