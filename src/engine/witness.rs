//! Who wants to know of each event what became of it, beside the books: a replay, which keeps what failed by itself.

use std::fmt;

use crate::dead_letter::Attempts;
use crate::event::EventId;

/// Told by the threads of the engine; what it is told of an event is its fate.
pub(crate) trait Witness: fmt::Debug + Send + Sync {
    /// The destination holds these.
    fn delivered(&self, ids: &[EventId]);

    /// These were refused for good, or time ran out. They go to no dead letter: the witness keeps them.
    fn failed(&self, ids: &[EventId], attempts: &Attempts);
}
