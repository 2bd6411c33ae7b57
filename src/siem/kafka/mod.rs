//! Kafka, and whatever speaks its protocol: an engine that holds events for days, and carries them to many readers.
//!
//! Every event becomes a record: its value is the event in our own layout, its headers say id, type, severity and the
//! layout's version. A record is delivered once the broker's own report says so, with all replicas that are in sync
//! (`acks=all`, idempotent). The reports are not waited for by the sender: a batch is [`Verdict::Pending`](super::Verdict::Pending) until they are in.
//!
//! Needs the feature `kafka`, but for the description of its keys.

#[cfg(feature = "cli")]
mod keys;
#[cfg(feature = "kafka")]
mod cluster;
#[cfg(feature = "kafka")]
mod destination;
#[cfg(feature = "kafka")]
mod error;
#[cfg(feature = "kafka")]
mod fate;
#[cfg(feature = "kafka")]
mod producer;
#[cfg(feature = "kafka")]
mod record;
#[cfg(feature = "kafka")]
mod shipments;
#[cfg(feature = "kafka")]
mod tls;
#[cfg(feature = "kafka")]
mod told;
#[cfg(feature = "kafka")]
mod topic;
#[cfg(feature = "kafka")]
mod trouble;

#[cfg(all(feature = "kafka", feature = "cli"))]
pub(crate) use cluster::Cluster;
#[cfg(feature = "kafka")]
pub use destination::{Kafka, KafkaCompression, KafkaConnection};
#[cfg(feature = "kafka")]
pub use error::{KafkaError, SaslMechanism};
#[cfg(feature = "cli")]
pub(crate) use keys::KEYS;
#[cfg(all(feature = "kafka", feature = "cli"))]
pub(crate) use keys::cluster_of_table;
#[cfg(feature = "kafka")]
pub use tls::KafkaTls;
#[cfg(all(feature = "kafka", feature = "cli"))]
pub(crate) use told::Told;
#[cfg(all(feature = "kafka", feature = "cli"))]
pub(crate) use trouble::{Trouble, Troubles, not_made};
