//! A scan of a line of our own layout: one pass, which takes what such lines are made of and refuses what is rare.
//!
//! Most of what simd-json does for a short line is an index of all structure and a tape, which an event of our own layout
//! needs not: its texts go where they belong as they are met. Where texts end is known of 64 bytes at once, and nothing is
//! copied but texts with escapes. What is refused need not be wrong: simd-json, and behind it the exact parser, read it once
//! more, and have every word about a mistake.

use crate::event::needs_escape;

/// So many digits are never more than 64 bits hold.
const DIGITS_MAX: usize = 19;

/// The line is no JSON, or none of the usual kind, or no event; the other parsers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// A number of the usual kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

/// What a scan works with, kept from line to line; it grows with the longest.
#[derive(Debug, Default)]
pub(super) struct ScanMemory {
    /// A bit for each byte of the line, 64 in a word: set where a text ends or has an escape, or what none may hold.
    stops: Vec<u64>,
    /// Where texts lie whose escapes are undone; none is longer than it was written.
    spare: Vec<u8>,
}

/// A line, and how far it was read.
#[derive(Debug)]
pub(super) struct Scan<'l> {
    text: &'l str,
    /// The byte that is next.
    at: usize,
    stops: &'l [u64],
    /// No text had an escape so far.
    is_plain: bool,
    spare: &'l mut [u8],
}

impl<'l> Scan<'l> {
    /// Of one line.
    pub(super) fn new(text: &'l str, memory: &'l mut ScanMemory) -> Self {
        let ScanMemory { stops, spare } = memory;
        spare.resize(spare.len().max(text.len()), 0);
        let (chunks, tail) = text.as_bytes().as_chunks::<64>();
        stops.clear();
        stops.extend(chunks.iter().map(stops_of));
        if !tail.is_empty() {
            let mut last = [b' '; 64];
            last.iter_mut().zip(tail).for_each(|(to, byte)| *to = *byte);
            stops.push(stops_of(&last));
        }
        Self { text, at: 0, stops, is_plain: true, spare }
    }

    /// Where the text stops that goes on from there, or the line.
    #[inline]
    fn stop(&self, from: usize) -> usize {
        let found = self.stops.get(from / 64).map_or(0, |word| word >> (from % 64));
        if found != 0 {
            // Nearly always, so that a processor foresees it.
            return from + found.trailing_zeros() as usize;
        }
        let next = self.stops.iter().enumerate().skip(from / 64 + 1).find(|(_, word)| **word != 0);
        next.map_or(self.text.len(), |(place, word)| place * 64 + word.trailing_zeros() as usize)
    }

