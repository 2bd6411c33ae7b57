//! Whether the brokers let us in and have the topics, asked without joining the group.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;

use super::KafkaInput;
use crate::siem::{Health, Trouble, Troubles, not_made};

/// How long an answer is waited for at a time: what is said meanwhile may end it.
const PIECE: Duration = Duration::from_millis(500);
/// What it has for saying all that it has to say.
const SAY: Duration = Duration::from_millis(20);

/// What librdkafka says of its connections.
#[derive(Default)]
struct Said(Troubles);

impl ClientContext for Said {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.read(facility, message);
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ConsumerContext for Said {}

impl KafkaInput {
    /// Asks them. A topic that is described by a pattern is not looked for.
    pub(crate) fn probe(&self) -> Health {
        let begun = Instant::now();
        match self.ask(begun + self.cluster.timeout) {
            Ok(metadata) => self.judge(&metadata).latency(begun.elapsed()),
            Err(words) => Health::unhealthy(words),
        }
    }

    fn ask(&self, deadline: Instant) -> Result<Metadata, String> {
        let mut config = self.cluster.client().map_err(|cause| cause.to_string())?;
        // Named, and not joined: that takes a subscription.
        config.set("group.id", "siem-forward-check");
        let consumer: BaseConsumer<Said> = config.create_with_context(Said::default()).map_err(not_made)?;
        loop {
            let error = match consumer.fetch_metadata(None, PIECE) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // What it says comes by polling, behind the lines of its log, each of which ends a poll that has no time.
            while consumer.poll(SAY).is_some() {}
            let trouble = match consumer.context().0.present() {
                Some(Trouble::Refused(words) | Trouble::NotTrusted(words)) => return Err(words),
                Some(Trouble::Away(words)) => words,
                None => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(format!("no broker answers: {trouble}"));
            }
        }
    }

    fn judge(&self, metadata: &Metadata) -> Health {
        let mut partitions = 0;
        for name in self.topics.iter().filter(|name| !name.starts_with('^')) {
            match metadata.topics().iter().find(|topic| topic.name() == name) {
                Some(topic) if topic.error().is_none() => partitions += topic.partitions().len(),
                _ => return Health::unhealthy(format!("the topic {name} is not there, or not for us")),
            }
        }
        let brokers = metadata.brokers().len();
        Health::healthy().detail("brokers", brokers.to_string()).detail("partitions", partitions.to_string())
    }
}
