//! The contract with a destination, and the destinations, none of which knows another.
//!
//! A [`Siem`] is a description, shared by all senders; its connection is the state, one for each sender's thread. The
//! engine decides when to connect, send, wait, halve or give up; a destination only says, by its [`Verdict`], what
//! became of the bytes.

mod cause;
mod verdict;
mod words;
mod machine;
mod stamp;
mod status;
mod credential;
#[cfg(feature = "cli")]
mod keys;
mod intake;
mod from_fn;
mod splunk;
mod datadog;
mod elastic;
mod webhook;
mod file;
#[cfg(any(feature = "kafka", feature = "cli"))]
mod kafka;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::batch::{Batch, Shape};
use crate::event::AuditEvent;
use crate::net::{HttpError, HttpErrorKind, Stop, Traffic};

pub use cause::{Cause, CauseKind};
pub use datadog::Datadog;
pub use elastic::Elastic;
pub use file::{File, FileConnection, Fsync};
pub use from_fn::{FromFn, from_fn};
pub use intake::{IntakeConnection, IntakeError};
#[cfg(feature = "cli")]
pub(crate) use intake::{UNASKED, UNTOLD};
#[cfg(feature = "cli")]
pub(crate) use kafka::KEYS as KAFKA_KEYS;
#[cfg(all(feature = "kafka", feature = "cli"))]
pub(crate) use kafka::{Cluster, Told, Trouble, Troubles, cluster_of_table, not_made};
#[cfg(feature = "kafka")]
pub use kafka::{Kafka, KafkaCompression, KafkaConnection, KafkaError, KafkaTls, SaslMechanism};
pub use splunk::{Splunk, SplunkConnection, SplunkError};
pub use verdict::{Partial, Ticket, Verdict};
pub use webhook::{Webhook, WebhookBody};

