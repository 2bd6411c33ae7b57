//! Kafka's topics as an input: what `worker` reads, as a member of a group, and commits once it has a fate.
//!
//! Read it in this order: `watermark` (how far a partition may be committed), `tracker` (what has become of what was read),
//! `group` (who reads which partition), `record` (a value into an event), `keys` (its configuration).

mod group;
mod keys;
mod record;
mod tracker;
mod watermark;

pub(crate) use group::{Consumed, Figures, Group, GroupError};
pub(crate) use keys::KafkaInput;
pub(crate) use record::RecordReader;
pub(crate) use tracker::{Partition, Place, Tracker};
