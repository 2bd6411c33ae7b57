//! Text into events: what `run` reads, line by line.
//!
//! A [`Reader`] goes through its [`Source`]s one after the other. A line that cannot become an event is handed back
//! with its file, number, reason and text, and the reading goes on; [`RejectedFile`] keeps such lines. Whatever comes
//! in, memory is bounded by the longest line that is allowed.

mod lines;
#[cfg(test)]
mod map;
mod ndjson;
mod reader;
mod rejected;
mod source;

pub use ndjson::Unreadable;
pub use reader::{InputError, Reader};
pub use rejected::{RejectedFile, RejectedLine};
pub use source::{OpenError, Source};