/// A destination of audit events.
///
/// The four methods of the original framework's base class, in the order of a batch's life: an event is formatted on
/// the batcher's thread, the batch is sent on a sender's thread over that sender's own connection. `examples/` has one
/// in a page.
pub trait Siem: Send + Sync + 'static {
    /// The state of one sender, such as an HTTP client; made on its thread, and stays there.
    type Connection;

    /// What kind of destination this is: a label of metrics and of the dead letter, such as `splunk`.
    fn siem_type(&self) -> &'static str {
        "custom"
    }

    /// Where it sends to, without secrets: what a dead letter says so that a replay goes to the same place.
    fn destination(&self) -> String {
        self.siem_type().to_owned()
    }

    /// How it wants events framed and what it takes at most; asked once, at start.
    fn shape(&self) -> Shape {
        Shape::DEFAULT
    }

    /// The longest that one call may take, a connect included; default 35 s. Whoever has said nothing for so long is
    /// taken to hang: another sender may try instead.
    fn request_timeout(&self) -> Duration {
        Duration::from_secs(35)
    }

    /// Looks at what it needs, as far as no network is needed for it, and warns of what is dangerous: called once, when a
    /// forwarder starts. Default: nothing.
    ///
    /// # Errors
    /// What is wrong and what to do, without secrets; then the forwarder does not start.
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    /// Makes a connection. Called on the sender's thread, before the first batch and again when the last one is old
    /// enough, had no answer, was refused ([`Verdict::Halt`]) or panicked; and on the health monitor's.
    ///
    /// # Errors
    /// The verdict on the batch that waits for this connection, usually [`Verdict::Retry`].
    fn connect(&self, stop: &Stop) -> Result<Self::Connection, Verdict>;

    /// Appends the wire form of one event to `body`, without framing.
    ///
    /// # Errors
    /// When the event has no wire form: it alone goes to the dead letter, and what was appended is removed.
    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError>;

    /// The events of a batch that are not to be sent any more, by index, and why: such as those that have become too old
    /// for the destination. Asked before each request, without a network; these go to the dead letter, and the rest is
    /// sent. Default: none.
    fn overdue(&self, batch: &Batch) -> Vec<(usize, Cause)> {
        let _ = batch;
        Vec::new()
    }

    /// Sends the whole batch and says what became of it. Blocks, within timeouts of its own.
    fn send_batch(&self, connection: &mut Self::Connection, batch: &Batch) -> Verdict;

    /// Whether the connection is known to have ended, so that the next request makes a new one. Asked by the sender's thread
    /// before each request: then it waits for leave to connect, as for [`connect`](Self::connect), so that a destination
    /// that went away is not tried by all senders at once. Default: no.
    fn is_closed(&self, connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Between two questions after batches that are [`Verdict::Pending`]; while draining they are asked after every
    /// 100 ms, or as often as this says where that is more often. Default 1 s, the time that an indexer usually needs.
    fn settle_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Asks what became of batches that are [`Verdict::Pending`], all of this connection; called by the sender's thread
    /// every [`settle_interval`](Self::settle_interval). Blocks, within timeouts of its own.
    ///
    /// Returns the verdicts that are known now; a ticket that is not named is still pending. One that stays pending
    /// beyond `ack_timeout` is sent again.
    ///
    /// # Errors
    /// When there is no answer, or none that can be read: that says nothing about the batches, which stay pending.
    fn settle(&self, connection: &mut Self::Connection, tickets: &[Ticket]) -> Result<Vec<(Ticket, Verdict)>, Cause> {
        let _ = (connection, tickets);
        Ok(Vec::new())
    }

    /// Asks the destination whether it would take events.
    fn health_check(&self, connection: &mut Self::Connection) -> Health;

    /// What goes over its connections, for the metrics; asked at each look. Default: nothing is known of it.
    fn traffic(&self) -> Option<&Traffic> {
        None
    }

    /// Sends one event as a batch of its own.
    fn send_event(&self, connection: &mut Self::Connection, event: &AuditEvent) -> Verdict {
        let mut batch = Batch::open(self.shape(), Vec::new(), Vec::new());
        if let Err(error) = batch.append(event, |body| self.format_event(event, body)) {
            return Verdict::Reject(Cause::new(CauseKind::Format).words(error.to_string()));
        }
        batch.seal();
        match self.overdue(&batch).pop() {
            Some((_, cause)) => Verdict::Reject(cause),
            None => self.send_batch(connection, &batch),
        }
    }
}

/// A request without an answer, as the reason why its events are not delivered.
impl From<HttpError> for Cause {
    fn from(error: HttpError) -> Self {
        let kind = match error.kind() {
            HttpErrorKind::Refused => CauseKind::ConnectionRefused,
            HttpErrorKind::Unreachable => CauseKind::Unreachable,
            HttpErrorKind::Reset => CauseKind::ConnectionReset,
            HttpErrorKind::Timeout => CauseKind::Timeout,
            HttpErrorKind::Dns => CauseKind::Dns,
            HttpErrorKind::Tls => CauseKind::Tls,
            HttpErrorKind::Garbage => CauseKind::Garbage,
            HttpErrorKind::Request => CauseKind::Custom("request"),
            HttpErrorKind::Stopped => CauseKind::Undelivered,
        };
        Self::new(kind).words(error.words())
    }
}

/// An event has no wire form at this destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

impl FormatError {
    /// With the reason, which stands in the dead letter.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What a health check found, or what the engine knows.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Health {
    /// Whether events are taken.
    pub healthy: bool,
    /// How long the check took, in milliseconds; `None` where nothing was asked.
    pub latency_ms: Option<f64>,
    /// What else there is to say, by name.
    pub details: BTreeMap<String, String>,
    /// Why it is not healthy, in a sentence.
    pub error_message: Option<String>,
}

impl Health {
    /// Events are taken.
    pub fn healthy() -> Self {
        Self { healthy: true, ..Self::default() }
    }

    /// Events are not taken, and why.
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self { healthy: false, error_message: Some(reason.into()), ..Self::default() }
    }

    /// Adds how long the check took.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency_ms = Some(latency.as_secs_f64() * 1000.0);
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }
}
