//! A value as compact JSON. Only of records that were checked: keys and depth are not looked at again.

use crate::event::{write_float, write_text};
use crate::input::tape::{Item, Kind};

/// Appends the value with which these nodes begin; answers how many nodes it has.
pub(super) fn write_value<N: Item>(nodes: &[N], out: &mut Vec<u8>) -> usize {
    match nodes.first().map(Item::kind) {
        None | Some(Kind::Null) => out.extend_from_slice(b"null"),
        Some(Kind::Text(text)) => write_text(text.as_bytes(), out),
        Some(Kind::Bool(value)) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Some(Kind::Signed(value)) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Some(Kind::Unsigned(value)) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Some(Kind::Float(value)) => write_float(value, out),
        Some(Kind::Written(text)) => out.extend_from_slice(text.as_bytes()),
        Some(Kind::Array { len, .. }) => return write_members(nodes, len, None, out),
        Some(Kind::Object { len, .. }) => return write_members(nodes, len, Some(b':'), out),
    }
    1
}

/// With keys before a colon, or without.
fn write_members<N: Item>(nodes: &[N], len: usize, colon: Option<u8>, out: &mut Vec<u8>) -> usize {
    out.push(if colon.is_some() { b'{' } else { b'[' });
    let mut next = 1;
    for index in 0..len {
        if index > 0 {
            out.push(b',');
        }
        if let Some(colon) = colon {
            next += write_value(nodes.get(next..).unwrap_or_default(), out);
            out.push(colon);
        }
        next += write_value(nodes.get(next..).unwrap_or_default(), out);
    }
    out.push(if colon.is_some() { b'}' } else { b']' });
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::exact::exact_tape;

    #[test]
    fn a_value_is_written_without_blanks_and_as_it_was() {
        let text = "{ \"a\" : [1, -5, 1e400, 18446744073709551615, {}, [], null, true], \"\\u00e9\\n\" : {\"x\":\"\\u0001\"} }";
        let expected = "{\"a\":[1,-5,1e400,18446744073709551615,{},[],null,true],\"é\\n\":{\"x\":\"\\u0001\"}}";
        let tape = exact_tape(text).unwrap();
        let mut out = Vec::new();
        assert_eq!(write_value(&tape, &mut out), tape.len());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut bytes = text.replace("1e400", "7.25").into_bytes();
        let tape = simd_json::to_tape(&mut bytes).unwrap();
        let mut out = Vec::new();
        write_value(&tape.0, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected.replace("1e400", "7.25"));
    }
}
