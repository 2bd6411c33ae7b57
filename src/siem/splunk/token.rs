//! The token, given once or kept in a file: then what the file holds is read again for each connection.
//!
//! All senders show the token that was read last. If each kept its own, a wrong one in the file would refuse one
//! sender's events while another's go through, which looks as if the events were to blame.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{SplunkError, bare};
use crate::secret::{Secret, SecretFile, exposure};
use crate::siem::{Cause, CauseKind, Verdict};

/// Where the token comes from, and what it is now.
pub(super) struct Token {
    file: Option<SecretFile>,
    /// Held while the file is read and its token put in place, so that an older reading never replaces a newer one;
    /// apart from `current`, so that a file system that hangs holds up nobody who has a connection.
    reading: Mutex<()>,
    current: Mutex<Arc<Authorization>>,
}

/// A token, as it is shown to Splunk.
pub(super) struct Authorization {
    token: Secret,
    header: Zeroizing<String>,
}

impl Token {
    /// A token that stays what it is.
    pub(super) fn fixed(token: Secret) -> Result<Self, SplunkError> {
        Ok(Self::of(None, bare(token)?))
    }

    /// What the file holds, from now on. What cannot be read twice, such as a pipe, is read this once.
    pub(super) fn of_file(file: SecretFile) -> Result<Self, SplunkError> {
        let token = read(&file)?;
        Ok(Self::of(Some(file).filter(SecretFile::lasts), token))
    }

    fn of(file: Option<SecretFile>, token: Secret) -> Self {
        Self { file, reading: Mutex::new(()), current: Mutex::new(Arc::new(Authorization::of(token))) }
    }

    /// What is to be told of its file once at start.
    pub(super) fn doubt(&self) -> Option<String> {
        exposure(self.file.as_ref()?.path())
    }

    /// The one that was read last.
    pub(super) fn current(&self) -> Arc<Authorization> {
        Arc::clone(&self.current.lock())
    }

    /// For a new connection: reads the file again, where there is one.
    ///
    /// # Errors
    /// Halt, when the file holds no token: the events wait until it does. They are not charged with it, whatever other
    /// senders deliver meanwhile; so the cause is that no connection could be made.
    pub(super) fn read_again(&self) -> Result<Arc<Authorization>, Verdict> {
        if let Some(file) = &self.file {
            let _reading = self.reading.lock();
            let token = read(file).map_err(|error| {
                Verdict::Halt(Cause::new(CauseKind::Unreachable).words(format!("there is no token: {error}")))
            })?;
            let mut current = self.current.lock();
            if current.token != token {
                *current = Arc::new(Authorization::of(token));
            }
        }
        Ok(self.current())
    }
}

fn read(file: &SecretFile) -> Result<Secret, SplunkError> {
    let token = file.read().map_err(|error| SplunkError::TokenFile(error.to_string()))?;
    bare(token).map_err(|error| SplunkError::TokenFile(format!("{}: {error}", file.path().display())))
}

impl Authorization {
    fn of(token: Secret) -> Self {
        let header = Zeroizing::new(format!("Splunk {}", token.expose()));
        Self { token, header }
    }

    /// The header's value.
    pub(super) fn as_str(&self) -> &str {
        &self.header
    }

    /// The token alone, to be removed from what others say.
    pub(super) fn token(&self) -> &str {
        self.token.expose()
    }
}

/// Where it is, and not what it is.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => f.debug_tuple("Token").field(file).finish(),
            None => f.write_str("Token(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn shown(token: &Token) -> String {
        token.read_again().unwrap().as_str().to_owned()
    }

    #[test]
    fn all_show_the_token_that_was_read_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let token = Token::of_file(SecretFile::new(&path)).unwrap();
        assert_eq!(token.current().as_str(), "Splunk one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(token.current().as_str(), "Splunk one", "until somebody connects");
        assert_eq!((shown(&token), token.current().token()), ("Splunk two".to_owned(), "two"));

        std::fs::write(&path, "hunter 2").unwrap();
        let Err(Verdict::Halt(cause)) = token.read_again() else { panic!("it is no token") };
        let words = cause.as_words().unwrap();
        assert!(
            words.starts_with(&format!("there is no token: {}: the token holds a space", path.display())),
            "{words}"
        );
        assert!(cause.is_the_endpoints() && !words.contains("hunter"));
        assert_eq!(token.current().as_str(), "Splunk two", "who is connected goes on");
        std::fs::write(&path, "three").unwrap();
        assert_eq!(shown(&token), "Splunk three");
    }

    #[test]
    fn a_token_that_was_given_stays() {
        let token = Token::fixed(Secret::new("hunter2")).unwrap();
        assert_eq!((shown(&token), format!("{token:?}")), ("Splunk hunter2".to_owned(), "Token(…)".to_owned()));
    }

    /// Opening it again would wait for somebody who writes.
    #[test]
    fn a_pipe_is_read_this_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let theirs = path.clone();
        let writes = std::thread::spawn(move || std::fs::write(theirs, "hunter2\n").unwrap());
        let token = Token::of_file(SecretFile::new(path)).unwrap();
        writes.join().unwrap();
        assert_eq!((shown(&token), shown(&token)), ("Splunk hunter2".to_owned(), "Splunk hunter2".to_owned()));
    }
}
