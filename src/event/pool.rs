//! Text buffers that come from a pool and go back to it, beside the ring.
//!
//! An empty pool allocates and a full one frees; a buffer that grew is not kept, so the pool's memory is bounded by its
//! size times [`Pool::BUFFER_BYTES`].

use crossbeam_queue::ArrayQueue;

use super::TextBuffer;

/// A bounded pool of empty buffers, full at the start.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Those that came back last. Where events come singly these alone are used, and stay in a cache: in a queue of all
    /// buffers the next one would always be the one that was used longest ago.
    warm: ArrayQueue<TextBuffer>,
    rest: ArrayQueue<TextBuffer>,
}

impl Pool {
    /// What a pooled buffer holds before it has to grow, in bytes.
    pub(crate) const BUFFER_BYTES: usize = 1024;
    /// How many it keeps at hand besides.
    pub(crate) const WARM: usize = 64;
    /// How many are made ahead at once: some 200 µs of work.
    pub(crate) const AHEAD_MAX: usize = 512;

    pub(crate) fn filled(buffers: usize) -> Self {
        let pool = Self { warm: ArrayQueue::new(Self::WARM), rest: ArrayQueue::new(buffers.max(1)) };
        while pool.rest.push(TextBuffer::at_hand(Self::BUFFER_BYTES)).is_ok() {}
        pool
    }

    #[inline]
    pub(crate) fn take(&self) -> TextBuffer {
        self.warm.pop().or_else(|| self.rest.pop()).unwrap_or_else(|| TextBuffer::with_capacity(Self::BUFFER_BYTES))
    }

    /// The same with room for so many bytes: more than a pooled one holds has memory of its own.
    #[cfg(feature = "cli")]
    pub(crate) fn take_for(&self, bytes: usize) -> TextBuffer {
        if bytes > Self::BUFFER_BYTES { TextBuffer::with_capacity(bytes) } else { self.take() }
    }

    /// A copy of this text in a buffer of the pool; one that is too large for them has memory of its own.
    #[inline]
    pub(crate) fn copy_of(&self, text: &TextBuffer) -> TextBuffer {
        if text.len() > Self::BUFFER_BYTES {
            return text.clone();
        }
        let mut copy = self.take();
        copy.refill(text);
        copy
    }

    #[inline]
    pub(crate) fn give_back(&self, buffer: TextBuffer) {
        Self::keep(buffer, |buffer| self.warm.push(buffer).or_else(|buffer| self.rest.push(buffer)));
    }

    /// The same from a thread that reads buffers as fast as others fill them: what it has just read would go from its cache
    /// to theirs and back, which takes longer than memory that nobody holds.
    #[inline]
    pub(crate) fn give_back_cold(&self, buffer: TextBuffer) {
        Self::keep(buffer, |buffer| self.rest.push(buffer));
    }

    #[inline]
    fn keep(mut buffer: TextBuffer, push: impl FnOnce(TextBuffer) -> Result<(), TextBuffer>) {
        if buffer.capacity() == Self::BUFFER_BYTES {
            buffer.clear();
            // A full pool hands the buffer back, and it is freed.
            drop(push(buffer));
        }
    }

    /// Fills the pool up again where callers kept what they took: with the event that was sampled away, refused, or never
    /// sent. `queued` buffers are on their way back. On the batcher's time, so that a caller finds one.
    pub(crate) fn make_good(&self, queued: usize) {
        let missing = self.rest.capacity().saturating_sub(self.len() + queued);
        // A few are only between taking and sending.
        if missing * 4 > self.rest.capacity() {
            for _ in 0..missing {
                self.give_back(TextBuffer::at_hand(Self::BUFFER_BYTES));
            }
        }
    }

    /// Fills the pool up where none of its buffers come back, since the events in them wait: a caller who finds none makes
    /// one, and that costs page faults. On the batcher's time, for no more events than the ring has `room` for, and a part at
    /// a time. Returns how many were made; [`Pool::AHEAD_MAX`] where that may not be all.
    pub(crate) fn make_ahead(&self, room: usize) -> usize {
        let wanted = self.rest.capacity().min(room);
        let there = self.rest.len();
        if there * 4 > wanted * 3 {
            return 0;
        }
        let missing = wanted.saturating_sub(there).min(Self::AHEAD_MAX);
        (0..missing).take_while(|_| self.rest.push(TextBuffer::at_hand(Self::BUFFER_BYTES)).is_ok()).count()
    }

    fn len(&self) -> usize {
        self.warm.len() + self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Field;

    #[test]
    fn a_buffer_that_grew_is_not_kept() {
        let pool = Pool::filled(1);
        let mut grown = pool.take();
        grown.push(Field::UserId, &"x".repeat(2000));
        pool.give_back(grown);
        assert!(pool.len() == 0);
        pool.give_back(TextBuffer::with_capacity(Pool::BUFFER_BYTES));
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn what_came_back_last_is_taken_next() {
        let pool = Pool::filled(100);
        let mut used = pool.take();
        used.push(Field::UserId, "somebody");
        let place = used.tail().as_ptr();
        for _ in 0..1000 {
            pool.give_back(used);
            used = pool.take();
            assert_eq!(used.tail().as_ptr(), place);
        }
        assert_eq!(pool.len(), 99);
    }

    #[test]
    fn a_copy_is_made_in_a_pooled_buffer_unless_it_is_too_large_for_one() {
        let pool = Pool::filled(2);
        let mut text = TextBuffer::with_capacity(16);
        text.push(Field::UserId, "somebody");
        let copy = pool.copy_of(&text);
        assert_eq!((copy.field(Field::UserId), copy.capacity()), (Some("somebody"), Pool::BUFFER_BYTES));
        assert_eq!(pool.len(), 1);
        text.push(Field::UserAgent, &"x".repeat(2000));
        assert_eq!(pool.copy_of(&text).len(), text.len());
        assert_eq!(pool.len(), 1, "the pool keeps its buffers");
    }

    #[test]
    fn what_callers_kept_is_made_good_and_what_is_on_its_way_back_is_not() {
        let pool = Pool::filled(8);
        let taken: Vec<_> = (0..6).map(|_| pool.take()).collect();
        pool.make_good(6);
        assert_eq!(pool.len(), 2);
        pool.make_good(3);
        assert_eq!(pool.len(), 5);
        drop(taken);
        pool.make_good(0);
        assert_eq!(pool.len(), 8);
    }

    #[test]
    fn buffers_are_made_ahead_once_a_quarter_is_gone() {
        let pool = Pool::filled(8);
        let _waiting: Vec<_> = (0..2).map(|_| pool.take()).collect();
        assert_eq!((pool.make_ahead(20), pool.len()), (2, 8));
        let _one = pool.take();
        assert_eq!((pool.make_ahead(20), pool.len()), (0, 7), "one is soon back");
        let _more: Vec<_> = (0..7).map(|_| pool.take()).collect();
        assert_eq!((pool.make_ahead(3), pool.len()), (3, 3), "no more come before something leaves");
        let many = Pool::filled(2 * Pool::AHEAD_MAX);
        let _waiting: Vec<_> = (0..2 * Pool::AHEAD_MAX).map(|_| many.take()).collect();
        let made = [0; 3].map(|_| many.make_ahead(usize::MAX));
        assert_eq!(made, [Pool::AHEAD_MAX, Pool::AHEAD_MAX, 0]);
    }
}
