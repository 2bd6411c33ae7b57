//! Kafka as a destination: described once, one producer for all senders, a batch pending until each report is in.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::cluster::{Cluster, millis};
use super::fate::{self, Fate};
use super::producer::{Company, Producer};
use super::record::{self, Record, RecordKey};
use super::shipments::{RECORDS_MAX, Shipments};
use super::topic::Topic;
use super::{KafkaError, KafkaTls, SaslMechanism};
use crate::batch::{Batch, Shape};
use crate::event::{AuditEvent, EventId};
use crate::net::Stop;
use crate::secret::Secret;
use crate::siem::{Cause, CauseKind, FormatError, Health, Siem, Ticket, Verdict};

/// A look into a table in memory: often enough that nobody notices, seldom enough that nobody pays.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);
/// While no broker is connected, a batch asks so long whether one is again.
const REACH_AGAIN: Duration = Duration::from_secs(1);
/// How long a batch waits for room in librdkafka's queue, before what has found none comes again.
const QUEUE_PATIENCE: Duration = Duration::from_secs(1);
/// What librdkafka collects before a request, although a batch comes as one: it goes to several partitions.
const LINGER_MS: &str = "5";
/// What librdkafka may hold. The engine's own bound, `pending_bytes_max`, lies below.
const QUEUE_KBYTES_MAX: &str = "2097151";
const QUEUE_MESSAGES_MAX: &str = "20000000";
/// What a timeout is held to: none at all is without an end to librdkafka.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);
/// A topic that is not there yet may be on its way: some brokers make it when it is first asked for.
const TOPIC_PATIENCE_MS: &str = "5000";

/// A cluster's topic, or several by a pattern.
///
/// ```
/// use siem_forward::siem::Kafka;
///
/// let kafka = Kafka::new(["kafka-1.example:9092", "kafka-2.example:9092"], "audit-{severity}")?.key("user_id")?;
/// # Ok::<(), siem_forward::siem::KafkaError>(())
/// ```
pub struct Kafka {
    pub(super) cluster: Cluster,
    pub(super) topic: Topic,
    pub(super) key: RecordKey,
    compression: KafkaCompression,
    message_timeout: Duration,
    message_bytes_max: usize,
    shipments: Arc<Shipments>,
    producer: Mutex<Option<Arc<Producer>>>,
}

/// How records are compressed, a request's worth at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KafkaCompression {
    /// Not at all.
    None,
    /// Fast: audit events shrink to about a fifth. The default.
    #[default]
    Lz4,
    /// Smaller, for two to three times the CPU time.
    Zstd,
    /// For brokers and readers that know nothing newer.
    Gzip,
}

impl KafkaCompression {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

impl Kafka {
    /// The cluster of these brokers, each `HOST:PORT`, and the topic: a name, or a pattern with `{event_type}`,
    /// `{severity}` or `{date}` in it, the day on which the event happened in UTC.
    ///
    /// # Errors
    /// When a broker or the topic is none.
    pub fn new(
        brokers: impl IntoIterator<Item = impl Into<String>>,
        topic: impl AsRef<str>,
    ) -> Result<Self, KafkaError> {
        let cluster = Cluster::new(brokers.into_iter().map(Into::into).collect())?;
        Ok(Self::of(cluster, Topic::read(topic.as_ref())?))
    }

    pub(super) fn of(cluster: Cluster, topic: Topic) -> Self {
        Self {
            cluster,
            topic,
            key: RecordKey::None,
            compression: KafkaCompression::default(),
            message_timeout: Duration::from_secs(120),
            message_bytes_max: 1_000_000,
            shipments: Arc::default(),
            producer: Mutex::default(),
        }
    }

    /// What decides on a record's partition: `none`, a field such as `user_id`, or `details.NAME`. Records of one key keep
    /// their order, until one is sent again. Default `none`: they are spread.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn key(mut self, key: impl AsRef<str>) -> Result<Self, KafkaError> {
        self.key = RecordKey::read(key.as_ref()).ok_or(KafkaError::Key)?;
        Ok(self)
    }

    /// How records are compressed. Default [`KafkaCompression::Lz4`].
    #[must_use]
    pub fn compression(mut self, compression: KafkaCompression) -> Self {
        self.compression = compression;
        self
    }

    /// Logs in by this name.
    ///
    /// # Errors
    /// When the password is empty or holds a space or what is no ASCII, or this build lacks the mechanism.
    pub fn login(
        mut self,
        mechanism: SaslMechanism,
        username: impl Into<String>,
        password: impl Into<Secret>,
    ) -> Result<Self, KafkaError> {
        self.cluster.log_in(mechanism, username.into(), password.into())?;
        Ok(self)
    }

