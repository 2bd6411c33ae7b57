//! Whether the brokers let us in and have the topics, asked without joining the group.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use super::KafkaInput;
use crate::siem::Health;

/// How long an answer is waited for in all.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// And at a time: what is said meanwhile may end it.
const PIECE: Duration = Duration::from_millis(500);

/// What librdkafka says of its connections: the last words, and whether the brokers refuse us.
#[derive(Default)]
struct Said(Mutex<(String, bool)>);

impl ClientContext for Said {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let is_refusal =
            matches!(code, Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism);
        let said = &mut *self.0.lock();
        let words = match code {
            // Why the last of them is.
            Code::AllBrokersDown if !said.0.is_empty() && !said.0.starts_with(reason) => {
                format!("{reason}: {}", said.0)
            }
            Code::AllBrokersDown if !said.0.is_empty() => return,
            _ => reason.to_owned(),
        };
        // After a refusal they are also all away: that says less.
        if is_refusal || !said.1 {
            *said = (words, is_refusal);
        }
    }
}

impl ConsumerContext for Said {}

impl KafkaInput {
    /// Asks them. A topic that is described by a pattern is not looked for.
    pub(crate) fn probe(&self) -> Health {
        let begun = Instant::now();
        match self.ask(begun + ANSWER_MAX) {
            Ok(metadata) => self.judge(&metadata).latency(begun.elapsed()),
            Err(words) => Health::unhealthy(words),
        }
    }

    fn ask(&self, deadline: Instant) -> Result<Metadata, String> {
        let mut config = self.cluster.client().map_err(|cause| cause.to_string())?;
        // Named, and not joined: that takes a subscription.
        config.set("group.id", "siem-forward-check");
        let consumer: BaseConsumer<Said> =
            config.create_with_context(Said::default()).map_err(|error| match error {
                // It would show the value, which may be the password.
                KafkaError::ClientConfig(_, _, name, _) => format!("librdkafka takes no such {name}"),
                other => other.to_string(),
            })?;
        loop {
            let error = match consumer.fetch_metadata(None, PIECE) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // What it says comes by polling, one after the other.
            while consumer.poll(Duration::ZERO).is_some() {}
            let (said, is_refusal) = &*consumer.context().0.lock();
            if *is_refusal {
                return Err(said.clone());
            }
            if Instant::now() >= deadline {
                let words = if said.is_empty() { error.to_string() } else { said.clone() };
                return Err(format!("no broker answers: {words}"));
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
