//! The caller's side: take a pooled buffer, fill it, push the event. No lock, no system call, no allocation while the
//! pool lasts, no log, no panic.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::{Backoff, CachePadded};

use super::admission::Admission;
use super::pipeline::Pipeline;
use super::refused::Refused;
use super::ring::Ring;
use super::timing::{Timings, count_down};
#[cfg(all(feature = "cli", feature = "kafka"))]
use crate::event::TextBuffer;
use crate::event::{AuditEvent, EventBuilder, EventType, ForkGuard, Pool, Severity, Timestamp, now};
use crate::ledger::RefusedReason;

const BLOCKED_PAUSE_MIN: Duration = Duration::from_micros(50);
/// The longest pause of a caller that blocks by choice: short against any timeout, long against the cost of a poll.
const BLOCKED_PAUSE_MAX: Duration = Duration::from_millis(1);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as the forwarder's own: what it emits is refused, so that a destination or a logger that feeds
/// back into its forwarder neither recurses nor blocks itself.
pub(crate) fn mark_worker() {
    IS_WORKER.set(true);
}

/// One ring, and what guards its entrance; shared by its emitters and its batcher.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) ring: Ring<ArrayQueue<Option<AuditEvent>>>,
    /// There was no room for the last one that a fan-out offered. Relaxed everywhere: a hint, after which the ring is asked.
    pub(crate) was_full: AtomicBool,
    pub(crate) timings: Timings,
    pub(crate) pool: Pool,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) bytes: Arc<QueueBytes>,
    pub(crate) event_bytes_max: usize,
    /// What is asked of an event besides room; `None` where nothing is.
    pub(crate) admission: Option<Admission>,
    /// How long one who finds no room waits; `None` where nobody does.
    pub(crate) block: Option<Duration>,
    pub(crate) started_in: ForkGuard,
    pub(crate) enabled: bool,
}

impl Gate {
    /// All that is usual is asked first, of the event where it lies, so that it is moved once: into its slot.
    #[inline]
    pub(super) fn push(&self, event: AuditEvent) -> Result<(), Refused> {
        let usual = event.text.capacity() <= Pool::BUFFER_BYTES && event.text.len() <= self.event_bytes_max;
        let countdown = count_down();
        // That of a worker stays 0, so that its events are looked at more closely.
        if countdown == 0 || !usual || self.started_in.has_forked() {
            return self.push_seldom(event);
        }
        if let Some(admission) = &self.admission
            && admission.asks(countdown)
            && let Some(reason) = admission.turns_away(&event, &self.ring)
        {
            return Err(self.not_admitted(reason, event));
        }
        self.ring.try_push(event).map_err(|event| self.no_room(event))
    }

    #[cold]
    fn not_admitted(&self, reason: RefusedReason, event: AuditEvent) -> Refused {
        if reason == RefusedReason::Shed { self.no_room_for(event) } else { Refused::new(reason, event) }
    }

    /// One of those that are measured, or an unusual one.
    #[cold]
    fn push_seldom(&self, event: AuditEvent) -> Result<(), Refused> {
        if IS_WORKER.get() {
            return Err(Refused::OwnThread(event));
        }
        self.timings.measure(|| self.push_unusual(event))
    }

    fn push_unusual(&self, event: AuditEvent) -> Result<(), Refused> {
        if self.started_in.has_forked() {
            return Err(Refused::Forked(event));
        }
        let admission = self.admission.as_ref();
        if let Some(reason) = admission.and_then(|admission| admission.unwanted(&event)) {
            return Err(Refused::new(reason, event));
        }
        let capacity = event.text.capacity();
        if event.text.len() > self.event_bytes_max {
            return Err(Refused::TooLarge(event));
        }
        if admission.is_some_and(|admission| admission.sheds(event.severity, &self.ring)) {
            return Err(self.no_room_for(event));
        }
        if capacity <= Pool::BUFFER_BYTES {
            return self.ring.try_push(event).map_err(|event| self.no_room(event));
        }
        // Above 1 KB: bytes that the pool's memory does not cover.
        let limit = admission.and_then(|admission| admission.bytes_limit(event.severity, self.bytes.max));
        if !self.bytes.reserve(capacity, limit.unwrap_or(self.bytes.max)) {
            return Err(if limit.is_some() { self.no_room_for(event) } else { self.no_room(event) });
        }
        self.ring.try_push(event).map_err(|event| {
            self.bytes.give_back(capacity);
            self.no_room(event)
        })
    }

