//! Where in a document its records are.

use std::fmt;

/// The JSON pointer (RFC 6901) of an array: `/Records`, or the empty one where the document itself is the array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsPointer {
    text: String,
    tokens: Vec<String>,
}

impl RecordsPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// When it does not begin with a slash, or holds a tilde that is not followed by 0 or 1.
    pub fn new(text: &str) -> Result<Self, InvalidRecordsPointer> {
        let mut tokens = Vec::new();
        if !text.is_empty() {
            let rest = text.strip_prefix('/').ok_or(InvalidRecordsPointer)?;
            for token in rest.split('/') {
                let mut unescaped = token.replace("~1", "/");
                if token.replace("~1", "").replace("~0", "").contains('~') {
                    return Err(InvalidRecordsPointer);
                }
                unescaped = unescaped.replace("~0", "~");
                tokens.push(unescaped);
            }
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    pub(super) fn token(&self, depth: usize) -> Option<&String> {
        self.tokens.get(depth)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}

/// The pointer as it was written.
impl fmt::Display for RecordsPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A text that is no JSON pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no JSON pointer: it is empty or begins with /, and ~ is written ~0, a / within a key ~1")]
pub struct InvalidRecordsPointer;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_the_rfc_has_it() {
        let tokens = |text: &str| RecordsPointer::new(text).map(|pointer| pointer.tokens);
        assert_eq!(tokens(""), Ok(vec![]));
        assert_eq!(tokens("/"), Ok(vec![String::new()]));
        assert_eq!(tokens("/a~1b/~01/0"), Ok(vec!["a/b".to_owned(), "~1".to_owned(), "0".to_owned()]));
        for wrong in ["Records", "/~", "/~2", "/a~"] {
            assert_eq!(tokens(wrong), Err(InvalidRecordsPointer), "{wrong}");
        }
    }
}
