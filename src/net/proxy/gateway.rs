//! One proxy: where it is, who we are there, and the tunnel through it.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::net::dial::Place;
use crate::net::{BaseUrl, HttpError, HttpErrorKind, InvalidUrl};
use crate::secret::Secret;

/// A proxy's answer is its first line and a few headers.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::net) struct Gateway {
    url: BaseUrl,
    /// The header's value for a user and a password.
    authorization: Option<Secret>,
}

impl Gateway {
    pub(in crate::net) fn place(&self) -> Place<'_> {
        self.url.place()
    }

    /// The value of `Proxy-Authorization`, where there is one.
    pub(in crate::net) fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(Secret::expose)
    }

    /// An error on the way to the proxy: it must not look like one of the destination.
    pub(in crate::net) fn blamed(&self, error: &HttpError) -> HttpError {
        HttpError::new(error.kind(), format!("the proxy {self}: {}", error.words()))
    }

    /// What it means that the proxy itself answers with this status.
    pub(in crate::net) fn refusal(&self, status: u16) -> HttpError {
        let advice = match status {
            407 if self.authorization.is_some() => "it refuses our user and password: check them",
            407 => "it demands a user and a password: put them into its URL, http://user:password@host:port",
            403 | 405 => "it does not let us through: have this host and port allowed there",
            502..=504 => "it does not reach the destination: check the URL, and the way from the proxy",
            _ => "check that this is an HTTP proxy",
        };
        HttpError::new(HttpErrorKind::Unreachable, format!("the proxy {self} answers http {status}: {advice}"))
    }

    /// Asks for a tunnel to `to` over a connection to the proxy.
    pub(in crate::net) fn tunnel(
        &self,
        mut stream: &TcpStream,
        to: Place<'_>,
        deadline: Instant,
    ) -> Result<(), HttpError> {
        let failed = |error: std::io::Error| self.blamed(&HttpError::of_connect(&error));
        let host = if to.host.contains(':') { format!("[{}]", to.host) } else { to.host.to_owned() };
        let target = format!("{host}:{}", to.port);
        let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = self.authorization() {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.set_write_timeout(Some(left(deadline))).map_err(failed)?;
        stream.write_all(request.as_bytes()).map_err(failed)?;

        // Byte by byte: what follows the answer's head belongs to the tunnel.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            stream.set_read_timeout(Some(left(deadline))).map_err(failed)?;
            let mut byte = [0];
            let read = stream.read(&mut byte).map_err(failed)?;
            if read == 0 || answer.len() == ANSWER_BYTES_MAX {
                return Err(self.blamed(&HttpError::new(HttpErrorKind::Unreachable, "its answer is no HTTP")));
            }
            if left(deadline) <= NEXT_TO_NOTHING {
                return Err(self.blamed(&HttpError::new(HttpErrorKind::Unreachable, "no answer in time")));
            }
            answer.extend_from_slice(&byte);
        }
        // What is set here is not known to whoever takes the connection over.
        stream.set_read_timeout(None).and_then(|()| stream.set_write_timeout(None)).map_err(failed)?;
        let status = answer.split(|byte| *byte == b' ').nth(1).and_then(|status| std::str::from_utf8(status).ok());
        match status.and_then(|status| status.get(..3)?.parse().ok()) {
            Some(200..=299) if answer.starts_with(b"HTTP/1.") => Ok(()),
            Some(status) if answer.starts_with(b"HTTP/1.") => Err(self.refusal(status)),
            _ => Err(self.blamed(&HttpError::new(HttpErrorKind::Unreachable, "its answer is no HTTP"))),
        }
    }
}

/// A timeout of zero is none.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(1);

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(NEXT_TO_NOTHING)
}

impl FromStr for Gateway {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidProxy::Scheme)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(InvalidProxy::Scheme);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let url: BaseUrl = format!("http://{place}/{path}").parse().map_err(InvalidProxy::Url)?;
        if !url.prefix().is_empty() {
            return Err(InvalidProxy::Path);
        }
        let authorization = user.map(basic).transpose()?;
        Ok(Self { url, authorization })
    }
}

/// The header's value for `user:password`, percent-encoded as it stands in a URL.
fn basic(user: &str) -> Result<Secret, InvalidProxy> {
    let plain = Zeroizing::new(percent_decoded(user).ok_or(InvalidProxy::User)?);
    if !plain.contains(&b':') || plain.iter().any(u8::is_ascii_control) {
        return Err(InvalidProxy::User);
    }
    Ok(Secret::new(format!("Basic {}", base64(&plain))))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    // As large as it may become: a buffer that grows leaves copies behind that nobody wipes.
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = LETTERS.get(group >> (18 - 6 * at) & 63).copied().unwrap_or(b'=');
            encoded.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    encoded
}

/// Where it is; not who we are there.
impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gateway({self})")
    }
}

/// The text is no proxy. It is not repeated, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// No scheme, or another than http.
    #[error("a proxy begins with http:// (or is \"none\" or \"env\"): no other kind is spoken to")]
    Scheme,
    /// A user without a password, or characters that cannot stand there.
    #[error("the proxy's user and password must be user:password, what is not a letter or digit as %XX")]
    User,
    /// A path.
    #[error("a proxy has no path: it is http://host:port")]
    Path,
    /// Host or port are none.
    #[error("of the proxy: {0}")]
    Url(InvalidUrl),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_a_password_become_a_header_and_nothing_else() {
        let gateway: Gateway = "http://Aladdin:open%20sesame@proxy.example:3128/".parse().unwrap();
        // The example of RFC 7617.
        assert_eq!(gateway.authorization(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(format!("{gateway} {gateway:?}"), "http://proxy.example:3128 Gateway(http://proxy.example:3128)");
        assert_eq!((gateway.place().host, gateway.place().port), ("proxy.example", 3128));
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for (text, error) in [
            ("proxy.example:3128", InvalidProxy::Scheme),
            ("https://me:hunter2@proxy.example:3128", InvalidProxy::Scheme),
            ("socks5://me:hunter2@proxy.example:3128", InvalidProxy::Scheme),
            ("http://hunter2@proxy.example", InvalidProxy::User),
            ("http://me:hunter2%0a@proxy.example", InvalidProxy::User),
            ("http://me:hunter2%zz@proxy.example", InvalidProxy::User),
            ("http://proxy.example/hunter2", InvalidProxy::Path),
            ("http://me:hunter2@proxy.example:0", InvalidProxy::Url(InvalidUrl::Port)),
        ] {
            let found = text.parse::<Gateway>().unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!format!("{found} {found:?}").contains("hunter2"));
        }
    }
}
