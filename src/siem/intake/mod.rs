//! What all destinations have in common that take a batch as the body of one POST, and answer for it at once.
//!
//! Such a destination is a description, its [`Endpoint`], and two functions: how an event is written, and what an answer
//! means. Its connections, its credential, its requests and its health check are the same for all, and stand here.

mod health;

#[cfg(feature = "cli")]
pub(crate) use health::{UNASKED, UNTOLD};

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::credential::{Authorization, Credential, InvalidCredential, Scheme};
use super::{Cause, FormatError, Health, Siem, Verdict};
use crate::batch::{Batch, Mark, Shape};
use crate::event::AuditEvent;
use crate::net::{Answer, BaseUrl, Http, HttpConfig, HttpError, InvalidUrl, Stop, Traffic};

/// A destination that takes a batch as one POST. Whoever is one is a [`Siem`].
pub(super) trait Intake: fmt::Debug + Send + Sync + 'static {
    /// Where it is and how it is spoken to.
    fn endpoint(&self) -> &Endpoint;

    /// Appends the wire form of one event, without framing.
    fn write(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError>;

    /// What an answer means for a batch of so many events: pure, and without the secret in its words.
    fn read(&self, answer: &Answer, events: usize, secret: &str) -> Verdict;

    /// The events that are not to be sent any more, by index, and why.
    fn outdated(&self, marks: &[Mark]) -> Vec<(usize, Cause)> {
        let _ = marks;
        Vec::new()
    }
}

/// Where a destination is, how it is spoken to, and what it takes.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As metrics and the dead letter name it, such as `datadog`.
    pub(super) siem_type: &'static str,
    /// As a sentence names it.
    pub(super) name: &'static str,
    pub(super) url: BaseUrl,
    /// Where batches are posted, under the URL.
    pub(super) path: Cow<'static, str>,
    pub(super) method: Method,
    /// Besides those that every request has.
    pub(super) headers: Headers,
    pub(super) content_type: &'static str,
    pub(super) shape: Shape,
    /// How much of an answer is read, where that is more than its reason: [`Http::keeping`].
    pub(super) answer_bytes_max: Option<usize>,
    /// None where the destination asks for none.
    pub(super) credential: Option<Credential>,
    pub(super) http: HttpConfig,
    /// None where nobody can be asked.
    pub(super) checkup: Option<Checkup>,
    pub(super) traffic: Traffic,
}

/// How a batch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Post,
    Put,
}

/// Headers by name. What they hold is not shown: somebody may have put a secret there.
#[derive(Default)]
pub(super) struct Headers(pub(super) Vec<(String, String)>);

/// How a destination is asked whether it would take events.
#[derive(Debug)]
pub(super) struct Checkup {
    /// Elsewhere than the destination itself, where it has an address of its own for that.
    pub(super) url: Option<BaseUrl>,
    pub(super) path: Cow<'static, str>,
    pub(super) read: fn(&Answer) -> Condition,
}

/// How a destination is, by the answer to a checkup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Well,
    /// It knows the credential, which may not ask more: why, in a sentence.
    Reserved(&'static str),
    /// What is wrong, in a sentence.
    Ill(&'static str),
    /// It says nothing of the kind; its status may say more.
    Unsaid,
}

/// One sender's connection to such a destination.
pub struct IntakeConnection {
    http: Http,
    authorization: Option<Arc<Authorization>>,
    /// For connections to where its health is asked.
    stop: Stop,
}

/// What was given does not describe a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The URL is no base URL.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// A place, a header or a field's path that cannot be; says which and what to do.
    #[error("{0}")]
    Place(String),
    /// The token or key is none; says why, and names its file where it has one.
    #[error("{0}")]
    Credential(String),
}

impl IntakeError {
    pub(super) fn of_credential(scheme: Scheme) -> impl Fn(InvalidCredential) -> Self {
        move |problem| Self::Credential(scheme.complaint(&problem))
    }
}

