//! The way to a destination, step by step: name, connection, TLS, health, and one event where that is asked for.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::expiry::Expiry;
use super::step::{Status, Step};
use crate::append::{folder_of, free_bytes};
use crate::cli::failure::Failure;
use crate::cli::figures::bytes;
#[cfg(feature = "kafka")]
use crate::config::Destination;
use crate::config::PipelineConfig;
use crate::engine::{Sent, Share, Trial};
use crate::event::{AuditEvent, EventType, Severity, Timestamp};
use crate::net::{BaseUrl, HttpConfig, Probe, TlsSeen, probe};
use crate::siem::{UNASKED, UNTOLD};

/// By this a test event is known.
const EVENT_TYPE: &str = "siem_forward_check";
/// A name has rarely more addresses; of more the first are shown.
const ADDRESSES_SHOWN_MAX: usize = 8;

/// A pipeline whose way is to be gone.
pub(super) struct Trip {
    trial: Trial,
    siem_type: &'static str,
    way: Way,
    acknowledges: bool,
}

/// What lies between us and the destination.
enum Way {
    Network(Box<(BaseUrl, HttpConfig)>),
    /// The file's folder; none for standard output.
    Disk(Option<PathBuf>),
    /// What it knows itself, and its health goes.
    #[cfg(feature = "kafka")]
    Own,
}

impl Trip {
    pub(super) fn new(pipeline: PipelineConfig) -> Self {
        let destination = &pipeline.destination;
        let way = match (destination.endpoint(), destination.path()) {
            (Some((url, http)), _) => Way::Network(Box::new((url.clone(), http.clone()))),
            #[cfg(feature = "kafka")]
            (None, None) if matches!(destination, Destination::Kafka(_)) => Way::Own,
            (None, path) => Way::Disk(path.map(|path| folder_of(path).to_owned())),
        };
        let acknowledges = destination.acknowledges();
        let builder = pipeline.builder();
        Self { trial: builder.trial(), siem_type: builder.fingerprint().0, way, acknowledges }
    }

    /// What a start looks at, without a network.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub(super) fn prepare(&self) -> Result<(), String> {
        match self.way {
            Way::Network(_) => self.trial.prepare(),
            #[cfg(feature = "kafka")]
            Way::Own => self.trial.prepare(),
            // It would make the file, and could not where a program writes there.
            Way::Disk(_) => Ok(()),
        }
    }

    pub(super) fn memory(&self) -> Vec<Share> {
        self.trial.memory(self.acknowledges)
    }

    /// Goes it, and tells each step when it is done.
    pub(super) fn go(&self, send: bool, mut tell: impl FnMut(Step) -> Result<(), Failure>) -> Result<(), Failure> {
        let is_reached = match &self.way {
            Way::Network(to) => {
                let (url, http) = &**to;
                let found = probe(url, http, http.connect_timeout);
                for step in [dns(&found), tcp(&found), tls(&found, url, http)] {
                    tell(step)?;
                }
                let is_reached = matches!(found.tcp, Some(Ok(_))) && !matches!(found.tls, Some(Err(_)));
                tell(if is_reached { self.health() } else { needs_connection("health") })?;
                is_reached
            }
            #[cfg(feature = "kafka")]
            Way::Own => {
                let health = self.health();
                let is_reached = health.status == Status::Ok;
                tell(health)?;
                is_reached
            }
            Way::Disk(folder) => {
                let step = disk(folder.as_deref());
                let has_room = step.status != Status::Failed;
                tell(step)?;
                has_room
            }
        };
        tell(match (send, is_reached) {
            (true, true) => self.event(),
            (true, false) => needs_connection("event"),
            (false, _) => Step::new("event", Status::Skipped, "not sent: --send sends one, marked as a test"),
        })
    }

    fn health(&self) -> Step {
        let (health, took) = timed(|| self.trial.health());
        let supposed = health.details.iter().find(|(name, _)| [UNASKED, UNTOLD].contains(&name.as_str()));
        match (health.error_message, supposed) {
            (None, Some((name, why))) => Step::new("health", Status::Skipped, format!("{name}: {why}")),
            (None, None) if health.healthy => {
                let credential = if matches!(self.way, Way::Network(_)) { " with this token" } else { "" };
                Step::new("health", Status::Ok, format!("{} takes events{credential}", self.siem_type))
            }
            (why, _) => Step::new("health", Status::Failed, why.unwrap_or_else(|| "it takes no events".to_owned())),
        }
        .took(took)
    }

    fn event(&self) -> Step {
        let event = test_event();
        let (sent, took) = timed(|| self.trial.send(&event));
        let id = event.id().to_string();
        let (status, words) = match sent {
            Sent::Held if self.acknowledges => {
                (Status::Ok, format!("{} acknowledged the test event {id}", self.siem_type))
            }
            Sent::Held => (Status::Ok, format!("{} took the test event {id}", self.siem_type)),
            Sent::Unacknowledged => (
                Status::Failed,
                format!(
                    "{} took the test event {id}, and acknowledged it not within ack_timeout_seconds",
                    self.siem_type
                ),
            ),
            Sent::Refused(cause) => (Status::Failed, format!("not taken: {cause}")),
            Sent::Unknown(cause) => (Status::Failed, format!("nobody knows whether {id} was taken: {cause}")),
        };
        Step::new("event", status, words).took(took).fact("id", id).fact("event_type", EVENT_TYPE)
    }
}

