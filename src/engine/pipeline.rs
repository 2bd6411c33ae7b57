//! What all threads of one forwarder share: the books, the dead letter, the clockwork of drain, and its health.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use parking_lot::Mutex;

use super::remedy::{at_stake, next_step};
use super::vitals::Vitals;
use super::witness::{Keeper, Witness};
use crate::batch::{Batch, Mark};
use crate::dead_letter::{Attempts, DeadLetter, Durable, KafkaPlace, Origin, Records};
#[cfg(all(feature = "cli", feature = "kafka"))]
use crate::dead_letter::{DeadLetterError, Misfit};
use crate::event::{AuditEvent, EventId, monotonic};
use crate::ledger::{Books, LostReason};
use crate::net::Stop;
use crate::policy::{BreakerConfig, BreakerState, CircuitBreaker, FailureRate, RetryPolicy};
use crate::siem::{Cause, Health};

/// A warning of the same kind is logged at most this often.
const LOG_INTERVAL_NANOS: u64 = 10_000_000_000;
/// Failures in a row from which on the pipeline is called unhealthy.
const UNHEALTHY_FROM: u32 = 3;
/// After a connect that failed nobody tries another one for so long, or as long as an open breaker rests: many that wait
/// must not storm a destination that is down.
const CONNECT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) books: Books,
    pub(crate) origin: Origin,
    pub(crate) dead_letter: Option<DeadLetter>,
    pub(crate) retry: RetryPolicy,
    /// Happens when drain begins: waits end, what waits is tried once more.
    pub(crate) draining: Stop,
    /// Happens at drain's deadline: everybody writes down what is left and goes.
    pub(crate) stop: Stop,
    /// Drain's deadline in monotonic nanoseconds; the end of time while nobody drains.
    deadline: AtomicU64,
    /// What a batcher has held open since before this moment, in monotonic nanoseconds, it hands over; 0 where nobody asked.
    cut_before: AtomicU64,
    /// When a batch was last delivered: the evidence of `policy::blame`.
    last_delivered: AtomicU64,
    failures_in_a_row: AtomicU32,
    /// When the first of them failed.
    failing_since: AtomicU64,
    /// Of requests whose bytes are good.
    pub(crate) failure_rate: FailureRate,
    /// Whether anything may be sent.
    pub(crate) breaker: CircuitBreaker,
    /// Whether anybody may connect: one at a time.
    pub(crate) connects: CircuitBreaker,
    /// When the first connect began that failed since a request succeeded; 0 where none did.
    unconnected_since: AtomicU64,
    /// Bytes of the batches that were taken and are not held yet.
    pub(crate) pending_bytes: Arc<AtomicUsize>,
    /// Who wants to know of each event what became of it.
    pub(crate) witness: Option<Arc<dyn Witness>>,
    vitals: Vitals,
    logged: Mutex<HashMap<Cow<'static, str>, Logged>>,
}

#[derive(Debug)]
struct Logged {
    at: u64,
    suppressed: u64,
}

impl Pipeline {
    /// Whose destination answers within `request_timeout`, or hangs.
    pub(crate) fn new(
        origin: Origin,
        dead_letter: Option<DeadLetter>,
        retry: RetryPolicy,
        breaker: BreakerConfig,
        request_timeout: Duration,
    ) -> Self {
        Self {
            books: Books::new(),
            origin,
            dead_letter,
            retry,
            draining: Stop::new(),
            stop: Stop::new(),
            deadline: AtomicU64::new(u64::MAX),
            cut_before: AtomicU64::new(0),
            last_delivered: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            failing_since: AtomicU64::new(0),
            failure_rate: FailureRate::new(),
            breaker: CircuitBreaker::with_permit_timeout(breaker, request_timeout),
            connects: CircuitBreaker::one_at_a_time(CONNECT_PAUSE.min(breaker.recovery_timeout), request_timeout),
            unconnected_since: AtomicU64::new(0),
            pending_bytes: Arc::default(),
            witness: None,
            vitals: Vitals::default(),
            logged: Mutex::default(),
        }
    }

