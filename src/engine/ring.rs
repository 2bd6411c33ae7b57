//! The ring, and how it closes without losing an event.
//!
//! Events go through a bounded `ArrayQueue` (Dmitry Vyukov's bounded MPMC queue). It cannot wake anybody, so a producer
//! never pays for a wake-up; the batcher polls.
//!
//! A bare `closed` flag loses events: a producer reads "open", pauses, and pushes after the last sweep. So the ring is
//! closed by *filling* it. The batcher, its only reader, pushes `None` until the ring is full, pops one, pushes again: a
//! popped event is batched, a popped `None` is subtracted. When as many `None` lie in the ring as it has slots, the ring
//! is full for ever, no push can succeed again, and every push that ever succeeded has been popped. The flag is only a
//! hint that saves emitters the attempt; a leaked or stalled emitter does not matter.
//!
//! The protocol is written against [`Slots`], so that loom runs this very code on a queue of its own.

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

/// A bounded queue of optional values: what the protocol needs of one.
pub(crate) trait Slots<T> {
    /// Takes the value if there is room.
    fn push(&self, value: Option<T>) -> Result<(), Option<T>>;
    /// The oldest value, `None` if there is none.
    #[expect(clippy::option_option, reason = "a queue that may be empty, of values that may be the filling")]
    fn pop(&self) -> Option<Option<T>>;
    fn len(&self) -> usize;
    fn capacity(&self) -> usize;
}

impl<T> Slots<T> for ArrayQueue<Option<T>> {
    #[inline]
    fn push(&self, value: Option<T>) -> Result<(), Option<T>> {
        ArrayQueue::push(self, value)
    }

    #[inline]
    fn pop(&self) -> Option<Option<T>> {
        ArrayQueue::pop(self)
    }

    fn len(&self) -> usize {
        ArrayQueue::len(self)
    }

    fn capacity(&self) -> usize {
        ArrayQueue::capacity(self)
    }
}

/// A ring of one batcher.
#[derive(Debug)]
pub(crate) struct Ring<Q> {
    slots: Q,
    /// Relaxed everywhere: a hint, which the full ring makes true.
    closed: AtomicBool,
    /// How many `None` lie in the slots. Written by the one reader alone, so relaxed loads and stores do; it lives here
    /// and not on the reader's stack, so that drain can go on where a hanging reader stopped.
    fill: AtomicUsize,
}

impl<Q> Ring<Q> {
    pub(crate) fn new(slots: Q) -> Self {
        Self { slots, closed: AtomicBool::new(false), fill: AtomicUsize::new(0) }
    }

    /// Whether closing has begun; from then on emitters hand events back.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Tells emitters to stop; [`Ring::next_while_closing`] makes it true.
    pub(crate) fn hint_closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// How many slots were empty just now; in a closed ring none.
    pub(crate) fn room<T>(&self) -> usize
    where
        Q: Slots<T>,
    {
        self.slots.capacity().saturating_sub(self.slots.len())
    }

    /// Puts a value in, from any thread; gives it back if the ring is full, or closes.
    #[inline]
    pub(crate) fn try_push<T>(&self, value: T) -> Result<(), T>
    where
        Q: Slots<T>,
    {
        if self.is_closed() {
            return Err(value);
        }
        // A queue gives back what it was given: a value.
        self.slots.push(Some(value)).or_else(|back| back.map_or(Ok(()), Err))
    }

    /// The oldest value. Only the batcher calls this, and only before closing.
    #[inline]
    pub(crate) fn pop<T>(&self) -> Option<T>
    where
        Q: Slots<T>,
    {
        self.slots.pop().flatten()
    }

    /// The next value of a ring that closes; `None` once it is closed for ever. Only the batcher calls this.
    pub(crate) fn next_while_closing<T>(&self) -> Option<T>
    where
        Q: Slots<T>,
    {
        self.hint_closed();
        let mut fill = self.fill.load(Ordering::Relaxed);
        loop {
            while self.slots.push(None).is_ok() {
                fill += 1;
            }
            self.fill.store(fill, Ordering::Relaxed);
            if fill == self.slots.capacity() {
                return None;
            }
            match self.slots.pop() {
                Some(Some(value)) => return Some(value),
                Some(None) => fill -= 1,
                None => {}
            }
        }
    }

