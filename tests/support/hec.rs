//! Splunk, Datadog, Elasticsearch and a webhook over real HTTP against the embedded receiver: what the tests of both sides share.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use siem_forward::net::{Compression, HttpConfig};
use siem_forward::policy::RetryConfig;
use siem_forward::receiver::{Fault, Play, Receiver, ReceiverConfig};
use siem_forward::siem::{Datadog, Elastic, Splunk, Webhook, WebhookBody};
use siem_forward::{Builder, DeadLetterConfig, EventId, Forwarder, Report, Siem, Snapshot};

use super::support::{PATIENCE, assert_one_fate_each, dead_letter, send};

pub const TOKEN: &str = "5f0c3a1e-planted-token-that-nobody-prints";

/// A request that is not answered within this is given up: far above what loopback needs, far below a test's patience.
pub const TIMEOUT: Duration = Duration::from_millis(400);

/// A folder with a dead letter in it.
pub struct Letter {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Letter {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        Self { _folder: folder, path }
    }

    pub fn records(&self) -> BTreeMap<String, serde_json::Value> {
        dead_letter(&self.path)
    }
}

pub fn faults(faults: &[&str]) -> Vec<Fault> {
    faults.iter().map(|fault| fault.parse().unwrap()).collect()
}

/// A receiver with these faults.
pub fn receiver(texts: &[&str]) -> Receiver {
    playing(Play::Splunk, texts)
}

/// The same as another destination.
pub fn playing(play: Play, texts: &[&str]) -> Receiver {
    Receiver::start(ReceiverConfig { play, faults: faults(texts), ..ReceiverConfig::default() }).unwrap()
}

/// A receiver with these faults that indexes what it takes so much later, and acknowledges it.
pub fn acknowledging(delay: Duration, texts: &[&str]) -> Receiver {
    let config = ReceiverConfig { faults: faults(texts), ack: Some(delay), ..ReceiverConfig::default() };
    Receiver::start(config).unwrap()
}

/// A receiver that listens exactly there, as soon as the system lets go of the address.
pub fn receiver_at(address: SocketAddr) -> Receiver {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Receiver::start(ReceiverConfig { address, ..ReceiverConfig::default() }) {
            Ok(receiver) => return receiver,
            Err(error) => assert!(Instant::now() < deadline, "{address} stays taken: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An address where nobody listens. On Linux each caller gets a loopback address of its own, so that no other test can
/// take the port meanwhile.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [low, high] = (u16::try_from(std::process::id() % 65_536).unwrap()).to_le_bytes();
    let ip = if cfg!(target_os = "linux") {
        [127, low.max(1), high, NEXT.fetch_add(1, Ordering::Relaxed)]
    } else {
        [127, 0, 0, 1]
    };
    TcpListener::bind(SocketAddr::from((ip, 0))).unwrap().local_addr().unwrap()
}

/// Retries within milliseconds, so that a test of what happens is no test of how long it takes.
pub fn impatient() -> RetryConfig {
    let mut retry = RetryConfig::default();
    retry.retry_backoff_max = Duration::from_millis(20);
    retry
}

pub fn splunk(url: impl AsRef<str>) -> Splunk {
    Splunk::new(url, TOKEN).unwrap().timeout(TIMEOUT).compression(Compression::None)
}

pub fn datadog(url: impl AsRef<str>, timeout: Duration) -> Datadog {
    let mut http = HttpConfig::default();
    http.timeout = timeout;
    Datadog::new("us1", TOKEN).unwrap().url(url).unwrap().http(http)
}

pub fn elastic(url: impl AsRef<str>, timeout: Duration) -> Elastic {
    let mut http = HttpConfig::default();
    http.timeout = timeout;
    Elastic::new(url).unwrap().api_key(TOKEN).unwrap().http(http)
}

pub fn webhook(url: impl AsRef<str>, timeout: Duration) -> Webhook {
    let mut http = HttpConfig::default();
    http.timeout = timeout;
    let webhook = Webhook::new(url).unwrap().bearer(TOKEN).unwrap();
    webhook.body(WebhookBody::Under("events".to_owned())).http(http)
}

/// A forwarder in small batches that does not wait long for anything.
pub fn builder(siem: impl Siem, letter: &Letter) -> Builder {
    super::support::builder(siem)
        .batch_size(50)
        .batch_timeout(Duration::from_millis(100))
        .retry(impatient())
        .dead_letter(DeadLetterConfig::new(&letter.path))
}

/// How often each id was indexed, by all these receivers together.
pub fn ids(receivers: &[&Receiver]) -> HashMap<EventId, u32> {
    let mut ids = HashMap::new();
    for (id, times) in receivers.iter().flat_map(|receiver| receiver.ids()) {
        *ids.entry(EventId::from_u128(id)).or_default() += times;
    }
    ids
}

/// The comparison of `support`, with what the receiver says about itself.
pub fn assert_balanced(sent: &[EventId], receiver: &Receiver, letter: &Letter, report: &Report) {
    let counts = receiver.counts();
    assert_eq!((counts.unindexed, counts.without_id), (0, 0), "{counts:?}");
    assert_one_fate_each(sent, &ids(&[receiver]), &letter.records(), report);
}

/// The same of a receiver that acknowledges: delivered is what it has indexed and said so. What it has only taken counts
/// for nothing, and may not be dead either unless the record says so.
pub fn assert_acknowledged(sent: &[EventId], receiver: &Receiver, letter: &Letter, report: &Report) {
    let counts = receiver.counts();
    assert_eq!((counts.unindexed, counts.without_id), (0, 0), "{counts:?}");
    let (dead, taken) = (letter.records(), ids(&[receiver]));
    for id in taken.keys() {
        let is_excused = dead.get(&id.to_string()).is_none_or(|record| record["possible_duplicate"] == true);
        assert!(is_excused, "{id} is taken and dead, and nobody said that it may be");
    }
    // Also the forwarder's own events; where none are lost, whatever is not dead is delivered.
    let delivered = taken.keys().chain(sent).filter(|id| !dead.contains_key(&id.to_string())).map(|id| id.as_u128());
    if report.ledger.lost_total() == 0 {
        assert_eq!(receiver.unacknowledged(delivered), 0, "delivered and not acknowledged: {report}, {counts:?}");
    }
    let indexed = taken.into_iter().filter(|(id, _)| receiver.contains(id.as_u128())).collect();
    assert_one_fate_each(sent, &indexed, &dead, report);
}

/// Keeps the senders busy until requests have failed so often for this cause; `sent` gets the ids.
pub fn send_until_failed(forwarder: &Forwarder, cause: &str, times: u64, sent: &mut Vec<EventId>) {
    let deadline = Instant::now() + PATIENCE;
    let emitter = forwarder.emitter();
    while forwarder.metrics().error_counts.get(cause).is_none_or(|found| *found < times) {
        assert!(Instant::now() < deadline, "never: {:?}", forwarder.metrics());
        sent.extend(send(&emitter, 5));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until these events are delivered or have failed for good.
pub fn wait_for_fates(forwarder: &Forwarder, events: usize) {
    super::support::wait_until(forwarder, |metrics| fates(metrics) == events as u64);
}

fn fates(metrics: &Snapshot) -> u64 {
    metrics.events_sent + metrics.events_failed
}
