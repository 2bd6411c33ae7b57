//! Splunk, by its HTTP Event Collector (HEC).
//!
//! A batch is one request of concatenated envelopes. Splunk reads them in order and stops at the first that is wrong,
//! keeping those before it: [`read()`] turns what it says into the fate of each event. A success means that Splunk has
//! queued the events, not yet that they are indexed. Where that is not enough, indexer acknowledgement ([`Splunk::ack`])
//! makes a success a ticket, and [`ack`] asks what became of it, on the [`channel`] that the connection sends on.

mod ack;
mod channel;
mod envelope;
mod health;
#[cfg(feature = "cli")]
mod keys;
mod read;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::credential::{Authorization, Credential, InvalidCredential, Scheme, Written};
use super::{Cause, FormatError, Health, Siem, Ticket, Verdict};
use crate::batch::{Batch, Shape};
use crate::event::AuditEvent;
use crate::net::{Answer, BaseUrl, Compression, Http, HttpConfig, HttpError, InvalidUrl, Stop, Traffic};
use crate::secret::{Secret, SecretFile};

use channel::Channel;
use envelope::Envelope;
use read::{Sent, read};

const EVENT_PATH: &str = "/services/collector/event";
const HEALTH_PATH: &str = "/services/collector/health";
const SCHEME: Scheme = Scheme { noun: "token", header: "Authorization", prefix: "Splunk ", written: Written::AsItIs };

/// Splunk takes any white space between two events; a line each can be read by people too. The limits are Splunk's
/// own defaults: a request's (`max_content_length`), and just below an event's (`maxEventSize`, 5 MB).
const SHAPE: Shape =
    Shape { batch_bytes_max: 838_860_800, event_bytes_max: 5_000_000, ..Shape::framed(b"", b"\n", b"") };

/// Splunk's HTTP Event Collector.
///
/// ```
/// use siem_forward::siem::Splunk;
///
/// let splunk = Splunk::new("https://splunk.example:8088", "00000000-0000-0000-0000-000000000000")?.index("audit");
/// # Ok::<(), siem_forward::siem::SplunkError>(())
/// ```
pub struct Splunk {
    url: BaseUrl,
    token: Credential,
    http: HttpConfig,
    envelope: Envelope,
    ack: bool,
    /// With this token events were taken without a number to ask by: before more are sent, it is asked whether it
    /// acknowledges. Any sender's connection sets and clears it.
    doubted: AtomicBool,
    traffic: Traffic,
}

impl Splunk {
    /// The collector at `url`, the base such as `https://splunk.example:8088`, with a token of its own.
    ///
    /// By default events go to the token's index, with source `siem-forward`, sourcetype `siem_forward:audit` and the
    /// machine's name as host.
    ///
    /// # Errors
    /// When the URL is no base URL, or the token is empty or holds what no header can hold.
    pub fn new(url: impl AsRef<str>, token: impl Into<Secret>) -> Result<Self, SplunkError> {
        let (url, token) = (base(url.as_ref())?, Credential::fixed(SCHEME, token.into())?);
        Ok(Self::of(url, token))
    }

    /// The same with the token in a file, with or without a line end after it, which is read again for each new
    /// connection and after the token was refused: whoever replaces the file changes the token without a restart.
    ///
    /// While the file cannot be read, is empty or holds something else, no connection is made and events wait as while a
    /// token is refused; [`Forwarder::health`](crate::Forwarder::health) says so and names the file.
    ///
    /// # Errors
    /// When the URL is no base URL, or the file holds no token now.
    pub fn token_file(url: impl AsRef<str>, path: impl Into<PathBuf>) -> Result<Self, SplunkError> {
        let (url, token) = (base(url.as_ref())?, Credential::of_file(SCHEME, SecretFile::new(path))?);
        Ok(Self::of(url, token))
    }

    fn of(url: BaseUrl, token: Credential) -> Self {
        let envelope = Envelope::of_this_machine();
        Self {
            url,
            token,
            http: HttpConfig::default(),
            envelope,
            ack: false,
            doubted: AtomicBool::new(false),
            traffic: Traffic::default(),
        }
    }

    /// The index, which the token must allow. Default, and where empty: the token's own.
    #[must_use]
    pub fn index(mut self, index: impl Into<String>) -> Self {
        self.envelope.index(index.into());
        self
    }

    /// The source. Default `siem-forward`; where empty, Splunk names it after the token.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.envelope.source(source.into());
        self
    }

    /// The sourcetype. Default `siem_forward:audit`; where empty, the token's own.
    #[must_use]
    pub fn sourcetype(mut self, sourcetype: impl Into<String>) -> Self {
        self.envelope.sourcetype(sourcetype.into());
        self
    }

    /// The host. Default the machine's name; where empty, Splunk takes the address that it sees.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.envelope.host(host.into());
        self
    }

    /// Whether events count as delivered only once Splunk acknowledges that they are indexed. Default false: delivered is
    /// what Splunk has queued, and what it loses before it is indexed nobody hears of.
    ///
    /// The token must have indexer acknowledgement (useACK); with one that has not, sending halts and health says why.
    /// Acknowledgements take seconds, and are awaited without holding up what follows. What is not acknowledged in time, or was
    /// forgotten by an indexer that was restarted, is sent again, and its events can arrive twice, under the same ids.
    /// A load balancer must send a client to the same indexer each time, by its address: cookies are not kept.
    #[must_use]
    pub fn ack(mut self, ack: bool) -> Self {
        self.ack = ack;
        self
    }

    /// How requests are made, all of it.
    #[must_use]
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.http = http;
        self
    }

    /// How bodies are compressed. Default gzip, which HEC takes everywhere.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.http.compression = compression;
        self
    }

    /// How long a whole request may take. Default 30 s, recommended 5–10 s where the network is near.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.http.timeout = timeout;
        self
    }

    fn post(connection: &mut SplunkConnection, body: &[u8]) -> Result<Answer, HttpError> {
        let headers = [
            (SCHEME.header, connection.authorization.as_str()),
            ("Content-Type", "application/json"),
            ("X-Splunk-Request-Channel", connection.channel.guid()),
        ];
        connection.http.post(EVENT_PATH, &headers, body)
    }
}

