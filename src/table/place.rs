//! Where a secret is kept: an environment variable or a file, never the configuration itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// No token is longer; a larger file was named by mistake.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// The place of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// In this environment variable.
    Env(String),
    /// In this file, but for the line end after it.
    File(PathBuf),
}

/// There is no secret at its place. None of the messages shows what was found there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SecretError {
    #[error("the environment variable {name} is not set")]
    NotSet { name: String },
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{place} is empty")]
    Empty { place: String },
    #[error("{place} holds more than a secret: more than 64 KiB")]
    TooLarge { place: String },
    #[error("{place} is no text in UTF-8")]
    NotText { place: String },
    #[error("{place} holds more than one line, or a control character")]
    NotOneLine { place: String },
}

impl SecretPlace {
    /// Fetches the secret.
    pub(crate) fn read(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| SecretError::NotSet { name: name.clone() })?;
                let value = Zeroizing::new(value.into_encoded_bytes());
                check(&value, || format!("the environment variable {name}"))
            }
            Self::File(path) => {
                let unreadable = |source| SecretError::Unreadable { path: path.clone(), source };
                let file = File::open(path).map_err(unreadable)?;
                // As large as it may become: a buffer that grows leaves copies behind that nobody wipes.
                let mut value = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 2));
                file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut value).map_err(unreadable)?;
                check(&value, || path.display().to_string())
            }
        }
    }
}

fn check(value: &[u8], place: impl Fn() -> String) -> Result<Secret, SecretError> {
    if value.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge { place: place() });
    }
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let text = std::str::from_utf8(value).map_err(|_| SecretError::NotText { place: place() })?;
    if text.is_empty() {
        return Err(SecretError::Empty { place: place() });
    }
    if text.contains(char::is_control) {
        return Err(SecretError::NotOneLine { place: place() });
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_file(content: &[u8]) -> Result<Secret, SecretError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        SecretPlace::File(path).read()
    }

    #[test]
    fn one_line_end_after_a_secret_is_not_part_of_it() {
        assert_eq!(read_file(b"t0ken").unwrap(), Secret::new("t0ken"));
        assert_eq!(read_file(b"t0ken\n").unwrap(), Secret::new("t0ken"));
        assert_eq!(read_file(b"t0ken\r\n").unwrap(), Secret::new("t0ken"));
    }

    #[test]
    fn no_error_shows_what_the_place_holds() {
        for content in [&b"hush\nhush"[..], b"hush\xff", b"hush\0", &b"hush".repeat(20_000), b"hush\n\n"] {
            let error = read_file(content).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
        assert!(matches!(read_file(b""), Err(SecretError::Empty { .. })));
        assert!(matches!(read_file(b"\n"), Err(SecretError::Empty { .. })));
    }

    #[test]
    fn a_missing_place_is_named() {
        let error = SecretPlace::Env("SIEM_FORWARD_NEVER_SET".to_owned()).read().unwrap_err();
        assert_eq!(error.to_string(), "the environment variable SIEM_FORWARD_NEVER_SET is not set");
        let error = SecretPlace::File("/nonexistent/token".into()).read().unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nonexistent/token: "), "{error}");
        // Every test run of cargo has this one.
        assert!(SecretPlace::Env("CARGO_MANIFEST_DIR".to_owned()).read().is_ok());
    }
}