    /// How many values wait, without the filling; a gauge, which may be a little off while the ring closes.
    pub(crate) fn len<T>(&self) -> usize
    where
        Q: Slots<T>,
    {
        self.slots.len().saturating_sub(self.fill.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    type TestRing = Ring<ArrayQueue<Option<usize>>>;

    /// Producers push until they are refused as closed, and count what was taken.
    fn produce(ring: &TestRing) -> usize {
        let mut taken = 0;
        loop {
            match ring.try_push(1) {
                Ok(()) => taken += 1,
                Err(_) if ring.is_closed() => return taken,
                Err(_) => thread::yield_now(),
            }
        }
    }

    /// Eight producers, a thousand closes, each in the middle of their pushing: what was accepted was popped.
    #[test]
    fn no_accepted_value_is_lost_over_a_thousand_closes() {
        for round in 0..1000 {
            let ring = Arc::new(TestRing::new(ArrayQueue::new(1 + round % 64)));
            let producers: Vec<_> = (0..8)
                .map(|_| {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || produce(&ring))
                })
                .collect();
            let mut popped = 0;
            // At another moment of their pushing each time.
            while popped < round % 32 {
                popped += ring.pop::<usize>().unwrap_or(0);
            }
            while ring.next_while_closing::<usize>().is_some() {
                popped += 1;
            }
            let accepted: usize = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
            assert_eq!(accepted, popped, "round {round}");
            assert!(ring.slots.push(Some(1)).is_err(), "a closed ring is full for ever");
        }
    }

    #[test]
    fn a_producer_that_read_open_before_the_close_is_refused_or_popped() {
        let ring = TestRing::new(ArrayQueue::new(2));
        ring.try_push(1).unwrap();
        assert_eq!(ring.next_while_closing::<usize>(), Some(1));
        // As if it had read the hint before: straight to the slots, where the popped value left room.
        assert!(ring.slots.push(Some(2)).is_ok());
        assert_eq!(ring.len::<usize>(), 1, "it waits still, and the filling does not count");
        let rest: Vec<usize> = std::iter::from_fn(|| ring.next_while_closing()).collect();
        assert_eq!(rest, [2]);
        assert_eq!(ring.len::<usize>(), 0);
        assert!(ring.slots.push(Some(3)).is_err());
    }
}

/// The shipped protocol under loom: every interleaving of producers with the close, on a model queue.
#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use std::collections::VecDeque;
    use std::sync::Mutex;

    /// A queue whose pushes and pops are atomic, as those of the real one are linearizable: one step of loom's for each.
    struct ModelSlots {
        /// What loom sees of an operation. The lock, which it does not see, is never contended under it.
        steps: AtomicUsize,
        queue: Mutex<VecDeque<Option<usize>>>,
        capacity: usize,
    }

    impl ModelSlots {
        fn step<T>(&self, operation: impl FnOnce(&mut VecDeque<Option<usize>>) -> T) -> T {
            self.steps.fetch_add(1, Ordering::AcqRel);
            operation(&mut self.queue.lock().unwrap())
        }
    }

    impl Slots<usize> for ModelSlots {
        fn push(&self, value: Option<usize>) -> Result<(), Option<usize>> {
            self.step(|queue| {
                if queue.len() == self.capacity {
                    return Err(value);
                }
                queue.push_back(value);
                Ok(())
            })
        }

        fn pop(&self) -> Option<Option<usize>> {
            self.step(VecDeque::pop_front)
        }

        fn len(&self) -> usize {
            self.step(|queue| queue.len())
        }

        fn capacity(&self) -> usize {
            self.capacity
        }
    }

    fn every_interleaving(producers: usize, pushes: usize, capacity: usize) {
        loom::model(move || {
            let slots = ModelSlots { steps: AtomicUsize::new(0), queue: Mutex::default(), capacity };
            let ring = Arc::new(Ring::new(slots));
            let threads: Vec<_> = (0..producers)
                .map(|_| {
                    let ring = Arc::clone(&ring);
                    loom::thread::spawn(move || (0..pushes).filter(|_| ring.try_push(1).is_ok()).count())
                })
                .collect();
            let mut popped = usize::from(ring.pop::<usize>().is_some());
            while ring.next_while_closing::<usize>().is_some() {
                popped += 1;
            }
            let accepted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(accepted, popped);
            assert!(ring.try_push(1).is_err());
        });
    }

    #[test]
    fn one_producer_loses_nothing_at_the_close() {
        every_interleaving(1, 3, 2);
    }

    #[test]
    fn two_producers_lose_nothing_at_the_close() {
        every_interleaving(2, 1, 1);
    }

    #[test]
    fn two_producers_on_a_larger_ring_lose_nothing_at_the_close() {
        every_interleaving(2, 1, 2);
    }
}
