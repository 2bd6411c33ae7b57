//! A token or key, given once or kept in a file: then what the file holds is read again for each connection.
//!
//! All senders show the one that was read last. If each kept its own, a wrong one in the file would refuse one
//! sender's events while another's go through, which looks as if the events were to blame.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{Cause, CauseKind, Verdict};
use crate::net::base64;
use crate::secret::{Secret, SecretFile, exposure};

/// How a destination wants its secret shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scheme {
    /// What the destination calls it, such as `token`.
    pub(super) noun: &'static str,
    pub(super) header: &'static str,
    /// What stands in the header before it, the space included; may be empty.
    pub(super) prefix: &'static str,
    pub(super) written: Written,
}

/// How a secret is written in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    AsItIs,
    /// As `USER:PASSWORD` is: the secret is both, or the password of [`Credential::of_user`].
    AsBase64,
}

/// Where the secret comes from, and what it is now.
pub(super) struct Credential {
    scheme: Scheme,
    /// Whose password the secret is, where it is one.
    user: Option<String>,
    file: Option<SecretFile>,
    /// Held while the file is read and its secret put in place, so that an older reading never replaces a newer one;
    /// apart from `current`, so that a file system that hangs holds up nobody who has a connection.
    reading: Mutex<()>,
    current: Mutex<Arc<Authorization>>,
}

/// A secret, as it is shown to the destination.
pub(super) struct Authorization {
    secret: Secret,
    header: Zeroizing<String>,
}

/// Why something is no credential; it is not repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InvalidCredential {
    Empty,
    /// It cannot stand in a header.
    Characters,
    /// The file holds none; says which file and why.
    File(String),
}

impl Scheme {
    /// The problem in words.
    pub(super) fn complaint(self, problem: &InvalidCredential) -> String {
        let noun = self.noun;
        match problem {
            InvalidCredential::Empty => format!("the {noun} is empty"),
            InvalidCredential::Characters if self.written == Written::AsBase64 => {
                format!("the {noun} holds a line end or another control character")
            }
            InvalidCredential::Characters => {
                format!("the {noun} holds a space, a line end or another character that no {noun} has")
            }
            InvalidCredential::File(words) => words.clone(),
        }
    }

    fn read(self, file: &SecretFile) -> Result<Secret, InvalidCredential> {
        let secret = file.read().map_err(|error| InvalidCredential::File(error.to_string()))?;
        self.bare(secret).map_err(|problem| {
            InvalidCredential::File(format!("{}: {}", file.path().display(), self.complaint(&problem)))
        })
    }

    /// The secret, if its header can hold it and it is none by mistake.
    fn bare(self, secret: Secret) -> Result<Secret, InvalidCredential> {
        if secret.expose().is_empty() {
            return Err(InvalidCredential::Empty);
        }
        let is_bare = match self.written {
            Written::AsItIs => secret.expose().bytes().all(|byte| byte.is_ascii_graphic()),
            Written::AsBase64 => !secret.expose().chars().any(char::is_control),
        };
        if is_bare { Ok(secret) } else { Err(InvalidCredential::Characters) }
    }
}

impl Credential {
    /// One that stays what it is.
    pub(super) fn fixed(scheme: Scheme, secret: Secret) -> Result<Self, InvalidCredential> {
        Ok(Self::of(scheme, None, scheme.bare(secret)?))
    }

    /// What the file holds, from now on. What cannot be read twice, such as a pipe, is read this once.
    pub(super) fn of_file(scheme: Scheme, file: SecretFile) -> Result<Self, InvalidCredential> {
        let secret = scheme.read(&file)?;
        Ok(Self::of(scheme, Some(file).filter(SecretFile::lasts), secret))
    }

    fn of(scheme: Scheme, file: Option<SecretFile>, secret: Secret) -> Self {
        let current = Mutex::new(Arc::new(Authorization::of(scheme, None, secret)));
        Self { scheme, user: None, file, reading: Mutex::new(()), current }
    }

