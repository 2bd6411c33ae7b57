//! JSON pointers (RFC 6901).

use std::fmt;

/// A way from the whole record to one of its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pointer {
    tokens: Vec<Box<str>>,
    slot: usize,
}

impl Pointer {
    /// Reads a pointer; `None` where the text is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let tokens = text.strip_prefix('/')?.split('/').map(unescape).collect::<Option<_>>()?;
        Some(Self { tokens, slot: 0 })
    }

    pub(super) fn tokens(&self) -> &[Box<str>] {
        &self.tokens
    }

    /// Its number among all places of its map.
    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    pub(super) fn set_slot(&mut self, slot: usize) {
        self.slot = slot;
    }

    /// Whether it leads to the whole record.
    pub(super) fn is_whole(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The key to which it leads.
    pub(super) fn name(&self) -> &str {
        self.tokens.last().map_or("", |token| token)
    }
}

/// As it is written.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tokens.is_empty() {
            return f.write_str("\"\"");
        }
        self.tokens.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_shown_as_it_was_written() {
        for text in ["", "/", "/a~1b", "/m~0n/0", "/a//b"] {
            let pointer = Pointer::parse(text).unwrap();
            assert_eq!(Pointer::parse(&pointer.to_string().replace("\"\"", "")), Some(pointer), "{text}");
        }
        assert_eq!(Pointer::parse("/a~1b/0").unwrap().to_string(), "/a~1b/0");
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for wrong in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert_eq!(Pointer::parse(wrong), None, "{wrong}");
        }
    }
}
