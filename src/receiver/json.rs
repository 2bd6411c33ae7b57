//! A strict JSON scanner that keeps nothing: it says whether the next value is JSON, and hands out keys and strings as
//! slices of the body.
//!
//! Accepts exactly what `serde_json` accepts into a `Value` (lone surrogates, control characters in strings and numbers
//! beyond an `f64` are refused, nesting ends at the same level), without building one. The ends of strings come from
//! [`super::marks`], and with them the certainty that all before is UTF-8: outside of strings nothing but ASCII is
//! accepted anyway.
//!
//! Called by [`super::envelope`] only.

use std::borrow::Cow;

use super::marks::Marks;

/// Levels of nesting that are accepted; `serde_json` refuses the 128th as well.
pub(super) const LEVELS_MAX: u32 = 127;

/// The bytes at hand are not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A string's bytes between its quotes, as they stand in the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Whether this is the string that is meant.
    #[inline]
    pub(super) fn is(self, text: &[u8]) -> bool {
        if self.escaped { *self.unescape() == *text } else { self.raw == text }
    }

    /// The string that is meant, with its escapes resolved.
    #[inline]
    pub(super) fn decoded(self) -> Cow<'a, [u8]> {
        if self.escaped { self.unescape() } else { Cow::Borrowed(self.raw) }
    }

    #[cold]
    fn unescape(self) -> Cow<'a, [u8]> {
        let quoted = [b"\"", self.raw, b"\""].concat();
        // The scanner has accepted this text, hence so does serde_json; the fallback only spares a panic.
        serde_json::from_slice::<String>(&quoted).map_or(Cow::Borrowed(self.raw), |text| Cow::Owned(text.into_bytes()))
    }
}

/// What kind of value was read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Null,
    Bool,
    /// The digits as they stand.
    Number(&'a [u8]),
    String(Text<'a>),
    Array,
    Object,
}

impl<'a> Value<'a> {
    pub(super) fn text(self) -> Option<Text<'a>> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// A place in a body.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    marks: Marks,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, marks: Marks::new() }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Passes white space and tells the byte behind it, which is not consumed.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match self.here() {
            Some(byte) if byte > b' ' => Some(byte),
            _ => self.pass_space(),
        }
    }

    fn pass_space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.here() {
            self.at += 1;
        }
        self.here()
    }

    /// Consumes `byte` if it comes next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// Consumes `byte` if it stands right here, with no white space before it.
    pub(super) fn advance_over(&mut self, byte: u8) -> bool {
        let found = self.here() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Reads any value; `levels` is how deep it may still nest.
    #[inline]
    pub(super) fn value(&mut self, levels: u32) -> Result<Value<'a>, Malformed> {
        let first = self.peek().ok_or(Malformed)?;
        if first == b'"' {
            self.at += 1;
            return self.string().map(Value::String);
        }
        let start = self.at;
        self.pass_other(first, levels)?;
        Ok(match first {
            b'{' => Value::Object,
            b'[' => Value::Array,
            b't' | b'f' => Value::Bool,
            b'n' => Value::Null,
            _ => Value::Number(self.bytes.get(start..self.at).ok_or(Malformed)?),
        })
    }

    /// Passes any value. Strings come first, being most of what there is.
    #[inline]
    pub(super) fn pass(&mut self, levels: u32) -> Result<(), Malformed> {
        let first = self.peek().ok_or(Malformed)?;
        if first == b'"' {
            self.at += 1;
            return self.pass_string().map(drop);
        }
        self.pass_other(first, levels)
    }

    /// Passes a value that is no string and begins with the byte `first`, which is not consumed.
    fn pass_other(&mut self, first: u8, levels: u32) -> Result<(), Malformed> {
        match first {
            b'{' => {
                self.at += 1;
                let levels = levels.checked_sub(1).ok_or(Malformed)?;
                self.members(|scanner, _| scanner.pass(levels))
            }
            b'[' => {
                self.at += 1;
                let levels = levels.checked_sub(1).ok_or(Malformed)?;
                self.elements(|scanner| scanner.pass(levels))
            }
            b'-' | b'0'..=b'9' => self.pass_number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(Malformed),
        }
    }

    /// Reads an object whose brace is consumed; `member` gets each key and must read its value.
    #[inline]
    pub(super) fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            if !self.eat(b'"') {
                return Err(Malformed);
            }
            let key = self.string()?;
            if !self.eat(b':') {
                return Err(Malformed);
            }
            member(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Reads an array whose bracket is consumed; `element` must read one value.
    #[inline]
    pub(super) fn elements(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Reads a string whose opening quote is consumed.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let start = self.at;
        let escaped = self.pass_string()?;
        let raw = self.bytes.get(start..self.at - 1).ok_or(Malformed)?;
        Ok(Text { raw, escaped })
    }

    /// Passes a string whose opening quote is consumed, and tells whether it has escapes.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as a call it costs a tenth of the walk")]
    fn pass_string(&mut self) -> Result<bool, Malformed> {
        let mut escaped = false;
        loop {
            self.at = self.marks.next(self.bytes, self.at).ok_or(Malformed)?;
            match self.next() {
                Some(b'"') => return Ok(escaped),
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Malformed), // a control character
            }
        }
    }

    /// Reads what follows a backslash.
    #[inline(never)]
    fn escape(&mut self) -> Result<(), Malformed> {
        let kind = self.next().ok_or(Malformed)?;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.hex4()? {
                0xDC00..=0xDFFF => Err(Malformed),
                0xD800..=0xDBFF => {
                    let paired = self.next() == Some(b'\\') && self.next() == Some(b'u');
                    if paired && (0xDC00..=0xDFFF).contains(&self.hex4()?) { Ok(()) } else { Err(Malformed) }
                }
                _ => Ok(()),
            },
            _ => Err(Malformed),
        }
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(Malformed)?;
            value = value * 16 + digit;
        }
        Ok(value)
    }

    /// Passes a number, by the grammar of RFC 8259, section 6.
    fn pass_number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        if self.here() == Some(b'-') {
            self.at += 1;
        }
        if self.here() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut exponent = false;
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.here() {
            exponent = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.here() {
                self.at += 1;
            }
            self.digits()?;
        }
        let number = self.bytes.get(start..self.at).ok_or(Malformed)?;
        // 300 digits without an exponent stay below the largest f64.
        if (exponent || number.len() > 300) && beyond_f64(number) { Err(Malformed) } else { Ok(()) }
    }

    /// One digit or more.
    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.here() {
            self.at += 1;
        }
        if self.at == start { Err(Malformed) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Malformed> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word) {
            return Err(Malformed);
        }
        self.at = end;
        Ok(())
    }

    #[inline]
    fn here(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.here()?;
        self.at += 1;
        Some(byte)
    }
}

