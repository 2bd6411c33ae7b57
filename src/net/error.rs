//! Why a request has no answer: a small set of kinds, told apart by what the destination may have seen.

use std::fmt;
use std::io;

use ureq::Timeout;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// Nobody listens there; nothing was sent.
    Refused,
    /// No connection came about, for another reason or in time; nothing was sent.
    Unreachable,
    /// The connection ended before the answer: the request may have been taken.
    Reset,
    /// No answer in time: the request may have been taken.
    Timeout,
    /// The host's name did not resolve; nothing was sent.
    Dns,
    /// No secure connection came about; nothing was sent.
    Tls,
    /// The answer is no HTTP: the request may have been taken.
    Garbage,
    /// The path or a header holds what HTTP does not allow; nothing was sent.
    Request,
    /// Stopped in the middle of it: the request may have been taken.
    Stopped,
}

/// A request has no answer, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {words}")]
pub struct HttpError {
    kind: HttpErrorKind,
    words: Box<str>,
}

impl HttpErrorKind {
    /// Whether no byte of the request can have left.
    pub(super) fn is_before_sending(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::Dns | Self::Tls | Self::Request)
    }
}

impl HttpError {
    /// An error of this kind, with the system's words.
    pub(super) fn new(kind: HttpErrorKind, words: impl Into<String>) -> Self {
        Self { kind, words: words.into().into_boxed_str() }
    }

    /// Stopped before a byte was sent. Not `Stopped`, which says that the request may have been taken.
    pub(super) fn stopped_before_sending() -> Self {
        Self::new(HttpErrorKind::Unreachable, "stopped before anything was sent")
    }

    /// The client's words repeat the address or the header, either of which may be a secret.
    pub(super) fn forbidden() -> Self {
        Self::new(HttpErrorKind::Request, "the path or a header holds a character that HTTP forbids")
    }

    pub(super) fn stopped() -> Self {
        Self::new(HttpErrorKind::Stopped, "the forwarder is stopping")
    }

    /// The kind.
    pub fn kind(&self) -> HttpErrorKind {
        self.kind
    }

    /// What there is to say about it, without secrets.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// What went wrong on a connection that stood. Our own errors come back as they were; all others mean that the
    /// request may have been seen.
    pub(super) fn of_exchange(error: ureq::Error) -> Self {
        let words = error.to_string();
        let kind = match error {
            ureq::Error::Other(other) => match other.downcast::<Self>() {
                Ok(ours) => return *ours,
                Err(_) => HttpErrorKind::Garbage,
            },
            ureq::Error::Timeout(phase) => {
                return Self::new(HttpErrorKind::Timeout, format!("no full answer in time ({})", phase_name(phase)));
            }
            ureq::Error::Io(error) => kind_of_io(&error),
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => return Self::forbidden(),
            ureq::Error::HostNotFound => HttpErrorKind::Dns,
            ureq::Error::ConnectionFailed => HttpErrorKind::Unreachable,
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) | ureq::Error::TlsRequired => HttpErrorKind::Tls,
            _ => HttpErrorKind::Garbage,
        };
        Self::new(kind, words)
    }

    /// What went wrong while TLS was agreed upon, and in whose words: whatever it is, nothing was sent.
    pub(super) fn of_handshake(error: &ureq::Error, why: String) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::new(HttpErrorKind::Unreachable, "no secure connection in time"),
            _ => Self::new(HttpErrorKind::Tls, why),
        }
    }

    /// What went wrong while the TCP connection was made.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => HttpErrorKind::Refused,
            _ => HttpErrorKind::Unreachable,
        };
        Self::new(kind, error.to_string())
    }
}

fn kind_of_io(error: &io::Error) -> HttpErrorKind {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        // The server refused us, usually for want of a certificate: it did not read on.
        Some(rustls::Error::AlertReceived(_)) => return HttpErrorKind::Tls,
        Some(_) => return HttpErrorKind::Garbage,
        None => {}
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => HttpErrorKind::Timeout,
        io::ErrorKind::InvalidData => HttpErrorKind::Garbage,
        // Whatever else the system says of a connection that stood, it has ended.
        _ => HttpErrorKind::Reset,
    }
}

fn phase_name(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Global | Timeout::PerCall => "timeout of the whole exchange",
        Timeout::Resolve | Timeout::Connect => "while connecting",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "while sending",
        _ => "while waiting for the answer",
    }
}

impl HttpErrorKind {
    fn name(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "no connection",
            Self::Reset => "connection ended before the answer",
            Self::Timeout => "timeout",
            Self::Dns => "name not resolved",
            Self::Tls => "no secure connection",
            Self::Garbage => "the answer is no HTTP",
            Self::Request => "the request cannot be written",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for HttpErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The way through the client, which gives our own errors back unchanged.
impl From<HttpError> for ureq::Error {
    fn from(error: HttpError) -> Self {
        Self::Other(Box::new(error))
    }
}