    #[cold]
    fn no_room(&self, event: AuditEvent) -> Refused {
        if self.ring.is_closed() { Refused::Closed(event) } else { Refused::Full(event) }
    }

    /// Room there is, but not for an event of so low a severity.
    #[cold]
    fn no_room_for(&self, event: AuditEvent) -> Refused {
        if self.ring.is_closed() { Refused::Closed(event) } else { Refused::Shed(event) }
    }

    /// Reserves what an event of our own holds, whatever the limit: it is not refused, and recycled like any other.
    pub(crate) fn admit_own(&self, event: &AuditEvent) {
        let capacity = event.text.capacity();
        if capacity > Pool::BUFFER_BYTES {
            self.bytes.reserve(capacity, usize::MAX);
        }
    }

    /// Why the configuration keeps an event away from this destination; `None` where it is wanted.
    #[inline]
    pub(super) fn unwanted(&self, event: &AuditEvent) -> Option<RefusedReason> {
        if !self.enabled {
            return Some(RefusedReason::Disabled);
        }
        self.admission.as_ref().and_then(|admission| admission.unwanted(event))
    }

    /// Whether there was no room for the one before, and is none now: then no copy need be made to be told so. As long as there
    /// was room it costs a look at what nobody writes.
    #[inline]
    pub(super) fn is_still_full(&self) -> bool {
        self.was_full.load(Ordering::Relaxed) && self.looks_full()
    }

    /// What is closed is full for ever, and where the less severe are refused early it depends on the event: then `push` says
    /// which it is.
    #[cold]
    fn looks_full(&self) -> bool {
        let sheds = self.admission.as_ref().is_some_and(Admission::sheds_any);
        let is_full = self.ring.room::<AuditEvent>() == 0 && !self.ring.is_closed() && !sheds && !IS_WORKER.get();
        self.was_full.store(is_full, Ordering::Relaxed);
        is_full
    }

    /// An event was refused: where it was for want of room, the next one looks first.
    #[cold]
    pub(super) fn note_refusal(&self, reason: RefusedReason) {
        if reason == RefusedReason::Full {
            self.was_full.store(true, Ordering::Relaxed);
        }
    }

    /// Counts the refusal of an event so severe.
    pub(super) fn count(&self, reason: RefusedReason, severity: Severity) {
        self.pipeline.books.refuse(reason, severity, Timestamp::now);
    }

    /// The true reason of a refusal, counted. Cold: whoever is refused has time.
    #[cold]
    fn refuse(&self, refused: Refused) -> Refused {
        let reason = self.book(refused.reason(), refused.event().severity());
        Refused::new(reason, refused.into_event())
    }

    /// Counts the refusal of an event so severe; returns the true reason.
    pub(super) fn book(&self, reason: RefusedReason, severity: Severity) -> RefusedReason {
        let reason = match reason {
            _ if !self.enabled => RefusedReason::Disabled,
            // A child's ring is full for ever: nobody empties it there.
            reason if reason.passes() && self.started_in.is_elsewhere_by_samples() => RefusedReason::Forked,
            // Closed meanwhile: the last gap may have been told, and this one would be in none.
            reason if reason.passes() && self.ring.is_closed() => RefusedReason::Closed,
            other => other,
        };
        self.count(reason, severity);
        reason
    }

    /// Gives back what an event held, once it is encoded; one of many where the batcher `is_busy`.
    #[inline]
    pub(crate) fn recycle(&self, event: AuditEvent, is_busy: bool) {
        let capacity = event.text.capacity();
        if capacity > Pool::BUFFER_BYTES {
            self.bytes.give_back(capacity);
        }
        if is_busy { self.pool.give_back_cold(event.text) } else { self.pool.give_back(event.text) }
    }
}

/// The bytes that events above 1 KB hold in the rings of one pipeline.
#[derive(Debug)]
pub(crate) struct QueueBytes {
    held: CachePadded<AtomicUsize>,
    max: usize,
}

impl QueueBytes {
    pub(crate) fn new(max: usize) -> Self {
        Self { held: CachePadded::default(), max }
    }

