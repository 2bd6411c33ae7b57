//! A number as it was written, of more digits than any number of ours holds.

use std::borrow::Cow;
use std::fmt;

use ::serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

/// Reads one, which a format of ours hands over as a text in a newtype. That it is a number is checked: its text
/// becomes part of an event as it is.
pub(super) struct Written;

impl<'de> DeserializeSeed<'de> for Written {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Written {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number as JSON writes it")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        checked(text).map(Cow::Borrowed)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        checked(text).map(|text| Cow::Owned(text.to_owned()))
    }
}

fn checked<E: Error>(text: &str) -> Result<&str, E> {
    if is_number(text) { Ok(text) } else { Err(E::custom("a newtype that is no number")) }
}

/// The grammar of RFC 8259.
fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(left, right)| (left, Some(right)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(left, right)| (left, Some(right)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|text| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_calls_a_number_is_one_and_nothing_else() {
        for number in ["0", "-0", "17", "1e400", "-1.50E-7", "123456789012345678901234567890", "0.0e+00"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "NaN", "1 ", "1,2", "--1", "1e1e1", "1}"] {
            assert!(!is_number(other), "{other}");
        }
    }
}
