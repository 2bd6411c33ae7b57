//! A value as compact JSON. Only of records that were checked: keys and depth are not looked at again.

use memchr::{memchr_iter, memchr3};

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

/// Whether there is no white space between the tokens of this JSON. It may say no because of a text that looks like it.
pub(super) fn is_compact(json: &[u8]) -> bool {
    // Within a text they would be escaped.
    memchr3(b'\n', b'\r', b'\t', json).is_none() && memchr_iter(b' ', json).all(|at| !is_between(json, at))
}

/// Whether the blank there is one between two tokens, as far as what is next to it tells.
fn is_between(json: &[u8], at: usize) -> bool {
    let (before, after) = json.split_at_checked(at).unwrap_or_default();
    if matches!(after.get(1), Some(b':' | b',' | b'}' | b']')) {
        return true;
    }
    match before.split_last() {
        None | Some((b'{' | b'[', _)) => true,
        Some((b':', before)) => before.ends_with(b"\""),
        Some((b',', before)) => match before.last() {
            Some(b'"' | b'0'..=b'9' | b'}' | b']') => true,
            Some(b'e' | b'l') => [&b"true"[..], b"false", b"null"].iter().any(|word| before.ends_with(word)),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\"RBAC: a, \\\"b\\\" 1: {c : ]\"";

    /// JSON with white space anywhere.
    fn loose() -> impl Strategy<Value = String> {
        let blank = "[ \t\n]{0,2}|";
        let leaf =
            prop::sample::select(vec!["true", "false", "null", "-1.5e3", "\"\"", "\"a b\""]).prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 4, move |value| {
            let padded = (blank, value, blank).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
            let member = (blank, padded.clone()).prop_map(|(blank, value)| format!("\"k\"{blank}:{value}"));
            prop_oneof![
                prop::collection::vec(padded, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_compact_has_white_space_within_texts_alone(json in loose()) {
            prop_assert_eq!(is_compact(json.as_bytes()), !json.replace("a b", "").contains([' ', '\t', '\n']), "{}", json);
        }
    }

    #[test]
    fn a_text_with_blanks_is_compact() {
        let json = format!(
            "{{\"a b\":[{{}},1,null,true,\"role, null or table, x\"],\"RBAC: c\":{}}}",
            TEXT.replace(" : ]", "")
        );
        assert!(is_compact(json.as_bytes()), "{json}");
        assert!(!is_compact(TEXT.as_bytes()), "which looks like it");
    }
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