    /// The same with the password in a file, which is read again after a refusal.
    ///
    /// # Errors
    /// As for [`login`](Self::login), and when the file holds no password now.
    pub fn login_by_file(
        mut self,
        mechanism: SaslMechanism,
        username: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Result<Self, KafkaError> {
        self.cluster.log_in_by_file(mechanism, username.into(), path.into())?;
        Ok(self)
    }

    /// Speaks TLS with the brokers.
    ///
    /// # Errors
    /// Where this build lacks the feature `kafka-tls`.
    pub fn tls(mut self, tls: KafkaTls) -> Result<Self, KafkaError> {
        self.cluster.tls(tls)?;
        Ok(self)
    }

    /// How long a broker is waited for when a connection is made or health is asked; 1 s to a day. Default 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.cluster.timeout = timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        self
    }

    /// How long a record may wait for its report, librdkafka's own attempts included, before it counts as not delivered and
    /// is sent again by the engine; 1 s to a day. Default 120 s. It must lie below the forwarder's `ack_timeout`, else a
    /// record is sent twice that was only late.
    #[must_use]
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.message_timeout = timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        self
    }

    #[cfg(feature = "cli")]
    pub(super) fn as_message_timeout(&self) -> Duration {
        self.message_timeout
    }

    /// The most bytes of a request, and so of a record; a larger record goes to the dead letter. Default 1,000,000, just below
    /// what a broker takes (`message.max.bytes`).
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// The producer of all senders, made anew where the last one is of no more use.
    fn producer(&self) -> Result<Arc<Producer>, Verdict> {
        let current = &mut *self.producer.lock();
        if let Some(spent) = current.take_if(|producer| producer.is_spent()) {
            spent.purge();
        }
        if let Some(producer) = current {
            return Ok(Arc::clone(producer));
        }
        let mut config = self.cluster.client().map_err(Verdict::Halt)?;
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", self.compression.name())
            .set("linger.ms", LINGER_MS)
            .set("message.max.bytes", self.message_bytes_max.to_string())
            .set("message.timeout.ms", millis(self.message_timeout).to_string())
            .set("topic.metadata.propagation.max.ms", TOPIC_PATIENCE_MS)
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES_MAX)
            .set("queue.buffering.max.messages", QUEUE_MESSAGES_MAX);
        let producer = Producer::new(config, &self.shipments)
            .map(Arc::new)
            .map_err(|words| Verdict::Halt(Cause::new(CauseKind::Unreachable).words(words)))?;
        *current = Some(Arc::clone(&producer));
        Ok(producer)
    }
}

impl Siem for Kafka {
    type Connection = KafkaConnection;

    fn siem_type(&self) -> &'static str {
        "kafka"
    }

    fn destination(&self) -> String {
        format!("{} topic {}", self.cluster, self.topic)
    }

    fn shape(&self) -> Shape {
        Shape { batch_size_max: RECORDS_MAX, ..Shape::DEFAULT }
    }

    fn request_timeout(&self) -> Duration {
        self.cluster.timeout + REACH_AGAIN + QUEUE_PATIENCE
    }

    fn settle_interval(&self) -> Duration {
        SETTLE_INTERVAL
    }

    fn prepare(&self) -> Result<(), String> {
        self.cluster.prepare()
    }

    fn connect(&self, stop: &Stop) -> Result<KafkaConnection, Verdict> {
        let producer = self.producer()?;
        producer.reach(self.topic.as_name(), self.cluster.timeout, stop)?;
        Ok(KafkaConnection {
            producer,
            shipments: Arc::clone(&self.shipments),
            stop: stop.clone(),
            open: BTreeMap::new(),
            apart: HashSet::new(),
        })
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        record::write(event, &self.topic, &self.key, body);
        Ok(())
    }

    fn send_batch(&self, connection: &mut KafkaConnection, batch: &Batch) -> Verdict {
        if connection.producer.is_spent() {
            return connection.given_up();
        }
        if connection.producer.is_cut_off() {
            let again = connection.producer.reach(self.topic.as_name(), REACH_AGAIN, &connection.stop);
            if let Err(verdict) = again {
                return verdict;
            }
        }
        connection.send(batch)
    }

    fn settle(&self, connection: &mut KafkaConnection, tickets: &[Ticket]) -> Result<Vec<(Ticket, Verdict)>, Cause> {
        Ok(connection.settle(tickets))
    }

    fn health_check(&self, connection: &mut KafkaConnection) -> Health {
        let begun = Instant::now();
        let topic = self.topic.as_name();
        let metadata = match connection.producer.reach(topic, self.cluster.timeout, &connection.stop) {
            Ok(metadata) => metadata,
            Err(Verdict::Retry { cause, .. } | Verdict::Halt(cause)) => {
                return Health::unhealthy(cause.as_words().unwrap_or("no broker answers"));
            }
            Err(_) => return Health::unhealthy("no broker answers"),
        };
        let latency = begun.elapsed();
        let health = match topic.and_then(|name| metadata.topics().iter().find(|topic| topic.name() == name)) {
            Some(topic) if topic.error().is_some() => {
                Health::unhealthy(format!("the topic {} is not there, or not for us", topic.name()))
            }
            Some(topic) => Health::healthy().detail("partitions", topic.partitions().len().to_string()),
            None => Health::healthy(),
        };
        health.latency(latency).detail("brokers", metadata.brokers().len().to_string())
    }
}

