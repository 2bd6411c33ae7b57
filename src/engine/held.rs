//! What a sender owes a fate, outside of its thread, and what it does next with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};
use parking_lot::Mutex;

use super::outcome::{Moment, Outcome, WAITING_MAX, families};
use super::parcel::Parcel;
use super::pending::Pending;
use super::pipeline::{Pipeline, nanos};
use super::settings::ConnectionConfig;
use crate::batch::{Batch, Mark};
use crate::event::{monotonic, random_unit};
use crate::ledger::{Busy, Latency};
use crate::policy::{BreakerState, Permit};
use crate::siem::{Cause, CauseKind, Ticket, Verdict};

/// Between two questions after acknowledgements while draining, when somebody waits for the end.
const ASK_INTERVAL_DRAINING: u64 = 100_000_000;
/// How many batches may wait at one sender where the breaker is not closed. More than `WAITING_MAX`, since those may all
/// be refused for what is in them, and only another one can tell that from a refusal of us.
pub(super) const WAITING_WITH_PROBES_MAX: usize = 2 * WAITING_MAX;

/// What one sender works with; the loop is generic in the destination, this is not.
#[derive(Debug)]
pub(crate) struct SenderSeat {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) handover: Receiver<Parcel>,
    pub(crate) spare: Sender<(Vec<u8>, Vec<Mark>)>,
    pub(crate) held: Mutex<Held>,
    pub(crate) senders: usize,
    pub(crate) connection: ConnectionConfig,
    /// Between two questions after acknowledgements, in nanoseconds.
    pub(crate) ask_interval: u64,
    pub(crate) latency: Arc<Mutex<Latency>>,
    pub(crate) cpu: Arc<AtomicU64>,
    pub(crate) busy: Arc<Busy>,
}

/// What a sender owes a fate: drain takes it from under a hanging one. Whoever takes a parcel out books it.
#[derive(Debug)]
pub(crate) struct Held {
    waiting: Vec<Parcel>,
    sending: Option<Sending>,
    pending: Pending,
    /// The last request had no answer: the next one counts as a connect, also over a connection that is kept for its
    /// tickets.
    unanswered: bool,
    asking: Option<Permit>,
    /// When the connection is to be replaced; 0 where there is none.
    reconnect_at: u64,
    /// Draining has made everything due once.
    hurried: bool,
}

/// A batch on the wire, and the leave to send it.
#[derive(Debug)]
struct Sending {
    parcel: Parcel,
    permit: Permit,
    /// Where it has to connect first.
    connect: Option<Permit>,
}

pub(crate) enum Next {
    Send(Arc<Batch>),
    /// It is time to ask after acknowledgements.
    Ask,
    Finished,
}

/// Where a sender may look, as its waiting list, the breaker and the clock allow.
enum Wait {
    /// This is to be done now.
    Do(Next),
    /// For new batches, and no longer than this.
    ForBatches(Option<u64>),
    /// For the clock alone.
    ForClock(u64),
}

impl Held {
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        Self {
            waiting: Vec::new(),
            sending: None,
            pending: Pending::new(Arc::clone(&pipeline.pending_bytes)),
            unanswered: false,
            asking: None,
            reconnect_at: 0,
            hurried: false,
        }
    }
}

impl SenderSeat {
    /// Waits for something to do; a batch to be sent then stands in `sending`.
    pub(crate) fn next(&self, batchers_gone: &mut bool) -> Next {
        loop {
            if self.pipeline.stop.is_stopped() {
                return Next::Finished;
            }
            let draining = self.pipeline.draining.is_stopped();
            if draining {
                self.hurry();
            }
            let now = monotonic();
            let (handover, until) = match self.wait(now) {
                Wait::Do(next) => return next,
                Wait::ForBatches(None) if *batchers_gone => return Next::Finished,
                Wait::ForBatches(until) if !*batchers_gone => (self.handover.clone(), until),
                Wait::ForBatches(until) => (never(), until),
                Wait::ForClock(until) => (never(), Some(until)),
            };
            // Once it has happened it is always ready: listening on would be spinning.
            let drain = if draining { never() } else { self.pipeline.draining.receiver().clone() };
            // An hour stands for ever: the loop asks again.
            let timeout =
                until.map_or(Duration::from_secs(3600), |until| Duration::from_nanos(until.saturating_sub(now)));
            select! {
                recv(handover) -> parcel => match parcel {
                    // Asked again whether it may be sent: a `Retry-After` may have come while we waited for it.
                    Ok(parcel) => self.held.lock().waiting.push(parcel),
                    Err(_) => *batchers_gone = true,
                },
                recv(self.pipeline.stop.receiver()) -> _ => {}
                recv(drain) -> _ => {}
                default(timeout) => {}
            }
        }
    }

