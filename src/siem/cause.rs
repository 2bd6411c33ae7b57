//! Why something was not delivered: a bounded set, fit for a metric label, and the destination's own words.

use std::borrow::Cow;
use std::fmt;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CauseKind {
    /// The destination answered with this HTTP status.
    Http(u16),
    /// Nobody listens there.
    ConnectionRefused,
    /// No route, no network, or the connection could not be made for another reason.
    Unreachable,
    /// The connection ended before the answer.
    ConnectionReset,
    /// No answer in time.
    Timeout,
    /// The host's name did not resolve.
    Dns,
    /// No secure connection came about.
    Tls,
    /// The destination does not let us in, whatever we would send.
    NotAuthorized,
    /// The answer was none of the protocol.
    Garbage,
    /// The event or batch is too large for the destination.
    TooLarge,
    /// The disk, or the folder, takes nothing.
    Storage,
    /// The event has no wire form.
    Format,
    /// The destination refused this event.
    Rejected,
    /// A destination's code panicked.
    Panic,
    /// Time ran out with the event still here.
    Undelivered,
    /// A kind of a custom destination's own.
    Custom(&'static str),
}

/// Why something was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    kind: CauseKind,
    words: Option<Box<str>>,
}

/// The longest words kept, in bytes: an answer is read for its reason, not archived.
const WORDS_BYTES_MAX: usize = 512;

impl Cause {
    /// A cause without words.
    pub fn new(kind: CauseKind) -> Self {
        Self { kind, words: None }
    }

    /// The destination answered with this HTTP status.
    pub fn http(status: u16) -> Self {
        Self::new(CauseKind::Http(status))
    }

    /// Adds the destination's own words, or the system's, cut at 512 bytes.
    #[must_use]
    pub fn words(mut self, words: impl Into<String>) -> Self {
        let mut words = words.into();
        let end = (0..=WORDS_BYTES_MAX.min(words.len())).rev().find(|end| words.is_char_boundary(*end));
        words.truncate(end.unwrap_or(0));
        self.words = (!words.is_empty()).then(|| words.into_boxed_str());
        self
    }

    /// The kind.
    pub fn kind(&self) -> CauseKind {
        self.kind
    }

    /// The destination's own words, where it had any.
    pub fn as_words(&self) -> Option<&str> {
        self.words.as_deref()
    }

    /// The label for metrics and the dead letter: `http_503`, `timeout`, ….
    pub fn label(&self) -> Cow<'static, str> {
        self.kind.label()
    }

    /// Whether the endpoint cannot be reached, does not let us in, or asks for patience: never charged to a batch.
    pub(crate) fn is_the_endpoints(&self) -> bool {
        matches!(
            self.kind,
            CauseKind::Http(429 | 503)
                | CauseKind::ConnectionRefused
                | CauseKind::Unreachable
                | CauseKind::Dns
                | CauseKind::Tls
                | CauseKind::NotAuthorized
                | CauseKind::Storage
        )
    }

    /// Whether no connection came about, or it ended without an answer: then a new one is an attempt of its own.
    pub(crate) fn is_no_answer(&self) -> bool {
        matches!(
            self.kind,
            CauseKind::ConnectionRefused
                | CauseKind::Unreachable
                | CauseKind::ConnectionReset
                | CauseKind::Timeout
                | CauseKind::Dns
                | CauseKind::Tls
        )
    }

    /// Whether no connection came about.
    pub(crate) fn is_no_connection(&self) -> bool {
        use CauseKind::{ConnectionRefused, Dns, Tls, Unreachable};
        matches!(self.kind, ConnectionRefused | Unreachable | Dns | Tls)
    }

    /// Whether the destination may have taken the events although it never said so.
    pub(crate) fn is_ambiguous(&self) -> bool {
        let lost_answer = matches!(self.kind, CauseKind::ConnectionReset | CauseKind::Timeout | CauseKind::Garbage);
        lost_answer
            || matches!(self.kind, CauseKind::Panic | CauseKind::Undelivered)
            // A 503 too: whoever stands between may say it after the request was passed on, and a collector that is busy
            // may have taken all of it.
            || matches!(self.kind, CauseKind::Http(500..))
    }
}

impl CauseKind {
    /// The label for metrics and the dead letter.
    pub fn label(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Http(status) => return Cow::Owned(format!("http_{status}")),
            Self::ConnectionRefused => "connection_refused",
            Self::Unreachable => "unreachable",
            Self::ConnectionReset => "connection_reset",
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::NotAuthorized => "not_authorized",
            Self::Garbage => "garbage",
            Self::TooLarge => "too_large",
            Self::Storage => "storage",
            Self::Format => "format",
            Self::Rejected => "rejected",
            Self::Panic => "panic",
            Self::Undelivered => "undelivered",
            Self::Custom(name) => name,
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())?;
        match &self.words {
            Some(words) => write!(f, ": {words}"),
            None => Ok(()),
        }
    }
}
