//! The dead letter: a file of the events that were refused for good or left over, one JSON record a line.
//!
//! It is bounded and never deletes: full means full. Lines are whole, also after a write that failed half-way or a
//! process that was killed. What it holds may be sensitive, so the file is made with mode 0600. Written by batchers,
//! senders and drain, rarely; each write reaches the disk before the events are counted, but while draining, where one
//! bounded wait for the disk follows all writes. Read by the commands `replay` and `dead-letter`.

mod file;
#[cfg(feature = "cli")]
mod journal;
#[cfg(feature = "cli")]
mod read;
#[cfg(feature = "cli")]
mod record;
mod records;
#[cfg(feature = "cli")]
mod rewrite;

use crate::siem::Cause;

#[cfg(all(feature = "cli", feature = "kafka"))]
pub(crate) use file::DeadLetterError;
#[cfg(feature = "cli")]
pub(crate) use file::move_away;
pub(crate) use file::{DeadLetter, Durable, OpenError};
#[cfg(feature = "cli")]
pub(crate) use journal::{Fates, Folded, Journal};
#[cfg(feature = "cli")]
pub(crate) use read::{Lines, RawLine};
#[cfg(feature = "cli")]
pub(crate) use record::{Damage, Failure, Record, Since};
#[cfg(all(feature = "cli", feature = "kafka"))]
pub(crate) use records::Misfit;
pub(crate) use records::{KafkaPlace, Records};
#[cfg(feature = "cli")]
pub(crate) use rewrite::rewrite;

/// Whose records these are: the same for every record of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) pipeline: String,
    pub(crate) siem_type: &'static str,
    pub(crate) destination: String,
}

/// What is known of the attempts to deliver.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    pub(crate) cause: Cause,
    pub(crate) count: u32,
    pub(crate) possible_duplicate: bool,
}

impl Attempts {
    /// Never sent.
    pub(crate) fn none(cause: Cause) -> Self {
        Self { cause, count: 0, possible_duplicate: false }
    }
}
