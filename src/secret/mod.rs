//! What is never printed: a token or key, wiped when it is dropped.

mod file;

use std::fmt;

use zeroize::Zeroizing;

pub(crate) use file::{SecretFile, exposure};

/// No token is longer; something larger was named by mistake.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A secret: no `Debug`, error or log shows it, and its memory is wiped when the last copy goes.
///
/// ```
/// use siem_forward::Secret;
///
/// let token = Secret::new("00000000-0000-0000-0000-000000000000");
/// assert_eq!(format!("{token:?}"), "Secret(…)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// What a place of secrets holds, but for the line end after it.
    pub(crate) fn of_line(value: &[u8]) -> Result<Self, InvalidSecret> {
        if value.len() > SECRET_BYTES_MAX {
            return Err(InvalidSecret::TooLarge);
        }
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        let text = std::str::from_utf8(value).map_err(|_| InvalidSecret::NotText)?;
        if text.is_empty() {
            return Err(InvalidSecret::Empty);
        }
        if text.contains(char::is_control) {
            return Err(InvalidSecret::NotOneLine);
        }
        Ok(Self::new(text))
    }

    /// The secret itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What stands at a place of secrets is none; said behind the place's name, and without what was found there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSecret {
    #[error("is empty")]
    Empty,
    #[error("holds more than a secret: more than 64 KiB")]
    TooLarge,
    #[error("is no text in UTF-8")]
    NotText,
    #[error("holds more than one line, or a control character")]
    NotOneLine,
}