/// The password stays unseen.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, topic, key, compression, message_timeout, message_bytes_max, .. } = self;
        f.debug_struct("Kafka")
            .field("cluster", cluster)
            .field("topic", topic)
            .field("key", key)
            .field("compression", compression)
            .field("message_timeout", message_timeout)
            .field("message_bytes_max", message_bytes_max)
            .finish()
    }
}

/// One sender's side of the producer: which of its batches are under way.
pub struct KafkaConnection {
    producer: Arc<Producer>,
    shipments: Arc<Shipments>,
    stop: Stop,
    open: BTreeMap<usize, Sent>,
    /// The brokers refused these together with others of their request: they are sent alone.
    apart: HashSet<EventId>,
}

/// A batch that is under way.
#[derive(Debug)]
struct Sent {
    ids: Vec<EventId>,
    /// The places of those that are alone in their request.
    alone: Vec<usize>,
}

impl KafkaConnection {
    /// Hands over each record; the reports come later.
    fn send(&mut self, batch: &Batch) -> Verdict {
        let shipment = self.shipments.begin(batch.len());
        let until = Instant::now() + QUEUE_PATIENCE;
        let mut sent = Sent { ids: batch.marks().iter().map(|mark| mark.id).collect(), alone: Vec::new() };
        for (place, (mark, wire)) in batch.marks().iter().zip(batch.events()).enumerate() {
            let waybill = Shipments::waybill(shipment, place);
            let Some(record) = Record::read(wire) else {
                // From a dead letter that somebody has edited: no topic would take it.
                self.shipments.report(waybill, Fate::Failed(rdkafka::error::RDKafkaErrorCode::InvalidTopic));
                continue;
            };
            let is_apart = !self.apart.is_empty() && self.apart.contains(&mark.id);
            let company = if is_apart { Company::Alone } else { Company::Others };
            if self.producer.produce(&record, mark, waybill, company, until) == Company::Alone {
                sent.alone.push(place);
            }
        }
        self.open.insert(shipment, sent);
        Verdict::Pending(Ticket::new(shipment as u64))
    }

    /// The verdicts on those batches whose reports are all in; what nobody asks for is forgotten.
    fn settle(&mut self, tickets: &[Ticket]) -> Vec<(Ticket, Verdict)> {
        let asked: HashSet<usize> = tickets.iter().filter_map(|ticket| usize::try_from(ticket.number()).ok()).collect();
        let gone: Vec<usize> = self.open.keys().filter(|number| !asked.contains(number)).copied().collect();
        self.shipments.forget(gone.iter().copied());
        for number in &gone {
            self.open.remove(number);
        }
        let mut verdicts = Vec::new();
        for (number, fates) in self.shipments.take_reported(asked) {
            let Some(sent) = self.open.remove(&number) else { continue };
            let verdict = fate::verdict(&fates, |place| sent.alone.binary_search(&place).is_ok());
            self.note_apart(&sent, &fates);
            verdicts.push((Ticket::new(number as u64), verdict));
        }
        verdicts
    }

    /// Remembers which of them are to be sent alone, and forgets those that were.
    fn note_apart(&mut self, sent: &Sent, fates: &[Fate]) {
        for place in &sent.alone {
            sent.ids.get(*place).map(|id| self.apart.remove(id));
        }
        for (place, (id, fate)) in sent.ids.iter().zip(fates).enumerate() {
            let Fate::Failed(code) = *fate else { continue };
            let is_alone = sent.alone.binary_search(&place).is_ok();
            if fate::meaning(code, is_alone) == fate::Meaning::Apart {
                self.apart.insert(*id);
            }
        }
    }

    /// The producer is of no more use: the next connection has another one.
    fn given_up(&self) -> Verdict {
        self.producer.purge();
        self.producer.complaint()
    }
}

/// Nobody will ask for its batches any more.
impl Drop for KafkaConnection {
    fn drop(&mut self) {
        self.shipments.forget(self.open.keys().copied());
    }
}

impl fmt::Debug for KafkaConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConnection").field("open", &self.open.len()).finish_non_exhaustive()
    }
}