fn base(url: &str) -> Result<BaseUrl, SplunkError> {
    let url: BaseUrl = url.parse()?;
    if url.prefix().contains("/services/collector") { Err(SplunkError::Path) } else { Ok(url) }
}

impl Siem for Splunk {
    type Connection = SplunkConnection;

    fn siem_type(&self) -> &'static str {
        "splunk"
    }

    fn destination(&self) -> String {
        match self.envelope.as_index() {
            Some(index) => format!("{} index {index}", self.url),
            None => self.url.to_string(),
        }
    }

    fn shape(&self) -> Shape {
        SHAPE
    }

    fn request_timeout(&self) -> Duration {
        self.http.connect_timeout + self.http.timeout
    }

    fn prepare(&self) -> Result<(), String> {
        if let Some(doubt) = self.token.doubt() {
            log::warn!("{doubt}");
        }
        self.http.prepare(&self.url).map_err(|error| error.words().to_owned())
    }

    fn connect(&self, stop: &Stop) -> Result<SplunkConnection, Verdict> {
        let http = Http::counting(self.traffic.clone(), &self.url, &self.http, stop);
        let http = http.map_err(|error| Verdict::retry(error.into()))?;
        Ok(SplunkConnection {
            http,
            authorization: self.token.read_again()?,
            channel: Channel::new(),
            silent: channel::guid(),
        })
    }

    #[inline]
    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        self.envelope.write(event, body);
        Ok(())
    }

    fn send_batch(&self, connection: &mut SplunkConnection, batch: &Batch) -> Verdict {
        connection.authorization = self.token.current();
        if let Err(verdict) = ack::dispel_doubt(self, connection) {
            return verdict;
        }
        let verdict = match Self::post(connection, batch.body()) {
            Ok(answer) => read(&answer, connection.sent(batch.len(), batch.body().len(), self.ack)),
            Err(error) => Verdict::retry(error.into()),
        };
        if self.ack { ack::noted(self, &mut connection.channel, verdict) } else { verdict }
    }

    fn is_closed(&self, connection: &SplunkConnection) -> bool {
        connection.http.is_closed()
    }

    fn settle(&self, connection: &mut SplunkConnection, tickets: &[Ticket]) -> Result<Vec<(Ticket, Verdict)>, Cause> {
        connection.authorization = self.token.current();
        ack::settle(self, connection, tickets)
    }

    fn health_check(&self, connection: &mut SplunkConnection) -> Health {
        health::check(self, connection)
    }

    fn traffic(&self) -> Option<&Traffic> {
        Some(&self.traffic)
    }
}

/// The token stays unseen.
impl fmt::Debug for Splunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, token, http, envelope, ack, doubted, traffic: _ } = self;
        let mut f = f.debug_struct("Splunk");
        f.field("url", &format_args!("{url}")).field("token", token).field("envelope", envelope).field("http", http);
        // Relaxed: shown, not acted upon.
        f.field("ack", ack).field("doubted", &doubted.load(Ordering::Relaxed)).finish()
    }
}

/// One sender's connection to Splunk, with a channel of its own.
pub struct SplunkConnection {
    http: Http,
    authorization: Arc<Authorization>,
    /// What this sender sends on; needed where the token has indexer acknowledgement on, whether we ask for it or not.
    channel: Channel,
    /// The name of a channel on which nothing is sent: a question about it takes nobody's acknowledgement away.
    silent: String,
}

impl SplunkConnection {
    fn sent(&self, events: usize, bytes: usize, ack: bool) -> Sent<'_> {
        Sent { events, bytes, token: self.authorization.secret(), ack }
    }
}

impl fmt::Debug for SplunkConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplunkConnection").field("channel", &self.channel.guid()).finish_non_exhaustive()
    }
}

/// What was given does not describe a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplunkError {
    /// The URL is no base URL.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The URL holds the collector's own path.
    #[error("the URL is the base, such as https://splunk.example:8088: leave out /services/collector")]
    Path,
    /// There is no token.
    #[error("the token is empty")]
    EmptyToken,
    /// The token's file holds no token; says which file and why.
    #[error("{0}")]
    TokenFile(String),
    /// The token cannot stand in a header.
    #[error("the token holds a space, a line end or another character that no token has")]
    TokenCharacters,
}

impl From<InvalidCredential> for SplunkError {
    fn from(problem: InvalidCredential) -> Self {
        match problem {
            InvalidCredential::Empty => Self::EmptyToken,
            InvalidCredential::Characters => Self::TokenCharacters,
            InvalidCredential::File(words) => Self::TokenFile(words),
        }
    }
}

#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod tests;