    /// Books events as delivered.
    pub(crate) fn deliver(&self, marks: impl Iterator<Item = Mark> + Clone) {
        if let Some(witness) = &self.witness {
            witness.delivered(&ids(marks.clone()));
        }
        self.books.deliver(marks.count());
    }

    /// Books events that a witness keeps, or who handed them in; false where that is left to the dead letter, and nothing is
    /// booked.
    pub(crate) fn left_to_witness(&self, marks: impl Iterator<Item = Mark> + Clone, attempts: &Attempts) -> bool {
        let keeper = self.witness.as_ref().map(|witness| witness.failed(&ids(marks.clone()), attempts));
        match keeper {
            Some(Keeper::Witness) => self.books.dead_letter(marks.count()),
            Some(Keeper::Origin) => self.books.hand_back(marks.count()),
            Some(Keeper::DeadLetter) | None => return false,
        }
        true
    }

    /// Begins to drain, until `deadline` in monotonic nanoseconds.
    pub(crate) fn drain_until(&self, deadline: u64) {
        // Stored before the broadcast, whose channel orders it for whoever sees the broadcast.
        self.deadline.store(deadline, Ordering::Relaxed);
        let now = Duration::from_nanos(monotonic());
        self.breaker.hasten(now);
        self.connects.hasten(now);
        self.draining.stop();
    }

    /// Asks the batchers not to wait any longer for what would fill the batches that are open now.
    #[cfg(all(feature = "cli", feature = "kafka"))]
    pub(crate) fn cut_batches(&self) {
        // Relaxed, as is the load: a turn later does.
        self.cut_before.store(monotonic(), Ordering::Relaxed);
    }

