//! Text into events: what `run` reads, line by line.
//!
//! A [`Reader`] goes through its [`Source`]s one after the other. A line that cannot become an event is handed back
//! with its file, number, reason and text, and the reading goes on; [`RejectedFile`] keeps such lines. Whatever comes
//! in, memory is bounded by the longest line that is allowed. Instead of lines a source may hold documents with an array
//! of records, and either may be compressed. Reading and decompressing happen on a thread of their own.

mod ahead;
mod decompress;
mod exact;
mod lines;
mod map;
mod ndjson;
mod pieces;
mod reader;
mod records;
mod records_pointer;
mod rejected;
#[cfg(feature = "kafka")]
mod kafka;
mod skeleton;
mod source;
mod tape;
mod walk;

#[cfg(feature = "kafka")]
pub(crate) use kafka::{
    Consumed, Figures, Group, GroupError, GroupHost, KafkaInput, Leaving, Place, RecordReader, Tracker,
};
pub use map::{InputMap, InvalidInputMap};
pub use ndjson::Unreadable;
pub use reader::{InputError, Reader};
pub use records_pointer::{InvalidRecordsPointer, RecordsPointer};
pub use rejected::{RejectedFile, RejectedLine, Unit};
pub use source::{OpenError, Source};
