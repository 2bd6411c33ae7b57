//! Who wants to know of each event what became of it, beside the books: a replay, which keeps what failed by itself, and a
//! worker, which reads again what has no fate.

use std::fmt;

use crate::dead_letter::{Attempts, KafkaPlace};
use crate::event::EventId;

/// Told by the threads of the engine; what it is told of an event is its fate.
pub(crate) trait Witness: fmt::Debug + Send + Sync {
    /// The destination holds these.
    fn delivered(&self, ids: &[EventId]);

    /// These were refused for good, or time ran out. Who keeps them?
    fn failed(&self, ids: &[EventId], attempts: &Attempts) -> Keeper;

    /// Where the event with this id was read from, as its record in the dead letter is to say.
    fn place(&self, _id: EventId) -> Option<KafkaPlace> {
        None
    }

    /// These, which the dead letter was to keep, stand there now and have reached the disk; or nowhere, where none is
    /// configured. Of those that it could not take nothing is told.
    fn buried(&self, ids: &[EventId]);
}

/// Who keeps an event that is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeper {
    /// The witness, in the dead letter's place.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "a replay's"))]
    Witness,
    /// Whoever handed it in, and has it still.
    #[cfg_attr(not(all(feature = "cli", feature = "kafka")), expect(dead_code, reason = "a worker's"))]
    Origin,
    /// The dead letter.
    #[cfg_attr(not(all(feature = "cli", feature = "kafka")), expect(dead_code, reason = "a worker's"))]
    DeadLetter,
}