    pub(crate) fn cut_before(&self) -> u64 {
        self.cut_before.load(Ordering::Relaxed)
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// A connect that began then has failed.
    pub(crate) fn unconnected(&self, started: u64) {
        // Relaxed, here and below: one connects at a time, and what lends the leave orders them.
        if self.unconnected_since.load(Ordering::Relaxed) == 0 {
            self.unconnected_since.store(started, Ordering::Relaxed);
        }
    }

    /// A request has succeeded. Where the destination was away until now, it is met by probes, not by all that waits.
    pub(crate) fn reached(&self, now: u64) {
        if self.unconnected_since.load(Ordering::Relaxed) == 0 {
            return;
        }
        let since = self.unconnected_since.swap(0, Ordering::Relaxed);
        if since > 0 && !self.delivered_since(since) {
            self.breaker.probe(Duration::from_nanos(now));
        }
    }

    /// A batch was delivered, whole or in part, after so many failures that were charged to it.
    pub(crate) fn delivered(&self, now: u64, charged: u32) {
        self.failure_rate.delivered_after(charged);
        // Relaxed: evidence that is seen a moment late is charged a moment late.
        self.last_delivered.fetch_max(now, Ordering::Relaxed);
        if self.failures_in_a_row.swap(0, Ordering::Relaxed) > 0 {
            self.vitals.delivering();
        }
    }

    /// Whether something was delivered after this moment.
    pub(crate) fn delivered_since(&self, moment: u64) -> bool {
        self.last_delivered.load(Ordering::Relaxed) > moment
    }

    /// A request failed; returns how many did in a row.
    pub(crate) fn failed(&self, cause: &Cause) -> u32 {
        self.books.batch_failed(cause.label());
        let failures = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures == 1 {
            self.failing_since.store(monotonic(), Ordering::Relaxed);
        }
        if failures >= UNHEALTHY_FROM {
            let reason = format!("{failures} requests failed in a row, the last with {cause}");
            self.vitals.not_delivering(reason, self.failing_since.load(Ordering::Relaxed));
        }
        self.vitals.erred(cause.to_string(), monotonic());
        self.warn(cause.label(), || {
            let step = next_step(cause.kind());
            format!("a request failed at {}: {cause}; {}; {step}", self.origin.destination, self.at_stake())
        });
        failures
    }

    /// The destination refuses us, whatever we send.
    pub(crate) fn halted(&self, cause: &Cause) {
        self.vitals.not_delivering(format!("the destination refuses us: {cause}"), monotonic());
        self.warn("halted", || {
            let step = next_step(cause.kind());
            format!("{} refuses us, whatever is sent: {cause}; {}; {step}", self.origin.destination, self.at_stake())
        });
    }

    /// A worker panicked, in a destination's code or in ours.
    pub(crate) fn panicked(&self, place: &'static str) {
        self.vitals.lastingly(format!("a panic in {place}; events go on"), monotonic());
        self.warn(place, || format!("a panic in {place}; events go on"));
    }

    /// What the failures mean for the data.
    fn at_stake(&self) -> String {
        at_stake(self.books.at_stake())
    }

    /// Nobody sends before this moment.
    pub(crate) fn hold_back_until(&self, moment: u64) {
        self.breaker.hold_back_until(Duration::from_nanos(moment));
    }

    /// Nobody may send before.
    pub(crate) fn not_before(&self) -> u64 {
        nanos(self.breaker.not_before())
    }

    /// A health check came to this, after so many nanoseconds.
    pub(crate) fn checked(&self, health: &Health, failures_max: u32, took: u64) {
        self.books.checked(took);
        self.vitals.checked(health, failures_max, monotonic());
        if let Some(words) = &health.error_message {
            self.vitals.erred(format!("a health check failed: {words}"), monotonic());
            self.warn("health_check", || {
                format!("a health check of {} failed: {words}; {}", self.origin.destination, self.at_stake())
            });
        }
    }

    /// What is known without asking the destination.
    pub(crate) fn health(&self) -> Health {
        let health = self.vitals.health(monotonic());
        match self.breaker.state() {
            BreakerState::Closed => health,
            state => health.detail("breaker", state.label()),
        }
    }

    /// What a request or a health check failed with last, and how long ago.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "the program shows it, a service has it in its log"))]
    pub(crate) fn last_error(&self) -> Option<(String, Duration)> {
        self.vitals.last_error(monotonic())
    }

    /// Records to be filled and buried together: a write of the dead letter waits for the disk.
    pub(crate) fn records(&self) -> Records {
        Records::new(&self.origin)
    }

    /// Writes events that never got a wire form to the dead letter, or counts them as lost.
    pub(crate) fn bury_events(&self, events: &[AuditEvent], attempts: &Attempts) {
        if self.left_to_witness(events.iter().map(|event| Mark::of(event, 0)), attempts) {
            return;
        }
        if self.dead_letter.is_none() && self.witness.is_none() {
            // Nobody reads what would be written of them.
            return self.lose(events.len());
        }
        let mut records = self.records();
        records.attempted(attempts);
        for event in events {
            records.push_event(event, self.place(event.id).as_ref());
        }
        self.bury(&records);
    }

    /// Adds the event of a batch, for the dead letter.
    pub(crate) fn record(&self, records: &mut Records, batch: &Batch, index: usize) {
        let place = batch.marks().get(index).and_then(|mark| self.place(mark.id));
        records.push_wire(batch, index, place.as_ref());
    }

    fn place(&self, id: EventId) -> Option<KafkaPlace> {
        self.witness.as_ref().and_then(|witness| witness.place(id))
    }

    /// Writes events to the dead letter, or counts them as lost.
    pub(crate) fn bury(&self, records: &Records) {
        if records.len() == 0 {
            return;
        }
        let Some(dead_letter) = &self.dead_letter else {
            self.tell_buried(records.ids());
            return self.lose(records.len());
        };
        let is_drain = self.draining.is_stopped() || self.stop.is_stopped();
        // Whoever is told that they are buried lets go of them.
        let durable = if is_drain && self.witness.is_none() { Durable::Later } else { Durable::Now };
        let (written, error) = dead_letter.append(records, durable);
        self.books.dead_letter(written);
        self.tell_buried(records.ids().get(..written).unwrap_or_default());
        let lost = records.len() - written;
        self.books.lose(LostReason::DeadLetterFull, lost as u64);
        if let Some(error) = error {
            let path = dead_letter.path().display().to_string();
            let reason = format!("the dead letter {path} takes no more, {lost} events are lost: {}", chain(&error));
            self.warn("dead_letter", || reason.clone());
            self.vitals.lastingly(reason, monotonic());
        }
    }

    /// Keeps what was read from a topic and is no event, and so in no books: on the disk when it returns. `None` where there is
    /// no dead letter.
    ///
    /// # Errors
    /// When it is not kept: then it must stay where it was read.
    #[cfg(all(feature = "cli", feature = "kafka"))]
    pub(crate) fn keep_misfit(&self, misfit: &Misfit<'_>, cause: Cause) -> Option<Result<(), DeadLetterError>> {
        let dead_letter = self.dead_letter.as_ref()?;
        let mut records = self.records();
        records.attempted(&Attempts::none(cause));
        records.push_misfit(misfit);
        Some(dead_letter.append(&records, Durable::Now).1.map_or(Ok(()), Err))
    }

    /// Counts events as lost that have no dead letter to go to.
    fn lose(&self, events: usize) {
        self.books.lose(LostReason::NoDeadLetter, events as u64);
        self.warn("no_dead_letter", || format!("{events} events are lost: no dead letter is configured"));
    }

    fn tell_buried(&self, ids: &[EventId]) {
        if let Some(witness) = &self.witness {
            witness.buried(ids);
        }
    }

    /// Waits for the disk, for which the writes of a drain did not wait; no longer than `timeout`, since a busy disk can
    /// take seconds and the events are the system's already.
    pub(crate) fn close_dead_letter(self: &Arc<Self>, timeout: Duration) {
        let Some(dead_letter) = &self.dead_letter else { return };
        if !dead_letter.is_unsynced() {
            return dead_letter.release();
        }
        let (done, synced) = bounded(1);
        let pipeline = Arc::clone(self);
        let sync = move || {
            let result = pipeline.dead_letter.as_ref().map_or(Ok(()), DeadLetter::sync);
            // Here too, since a disk that is slow to write is slow to forget a name.
            pipeline.dead_letter.as_ref().inspect(|dead_letter| dead_letter.release());
            // Too late, nobody waits for it.
            drop(done.send(result));
        };
        let spawned = thread::Builder::new().name("siem-sync".to_owned()).spawn(sync);
        let in_time = spawned.is_ok() && matches!(synced.recv_timeout(timeout), Ok(Ok(())));
        if !in_time {
            self.warn("dead_letter_sync", || "the dead letter may not have reached the disk yet".to_owned());
        }
    }

    /// Logs a warning, at most once per ten seconds and kind, with the count of those that were held back.
    pub(crate) fn warn(&self, kind: impl Into<Cow<'static, str>>, message: impl FnOnce() -> String) {
        let kind = kind.into();
        let now = monotonic();
        let mut logged = self.logged.lock();
        let suppressed = match logged.get_mut(&kind) {
            Some(before) if now.saturating_sub(before.at) < LOG_INTERVAL_NANOS => {
                before.suppressed += 1;
                return;
            }
            before => before.map_or(0, |before| before.suppressed),
        };
        logged.insert(kind, Logged { at: now, suppressed: 0 });
        drop(logged);
        let pipeline = &self.origin.pipeline;
        let log = || match suppressed {
            0 => log::warn!("{pipeline}: {}", message()),
            held_back => log::warn!("{pipeline}: {} ({held_back} more like it before)", message()),
        };
        // The logger is the service's code: its panic must not end a worker, whose events nobody would carry then.
        drop(catch_unwind(AssertUnwindSafe(log)));
    }
}

fn ids(marks: impl Iterator<Item = Mark>) -> Vec<EventId> {
    marks.map(|mark| mark.id).collect()
}

/// An error with its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}

/// Nanoseconds of a duration, as many as fit: 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
