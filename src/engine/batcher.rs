//! The batcher's loop: events out of the ring, encoded once into the body, handed over by count, bytes and age.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, SelectedOperation, Sender};
use crossbeam_utils::{Backoff, CachePadded};
use parking_lot::Mutex;

use super::emitter::Gate;
use super::gap::GapWatch;
use super::parcel::{Parcel, undelivered};
use super::pipeline::Pipeline;
use crate::batch::{Batch, Mark, Shape};
use crate::dead_letter::Attempts;
use crate::event::{AuditEvent, Pool, monotonic};
use crate::ledger::{FlushCause, Intake};
use crate::policy::WaitStrategy;
use crate::siem::{Cause, CauseKind, FormatError, Siem};

/// Events between two looks at the clock and at the broadcasts.
const CHUNK: usize = 256;
/// A chunk of at least this many ends the sleeping: the ring is busy.
const BUSY_FROM: usize = 64;
/// Events of one write to the dead letter, which waits for the disk, when what lies in the ring is written down.
const BURIED_TOGETHER: usize = 4096;
const SLEEP_MIN: Duration = Duration::from_micros(50);
/// How long a batcher waits for a sender before it says what is refused meanwhile.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// How often it makes buffers ahead while it waits: a pool of 4096 lasts so long at 800,000 events/s.
const MAKE_AHEAD_EVERY: Duration = Duration::from_millis(5);
/// The same while nobody takes any.
const MAKE_AHEAD_PAUSE_MAX: Duration = Duration::from_millis(50);

/// What one batcher works with; the loop is generic in the destination, this is not.
#[derive(Debug)]
pub(crate) struct BatcherSeat {
    pub(crate) gate: Arc<Gate>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) open: Mutex<Open>,
    pub(crate) spare: Receiver<(Vec<u8>, Vec<Mark>)>,
    pub(crate) gaps: Arc<GapWatch>,
    pub(crate) limits: Limits,
    /// Events taken from the ring, and our own; this thread alone writes it.
    pub(crate) accepted: Arc<CachePadded<AtomicU64>>,
    /// Whether drain has left this batcher behind: its events are booked, hands off. Held while something is booked
    /// that both could book, so that each event is booked by one of them.
    pub(crate) abandoned: Mutex<bool>,
    pub(crate) cpu: Arc<AtomicU64>,
    pub(crate) intake: Arc<Intake>,
}

/// When a batch is full, and how long a batcher sleeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) shape: Shape,
    pub(crate) batch_size: usize,
    pub(crate) batch_bytes_max: usize,
    /// The most bytes of a wire form: what the destination takes, and what a batch of one has room for.
    pub(crate) event_bytes_max: usize,
    pub(crate) batch_timeout_nanos: u64,
    pub(crate) wait_strategy: WaitStrategy,
    pub(crate) sleep_max: Duration,
}

/// The state of a batcher, outside of its thread: a panic or a hanging destination does not take it along.
#[derive(Debug)]
pub(crate) struct Open {
    batch: Batch,
    /// When the first event of the batch was taken.
    since: u64,
    /// Whether the last turn found many events.
    is_busy: bool,
}

impl Open {
    pub(crate) fn new(shape: Shape) -> Self {
        let batch = Batch::open(shape, Vec::new(), Vec::new());
        Self { batch, since: 0, is_busy: false }
    }
}

enum Turn {
    /// How many events were taken.
    Took(usize),
    Finished,
}

