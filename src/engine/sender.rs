//! The sender's loop: what is due first, over this thread's own connection; a failed batch waits and holds up nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::held::{Next, SenderSeat};
use crate::batch::Batch;
use crate::event::monotonic;
use crate::siem::{Cause, CauseKind, Siem, Verdict};

/// Runs until the batchers are gone and nothing waits, or until stopped.
pub(crate) fn run<S: Siem>(siem: &S, seat: &SenderSeat) {
    let mut connection = None;
    let mut batchers_gone = false;
    loop {
        let turn = catch_unwind(AssertUnwindSafe(|| {
            let next = seat.next(&mut batchers_gone);
            seat.busy.begin(monotonic());
            match next {
                Next::Send(batch) => send(siem, seat, &mut connection, batch),
                Next::Ask => ask(siem, seat, &mut connection),
                Next::Finished => return false,
            }
            true
        }));
        seat.busy.end(monotonic());
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
                seat.settle(Verdict::retry(cause.clone()), monotonic(), None);
                seat.lost_connection(&cause);
            }
        }
    }
    seat.bury_held();
}

/// Sends one batch, connecting first where there is no connection or it has lived long enough. Where some of its events are
/// not to be sent any more, these are given up, and the rest comes again.
fn send<S: Siem>(siem: &S, seat: &SenderSeat, connection: &mut Option<S::Connection>, batch: Arc<Batch>) {
    let started = monotonic();
    let overdue = siem.overdue(&batch);
    if !overdue.is_empty() {
        drop(batch);
        return seat.give_up(overdue);
    }
    if seat.must_reconnect(started) {
        *connection = None;
    }
    if connection.as_ref().is_some_and(|connected| siem.is_closed(connected)) && !seat.may_redial(started) {
        return;
    }
    let verdict = match connection {
        Some(connected) => siem.send_batch(connected, &batch),
        None => match connect(siem, seat) {
            Ok(connected) => siem.send_batch(connection.insert(connected), &batch),
            Err(verdict) => verdict,
        },
    };
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

/// Asks what became of the batches that wait for an acknowledgement.
fn ask<S: Siem>(siem: &S, seat: &SenderSeat, connection: &mut Option<S::Connection>) {
    if connection.as_ref().is_some_and(|connected| siem.is_closed(connected)) && !seat.may_redial_to_ask(monotonic()) {
        return;
    }
    let answer = match connection {
        Some(connected) => siem.settle(connected, &seat.tickets()),
        None => Ok(Vec::new()),
    };
    seat.acknowledged(answer);
}