    /// What may be done now: ask after acknowledgements when it is time; send, of the waiting batches that are due, the
    /// one that failed least, and of the parts of one the smallest, so that a search soon finds something good; else take something new, unless too much waits or the destination is left in peace.
    fn wait(&self, now: u64) -> Wait {
        let held = &mut *self.held.lock();
        let ask_at = (!held.pending.is_empty()).then_some(held.pending.ask_at);
        if ask_at.is_some_and(|ask_at| ask_at <= now) {
            if held.unanswered || held.reconnect_at <= now {
                match self.pipeline.connects.permit(Duration::from_nanos(now)) {
                    Ok(permit) => held.asking = Some(permit),
                    Err(later) => return Wait::ForClock(nanos(later)),
                }
            }
            return Wait::Do(Next::Ask);
        }
        let or_ask = |moment: u64| ask_at.map_or(moment, |ask_at| moment.min(ask_at));
        // Tickets belong to the connection: it is not replaced before they are settled.
        if let Some(ask_at) = ask_at
            && (held.reconnect_at <= now || self.is_full_of_pending())
        {
            return Wait::ForClock(ask_at);
        }
        let not_before = self.pipeline.not_before();
        if now < not_before {
            return Wait::ForClock(or_ask(not_before));
        }
        self.take_probe(held);
        let due = held.waiting.iter().enumerate().filter(|(_, parcel)| parcel.history.due <= now);
        if let Some((index, _)) = due.min_by_key(|(_, parcel)| (parcel.history.attempts, parcel.len())) {
            return match self.lend(held.unanswered || held.reconnect_at <= now, now) {
                Ok((permit, connect)) => {
                    let parcel = held.waiting.swap_remove(index);
                    let batch = Arc::clone(&parcel.batch);
                    held.sending = Some(Sending { parcel, permit, connect });
                    Wait::Do(Next::Send(batch))
                }
                Err(later) => Wait::ForClock(or_ask(later)),
            };
        }
        match held.waiting.iter().map(|parcel| parcel.history.due).min() {
            Some(moment) if families(&held.waiting) >= WAITING_MAX => Wait::ForClock(or_ask(moment)),
            earliest => Wait::ForBatches(earliest.map_or(ask_at, |moment| Some(or_ask(moment)))),
        }
    }

    /// A probe should say something about the destination: better with a batch that never failed than with one that may be
    /// why the breaker opened.
    fn take_probe(&self, held: &mut Held) {
        let has_fresh = held.waiting.iter().any(|parcel| parcel.history.attempts == 0);
        if !has_fresh
            && families(&held.waiting) < WAITING_WITH_PROBES_MAX
            && self.pipeline.breaker.state() != BreakerState::Closed
        {
            held.waiting.extend(self.handover.try_recv());
        }
    }

    /// Leave to send, and to connect where that is needed; else when to ask again.
    fn lend(&self, must_connect: bool, now: u64) -> Result<(Permit, Option<Permit>), u64> {
        let now = Duration::from_nanos(now);
        // This one first: a permit of the breaker that is given back unused costs a second of probing.
        let connect = must_connect.then(|| self.pipeline.connects.permit(now)).transpose().map_err(nanos)?;
        let permit = self.pipeline.breaker.permit(now).map_err(nanos)?;
        Ok((permit, connect))
    }

    fn is_full_of_pending(&self) -> bool {
        // Relaxed: a bound, not a lock.
        self.pipeline.pending_bytes.load(Ordering::Relaxed) >= self.connection.pending_bytes_max
    }

    /// While draining: everything that waits is tried once at once, and what could only be tried again after the
    /// deadline is written down now, rather than waited for in vain.
    fn hurry(&self) {
        let mut held = self.held.lock();
        if !held.hurried {
            held.hurried = true;
            held.pending.ask_at = 0;
            for parcel in &mut held.waiting {
                parcel.history.due = 0;
            }
        }
        let (deadline, not_before) = (self.pipeline.deadline(), self.pipeline.not_before());
        let hopeless: Vec<Parcel> =
            held.waiting.extract_if(.., |parcel| parcel.history.due.max(not_before) >= deadline).collect();
        drop(held);
        Parcel::bury_undelivered(hopeless, &self.pipeline);
    }