    /// Whether `bytes` more stay within `max`. Where nothing is held there is room for any one event: refused as full, it
    /// would be waited for without end.
    ///
    /// Relaxed: a bound, not a lock; what is reserved is published by the ring.
    fn reserve(&self, bytes: usize, max: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= max;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Between two looks for room of a caller that blocks: it spins, yields, then sleeps, each time longer.
pub(super) struct Pause {
    backoff: Backoff,
    sleep: Duration,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self { backoff: Backoff::new(), sleep: BLOCKED_PAUSE_MIN }
    }

    pub(super) fn take(&mut self) {
        if self.backoff.is_completed() {
            std::thread::sleep(self.sleep);
            self.sleep = (self.sleep * 2).min(BLOCKED_PAUSE_MAX);
        } else {
            self.backoff.snooze();
        }
    }
}

/// Where a service hands in its events.
///
/// `Send`, `Sync` and cheap to clone: share one in an `Arc`, or clone one for each thread. An emitter outlives its
/// forwarder: from the moment of draining on, it hands events back as [`Refused::Closed`].
#[derive(Clone)]
pub struct Emitter {
    pub(crate) gate: Arc<Gate>,
}

impl Emitter {
    /// Hands in an event. Never locks, logs or panics, and never blocks, unless the forwarder was told to by
    /// [`Overflow::Block`](crate::policy::Overflow::Block).
    ///
    /// # Errors
    /// The event comes back with the reason; what to do with it is the caller's choice.
    #[inline]
    pub fn try_send(&self, event: AuditEvent) -> Result<(), Refused> {
        self.gate.push(event).or_else(|refused| self.turned_away(refused))
    }

    #[cold]
    fn turned_away(&self, refused: Refused) -> Result<(), Refused> {
        match (refused, self.gate.block) {
            (Refused::Full(event), Some(timeout)) => self.send_timeout(event, timeout),
            (refused, _) => Err(self.gate.refuse(refused)),
        }
    }

    /// Hands in an event, and waits for room as long as `timeout`, whatever the forwarder's own policy says.
    ///
    /// # Errors
    /// As [`Emitter::try_send`]; only room is waited for.
    pub fn send_timeout(&self, event: AuditEvent, timeout: Duration) -> Result<(), Refused> {
        let deadline = Instant::now().checked_add(timeout);
        self.push_while(event, || deadline.is_none_or(|deadline| Instant::now() < deadline))
            .map_err(|refused| self.gate.refuse(refused))
    }

    /// Hands in an event, and waits for room while the caller wishes. Of what is refused only what the configuration keeps
    /// away is counted: the callers are those of the program, who try the others again or write down what they keep.
    #[cfg(feature = "cli")]
    pub(crate) fn send_while(&self, event: AuditEvent, wait: impl Fn() -> bool) -> Result<(), Refused> {
        self.push_while(event, wait).map_err(|refused| match refused {
            unwanted @ (Refused::Sampled(_) | Refused::Filtered(_)) => self.gate.refuse(unwanted),
            other => other,
        })
    }

    fn push_while(&self, event: AuditEvent, wait: impl Fn() -> bool) -> Result<(), Refused> {
        let (mut pause, mut event) = (Pause::new(), event);
        loop {
            match self.gate.push(event) {
                Err(Refused::Full(back) | Refused::Shed(back)) if wait() && !self.gate.started_in.is_elsewhere() => {
                    event = back;
                }
                other => return other,
            }
            pause.take();
        }
    }

    /// An empty buffer with room for so many bytes, from the pool where it has such, for an event that is built elsewhere.
    #[cfg(all(feature = "cli", feature = "kafka"))]
    pub(crate) fn buffer_of(&self, bytes: usize) -> TextBuffer {
        self.gate.pool.take_for(bytes)
    }

    /// Begins an event in a pooled buffer, created now; [`EventBuilder::try_send`] hands it in.
    #[inline]
    pub fn event(&self, event_type: EventType<'_>, severity: Severity) -> EventBuilder<&Self> {
        EventBuilder::begin(self, self.gate.pool.take(), event_type, severity, now())
    }
}

impl EventBuilder<&Emitter> {
    /// Hands the event in, as [`Emitter::try_send`] does.
    ///
    /// # Errors
    /// As [`Emitter::try_send`].
    #[inline]
    pub fn try_send(self) -> Result<(), Refused> {
        self.to.try_send(self.event)
    }

    /// Hands the event in, and waits for room as long as `timeout`.
    ///
    /// # Errors
    /// As [`Emitter::try_send`].
    pub fn send_timeout(self, timeout: Duration) -> Result<(), Refused> {
        self.to.send_timeout(self.event, timeout)
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("pipeline", &self.gate.pipeline.origin.pipeline).finish_non_exhaustive()
    }
}
