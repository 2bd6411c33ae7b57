//! The caller's side: take a pooled buffer, fill it, push the event. No lock, no system call, no allocation while the
//! pool lasts, no log, no panic.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::{Backoff, CachePadded};

use super::pipeline::Pipeline;
use super::ring::Ring;
#[cfg(feature = "cli")]
use crate::event::TextBuffer;
use crate::event::{AuditEvent, EventBuilder, EventType, ForkGuard, Pool, Severity, now};
use crate::ledger::RefusedReason;

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
    pub(crate) pool: Pool,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) bytes: Arc<QueueBytes>,
    pub(crate) event_bytes_max: usize,
    pub(crate) started_in: ForkGuard,
    pub(crate) enabled: bool,
}

impl Gate {
    /// All that is usual is asked first, of the event where it lies, so that it is moved once: into its slot.
    #[inline]
    fn push(&self, event: AuditEvent) -> Result<(), Refused> {
        let usual = event.text.capacity() <= Pool::BUFFER_BYTES && event.text.len() <= self.event_bytes_max;
        if !usual || IS_WORKER.get() || self.started_in.has_forked() {
            return self.push_unusual(event);
        }
        self.ring.try_push(event).map_err(|event| self.no_room(event))
    }

    #[cold]
    fn push_unusual(&self, event: AuditEvent) -> Result<(), Refused> {
        if IS_WORKER.get() {
            return Err(Refused::OwnThread(event));
        }
        if self.started_in.has_forked() {
            return Err(Refused::Forked(event));
        }
        let capacity = event.text.capacity();
        if event.text.len() > self.event_bytes_max {
            return Err(Refused::TooLarge(event));
        }
        // Above 1 KB: bytes that the pool's memory does not cover.
        if !self.bytes.reserve(capacity) {
            return Err(self.no_room(event));
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

    /// The true reason of a refusal, counted. Cold: whoever is refused has time.
    #[cold]
    fn refuse(&self, refused: Refused) -> Refused {
        let refused = match refused {
            refused if !self.enabled => Refused::Disabled(refused.into_event()),
            // A child's ring is full for ever: nobody empties it there.
            Refused::Full(event) if self.started_in.is_elsewhere() => Refused::Forked(event),
            other => other,
        };
        self.pipeline.books.refuse(refused.reason(), refused.event().severity());
        refused
    }

    /// Gives back what an event held, once it is encoded.
    #[inline]
    pub(crate) fn recycle(&self, event: AuditEvent) {
        let capacity = event.text.capacity();
        if capacity > Pool::BUFFER_BYTES {
            self.bytes.give_back(capacity);
        }
        self.pool.give_back(event.text);
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

    /// Where nothing is held there is room for any one event: refused as full, it would be waited for without end.
    ///
    /// Relaxed: a bound, not a lock; what is reserved is published by the ring.
    fn reserve(&self, bytes: usize) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= self.max;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
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
    /// Hands in an event. Never blocks, locks, logs or panics.
    ///
    /// # Errors
    /// The event comes back with the reason; what to do with it is the caller's choice.
    #[inline]
    pub fn try_send(&self, event: AuditEvent) -> Result<(), Refused> {
        self.gate.push(event).map_err(|refused| self.gate.refuse(refused))
    }

    /// Hands in an event, and waits for room as long as `timeout`.
    ///
    /// # Errors
    /// As [`Emitter::try_send`]; only a full ring is waited for.
    pub fn send_timeout(&self, event: AuditEvent, timeout: Duration) -> Result<(), Refused> {
        let deadline = Instant::now().checked_add(timeout);
        self.send_while(event, || deadline.is_none_or(|deadline| Instant::now() < deadline))
            .map_err(|refused| self.gate.refuse(refused))
    }

    /// Hands in an event, and waits for room while the caller wishes. What is refused is not counted: the callers are
    /// those of the program, who try again or write down what they keep.
    pub(crate) fn send_while(&self, event: AuditEvent, wait: impl Fn() -> bool) -> Result<(), Refused> {
        let backoff = Backoff::new();
        let mut pause = Duration::from_micros(50);
        let mut event = event;
        loop {
            match self.gate.push(event) {
                Err(Refused::Full(back)) if wait() && !self.gate.started_in.is_elsewhere() => event = back,
                other => return other,
            }
            if backoff.is_completed() {
                std::thread::sleep(pause);
                pause = (pause * 2).min(BLOCKED_PAUSE_MAX);
            } else {
                backoff.snooze();
            }
        }
    }

    /// An empty buffer from the pool, for an event that is built elsewhere.
    #[cfg(feature = "cli")]
    pub(crate) fn buffer(&self) -> TextBuffer {
        self.gate.pool.take()
    }

    /// Begins an event in a pooled buffer, created now; [`EventBuilder::try_send`] hands it in.
    #[inline]
    pub fn event(&self, event_type: EventType<'_>, severity: Severity) -> EventBuilder<&Self> {
        EventBuilder::begin(self, self.gate.pool.take(), event_type, severity, now())
    }
}

impl EventBuilder<&Emitter> {
    /// Hands the event in. Never blocks, locks, logs or panics.
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

/// An event that was not taken, with the reason.
#[expect(clippy::exhaustive_enums, reason = "closed on purpose: a new reason must not compile unhandled")]
#[derive(thiserror::Error)]
pub enum Refused {
    /// The ring is full, or the bytes of large events are.
    #[error("the queue is full")]
    Full(AuditEvent),
    /// The forwarder drains or has drained.
    #[error("the forwarder is closed")]
    Closed(AuditEvent),
    /// This process was forked after the forwarder started: start one here.
    #[error("the forwarder belongs to the parent process")]
    Forked(AuditEvent),
    /// The event is larger than `event_bytes_max`.
    #[error("the event is too large")]
    TooLarge(AuditEvent),
    /// The caller is a thread of the forwarder itself.
    #[error("the caller is a thread of the forwarder itself")]
    OwnThread(AuditEvent),
    /// The forwarder is configured with `enabled = false`.
    #[error("the forwarder is disabled")]
    Disabled(AuditEvent),
}

impl Refused {
    /// The event, to be tried again or kept elsewhere.
    pub fn into_event(self) -> AuditEvent {
        match self {
            Self::Full(event)
            | Self::Closed(event)
            | Self::Forked(event)
            | Self::TooLarge(event)
            | Self::OwnThread(event)
            | Self::Disabled(event) => event,
        }
    }

    /// The event.
    pub fn event(&self) -> &AuditEvent {
        match self {
            Self::Full(event)
            | Self::Closed(event)
            | Self::Forked(event)
            | Self::TooLarge(event)
            | Self::OwnThread(event)
            | Self::Disabled(event) => event,
        }
    }

    /// The reason, as the ledger counts it.
    pub fn reason(&self) -> RefusedReason {
        match self {
            Self::Full(_) => RefusedReason::Full,
            Self::Closed(_) => RefusedReason::Closed,
            Self::Forked(_) => RefusedReason::Forked,
            Self::TooLarge(_) => RefusedReason::TooLarge,
            Self::OwnThread(_) => RefusedReason::OwnThread,
            Self::Disabled(_) => RefusedReason::Disabled,
        }
    }
}

/// The reason only: an event stands in no log.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.reason().label())
    }
}