    #[inline]
    fn rest(&self, from: usize) -> &'l [u8] {
        self.text.as_bytes().get(from..).unwrap_or_default()
    }

    /// The next byte that is not white space; 0 at the end, which no value begins with.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        match self.text.as_bytes().get(self.at) {
            Some(next) if *next > b' ' => *next,
            _ => self.peek_behind_blanks(),
        }
    }

    #[cold]
    fn peek_behind_blanks(&mut self) -> u8 {
        let rest = self.rest(self.at);
        self.at += rest.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Takes the byte that was seen to be next.
    #[inline]
    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Takes this byte.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> Result<(), Refused> {
        if self.peek() != byte {
            return Err(Refused);
        }
        self.skip();
        Ok(())
    }

    /// Whether another member or element follows, and takes the comma before it; or else the end, and takes that.
    #[inline]
    pub(super) fn has_more(&mut self, end: u8) -> Result<bool, Refused> {
        let next = self.peek();
        self.skip();
        if next == b',' {
            Ok(true)
        } else if next == end {
            Ok(false)
        } else {
            Err(Refused)
        }
    }

    /// Whether anything stands in the object or array that was just begun; takes its end if not.
    #[inline]
    pub(super) fn has_any(&mut self, end: u8) -> bool {
        let is_empty = self.peek() == end;
        self.at += usize::from(is_empty);
        !is_empty
    }

    /// Nothing may follow; whether none of its texts had an escape, and so needs none where it is written again.
    pub(super) fn finish(mut self) -> Result<bool, Refused> {
        self.peek();
        if self.at == self.text.len() { Ok(self.is_plain) } else { Err(Refused) }
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self) -> Result<&'l str, Refused> {
        if self.peek() != b'"' {
            return Err(Refused);
        }
        self.text_behind_quote()
    }

    /// A text, whose opening quote was seen to be next.
    #[inline]
    pub(super) fn text_behind_quote(&mut self) -> Result<&'l str, Refused> {
        let start = self.at + 1;
        let end = self.stop(start);
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return self.text.get(start..end).ok_or(Refused);
        }
        self.unescaped(start)
    }

    /// A text that begins there and has escapes.
    #[inline(never)]
    fn unescaped(&mut self, start: usize) -> Result<&'l str, Refused> {
        self.at = start;
        self.is_plain = false;
        let spare = std::mem::take(&mut self.spare);
        let mut filled = 0;
        loop {
            let end = self.stop(self.at);
            put(self.text.as_bytes().get(self.at..end).ok_or(Refused)?, spare, &mut filled)?;
            self.at = end + 1;
            match self.text.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => {}
                _ => return Err(Refused),
            }
            let (char, taken) = escape(self.rest(self.at)).ok_or(Refused)?;
            put(char.encode_utf8(&mut [0; 4]).as_bytes(), spare, &mut filled)?;
            self.at += taken;
        }
        let (text, spare) = spare.split_at_mut_checked(filled).ok_or(Refused)?;
        self.spare = spare;
        std::str::from_utf8(text).map_err(|_| Refused)
    }

    /// A number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number, Refused> {
        let rest = self.rest(self.at);
        let is_negative = rest.first() == Some(&b'-');
        let digits = rest.get(usize::from(is_negative)..).unwrap_or_default();
        let (mut value, mut length) = (0_u64, 0);
        for digit in digits.iter().map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        if length == 0 || length > 1 && digits.first() == Some(&b'0') {
            return Err(Refused);
        }
        let end = usize::from(is_negative) + length;
        if length > DIGITS_MAX || matches!(rest.get(end), Some(b'.' | b'e' | b'E')) {
            return self.long_number(end);
        }
        self.at += end;
        if is_negative {
            // -0 is a float to some.
            let value = 0_i64.checked_sub_unsigned(value).filter(|value| *value < 0);
            value.map(Number::Signed).ok_or(Refused)
        } else {
            Ok(Number::Unsigned(value))
        }
    }

    /// A number with a fraction or an exponent, or one of many digits; its whole part has so many bytes.
    #[inline(never)]
    fn long_number(&mut self, whole: usize) -> Result<Number, Refused> {
        let rest = self.rest(self.at);
        let mut end = whole;
        let digits = |end: &mut usize| {
            let count = rest.get(*end..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
            *end += count;
            if count == 0 { Err(Refused) } else { Ok(()) }
        };
        if rest.get(end) == Some(&b'.') {
            end += 1;
            digits(&mut end)?;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            end += 1;
            end += usize::from(matches!(rest.get(end), Some(b'+' | b'-')));
            digits(&mut end)?;
        }
        let text = self.text.get(self.at..self.at + end).ok_or(Refused)?;
        self.at += end;
        let number = if end > whole {
            text.parse().ok().filter(|value: &f64| value.is_finite()).map(Number::Float)
        } else if text.starts_with('-') {
            text.parse().ok().map(Number::Signed)
        } else {
            text.parse().ok().map(Number::Unsigned)
        };
        number.ok_or(Refused)
    }

    /// This word, of which the first letter was seen.
    pub(super) fn word(&mut self, word: &str) -> Result<(), Refused> {
        if !self.rest(self.at).starts_with(word.as_bytes()) {
            return Err(Refused);
        }
        self.at += word.len();
        Ok(())
    }
}

/// A bit for each byte at which a text stops, the first one lowest.
#[inline]
fn stops_of(chunk: &[u8; 64]) -> u64 {
    /// Brings bit 8 i, for all i below 8, to bit 56 + i.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    // All at once the compiler looks at 16 of them.
    let stops = chunk.map(|byte| u8::from(needs_escape(byte)));
    let (words, _) = stops.as_chunks::<8>();
    // Each turned to its place, and not shifted into the ones before: none waits for another.
    let gathered = |word: &[u8; 8]| u64::from_le_bytes(*word).wrapping_mul(GATHER) & 0xff << 56;
    (1..).zip(words).fold(0, |all, (place, word)| all | gathered(word).rotate_left(8 * place))
}

/// Copies bytes behind those with which `out` is filled.
fn put(bytes: &[u8], out: &mut [u8], filled: &mut usize) -> Result<(), Refused> {
    let place = out.get_mut(*filled..*filled + bytes.len()).ok_or(Refused)?;
    place.copy_from_slice(bytes);
    *filled += bytes.len();
    Ok(())
}

/// What the escape means whose backslash stands before these bytes, and how many of them it takes.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let char = match bytes.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unit(bytes),
        _ => return None,
    };
    Some((char, 1))
}

