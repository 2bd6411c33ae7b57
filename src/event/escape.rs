//! JSON text: escaping, sixteen bytes at a time.
//!
//! Nearly all audit text needs no escape, so the scan decides the cost. It looks at 16 bytes with the vector instructions that
//! every CPU of the platform has, at what is shorter in one 64-bit word (the "has zero byte" and "has less" tests from Sean
//! Anderson's "Bit Twiddling Hacks"), and copies clean stretches whole.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// Blanks in the upper half of a word.
const BLANKS: u64 = 0x2020_2020 << 32;

/// Writes UTF-8 `text` as a JSON string with its quotes.
#[inline]
pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Writes a part of a JSON string: without quotes.
#[inline]
pub(crate) fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    if is_clean(text) { out.extend_from_slice(text) } else { write_unclean(text, out) }
}

/// The same, of a text of which it may be known that it `is_plain`: that none of it needs an escape.
#[inline]
pub(crate) fn write_known(text: &[u8], is_plain: bool, out: &mut Vec<u8>) {
    debug_assert!(!is_plain || is_clean(text));
    if is_plain { out.extend_from_slice(text) } else { write_escaped(text, out) }
}

#[cold]
fn write_unclean(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let clean = clean_length(rest);
        let (before, after) = rest.split_at(clean);
        out.extend_from_slice(before);
        let Some((byte, next)) = after.split_first() else { return };
        write_escape(*byte, out);
        rest = next;
    }
}

/// Whether no byte needs an escape. The last chunk begins among bytes that were looked at already, which is less than to look at
/// single ones.
#[inline]
fn is_clean(text: &[u8]) -> bool {
    if let Some(last) = text.last_chunk::<16>() {
        let (chunks, _) = text.as_chunks::<16>();
        return is_clean_chunk(last) && chunks.iter().all(is_clean_chunk);
    }
    let is_clean_word = |word: &[u8; 8]| suspicious(u64::from_le_bytes(*word)) == 0;
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => is_clean_word(first) && is_clean_word(last),
        _ => suspicious(short_word(text)) == 0,
    }
}

/// All of less than 8 bytes in one word, some of them twice, or with blanks: without a loop, whose end a processor cannot foresee.
#[inline]
fn short_word(text: &[u8]) -> u64 {
    let word = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (text.first_chunk::<4>(), text.last_chunk::<4>(), text) {
        (Some(first), Some(last), _) => word(first) | word(last) << 32,
        (_, _, [first, .., last]) => {
            let middle = text.get(1).copied().unwrap_or(b' ');
            word(&[*first, middle, *last, b' ']) | BLANKS
        }
        (_, _, [only]) => word(&[*only, b' ', b' ', b' ']) | BLANKS,
        _ => BLANKS | BLANKS >> 32,
    }
}

/// All at once, without a branch a byte.
#[inline]
fn is_clean_chunk(chunk: &[u8; 16]) -> bool {
    chunk.iter().fold(0, |found, byte| found | u8::from(needs_escape(*byte))) == 0
}

/// How many bytes from the start need no escape.
fn clean_length(text: &[u8]) -> usize {
    let mut clean = 0;
    let (words, _) = text.as_chunks::<8>();
    for word in words {
        let found = suspicious(u64::from_le_bytes(*word));
        if found != 0 {
            return clean + found.trailing_zeros() as usize / 8;
        }
        clean += 8;
    }
    let tail = text.get(clean..).unwrap_or_default();
    clean + tail.iter().position(|byte| needs_escape(*byte)).unwrap_or(tail.len())
}

/// The high bit of each byte that needs an escape. The lowest one set is exact, which is the only one used: borrows
/// run upwards.
#[inline]
fn suspicious(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let equal = |difference: u64| difference.wrapping_sub(ONES) & !difference;
    (control | equal(quote) | equal(backslash)) & HIGHS
}

/// Whether no JSON text holds this byte as it is: a quote, a backslash, a control character.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a branch would keep the compiler from looking at many bytes at once")]
fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cold]
fn write_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes a float with the digits that read back as the same value; what is not finite becomes `null`.
pub(crate) fn write_float(value: f64, out: &mut Vec<u8>) {
    // A Vec takes every byte, and a float always serializes: there is no error to lose here.
    let written = serde_json::to_writer(out, &value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_is_valid_json_and_the_same_text() {
        for hostile in
            ["\0", "a\nb\r\n\t", "\"quoted\"", "\\", "\u{2028}\u{2029}", "\u{7f}", "🦀 né", "\u{1f}1234567\""]
        {
            let mut out = Vec::new();
            write_text(hostile.as_bytes(), &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), hostile);
        }
    }

    #[test]
    fn what_needs_an_escape_is_found_wherever_it_stands() {
        for length in 0..40 {
            let clean = vec![b'a'; length];
            assert!(is_clean(&clean), "{length}");
            for (at, byte) in (0..length).flat_map(|at| b"\0\x1f\"\\".map(|byte| (at, byte))) {
                let mut text = clean.clone();
                text[at] = byte;
                assert!(!is_clean(&text), "{byte} at {at} of {length}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_itself(text in ".*|[\\x00-\\x22\\\\a]{0,40}") {
            let mut out = Vec::new();
            write_text(text.as_bytes(), &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn floats_keep_their_value(value: f64) {
            let mut out = Vec::new();
            write_float(value, &mut out);
            if value.is_finite() {
                // The very same value, also the sign of a zero.
                let back = std::str::from_utf8(&out).unwrap().parse::<f64>().unwrap();
                prop_assert_eq!(back.to_bits(), value.to_bits());
            } else {
                prop_assert_eq!(out, b"null");
            }
        }
    }
}