    /// Whether the batch that is being sent goes over a new connection. From then on the connection's age counts.
    pub(crate) fn must_reconnect(&self, now: u64) -> bool {
        let held = &mut *self.held.lock();
        let must = held.reconnect_at <= now;
        if must {
            // Three quarters of the age and up to all of it: not all at once.
            let age = self.connection.age_max.mul_f64(1.0 - 0.25 * random_unit());
            held.reconnect_at = now.saturating_add(nanos(age)).max(1);
        }
        must
    }

    /// Leave to send over a connection that has ended, which makes a new one; else the batch goes back to those that wait,
    /// for leave to connect too.
    pub(crate) fn may_redial(&self, now: u64) -> bool {
        let held = &mut *self.held.lock();
        let Some(sending) = &mut held.sending else { return false };
        if sending.connect.is_none() {
            sending.connect = self.pipeline.connects.permit(Duration::from_nanos(now)).ok();
        }
        let may = sending.connect.is_some();
        if !may {
            held.unanswered = true;
            held.waiting.extend(held.sending.take().map(|sending| sending.parcel));
        }
        may
    }

    /// The same for a question after acknowledgements.
    pub(crate) fn may_redial_to_ask(&self, now: u64) -> bool {
        let held = &mut *self.held.lock();
        if held.asking.is_none() {
            held.asking = self.pipeline.connects.permit(Duration::from_nanos(now)).ok();
        }
        held.unanswered |= held.asking.is_none();
        held.asking.is_some()
    }

    /// Gives the batch that was sent its fate, unless drain has taken it meanwhile.
    pub(crate) fn settle(&self, verdict: Verdict, started: u64, batch: Option<Arc<Batch>>) {
        let now = monotonic();
        let held = &mut *self.held.lock();
        let Some(Sending { parcel, permit, connect }) = held.sending.take() else { return };
        held.unanswered =
            matches!(&verdict, Verdict::Retry { cause, .. } if !matches!(cause.kind(), CauseKind::Http(_)));
        if held.unanswered && held.pending.is_empty() || matches!(verdict, Verdict::Halt(_)) {
            // Whatever state the connection is in, it is not one to send on; a new one also asks for the address and
            // for the secret again.
            held.reconnect_at = 0;
        }
        self.tell_breakers(&parcel, permit, connect, &verdict, started, now);
        self.latency.lock().attempted(now, now.saturating_sub(started));
        // Released before the parcel is settled, so that the batch's memory can be used again.
        drop(batch);
        let moment = Moment { started, now, random: random_unit() };
        self.give_fate(held, parcel, verdict, moment);
    }

    /// Gives up these events of the batch that was to be sent; the rest waits again. The leave to send goes back unused,
    /// since nobody was asked anything.
    pub(crate) fn give_up(&self, overdue: Vec<(usize, Cause)>) {
        let held = &mut *self.held.lock();
        let Some(Sending { parcel, .. }) = held.sending.take() else { return };
        if let Some((_, cause)) = overdue.first() {
            let (kind, events) = (cause.label(), overdue.len());
            self.pipeline.warn(kind, || format!("{events} events are not sent any more: {cause}"));
        }
        held.waiting.extend(parcel.without(overdue));
    }

    fn tell_breakers(
        &self,
        parcel: &Parcel,
        permit: Permit,
        connect: Option<Permit>,
        verdict: &Verdict,
        started: u64,
        now: u64,
    ) {
        let at = Duration::from_nanos(now);
        if !matches!(verdict, Verdict::Retry { .. } | Verdict::Halt(_)) {
            // Before anybody else may connect.
            self.pipeline.reached(now);
        }
        if let Some(connect) = connect {
            match verdict {
                Verdict::Retry { cause, .. } if cause.is_no_answer() => {
                    self.pipeline.unconnected(started);
                    connect.failed(at, cause.to_string());
                }
                _ => connect.succeeded(at),
            }
        }
        match verdict {
            Verdict::Accept | Verdict::Partial(_) | Verdict::Reject(_) | Verdict::Pending(_) => permit.succeeded(at),
            Verdict::Retry { cause, .. } => permit.failed(at, cause.to_string()),
            // That others get through says that it is this batch which is refused.
            Verdict::Halt(cause) if self.pipeline.delivered_since(parcel.history.first_failure.unwrap_or(started)) => {
                permit.failed(at, cause.to_string());
            }
            Verdict::Halt(cause) => permit.refused(at, cause.to_string()),
        }
    }