/// `u00e9`, or a surrogate pair; half of one is none.
fn unit(bytes: &[u8]) -> Option<(char, usize)> {
    let hex = |from: usize| {
        let digits = bytes.get(from..from + 4)?;
        digits.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
    };
    let first = hex(1)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    let second = hex(7).filter(|second| (0xdc00..0xe000).contains(second) && bytes.get(5..7) == Some(b"\\u"))?;
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 11))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    use serde::Deserialize;

    fn scanned(text: &str) -> Option<serde_json::Value> {
        let mut memory = ScanMemory::default();
        let mut scan = Scan::new(text, &mut memory);
        let value = serde_json::Value::deserialize(&mut scan).ok()?;
        scan.finish().ok().map(|_| value)
    }

    /// What `serde_json` takes is taken, with equal values, unless it is rare; and nothing else is.
    fn compare(text: &str) {
        match (scanned(text), serde_json::from_str::<serde_json::Value>(text)) {
            (Some(scanned), exact) => assert_eq!(Some(scanned), exact.ok(), "{text}"),
            (None, Ok(_)) => {
                // More digits than 64 bits have, or a zero with a sign.
                let digits = |text: &str| text.split(|char: char| !char.is_ascii_digit()).map(str::len).max();
                assert!(digits(text) >= Some(19) || text.contains("-0"), "{text} is refused");
            }
            (None, Err(_)) => {}
        }
    }

    /// At each place of lines that end within a word, with it, and behind it, one after the other in the same memory.
    #[test]
    fn a_text_stops_where_the_first_byte_stands_that_none_may_hold() {
        let mut memory = ScanMemory::default();
        for length in (0..=200).rev() {
            for stop in 0..=length {
                let mut line = "a".repeat(length);
                if stop < length {
                    line.replace_range(stop..=stop, "\"");
                }
                let scan = Scan::new(&line, &mut memory);
                for from in 0..=length {
                    assert_eq!(scan.stop(from), if from <= stop { stop } else { length }, "{length} {stop} {from}");
                }
            }
        }
    }

    #[test]
    fn what_is_json_is_taken_and_what_is_none_is_refused() {
        let numbers =
            ["0", "-0", "-", "01", "-01", "1.", ".5", "1e", "1e+", "+1", "1E5", "1e-400", "1e400", "0.0e+00", "1.5.5"];
        let limits = ["9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"];
        let below =
            ["-9223372036854775808", "-9223372036854775809", "-18446744073709551616", "00000000000000000000001"];
        let words = [
            "true", "tru", "truex", "false", "null", "nul", "nullnull", "NaN", "", " ", "[]", "{}", "[", "{", "]", "}",
        ];
        let lists = [
            "[1,2]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            " [ 1 ,\t2\r\n] ",
            "[1]]",
            "[[1],[]]",
            "1 2",
            "\u{a0}1",
            "1\u{0}",
        ];
        let objects = [
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\" : {} , \"b\":[]}",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{1:1}",
            "{\"a\",1}",
            "{\"a\":1]",
        ];
        let texts = [
            r#""""#,
            r#"""#,
            r#""a"#,
            r#""\"#,
            r#""\""#,
            r#""\\""#,
            r#""\n\r\t\b\f\/\"""#,
            r#""\x""#,
            r#""\u00e9""#,
            r#""\u00E9x""#,
            r#""\u00g9""#,
            r#""\u00""#,
            r#""\u+123""#,
            r#""\ud83d\ude00""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\ud83d\n""#,
            r#""\ud83dxude00""#,
            r#""\u0000""#,
            "\"\n\"",
            "\"\u{7f}\u{e9}\u{1f600}\"",
            "\"12345678\"",
            "\"1234567\u{1}\"",
            r#""0123456789abcdef\u00e90123456789abcdef\"\u20ac""#,
        ];
        for text in [&numbers[..], &limits, &below, &words, &lists, &objects, &texts].concat() {
            compare(text);
            compare(&format!("[{text}]"));
            compare(&format!("{{\"key\":{text},\"a\\\\\":{text}}}"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_nearly_is_json_is_read_as_serde_json_reads_it(
            pieces in prop::collection::vec(select(vec![
                "{", "}", "[", "]", ",", ":", " ", "\n", "\"", "\"a\"", "\"a\":", "\"\\u00e9\"", "\\", "\\u", "d83d", "\\ude00", "0", "17",
                "-", ".5", "e9", "true", "null", "long text of a log", "\u{e9}", "\u{1}",
            ]), 0..12),
        ) {
            compare(&pieces.concat());
        }

        #[test]
        fn a_line_with_a_byte_changed_is_read_as_serde_json_reads_it(at in 0usize..400, byte: u8) {
            let mut line = br#" {"id":"2dc1005f","n":[1.5,-7,10,true,null,{}, 0.25e1],"o":{"k":"a b","":"\u00e9\n\ud83d\ude00 and more"},"l":[]} "#.to_vec();
            let at = at % line.len();
            line[at] = byte;
            if let Ok(text) = std::str::from_utf8(&line) {
                compare(text);
            }
        }

        #[test]
        fn any_text_is_read_as_itself(text in ".*|[\\x00-\\x22\\\\a]{0,40}") {
            compare(&serde_json::to_string(&text).unwrap());
            compare(&format!("\"{text}\""));
        }
    }
}