/// Runs until the ring is closed and everything in it handed over or written down.
///
/// `handover` ends with it: the senders know by that that nothing comes any more. So it is not part of the seat, which
/// drain holds on to.
pub(crate) fn run<S: Siem>(siem: &S, seat: &BatcherSeat, handover: Sender<Parcel>) {
    let batcher = Batcher { siem, seat, handover };
    let backoff = Backoff::new();
    let mut sleep = SLEEP_MIN;
    loop {
        match catch_unwind(AssertUnwindSafe(|| batcher.turn())) {
            Ok(Turn::Finished) => return,
            Ok(Turn::Took(0)) => sleep = batcher.idle(&backoff, sleep),
            Ok(Turn::Took(events)) => {
                seat.cpu.store(super::cores::thread_cpu_nanos(), Ordering::Relaxed);
                if events >= BUSY_FROM {
                    backoff.reset();
                    sleep = SLEEP_MIN;
                }
            }
            Err(_) => {
                seat.open.lock().batch.cut_to_marks();
                seat.pipeline.panicked("a batcher");
            }
        }
    }
}

struct Batcher<'a, S> {
    siem: &'a S,
    seat: &'a BatcherSeat,
    handover: Sender<Parcel>,
}

impl<S: Siem> Batcher<'_, S> {
    /// Takes up to a chunk of events, and hands over what is full or old enough.
    fn turn(&self) -> Turn {
        let BatcherSeat { gate, pipeline, limits, .. } = self.seat;
        let mut open = self.seat.open.lock();
        let open = &mut *open;
        if pipeline.stop.is_stopped() {
            self.tell_gap(open, true);
            self.hand_over(open, None, FlushCause::Drain);
            self.seat.bury_queued();
            self.tell(open, monotonic());
            return Turn::Finished;
        }
        let mut events = 0;
        let mut closed = false;
        let mut newest = 0;
        while events < CHUNK {
            // Asked at every event: a slow destination's chunk can last longer than a drain may.
            let closing = gate.ring.is_closed();
            if closing && pipeline.stop.is_stopped() {
                break;
            }
            let next = if closing { self.next_while_closing() } else { gate.ring.pop().inspect(|_| self.accept()) };
            let Some(event) = next else {
                closed = closing;
                break;
            };
            events += 1;
            if events == CHUNK {
                newest = event.created;
            }
            self.take(open, event);
        }
        open.is_busy = events >= BUSY_FROM;
        if events < CHUNK {
            gate.pool.make_good(gate.ring.len());
        }
        self.tell_gap(open, closed);
        if !open.batch.is_empty() {
            let is_drain = closed || open.since < pipeline.cut_before();
            if is_drain || monotonic().saturating_sub(open.since) >= limits.batch_timeout_nanos {
                self.hand_over(open, None, if is_drain { FlushCause::Drain } else { FlushCause::Age });
            }
        }
        // What the ring holds now was created after the last one that came out of it, or, where it was empty, comes now.
        self.tell(open, if events == CHUNK { newest } else { monotonic() });
        if closed { Turn::Finished } else { Turn::Took(events) }
    }

    /// Tells what is here, and what was measured at the gate.
    fn tell(&self, open: &Open, oldest_queued: u64) {
        let BatcherSeat { gate, intake, .. } = self.seat;
        let open_since = open.batch.marks().first().map_or(u64::MAX, |mark| mark.created);
        intake.holds(open.batch.len(), oldest_queued.min(open_since));
        if !gate.timings.is_empty() {
            intake.emitted(monotonic(), gate.timings.take());
        }
    }

    /// The next event of a ring that closes, unless drain closes it in our place.
    fn next_while_closing(&self) -> Option<AuditEvent> {
        let mut next = None;
        self.seat.unless_abandoned(|| next = self.seat.gate.ring.next_while_closing().inspect(|_| self.accept()));
        next
    }

    /// Appends the event that tells of a gap, where there is one to tell. The last is told however short it was: the ring
    /// is closed, and nothing comes after it.
    fn tell_gap(&self, open: &mut Open, is_last: bool) {
        let BatcherSeat { gate, pipeline, gaps, .. } = self.seat;
        let now = monotonic();
        if !is_last && !gaps.is_due(now) {
            return;
        }
        let mut told = None;
        self.seat.unless_abandoned(|| {
            let gap = if is_last { gaps.last_look(pipeline) } else { gaps.look(pipeline, now) };
            told = gap.inspect(|_| {
                pipeline.books.gap_told();
                self.accept();
            });
        });
        let Some(gap) = told else { return };
        gap.warn(pipeline);
        let event = gap.event(gate.pool.take(), &pipeline.origin.pipeline);
        gate.admit_own(&event);
        self.take(open, event);
    }

    /// Encodes an event into the open batch, and hands that over when it is full.
    #[inline]
    fn take(&self, open: &mut Open, event: AuditEvent) {
        event.text.fetch();
        let Limits { shape, batch_size, batch_bytes_max, event_bytes_max, .. } = self.seat.limits;
        let separator = if open.batch.is_empty() { 0 } else { shape.separator.len() };
        let before = open.batch.body().len() + separator;
        if let Err(failure) = open.batch.append(&event, |body| self.format(&event, body)) {
            self.bury(&event, failure);
            return self.seat.gate.recycle(event, open.is_busy);
        }
        let event_bytes = open.batch.body().len() - before;
        if event_bytes > event_bytes_max {
            open.batch.cut_last();
            let words = format!("its wire form has {event_bytes} bytes");
            self.bury(&event, Cause::new(CauseKind::TooLarge).words(words));
            return self.seat.gate.recycle(event, open.is_busy);
        }
        self.seat.gate.recycle(event, open.is_busy);
        if open.batch.len() == 1 {
            open.since = monotonic();
        }
        if open.batch.body().len() + shape.suffix.len() > batch_bytes_max && open.batch.len() > 1 {
            let mut next = self.fresh_batch();
            open.batch.move_last_to(&mut next);
            self.hand_over(open, Some(next), FlushCause::Bytes);
            open.since = monotonic();
        }
        if open.batch.len() >= batch_size {
            self.hand_over(open, None, FlushCause::Count);
        }
    }

    /// Calls the destination's code, whose panic costs this one event its wire form and nothing else.
    #[inline]
    fn format(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), Cause> {
        match catch_unwind(AssertUnwindSafe(|| self.siem.format_event(event, body))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unformattable(&error)),
            Err(_) => {
                self.seat.pipeline.panicked("format_event");
                Err(Cause::new(CauseKind::Panic).words("format_event panicked"))
            }
        }
    }

    /// Hands the open batch to the senders, and waits for one as long as nothing stops it.
    fn hand_over(&self, open: &mut Open, next: Option<Batch>, cause: FlushCause) {
        if open.batch.is_empty() {
            return;
        }
        let next = next.unwrap_or_else(|| self.fresh_batch());
        let mut batch = std::mem::replace(&mut open.batch, next);
        batch.seal();
        self.seat.pipeline.books.flushed(cause, batch.len());
        let mut left = Some(batch);
        while let Some(batch) = left.take() {
            self.seat.unless_abandoned(|| left = self.offer(batch));
            if left.is_some() {
                // Not while it is held that drain may have to wait for: the logger is the service's code.
                self.seat.gaps.warn_meanwhile(&self.seat.pipeline);
            }
        }
    }

    /// Waits a while for a sender or the stop; gives the batch back where neither came.
    fn offer(&self, batch: Batch) -> Option<Batch> {
        let pipeline = &self.seat.pipeline;
        let stop = pipeline.stop.receiver();
        let mut select = Select::new();
        let sending = select.send(&self.handover);
        select.recv(stop);
        let Some(ready) = self.ready(&mut select) else { return Some(batch) };
        let parcel = Parcel::new(batch, Arc::clone(pipeline));
        let unsent = if ready.index() == sending {
            ready.send(&self.handover, parcel).err().map(|unsent| unsent.0)
        } else {
            // Nothing is ever sent on it: it is disconnected.
            let stopped = ready.recv(stop);
            debug_assert!(stopped.is_err());
            Some(parcel)
        };
        if let Some(unsent) = unsent {
            Parcel::bury_undelivered([unsent], pipeline);
        }
        None
    }

    /// Waits until a sender takes a batch, or the stop; `None` after a while. What comes into the ring meanwhile finds buffers,
    /// as long as there is room.
    fn ready<'s>(&self, select: &mut Select<'s>) -> Option<SelectedOperation<'s>> {
        let Gate { ring, pool, .. } = &*self.seat.gate;
        let begun = Instant::now();
        let mut pause = MAKE_AHEAD_EVERY;
        loop {
            if ring.room::<AuditEvent>() == 0 {
                return select.select_timeout(SAY_EVERY).ok();
            }
            if let Ok(ready) = select.select_timeout(pause) {
                return Some(ready);
            }
            if begun.elapsed() >= SAY_EVERY {
                return None;
            }
            pause = match pool.make_ahead(ring.room::<AuditEvent>()) {
                Pool::AHEAD_MAX => Duration::ZERO,
                0 => (pause * 2).clamp(MAKE_AHEAD_EVERY, MAKE_AHEAD_PAUSE_MAX),
                _ => MAKE_AHEAD_EVERY,
            };
        }
    }

    fn fresh_batch(&self) -> Batch {
        let (body, marks) = self.seat.spare.try_recv().unwrap_or_default();
        Batch::open(self.seat.limits.shape, body, marks)
    }

    fn bury(&self, event: &AuditEvent, cause: Cause) {
        let attempts = Attempts::none(cause);
        self.seat.unless_abandoned(|| self.seat.pipeline.bury_events(std::slice::from_ref(event), &attempts));
    }

    /// Books an event as accepted, before it can have a fate. A plain load and store: there is one writer, and drain
    /// only once this batcher is left behind.
    #[inline]
    fn accept(&self) {
        let accepted = self.seat.accepted.load(Ordering::Relaxed);
        self.seat.accepted.store(accepted + 1, Ordering::Relaxed);
    }

    /// Waits a little longer each time, up to what the ring can hold and the open batch allows.
    fn idle(&self, backoff: &Backoff, sleep: Duration) -> Duration {
        if !backoff.is_completed() || self.seat.limits.wait_strategy == WaitStrategy::BusySpin {
            // Once it is completed it yields, and nothing more.
            backoff.snooze();
            return sleep;
        }
        let open = self.seat.open.lock();
        let age = if open.batch.is_empty() { 0 } else { monotonic().saturating_sub(open.since) };
        drop(open);
        let left = Duration::from_nanos(self.seat.limits.batch_timeout_nanos.saturating_sub(age));
        std::thread::sleep(sleep.min(left));
        (sleep * 2).min(self.seat.limits.sleep_max)
    }
}