fn dns(found: &Probe) -> Step {
    let by = found.proxy.as_ref().map_or_else(String::new, |proxy| format!(", the host of the proxy {proxy}"));
    let [took, ..] = found.took;
    match &found.dns {
        Ok(addresses) => {
            let mut ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
            ips.dedup();
            let mut shown: Vec<String> = ips.iter().take(ADDRESSES_SHOWN_MAX).map(IpAddr::to_string).collect();
            if ips.len() > ADDRESSES_SHOWN_MAX {
                shown.push(format!("and {} more", ips.len() - ADDRESSES_SHOWN_MAX));
            }
            let words = format!("{}{by}: {}", found.host, shown.join(", "));
            let all: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
            Step::new("DNS", Status::Ok, words).fact("addresses", all)
        }
        Err(why) => Step::new("DNS", Status::Failed, format!("{why}{by}")),
    }
    .fact("host", found.host.as_str())
    .took(took)
}

fn tcp(found: &Probe) -> Step {
    let to = found.proxy.as_ref().map_or_else(String::new, |proxy| format!(", the proxy {proxy}"));
    let [_, took, _] = found.took;
    match &found.tcp {
        Some(Ok(peer)) => Step::new("TCP", Status::Ok, format!("{peer}{to}")).fact("peer", peer.to_string()).took(took),
        Some(Err(why)) => {
            let words = format!("{why}{to}: check address and port, and the firewalls on the way");
            Step::new("TCP", Status::Failed, words).took(took)
        }
        None => Step::new("TCP", Status::Skipped, "needs an address"),
    }
}

fn tls(found: &Probe, url: &BaseUrl, http: &HttpConfig) -> Step {
    let [_, _, took] = found.took;
    match (&found.tls, &found.tcp) {
        (Some(Ok(seen)), _) => tls_seen(seen, http.verify_ssl, Timestamp::now()).took(took),
        (Some(Err(why)), _) => Step::new("TLS", Status::Failed, why).took(took),
        (None, Some(Ok(peer))) if !url.is_https() => plain(*peer, found.proxy.is_some()),
        (None, _) => needs_connection("TLS"),
    }
}

fn tls_seen(seen: &TlsSeen, verify_ssl: bool, now: Timestamp) -> Step {
    let now = now.unix_nanos() / 1_000_000_000;
    let expiry = Expiry::of(seen.not_after, now);
    let mut words = format!("{}, {} issued by {}, {}", seen.version, seen.subject, seen.issuer, expiry.words);
    if !verify_ssl {
        words.push_str("; verify_ssl = false: anybody can pass for it");
    }
    let status = if expiry.is_near || !verify_ssl { Status::Warning } else { Status::Ok };
    Step::new("TLS", status, words)
        .fact("version", seen.version.as_str())
        .fact("subject", seen.subject.as_str())
        .fact("issuer", seen.issuer.as_str())
        .fact("expires", expiry.date)
        .fact("days_left", expiry.days_left)
        .fact("verified", verify_ssl)
}

/// No TLS: on this machine nobody listens, elsewhere somebody may.
fn plain(peer: SocketAddr, is_through_proxy: bool) -> Step {
    let words = "none, the URL is http";
    if peer.ip().is_loopback() && !is_through_proxy {
        Step::new("TLS", Status::Ok, words)
    } else {
        Step::new("TLS", Status::Warning, format!("{words}: anybody on the way can read the events and the token"))
    }
}

/// Whether a file has room to grow.
fn disk(folder: Option<&Path>) -> Step {
    let Some(folder) = folder else { return Step::new("disk", Status::Ok, "none, it goes to standard output") };
    let shown = folder.display();
    match free_bytes(folder) {
        Ok(Some(free)) => {
            let status = if free > 0 { Status::Ok } else { Status::Failed };
            Step::new("disk", status, format!("{} are free where {shown} lies", bytes(free))).fact("free_bytes", free)
        }
        Ok(None) => Step::new("disk", Status::Ok, format!("nobody knows how much is free where {shown} lies")),
        Err(error) => Step::new("disk", Status::Failed, format!("the folder {shown} cannot be looked at: {error}")),
    }
}

fn needs_connection(name: &'static str) -> Step {
    Step::new(name, Status::Skipped, "needs a connection")
}

/// An event that nobody can take for one of a service.
fn test_event() -> AuditEvent {
    let event_type = EventType::custom(EVENT_TYPE).unwrap_or(EventType::ConfigurationChanged);
    AuditEvent::builder(event_type, Severity::Low)
        .detail("test", true)
        .detail("note", "sent by hand with siem-forward check --send; nothing has happened")
        .build()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}