#[cold]
fn beyond_f64(number: &[u8]) -> bool {
    std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok()).is_none_or(f64::is_infinite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.value(LEVELS_MAX).is_ok() && scanner.peek().is_none()
    }

    #[test]
    fn scalars_are_judged_as_serde_json_judges_them() {
        let texts = [
            "0",
            "-0",
            "01",
            "-",
            "1.",
            "1.5",
            ".5",
            "1e5",
            "1E+5",
            "1e-5",
            "1e",
            "1e+",
            "1e999",
            "-1e999",
            "1e-999",
            "0e999999999999",
            "1e999999999999",
            "+1",
            "true",
            "tru",
            "truex",
            "null",
            "nul",
            "false",
            "falsE",
            "",
            " 1 ",
            "\"\"",
            "\"a",
            "\"\\",
            "\"\\n\"",
            "\"\\x\"",
            "\"\\u00e9\"",
            "\"\\u00g9\"",
            "\"\\u12\"",
            "\"\\uD800\"",
            "\"\\uDC00\"",
            "\"\\uD83D\\uDE00\"",
            "\"\\uD83D\\u0041\"",
            "\"\\uD83Dxx\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "\"é€😀\"",
            "\"12345678\"",
            "\"1234567\\\"\"",
            "\"12345678\u{1f}\"",
            "\u{a0}1",
        ];
        for text in texts {
            assert_eq!(accepts(text), serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text:?}");
        }
        let long = "9".repeat(400);
        assert!(!accepts(&long) && accepts(&long[..300]) && accepts(&format!("0.{long}")));
    }

    #[test]
    fn containers_are_judged_as_serde_json_judges_them() {
        for text in [
            "{}",
            "[]",
            "[1]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":{\"b\":[{},[],null]}}",
            "[",
            "{",
            "[}",
            "{]",
            " { \"a\" : [ 1 , 2 ] } ",
            "[1]]",
        ] {
            assert_eq!(accepts(text), serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn nesting_ends_where_serde_json_ends_it() {
        for levels in [126, 127, 128, 129] {
            let text = "[".repeat(levels) + &"]".repeat(levels);
            assert_eq!(accepts(&text), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{levels}");
        }
    }

    #[test]
    fn escapes_are_resolved() {
        let mut scanner = Scanner::new(br#""\u0065v\u00e9nt\n""#);
        let Ok(Value::String(text)) = scanner.value(1) else { panic!("a string") };
        assert_eq!(text.decoded().as_ref(), "evént\n".as_bytes());
    }
}
