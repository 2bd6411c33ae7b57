//! What is nested, as the line has it: its bytes stand there already, and need not be written anew.

use memchr::{memchr_iter, memchr3};

/// The line that a record was parsed from, and where the parser's copy of it begins, into which the texts of its tape
/// point.
#[derive(Debug, Clone, Copy)]
pub(in crate::input) struct Original<'l> {
    line: &'l [u8],
    copy: usize,
}

impl<'l> Original<'l> {
    pub(in crate::input) fn new(line: &'l [u8], copy: &[u8]) -> Self {
        Self { line, copy: copy.as_ptr().addr() }
    }

    /// The object or array under this key, before the key that comes next, or before the end of the whole record.
    ///
    /// `None` where that cannot be told, as where a key is escaped, or where it would not be compact.
    pub(super) fn nested(&self, key: &str, next: Option<&str>) -> Option<&'l [u8]> {
        let start = self.key(key)? + key.len() + 1;
        let end = match next {
            Some(next) => {
                let before = self.line.get(start..self.key(next)? - 1)?;
                before.trim_ascii_end().strip_suffix(b",")?
            }
            None => self.line.get(start..)?.trim_ascii_end().strip_suffix(b"}")?,
        };
        let value = end.trim_ascii().strip_prefix(b":")?.trim_ascii_start();
        let is_nested = matches!((value.first(), value.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
        (is_nested && is_compact(value)).then_some(value)
    }

    /// Where in the line the text of a key begins, behind its quote.
    fn key(&self, key: &str) -> Option<usize> {
        let start = key.as_ptr().addr().checked_sub(self.copy)?;
        let (before, text) = self.line.split_at_checked(start)?;
        // The same bytes, up to the closing quote: no escape was undone.
        let is_it = before.last() == Some(&b'"') && text.strip_prefix(key.as_bytes())?.first() == Some(&b'"');
        is_it.then_some(start)
    }
}

/// Whether there is no white space between the tokens of this JSON. It may say no for a text that looks like it.
fn is_compact(json: &[u8]) -> bool {
    let byte = |at: usize| json.get(at).copied().unwrap_or_default();
    // In a text they would be escaped.
    memchr3(b'\n', b'\r', b'\t', json).is_none()
        && memchr_iter(b' ', json).all(|at| {
            let before = (byte(at.wrapping_sub(2)), byte(at.wrapping_sub(1)));
            let is_behind = match before.1 {
                b'{' | b'[' => true,
                b':' => before.0 == b'"',
                // The ends of all values.
                b',' => matches!(before.0, b'"' | b'0'..=b'9' | b'}' | b']' | b'e' | b'l'),
                _ => false,
            };
            !is_behind && !matches!(byte(at + 1), b':' | b',' | b'}' | b']')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::tape::{Item, Kind};
    use proptest::prelude::*;

    /// What is told of each member of a record.
    fn nested(line: &str) -> Vec<Option<String>> {
        let mut copy = line.as_bytes().to_vec();
        let address = copy.as_ptr().addr();
        let tape = simd_json::to_tape(&mut copy).unwrap().0;
        let original = Original { line: line.as_bytes(), copy: address };
        let mut keys = Vec::new();
        let mut next = 1;
        while let Some(Kind::Text(key)) = tape.get(next).map(Item::kind) {
            keys.push(key);
            next += 1 + tape.get(next + 1).map_or(1, Item::size);
        }
        let after = keys.iter().skip(1).map(|key| Some(*key)).chain([None]);
        let told = keys.iter().zip(after).map(|(key, next)| original.nested(key, next));
        told.map(|value| value.map(|value| String::from_utf8(value.to_vec()).unwrap())).collect()
    }

    #[test]
    fn what_is_nested_is_told_as_it_stands_there() {
        let line = r#" { "a" : {"x":[1,"RBAC: b, \"c\" "]} , "t":"}" ,"b":["}{",1.50,{}],"n":7,"c":{"\u0061":"\/"} } "#;
        let told = nested(line);
        let told: Vec<Option<&str>> = told.iter().map(Option::as_deref).collect();
        let (a, b, c) = (r#"{"x":[1,"RBAC: b, \"c\" "]}"#, r#"["}{",1.50,{}]"#, r#"{"\u0061":"\/"}"#);
        assert_eq!(told, [Some(a), None, Some(b), None, Some(c)]);
    }

    #[test]
    fn nothing_is_told_beside_an_escaped_key_or_of_what_is_not_compact() {
        for key in [r"\u0061", r"\\", r"a\\", r#"\""#, r"\\\\"] {
            assert_eq!(nested(&format!(r#"{{"b":[],"{key}":[1],"c":[2]}}"#)), [None, None, Some("[2]".to_owned())]);
        }
        for value in ["{ }", "[1 ]", "[1, 2]", "[1 ,2]", r#"{"a" :1}"#, r#"{"a":  1}"#, r#"{"a"  :1}"#, "[\t]", "[\n]"]
        {
            assert_eq!(nested(&format!(r#"{{"b":{value},"c":[]}}"#)), [None, Some("[]".to_owned())], "{value}");
        }
    }

    /// JSON with white space anywhere.
    fn loose() -> impl Strategy<Value = String> {
        let blank = "[ \t\n]{0,2}";
        let leaf = prop_oneof![
            Just("true".to_owned()),
            Just("null".to_owned()),
            Just("-1.5e3".to_owned()),
            Just("\"e, : } \\\" \"".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, move |value| {
            let padded = (blank, value, blank).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
            prop_oneof![
                prop::collection::vec(padded.clone(), 0..4).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec((blank, padded), 0..4).prop_map(|all| {
                    let all: Vec<String> = all
                        .into_iter()
                        .enumerate()
                        .map(|(at, (blank, value))| format!("{blank}\"k{at}\"{blank}:{value}"))
                        .collect();
                    format!("{{{}}}", all.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_told_has_the_value_and_no_white_space(values in prop::collection::vec(loose(), 1..4)) {
            let members: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("\"m{at}\":{value}")).collect();
            for (told, value) in nested(&format!("{{{}}}", members.join(","))).iter().zip(&values) {
                let Some(told) = told else { continue };
                let read: serde_json::Value = serde_json::from_str(told).unwrap();
                prop_assert_eq!(&read, &serde_json::from_str::<serde_json::Value>(value).unwrap());
                let kept = told.replace("\"e, : } \\\" \"", "\"\"");
                prop_assert!(!kept.contains([' ', '\t', '\n']), "{}", told);
            }
        }
    }
}
