//! A producer of librdkafka, shared by all senders: it batches, compresses and sends by threads of its own, and reports
//! on each record.
//!
//! One producer for all, since a broker takes few large requests more readily than many small ones. It lives until it is of
//! no more use: after an error that librdkafka calls fatal, and after a refusal, when the password may have to be read
//! again. The thread `siem-kafka` takes the reports in, so that no sender waits for them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};

use super::fate::{Fate, Meaning, later, meaning, words};
use super::record::Record;
use super::shipments::{Shipments, Waybill};
use super::trouble::{Trouble, Troubles, not_made};
use crate::batch::Mark;
use crate::net::Stop;
use crate::siem::Verdict;

/// The version of the value's layout, for whoever reads the topic.
const SCHEMA_VERSION: &str = "1";
/// The thread that takes reports in looks this often whether it is to end.
const POLL: Duration = Duration::from_millis(100);
/// A wait for the brokers is cut into pieces, so that a stop ends it.
const PIECE: Duration = Duration::from_secs(1);

/// The way to the brokers.
pub(super) struct Producer {
    client: Arc<BaseProducer<Reports>>,
    /// For records that were refused in company; made when the first is.
    alone: OnceLock<Option<Arc<BaseProducer<Reports>>>>,
    config: ClientConfig,
    shipments: Arc<Shipments>,
    state: Arc<State>,
}

/// Whether a record shares its request with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    Others,
    Alone,
}

/// What the threads of one producer know together.
#[derive(Debug, Default)]
struct State {
    is_ending: AtomicBool,
    troubles: Troubles,
}

/// Takes in what librdkafka says.
struct Reports {
    shipments: Arc<Shipments>,
    state: Arc<State>,
}

impl Producer {
    /// Makes one with these settings.
    ///
    /// # Errors
    /// When librdkafka does not take them, or a thread cannot be started.
    pub(super) fn new(config: ClientConfig, shipments: &Arc<Shipments>) -> Result<Self, String> {
        let state = Arc::<State>::default();
        let client = start(&config, shipments, &state)?;
        Ok(Self { client, alone: OnceLock::new(), config, shipments: Arc::clone(shipments), state })
    }

    /// Whether it is of no more use.
    pub(super) fn is_spent(&self) -> bool {
        let is_refused = matches!(self.state.troubles.present(), Some(Trouble::Refused(_) | Trouble::NotTrusted(_)));
        is_refused || self.client.client().fatal_error().is_some()
    }

    /// Why it is, as the verdict on a batch.
    pub(super) fn complaint(&self) -> Verdict {
        let fatal = self.client.client().fatal_error();
        self.refusal().unwrap_or_else(|| {
            let words = fatal.map_or_else(|| "it was given up".to_owned(), |(_, words)| words);
            Verdict::retry(later(format!("the producer begins anew: {words}")))
        })
    }

