//! The sender's loop: what is due first, over this thread's own connection; a failed batch waits and holds up nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};
use parking_lot::Mutex;

use super::outcome::{Moment, Outcome, WAITING_MAX, families};
use super::parcel::Parcel;
use super::pipeline::Pipeline;
use crate::batch::{Batch, Mark};
use crate::event::{monotonic, random_unit};
use crate::ledger::Latency;
use crate::siem::{Cause, CauseKind, Siem, Verdict};

/// What one sender works with; the loop is generic in the destination, this is not.
#[derive(Debug)]
pub(crate) struct SenderSeat {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) handover: Receiver<Parcel>,
    pub(crate) spare: Sender<(Vec<u8>, Vec<Mark>)>,
    pub(crate) held: Mutex<Held>,
    pub(crate) senders: usize,
    pub(crate) latency: Arc<Mutex<Latency>>,
    pub(crate) cpu: Arc<AtomicU64>,
}

/// What a sender owes a fate, outside of its thread: drain takes it from under a hanging one. Whoever takes a parcel
/// out books it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    waiting: Vec<Parcel>,
    sending: Option<Parcel>,
    /// Draining has made everything due once.
    hurried: bool,
}

enum Next {
    Send(Arc<Batch>),
    Finished,
}

/// Where a sender may look, as its waiting list and the clock allow.
enum Wait {
    /// This is due.
    Send(Arc<Batch>),
    /// For new batches, and no longer than this.
    ForBatches(Option<Duration>),
    /// For the clock alone.
    ForClock(Duration),
}

/// Runs until the batchers are gone and nothing waits, or until stopped.
pub(crate) fn run<S: Siem>(siem: &S, seat: &SenderSeat) {
    let mut connection = None;
    let mut batchers_gone = false;
    loop {
        let turn = catch_unwind(AssertUnwindSafe(|| match seat.next(&mut batchers_gone) {
            Next::Send(batch) => {
                send(siem, seat, &mut connection, batch);
                true
            }
            Next::Finished => false,
        }));
        seat.cpu.store(super::cores::thread_cpu_nanos(), Ordering::Relaxed);
        match turn {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => {
                seat.pipeline.panicked("send_batch");
                // A connection that panics when dropped has not ended this thread yet, and must not.
                let dropped = catch_unwind(AssertUnwindSafe(|| connection = None));
                drop(dropped);
                let cause = Cause::new(CauseKind::Panic).words("send_batch panicked");
                seat.settle(Verdict::retry(cause), monotonic(), None);
            }
        }
    }
    seat.bury_held();
}

/// Sends one batch, connecting first where there is no connection.
fn send<S: Siem>(siem: &S, seat: &SenderSeat, connection: &mut Option<S::Connection>, batch: Arc<Batch>) {
    let started = monotonic();
    let verdict = match connection {
        Some(connected) => siem.send_batch(connected, &batch),
        None => match connect(siem, seat) {
            Ok(connected) => siem.send_batch(connection.insert(connected), &batch),
            Err(verdict) => verdict,
        },
    };
    if let Verdict::Retry { cause, .. } = &verdict
        && !matches!(cause.kind(), CauseKind::Http(_))
    {
        // Whatever state the connection is in, it is not one to send on; a new one also asks for the address again.
        *connection = None;
    }
    if matches!(verdict, Verdict::Halt(_)) {
        // What refuses us may have been mended where only a new connection sees it: a token in a file, an address.
        *connection = None;
    }
    seat.settle(verdict, started, Some(batch));
}

/// Connects. A panic there is no fault of the batch that waits, which has not been sent.
fn connect<S: Siem>(siem: &S, seat: &SenderSeat) -> Result<S::Connection, Verdict> {
    let unreachable = |words| Err(Verdict::retry(Cause::new(CauseKind::Unreachable).words(words)));
    match catch_unwind(AssertUnwindSafe(|| siem.connect(&seat.pipeline.stop))) {
        // Drain has written the batch down, or is about to.
        Ok(Ok(_)) if seat.pipeline.stop.is_stopped() => unreachable("the connection came after the deadline"),
        Ok(result) => result,
        Err(_) => {
            seat.pipeline.panicked("connect");
            unreachable("connect panicked")
        }
    }
}

