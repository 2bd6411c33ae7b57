//! The destinations of a fan-out, as one emitter of it knows them.

use crate::engine::emitter::{Emitter, Gate};
use crate::event::TextBuffer;

/// Where an event goes.
pub(super) struct Destinations {
    pub(super) emitters: Box<[Emitter]>,
    /// The place of the one that gets the event itself where it wants it, and in whose buffers events begin: one that wants
    /// all, so that its buffers come back to it.
    pub(super) home: usize,
    /// Whether the policy of any lets its caller wait for room.
    pub(super) any_blocks: bool,
}

impl Destinations {
    #[inline]
    pub(super) fn gate(&self, place: usize) -> Option<&Gate> {
        self.emitters.get(place).map(|emitter| &*emitter.gate)
    }

    #[inline]
    pub(super) fn buffer(&self) -> TextBuffer {
        // There is a home: a fan-out has one destination at least.
        self.gate(self.home).map_or_else(TextBuffer::empty, |home| home.pool.take())
    }

    #[cfg(feature = "cli")]
    pub(super) fn buffer_of(&self, bytes: usize) -> TextBuffer {
        self.gate(self.home).map_or_else(TextBuffer::empty, |home| home.pool.take_for(bytes))
    }

    pub(super) fn give_back(&self, buffer: TextBuffer) {
        if let Some(home) = self.gate(self.home) {
            home.pool.give_back(buffer);
        }
    }
}
