//! What all destinations have in common that take a batch as the body of one POST, and answer for it at once.
//!
//! Such a destination is a description, its [`Endpoint`], and two functions: how an event is written, and what an answer
//! means. Its connections, its credential, its requests and its health check are the same for all, and stand here.

mod health;

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

    /// What an answer means for the whole batch: pure, and without the secret in its words.
    fn read(&self, answer: &Answer, secret: &str) -> Verdict;

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
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    pub(super) shape: Shape,
    pub(super) credential: Credential,
    pub(super) http: HttpConfig,
    pub(super) checkup: Checkup,
    pub(super) traffic: Traffic,
}

/// How a destination is asked whether it would take events.
#[derive(Debug)]
pub(super) struct Checkup {
    /// Elsewhere than the destination itself, where it has an address of its own for that.
    pub(super) url: Option<BaseUrl>,
    pub(super) path: &'static str,
    /// Whether a success is the destination's own, by its body.
    pub(super) is_own: fn(&[u8]) -> bool,
}

/// One sender's connection to such a destination.
pub struct IntakeConnection {
    http: Http,
    authorization: Arc<Authorization>,
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
    /// There is no such place, or the URL holds a part that the destination appends itself; says which and what to do.
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
    fn post(&self, connection: &mut IntakeConnection, body: &[u8]) -> Result<Answer, HttpError> {
        let secret = (self.credential.scheme().header, connection.authorization.as_str());
        connection.http.post(self.path, &[secret, ("Content-Type", self.content_type)], body)
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
        if let Some(doubt) = endpoint.credential.doubt() {
            log::warn!("{doubt}");
        }
        endpoint.http.prepare(&endpoint.url).map_err(|error| error.words().to_owned())
    }

    fn connect(&self, stop: &Stop) -> Result<IntakeConnection, Verdict> {
        let Endpoint { url, http, traffic, credential, .. } = self.endpoint();
        let http = Http::counting(traffic.clone(), url, http, stop).map_err(|error| Verdict::retry(error.into()))?;
        Ok(IntakeConnection { http, authorization: credential.read_again()?, stop: stop.clone() })
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
        connection.authorization = endpoint.credential.current();
        match endpoint.post(connection, batch.body()) {
            Ok(answer) => self.read(&answer, connection.authorization.secret()),
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

/// The secret stays unseen.
impl fmt::Debug for IntakeConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntakeConnection").field("http", &self.http).finish_non_exhaustive()
    }
}
