//! JSON pointers (RFC 6901), followed along a parser's tape.

use std::fmt;

use crate::input::tape::{Item, Kind};

/// A way from the whole record to one of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(Vec<Box<str>>);

impl Pointer {
    /// Reads a pointer; `None` where the text is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        text.strip_prefix('/')?.split('/').map(unescape).collect::<Option<_>>().map(Self)
    }

    /// The nodes of the value, and whatever follows it; `None` where there is no such value.
    pub(super) fn find<'t, N: Item>(&self, record: &'t [N]) -> Option<&'t [N]> {
        self.0.iter().try_fold(record, |value, token| step(value, token))
    }

    /// Whether it leads to the whole record.
    pub(super) fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The key to which it leads.
    pub(super) fn name(&self) -> &str {
        self.0.last().map_or("", |token| token)
    }
}

/// As it is written.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

/// `~1` is a slash and `~0` a tilde; a tilde before anything else is a mistake.
fn unescape(token: &str) -> Option<Box<str>> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (char, rest) =
            part.strip_prefix('0').map(|rest| ('~', rest)).or(part.strip_prefix('1').map(|rest| ('/', rest)))?;
        text.push(char);
        text.push_str(rest);
    }
    Some(text.into())
}

fn step<'t, N: Item>(value: &'t [N], token: &str) -> Option<&'t [N]> {
    let (head, mut rest) = value.split_first()?;
    match head.kind() {
        Kind::Object { len, .. } => {
            for _ in 0..len {
                let (key, member) = rest.split_first()?;
                if matches!(key.kind(), Kind::Text(key) if key == token) {
                    return Some(member);
                }
                rest = member.get(member.first()?.size()..)?;
            }
            None
        }
        Kind::Array { len, .. } => {
            // RFC 6901 allows no leading zero and no sign.
            let index = token.parse::<usize>().ok().filter(|index| *index < len && index.to_string() == token)?;
            for _ in 0..index {
                rest = rest.get(rest.first()?.size()..)?;
            }
            Some(rest)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str, pointer: &str) -> Option<String> {
        let mut bytes = json.as_bytes().to_vec();
        let tape = simd_json::to_tape(&mut bytes).unwrap();
        let pointer = Pointer::parse(pointer).unwrap();
        assert_eq!(Pointer::parse(&pointer.to_string().replace("\"\"", "")), Some(pointer.clone()));
        match pointer.find(&tape.0)?.first()?.kind() {
            Kind::Text(text) => Some(text.to_owned()),
            _ => Some("?".to_owned()),
        }
    }

    #[test]
    fn a_pointer_leads_past_nested_values_to_its_own() {
        let json = r#"{"x":{"y":[1,{"z":2}]},"a/b":"slash","m~n":"tilde","l":[[1,2],{},"third"],"":"empty"}"#;
        for (pointer, expected) in [
            ("/a~1b", Some("slash")),
            ("/m~0n", Some("tilde")),
            ("/l/2", Some("third")),
            ("/", Some("empty")),
            ("", Some("?")),
            ("/l/3", None),
            ("/l/02", None),
            ("/l/+2", None),
            ("/l/-", None),
            ("/x/y/z", None),
            ("/l/2/0", None),
        ] {
            assert_eq!(text(json, pointer).as_deref(), expected, "{pointer}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for wrong in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert_eq!(Pointer::parse(wrong), None, "{wrong}");
        }
    }
}