    /// The same as this user's password.
    pub(super) fn of_user(self, user: String) -> Self {
        let secret = self.current.into_inner().secret.clone();
        let current = Mutex::new(Arc::new(Authorization::of(self.scheme, Some(&user), secret)));
        Self { user: Some(user), current, ..self }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
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
    /// Halt, when the file holds none: the events wait until it does. They are not charged with it, whatever other
    /// senders deliver meanwhile; so the cause is that no connection could be made.
    pub(super) fn read_again(&self) -> Result<Arc<Authorization>, Verdict> {
        if let Some(file) = &self.file {
            let _reading = self.reading.lock();
            let secret = self.scheme.read(file).map_err(|problem| {
                let words = format!("there is no {}: {}", self.scheme.noun, self.scheme.complaint(&problem));
                Verdict::Halt(Cause::new(CauseKind::Unreachable).words(words))
            })?;
            let mut current = self.current.lock();
            if current.secret != secret {
                *current = Arc::new(Authorization::of(self.scheme, self.user.as_deref(), secret));
            }
        }
        Ok(self.current())
    }
}

impl Authorization {
    fn of(scheme: Scheme, user: Option<&str>, secret: Secret) -> Self {
        let header = Zeroizing::new(match scheme.written {
            Written::AsItIs => format!("{}{}", scheme.prefix, secret.expose()),
            Written::AsBase64 => {
                let (user, colon) = user.map_or(("", ""), |user| (user, ":"));
                let pair = Zeroizing::new([user, colon, secret.expose()].concat());
                let encoded = Zeroizing::new(base64(pair.as_bytes()));
                format!("{}{}", scheme.prefix, encoded.as_str())
            }
        });
        Self { secret, header }
    }

    /// The header's value.
    pub(super) fn as_str(&self) -> &str {
        &self.header
    }

    /// What the destination is shown of it: the secret, or what it is written as.
    pub(super) fn shown(&self) -> &str {
        self.header.rsplit(' ').next().unwrap_or_default()
    }

    /// The secret alone, to be removed from what others say.
    pub(super) fn secret(&self) -> &str {
        self.secret.expose()
    }
}

/// Where it is, and not what it is.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => f.debug_tuple("Credential").field(file).finish(),
            None => f.write_str("Credential(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    const SCHEME: Scheme =
        Scheme { noun: "token", header: "Authorization", prefix: "Splunk ", written: Written::AsItIs };

    fn shown(token: &Credential) -> String {
        token.read_again().unwrap().as_str().to_owned()
    }

    #[test]
    fn all_show_the_token_that_was_read_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let token = Credential::of_file(SCHEME, SecretFile::new(&path)).unwrap();
        assert_eq!(token.current().as_str(), "Splunk one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(token.current().as_str(), "Splunk one", "until somebody connects");
        assert_eq!((shown(&token), token.current().secret()), ("Splunk two".to_owned(), "two"));

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
        let token = Credential::fixed(SCHEME, Secret::new("hunter2")).unwrap();
        assert_eq!((shown(&token), format!("{token:?}")), ("Splunk hunter2".to_owned(), "Credential(…)".to_owned()));
    }

    #[test]
    fn a_users_password_is_shown_with_its_user_and_may_hold_what_people_choose() {
        let scheme = Scheme { noun: "password", header: "Authorization", prefix: "Basic ", written: Written::AsBase64 };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "open sesamé\n").unwrap();
        let password = Credential::of_file(scheme, SecretFile::new(&path)).unwrap().of_user("ada".to_owned());
        assert_eq!(password.current().as_str(), "Basic YWRhOm9wZW4gc2VzYW3DqQ==");
        std::fs::write(&path, "hunter2").unwrap();
        assert_eq!((shown(&password), password.current().secret()), ("Basic YWRhOmh1bnRlcjI=".to_owned(), "hunter2"));
        assert_eq!(format!("{password:?}").matches("hunter2").count(), 0);
        let refused = Credential::fixed(scheme, Secret::new("hunter\n2")).unwrap_err();
        assert_eq!(scheme.complaint(&refused), "the password holds a line end or another control character");
    }

    /// Opening it again would wait for somebody who writes.
    #[test]
    fn a_pipe_is_read_this_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let theirs = path.clone();
        let writes = std::thread::spawn(move || std::fs::write(theirs, "hunter2\n").unwrap());
        let token = Credential::of_file(SCHEME, SecretFile::new(path)).unwrap();
        writes.join().unwrap();
        assert_eq!((shown(&token), shown(&token)), ("Splunk hunter2".to_owned(), "Splunk hunter2".to_owned()));
    }
}