impl SenderSeat {
    /// Waits for something to send; it then stands in `sending`.
    fn next(&self, batchers_gone: &mut bool) -> Next {
        loop {
            if self.pipeline.stop.is_stopped() {
                return Next::Finished;
            }
            let draining = self.pipeline.draining.is_stopped();
            if draining {
                self.hurry();
            }
            let wait = self.wait(monotonic());
            let (handover, timeout) = match wait {
                Wait::Send(batch) => return Next::Send(batch),
                Wait::ForBatches(None) if *batchers_gone => return Next::Finished,
                Wait::ForBatches(timeout) if !*batchers_gone => (self.handover.clone(), timeout),
                Wait::ForBatches(timeout) => (never(), timeout),
                Wait::ForClock(timeout) => (never(), Some(timeout)),
            };
            // Once it has happened it is always ready: listening on would be spinning.
            let drain = if draining { never() } else { self.pipeline.draining.receiver().clone() };
            // An hour stands for ever: the loop asks again.
            let timeout = timeout.unwrap_or(Duration::from_secs(3600));
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

    /// What may be sent now: of the waiting batches that are due, the one that failed least; else something new, unless
    /// the waiting list is full or the destination asked for patience.
    fn wait(&self, now: u64) -> Wait {
        let mut held = self.held.lock();
        let not_before = self.pipeline.not_before();
        let due = held.waiting.iter().enumerate().filter(|(_, parcel)| parcel.history.due.max(not_before) <= now);
        if let Some((index, _)) = due.min_by_key(|(_, parcel)| parcel.history.attempts) {
            let parcel = held.waiting.swap_remove(index);
            let batch = Arc::clone(&parcel.batch);
            held.sending = Some(parcel);
            return Wait::Send(batch);
        }
        let earliest = held.waiting.iter().map(|parcel| parcel.history.due.max(not_before)).min();
        let until = |moment: u64| Duration::from_nanos(moment.saturating_sub(now));
        if now < not_before {
            return Wait::ForClock(until(not_before));
        }
        match earliest {
            Some(moment) if families(&held.waiting) >= WAITING_MAX => Wait::ForClock(until(moment)),
            earliest => Wait::ForBatches(earliest.map(until)),
        }
    }

    /// While draining: everything that waits is tried once at once, and what could only be tried again after the
    /// deadline is written down now, rather than waited for in vain.
    fn hurry(&self) {
        let mut held = self.held.lock();
        if !held.hurried {
            held.hurried = true;
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

    /// Gives the batch that was sent its fate, unless drain has taken it meanwhile.
    fn settle(&self, verdict: Verdict, started: u64, batch: Option<Arc<Batch>>) {
        let now = monotonic();
        let mut held = self.held.lock();
        let held = &mut *held;
        let Some(parcel) = held.sending.take() else { return };
        let mut latency = self.latency.lock();
        latency.attempted(now.saturating_sub(started));
        if let (Verdict::Accept, Some(batch)) = (&verdict, &batch) {
            for mark in batch.marks() {
                latency.delivered(now.saturating_sub(mark.created));
            }
        }
        // Released before the parcel is settled, so that the batch's memory can be used again.
        drop((latency, batch));
        let moment = Moment { started, now, random: random_unit() };
        let mut outcome =
            Outcome { pipeline: &self.pipeline, waiting: &mut held.waiting, senders: self.senders, moment };
        if let Some(spare) = outcome.settle(parcel, verdict) {
            // A full list frees it.
            drop(self.spare.try_send(spare));
        }
    }

    /// Writes down all that this sender holds, as undelivered: by itself when it ends, by drain when it hangs. Under the
    /// lock, so that drain finds it done, or waits for it.
    pub(crate) fn bury_held(&self) {
        let mut held = self.held.lock();
        let held = &mut *held;
        Parcel::bury_undelivered(held.sending.take().into_iter().chain(held.waiting.drain(..)), &self.pipeline);
    }

    /// The batch that is being sent may have been taken by the destination: said in its record.
    pub(crate) fn leave_behind(&self) {
        if let Some(sending) = &mut self.held.lock().sending {
            sending.history.ambiguous = true;
        }
        self.bury_held();
    }
}