    fn give_fate(&self, held: &mut Held, mut parcel: Parcel, verdict: Verdict, moment: Moment) {
        match verdict {
            Verdict::Pending(ticket) => {
                if held.pending.is_empty() {
                    held.pending.ask_at = moment.now.saturating_add(self.ask_interval());
                }
                parcel.shrink();
                if let Some(displaced) = held.pending.push(ticket, parcel, moment.now) {
                    let cause = Cause::new(CauseKind::Garbage).words("a ticket was given twice");
                    self.resend(held, displaced, cause, moment);
                }
            }
            verdict => {
                if verdict == Verdict::Accept {
                    let created = parcel.batch.marks().iter().map(|mark| mark.created);
                    self.latency.lock().delivered(moment.now, created);
                }
                if let Some(spare) = self.outcome(&mut held.waiting, moment).settle(parcel, verdict) {
                    // A full list frees it.
                    drop(self.spare.try_send(spare));
                }
            }
        }
    }

    fn outcome<'a>(&'a self, waiting: &'a mut Vec<Parcel>, moment: Moment) -> Outcome<'a> {
        Outcome { pipeline: &self.pipeline, waiting, senders: self.senders, moment }
    }

    /// Sends again a batch that the destination had taken, and may hold.
    fn resend(&self, held: &mut Held, mut parcel: Parcel, cause: Cause, moment: Moment) {
        parcel.history.ambiguous = true;
        self.outcome(&mut held.waiting, moment).again(parcel, cause);
    }

    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        self.held.lock().pending.tickets()
    }

    fn ask_interval(&self) -> u64 {
        if self.pipeline.draining.is_stopped() {
            self.ask_interval.min(ASK_INTERVAL_DRAINING)
        } else {
            self.ask_interval
        }
    }

    /// The destination has said what became of batches that it had taken. Those that it leaves unsaid for too long are
    /// sent again.
    pub(crate) fn acknowledged(&self, answer: Result<Vec<(Ticket, Verdict)>, Cause>) {
        let now = monotonic();
        let held = &mut *self.held.lock();
        let moment = Moment { started: now, now, random: random_unit() };
        held.unanswered = answer.is_err();
        match (held.asking.take(), &answer) {
            (Some(permit), Ok(_)) => permit.succeeded(Duration::from_nanos(now)),
            (Some(permit), Err(cause)) => permit.failed(Duration::from_nanos(now), cause.to_string()),
            (None, _) => {}
        }
        if let Err(cause) = &answer {
            self.pipeline.warn("ack", || format!("acknowledgements cannot be asked for: {cause}"));
        }
        for (ticket, verdict) in answer.unwrap_or_default() {
            if matches!(verdict, Verdict::Pending(_)) {
                continue;
            }
            if let Some(mut parcel) = held.pending.take(ticket) {
                parcel.history.ambiguous |= verdict != Verdict::Accept;
                self.give_fate(held, parcel, verdict, moment);
            }
        }
        let timeout = self.connection.ack_timeout;
        for parcel in held.pending.take_since(now.saturating_sub(nanos(timeout))) {
            let words = format!("no acknowledgement in {} s", timeout.as_secs_f64());
            self.resend(held, parcel, Cause::new(CauseKind::Timeout).words(words), moment);
        }
        held.pending.ask_at = now.saturating_add(self.ask_interval());
    }

    /// The connection is gone, and with it all tickets: their batches are sent again.
    pub(crate) fn lost_connection(&self, cause: &Cause) {
        let now = monotonic();
        let held = &mut *self.held.lock();
        held.reconnect_at = 0;
        let moment = Moment { started: now, now, random: random_unit() };
        for parcel in held.pending.take_all() {
            self.resend(held, parcel, cause.clone(), moment);
        }
    }

    /// Writes down all that this sender holds, as undelivered: by itself when it ends, by drain when it hangs. Under the
    /// lock, so that drain finds it done, or waits for it.
    pub(crate) fn bury_held(&self) {
        let held = &mut *self.held.lock();
        let sending = held.sending.take().map(|sending| sending.parcel);
        let pending = held.pending.take_all().into_iter().map(|mut parcel| {
            // Taken, and perhaps held.
            parcel.history.ambiguous = true;
            parcel
        });
        Parcel::bury_undelivered(sending.into_iter().chain(held.waiting.drain(..)).chain(pending), &self.pipeline);
    }

    /// The batch that is being sent may have been taken by the destination: said in its record.
    pub(crate) fn leave_behind(&self) {
        if let Some(sending) = &mut self.held.lock().sending {
            sending.parcel.history.ambiguous = true;
        }
        self.bury_held();
    }
}
