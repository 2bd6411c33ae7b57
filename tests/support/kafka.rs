//! Brokers in this process, which fail on request, and what lies in their topics.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(missing_docs, missing_debug_implementations, reason = "nobody else's")]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataPartition;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use siem_forward::EventId;
use siem_forward::siem::Kafka;

use crate::support::PATIENCE;

pub const PARTITIONS: i32 = 4;

/// Three brokers, which librdkafka plays.
pub struct Brokers(pub MockCluster<'static, DefaultProducerContext>);

/// One record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub value: String,
}

impl Consumed {
    /// By its header, which must be the value's.
    pub fn id(&self) -> EventId {
        let value: serde_json::Value = serde_json::from_str(&self.value).unwrap();
        assert_eq!(value["id"].as_str(), Some(&*self.headers["event_id"]));
        EventId::parse(&self.headers["event_id"]).unwrap()
    }
}

impl Brokers {
    /// With these topics.
    pub fn with(topics: &[&str]) -> Self {
        let brokers = Self(MockCluster::new(3).unwrap());
        for topic in topics {
            brokers.0.create_topic(topic, PARTITIONS, 3).unwrap();
        }
        brokers
    }

    /// At a distance, for members that join. Of a group's members its leader asks for the partitions before it says who reads what,
    /// and so is the last one to say that it is ready. Were it the first, as on a busy machine without a distance, then these
    /// brokers would take the group for settled, unlike real ones, and would turn away the others.
    pub fn at_a_distance(topics: &[&str]) -> Self {
        let brokers = Self::with(topics);
        brokers.0.broker_round_trip_time(-1, Duration::from_millis(200)).unwrap();
        brokers
    }

    pub fn addresses(&self) -> String {
        self.0.bootstrap_servers()
    }

    pub fn kafka(&self, topic: &str) -> Kafka {
        Kafka::new(self.addresses().split(','), topic).unwrap()
    }

    /// The next requests that produce fail so.
    pub fn fail_produce(&self, error: RDKafkaRespErr, times: usize) {
        self.0.request_errors(RDKafkaApiKey::Produce, &vec![error; times]);
    }

    pub fn heal(&self) {
        self.0.clear_request_errors(RDKafkaApiKey::Produce);
        self.0.broker_up(-1).unwrap();
        self.0.broker_round_trip_time(-1, Duration::ZERO).unwrap();
    }

    /// All that lies in these partitions, from the first record on.
    pub fn read(&self, topic: &str) -> Vec<Consumed> {
        read(&self.addresses(), topic)
    }

    /// How often each id lies there.
    pub fn ids(&self, topic: &str) -> HashMap<EventId, u32> {
        let mut ids = HashMap::new();
        for record in self.read(topic) {
            *ids.entry(record.id()).or_default() += 1;
        }
        ids
    }
}

/// The same of brokers anywhere.
pub fn read(addresses: &str, topic: &str) -> Vec<Consumed> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", addresses).set("group.id", "reader").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.set("enable.partition.eof", "false").create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions: Vec<i32> = metadata.topics()[0].partitions().iter().map(MetadataPartition::id).collect();
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
        left += high - low;
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} records of {topic} never came");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) else { continue };
        left -= 1;
        let mut headers = BTreeMap::new();
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            headers.insert(header.key.to_owned(), String::from_utf8(header.value.unwrap().to_vec()).unwrap());
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        records.push(Consumed {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(text),
            headers,
            value: message.payload().map(text).unwrap_or_default(),
        });
    }
    records
}

/// What a group has committed of a topic's partitions, all together.
pub fn committed(addresses: &str, group: &str, topic: &str) -> i64 {
    committed_by_partition(addresses, group, topic).values().sum()
}

/// The same of each.
pub fn committed_by_partition(addresses: &str, group: &str, topic: &str) -> BTreeMap<i32, i64> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer = config.set("bootstrap.servers", addresses).set("group.id", group).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut asked = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        asked.add_partition(topic, partition.id());
    }
    let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    committed.elements().iter().map(|partition| (partition.partition(), offset(partition.offset()))).collect()
}

/// Writes these values, each under its number as key, and waits until they lie there.
pub fn write(addresses: &str, topic: &str, values: impl IntoIterator<Item = String>) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", addresses).set("enable.idempotence", "true");
    let producer: BaseProducer = config.create().unwrap();
    for (number, value) in values.into_iter().enumerate() {
        let key = number.to_string();
        while let Err((error, _)) = producer.send(BaseRecord::to(topic).key(&key).payload(&value)) {
            assert_eq!(error.rdkafka_error_code(), Some(rdkafka::error::RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(10));
        }
    }
    producer.flush(PATIENCE).unwrap();
}