fn unformattable(error: &FormatError) -> Cause {
    Cause::new(CauseKind::Format).words(error.to_string())
}

impl BatcherSeat {
    /// What drain does when this batcher hangs in a destination's code: what lies in the ring is written down. What the
    /// batcher itself holds cannot be reached.
    pub(crate) fn leave_behind(&self) {
        let mut abandoned = self.abandoned.lock();
        *abandoned = true;
        self.bury_ring();
    }

    /// Writes down what lies in the ring of a batcher that may still come back.
    pub(crate) fn bury_queued(&self) {
        self.unless_abandoned(|| self.bury_ring());
    }

    fn unless_abandoned(&self, book: impl FnOnce()) {
        let abandoned = self.abandoned.lock();
        if !*abandoned {
            book();
        }
    }

    /// Closes the ring and writes down what lies in it. Only with `abandoned` held: the ring has one reader.
    fn bury_ring(&self) {
        let attempts = Attempts::none(undelivered(None));
        loop {
            let rest = std::iter::from_fn(|| self.gate.ring.next_while_closing());
            let events: Vec<AuditEvent> = rest.take(BURIED_TOGETHER).collect();
            if events.is_empty() {
                return;
            }
            self.accepted.fetch_add(events.len() as u64, Ordering::Relaxed);
            self.pipeline.bury_events(&events, &attempts);
            for event in events {
                // Nobody builds events any more.
                self.gate.recycle(event, true);
            }
        }
    }
}
