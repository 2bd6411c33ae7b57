//! Kafka's topics as an input: what `worker` reads, as a member of a group, and commits once it has a fate.
//!
//! Read it in this order: `watermark` (how far a partition may be committed), `tracker` (what has become of what was read),
//! `joining` (when a group takes no commit), `member` (partitions that come and go), `group` (reading, committing, leaving),
//! `standing` (whether the group has us), `figures` (what of all that is shown), `record` (a value into an event), `probe` (whether
//! the brokers let us in at all), `keys` (its configuration).

mod figures;
mod group;
mod joining;
mod keys;
mod member;
mod probe;
mod record;
mod standing;
mod tracker;
mod watermark;

pub(crate) use figures::Figures;
pub(crate) use group::{Consumed, Group, GroupError, Leaving};
pub(crate) use keys::KafkaInput;
pub(crate) use member::GroupHost;
pub(crate) use record::RecordReader;
pub(crate) use tracker::{Partition, Place, Tracker};
