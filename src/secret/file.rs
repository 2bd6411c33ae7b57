//! A file that holds one secret, read each time that it is asked for: who rotates a secret replaces the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{InvalidSecret, SECRET_BYTES_MAX, Secret};

/// A file with one secret in it, and perhaps a line end after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretFile(PathBuf);

/// A file that holds no secret. It is named, and what it holds is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} {source}", path.display())]
    Invalid { path: PathBuf, source: InvalidSecret },
}

impl SecretFile {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What it holds now.
    pub(crate) fn read(&self) -> Result<Secret, SecretFileError> {
        let unreadable = |source| SecretFileError::Unreadable { path: self.0.clone(), source };
        let file = File::open(&self.0).map_err(unreadable)?;
        // As large as it may become: a buffer that grows leaves copies behind that nobody wipes.
        let mut value = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 2));
        file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut value).map_err(unreadable)?;
        Secret::of_line(&value).map_err(|source| SecretFileError::Invalid { path: self.0.clone(), source })
    }

    /// Whether it can be read again: a pipe gives what it holds but once, and then blocks.
    pub(crate) fn lasts(&self) -> bool {
        std::fs::metadata(&self.0).is_ok_and(|metadata| metadata.is_file())
    }
}

/// What is to be said of a file with a secret that everybody on this machine can read.
pub(crate) fn exposure(path: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let mode = metadata.permissions().mode() & 0o777;
        (mode & 0o004 != 0).then(|| {
            let path = path.display();
            format!(
                "{path} holds a secret and can be read by everybody on this machine (mode {mode:03o}): chmod 600 {path}"
            )
        })
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_file(content: &[u8]) -> Result<Secret, SecretFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        SecretFile::new(path).read()
    }

    #[test]
    fn one_line_end_after_a_secret_is_not_part_of_it() {
        assert_eq!(read_file(b"t0ken").unwrap(), Secret::new("t0ken"));
        assert_eq!(read_file(b"t0ken\n").unwrap(), Secret::new("t0ken"));
        assert_eq!(read_file(b"t0ken\r\n").unwrap(), Secret::new("t0ken"));
    }

    #[test]
    fn no_error_shows_what_the_file_holds() {
        for content in [&b"hush\nhush"[..], b"hush\xff", b"hush\0", &b"hush".repeat(20_000), b"hush\n\n"] {
            let error = read_file(content).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
        for empty in [&b""[..], b"\n", b"\r\n"] {
            assert!(read_file(empty).unwrap_err().to_string().ends_with("/token is empty"));
        }
    }

    #[test]
    fn a_file_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = SecretFile::new(folder.path().join("token"));
        assert!(file.read().unwrap_err().to_string().starts_with("cannot read /") && !file.lasts());
        for secret in ["one", "another"] {
            std::fs::write(file.path(), secret).unwrap();
            assert_eq!(file.read().unwrap(), Secret::new(secret));
        }
        assert!(file.lasts());
        assert!(!SecretFile::new("/dev/null").lasts());
    }
}