    /// Waits until a broker answers, at most so long.
    ///
    /// # Errors
    /// The verdict on whatever waits for it.
    pub(super) fn reach(&self, topic: Option<&str>, timeout: Duration, stop: &Stop) -> Result<Metadata, Verdict> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.client().fetch_metadata(topic, left.min(PIECE)) {
                Ok(metadata) => {
                    self.state.troubles.clear();
                    return Ok(metadata);
                }
                Err(error) if left <= PIECE || stop.is_stopped() => return Err(self.unreached(&error)),
                Err(_) => {
                    if let Some(refusal @ Verdict::Halt(_)) = self.refusal() {
                        return Err(refusal);
                    }
                }
            }
        }
    }

    fn unreached(&self, error: &KafkaError) -> Verdict {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        match self.refusal() {
            Some(verdict) => verdict,
            None if meaning(code, false) == Meaning::Refused => Trouble::Refused(words(code)).verdict(),
            None => Verdict::retry(later(format!("no broker answers: {}", words(code)))),
        }
    }

    /// What librdkafka has said of its connections, as a verdict; `None` while it says nothing bad.
    fn refusal(&self) -> Option<Verdict> {
        self.state.troubles.present().map(Trouble::verdict)
    }

    /// Whether no broker was connected when it last looked.
    pub(super) fn is_cut_off(&self) -> bool {
        self.state.troubles.present().is_some()
    }

    /// Hands over one record, alone in its request where that is asked for and can be had; whether it is. Room is waited
    /// for `until` then; what cannot be handed over has its report at once.
    pub(super) fn produce(
        &self,
        record: &Record<'_>,
        mark: &Mark,
        waybill: Waybill,
        company: Company,
        until: Instant,
    ) -> Company {
        let (producer, company) = match (company, self.alone_where(company)) {
            (Company::Alone, Some(alone)) => (alone, Company::Alone),
            _ => (&self.client, Company::Others),
        };
        let mut id = Vec::with_capacity(36);
        mark.id.write(&mut id);
        let headers = OwnedHeaders::new_with_capacity(4)
            .insert(Header { key: "event_id", value: Some(&id) })
            .insert(Header { key: "event_type", value: Some(record.event_type.as_bytes()) })
            .insert(Header { key: "severity", value: Some(mark.severity.name()) })
            .insert(Header { key: "schema_version", value: Some(SCHEMA_VERSION) });
        let unsent = BaseRecord::with_opaque_to(&record.topic, waybill.number()).payload(record.value).headers(headers);
        let mut unsent = match &record.key {
            Some(key) => unsent.key(key.as_bytes()),
            None => unsent,
        };
        while let Err((error, back)) = producer.send(unsent) {
            let is_full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !is_full || Instant::now() >= until {
                self.shipments.report(waybill, Fate::of(&error));
                break;
            }
            // Room comes with the reports.
            thread::sleep(Duration::from_millis(1));
            unsent = back;
        }
        company
    }

    fn alone_where(&self, company: Company) -> Option<&Arc<BaseProducer<Reports>>> {
        if company == Company::Alone { self.alone() } else { None }
    }

    /// One whose requests hold a record each.
    fn alone(&self) -> Option<&Arc<BaseProducer<Reports>>> {
        let made = self.alone.get_or_init(|| {
            let mut config = self.config.clone();
            config.set("batch.num.messages", "1");
            start(&config, &self.shipments, &self.state).inspect_err(|error| log::warn!("{error}")).ok()
        });
        made.as_ref()
    }

    /// Gives up what is under way: each record has its report, that it was purged.
    pub(super) fn purge(&self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
        if let Some(Some(alone)) = self.alone.get() {
            alone.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

/// Makes a client, and starts the thread that takes its reports in.
fn start(
    config: &ClientConfig,
    shipments: &Arc<Shipments>,
    state: &Arc<State>,
) -> Result<Arc<BaseProducer<Reports>>, String> {
    let reports = Reports { shipments: Arc::clone(shipments), state: Arc::clone(state) };
    let client: BaseProducer<Reports> = config.create_with_context(reports).map_err(not_made)?;
    let client = Arc::new(client);
    let (polled, ending) = (Arc::clone(&client), Arc::clone(state));
    let poll = move || {
        // Relaxed: it ends a moment later.
        while !ending.is_ending.load(Ordering::Relaxed) {
            polled.poll(POLL);
        }
    };
    let spawned = thread::Builder::new().name("siem-kafka".to_owned()).spawn(poll);
    spawned.map_err(|error| format!("the thread siem-kafka cannot be started: {error}"))?;
    Ok(client)
}

/// What is still under way is purged by librdkafka, once the thread has let go of it.
impl Drop for Producer {
    fn drop(&mut self) {
        self.state.is_ending.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("state", &self.state).finish_non_exhaustive()
    }
}

impl ClientContext for Reports {
    /// The engine says in its own words what fails, and how often.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.state.troubles.read(facility, message);
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state.troubles.note(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let fate = match result {
            Ok(_) => Fate::Delivered,
            Err((error, _)) => Fate::of(error),
        };
        if fate == Fate::Delivered {
            self.state.troubles.clear();
        }
        self.shipments.report(Waybill::of_number(number), fate);
    }
}