impl Endpoint {
    fn send(&self, connection: &mut IntakeConnection, body: &[u8]) -> Result<Answer, HttpError> {
        let IntakeConnection { http, authorization, .. } = connection;
        let mut headers = self.headers(authorization.as_deref());
        headers.push(("Content-Type", self.content_type));
        match self.method {
            Method::Post => http.post(&self.path, &headers, body),
            Method::Put => http.put(&self.path, &headers, body),
        }
    }

    fn headers<'a>(&'a self, shown: Option<&'a Authorization>) -> Vec<(&'a str, &'a str)> {
        let secret = self.credential.as_ref().map(|credential| credential.scheme().header).zip(shown);
        let others = self.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        secret.map(|(name, shown)| (name, shown.as_str())).into_iter().chain(others).collect()
    }

    fn current(&self) -> Option<Arc<Authorization>> {
        self.credential.as_ref().map(Credential::current)
    }
}

impl<I: Intake> Siem for I {
    type Connection = IntakeConnection;

    fn siem_type(&self) -> &'static str {
        self.endpoint().siem_type
    }

    fn destination(&self) -> String {
        self.endpoint().url.to_string()
    }

    fn shape(&self) -> Shape {
        self.endpoint().shape
    }

    fn request_timeout(&self) -> Duration {
        self.endpoint().http.connect_timeout + self.endpoint().http.timeout
    }

    fn prepare(&self) -> Result<(), String> {
        let endpoint = self.endpoint();
        if let Some(doubt) = endpoint.credential.as_ref().and_then(Credential::doubt) {
            log::warn!("{doubt}");
        }
        endpoint.http.prepare(&endpoint.url).map_err(|error| error.words().to_owned())
    }

    fn connect(&self, stop: &Stop) -> Result<IntakeConnection, Verdict> {
        let Endpoint { url, http, traffic, credential, answer_bytes_max, .. } = self.endpoint();
        let http = Http::counting(traffic.clone(), url, http, stop).map_err(|error| Verdict::retry(error.into()))?;
        let http = match answer_bytes_max {
            Some(bytes) => http.keeping(*bytes),
            None => http,
        };
        let authorization = credential.as_ref().map(Credential::read_again).transpose()?;
        Ok(IntakeConnection { http, authorization, stop: stop.clone() })
    }

    #[inline]
    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        self.write(event, body)
    }

    fn overdue(&self, batch: &Batch) -> Vec<(usize, Cause)> {
        self.outdated(batch.marks())
    }

    fn send_batch(&self, connection: &mut IntakeConnection, batch: &Batch) -> Verdict {
        let endpoint = self.endpoint();
        connection.authorization = endpoint.current();
        match endpoint.send(connection, batch.body()) {
            Ok(answer) => self.read(&connection.without_what_was_shown(answer), batch.len(), connection.secret()),
            Err(error) => Verdict::retry(error.into()),
        }
    }

    fn is_closed(&self, connection: &IntakeConnection) -> bool {
        connection.http.is_closed()
    }

    fn health_check(&self, connection: &mut IntakeConnection) -> Health {
        health::check(self.endpoint(), connection)
    }

    fn traffic(&self) -> Option<&Traffic> {
        Some(&self.endpoint().traffic)
    }
}

impl IntakeConnection {
    /// The answer without the secret as it was written in the header, where that is not the secret itself.
    fn without_what_was_shown(&self, answer: Answer) -> Answer {
        match &self.authorization {
            Some(shown) if shown.shown() != shown.secret() && !answer.body.is_empty() => {
                let body = String::from_utf8_lossy(&answer.body).replace(shown.shown(), "…");
                Answer { body: body.into_bytes(), ..answer }
            }
            _ => answer,
        }
    }

    /// The secret alone, to be removed from what others say; empty where there is none.
    fn secret(&self) -> &str {
        self.authorization.as_ref().map_or("", |shown| shown.secret())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The secret stays unseen.
impl fmt::Debug for IntakeConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntakeConnection").field("http", &self.http).finish_non_exhaustive()
    }
}
