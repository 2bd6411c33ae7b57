//! The forwarder: owns the threads, hands out emitters, drains.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, at, select};
use parking_lot::Mutex;

use super::batcher::BatcherSeat;
use super::destination::Destination;
use super::emitter::{Emitter, Gate};
use super::held::SenderSeat;
use super::monitor::MonitorSeat;
use super::parcel::Parcel;
use super::pipeline::{Pipeline, nanos};
use super::report::Report;
use super::settings::SiemConfig;
use crate::event::{ForkGuard, monotonic};
use crate::ledger::{LostReason, Snapshot};
use crate::net::Stop;
use crate::siem::Health;

/// How long a thread may take to come back after the deadline, before it is left behind.
const GRACE: Duration = Duration::from_millis(250);
/// How long after the deadline the disk may still be waited for.
const SYNC_AFTER_DEADLINE: Duration = Duration::from_millis(100);
/// How long all may take to their end once nothing is left for them to write down.
const LAST_STEPS: Duration = Duration::from_millis(10);

/// Carries events to one SIEM: one set of threads, one failure domain.
///
/// Several forwarders in one process do not know each other. Dropping one drains it within its `drain_timeout`; nothing
/// does after `process::exit`, or in a forked child, where a forwarder touches no thread and no file.
pub struct Forwarder {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) gates: Vec<Arc<Gate>>,
    pub(crate) next: AtomicUsize,
    pub(crate) batchers: Vec<Worker<BatcherSeat>>,
    pub(crate) senders: Vec<Worker<SenderSeat>>,
    /// Where health is checked every now and then.
    pub(crate) monitor: Option<Worker<MonitorSeat>>,
    /// The senders' end of the hand-over, for what they leave in it.
    pub(crate) handover: Receiver<Parcel>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) config: SiemConfig,
    pub(crate) started_in: ForkGuard,
    pub(crate) report: Mutex<Option<Report>>,
}

/// A thread, its state, and how to know that it has ended.
#[derive(Debug)]
pub(crate) struct Worker<Seat> {
    pub(crate) name: String,
    pub(crate) seat: Arc<Seat>,
    /// Disconnected when the thread has ended.
    pub(crate) ended: Receiver<std::convert::Infallible>,
}

impl<Seat> Worker<Seat> {
    /// Waits for its end; false if the deadline comes first.
    fn has_ended_by(&self, deadline: Instant) -> bool {
        // Nothing is ever sent on it: the error says which of the two came.
        !matches!(self.ended.recv_deadline(deadline), Err(crossbeam_channel::RecvTimeoutError::Timeout))
    }

    /// The same, but does not wait on once everything is stopped.
    fn has_ended_unstopped(&self, deadline: Instant, stop: &Stop) -> bool {
        select! {
            recv(self.ended) -> _ => {}
            recv(stop.receiver()) -> _ => {}
            recv(at(deadline)) -> _ => {}
        }
        self.has_ended_by(Instant::now())
    }
}

impl Forwarder {
    /// An emitter, bound to one of the rings in turn.
    pub fn emitter(&self) -> Emitter {
        // Relaxed: any turn will do.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.gates.len();
        #[expect(
            clippy::indexing_slicing,
            reason = "the builder makes one gate at least, and the turn is below their number"
        )]
        let gate = Arc::clone(&self.gates[turn]);
        Emitter { gate }
    }

    /// The metrics and the ledger, now.
    pub fn metrics(&self) -> Snapshot {
        let snapshot = self.pipeline.books.snapshot(self.gates.iter().map(|gate| gate.ring.len()).sum());
        // Relaxed: a gauge.
        let pending_bytes = self.pipeline.pending_bytes.load(Ordering::Relaxed);
        Snapshot { breaker: self.pipeline.breaker.status(), pending_bytes, ..snapshot }
    }

    /// What the forwarder knows from its own requests and from the last health checks, without asking: whether events
    /// get through, and if not, why and for how long.
    pub fn health(&self) -> Health {
        self.pipeline.health()
    }

    /// Asks the destination, on a connection of its own; blocks within the destination's timeouts.
    pub fn health_check(&self) -> Health {
        self.destination.health_check(&self.pipeline.stop)
    }

    /// Whether all threads that events depend on are alive. Those of a drained forwarder are not.
    #[cfg(feature = "cli")]
    pub(crate) fn is_alive(&self) -> bool {
        let now = Instant::now();
        let senders_end = self.senders.iter().any(|worker| worker.has_ended_by(now));
        !senders_end && !self.batchers.iter().any(|worker| worker.has_ended_by(now))
    }

    /// The pipeline's name; see [`Builder::name`](crate::Builder::name).
    pub fn name(&self) -> &str {
        &self.pipeline.origin.pipeline
    }

    /// The configuration that it runs with.
    pub fn config(&self) -> &SiemConfig {
        &self.config
    }

    /// Where it sends to, without secrets.
    pub fn destination(&self) -> &str {
        &self.pipeline.origin.destination
    }

    /// Refuses new events, delivers what was accepted, and ends the threads; at the deadline what is left goes to the
    /// dead letter. Ends within half a second of the deadline, whatever the destination does. A second call returns
    /// the first one's report.
    pub fn drain(&self, timeout: Duration) -> Report {
        if self.started_in.is_elsewhere() {
            // Even a lock may be held for ever here, by a thread that was not forked along.
            return Report::of_nothing(self.name());
        }
        let begun = Instant::now();
        let mut report = self.report.try_lock_for(timeout).unwrap_or_else(|| {
            // Another call drains, and has more patience than this one: it ends now.
            self.pipeline.stop.stop();
            self.report.lock()
        });
        if let Some(report) = &*report {
            return report.clone();
        }
        let deadline_reached = !self.end_threads(begun, timeout);
        let mut threads_left = if deadline_reached { self.leave_behind(begun) } else { Vec::new() };
        // After a deadline all have had their grace.
        threads_left.extend(self.end_monitor(if deadline_reached { LAST_STEPS } else { GRACE }));
        // Stopped, by the deadline or by an abort, nobody has time; else the drain's own time is left for it.
        let time_left = if deadline_reached { Duration::ZERO } else { timeout.saturating_sub(begun.elapsed()) };
        self.pipeline.close_dead_letter(time_left + SYNC_AFTER_DEADLINE);
        let metrics = self.metrics();
        let dead_letter = self.pipeline.dead_letter.as_ref().map(|dead_letter| dead_letter.path().to_owned());
        let ledger = metrics.ledger.clone();
        let elapsed = begun.elapsed();
        let pipeline = self.name().to_owned();
        report
            .insert(Report { pipeline, ledger, metrics, elapsed, deadline_reached, dead_letter, threads_left })
            .clone()
    }

    /// Ends now: what is not delivered goes to the dead letter. The original's `stop(flush=False)`.
    pub fn abort(&self) -> Report {
        self.drain(Duration::ZERO)
    }

    /// Closes the rings and waits for the threads; false if the deadline or a stop came before the last one's end.
    fn end_threads(&self, begun: Instant, timeout: Duration) -> bool {
        self.pipeline.drain_until(monotonic().saturating_add(nanos(timeout)));
        for gate in &self.gates {
            gate.ring.hint_closed();
        }
        // A deadline that the clock cannot hold is none.
        let deadline = begun.checked_add(timeout).unwrap_or_else(|| begun + Duration::from_secs(365 * 24 * 3600));
        let stop = &self.pipeline.stop;
        self.batchers.iter().all(|worker| worker.has_ended_unstopped(deadline, stop))
            && self.senders.iter().all(|worker| worker.has_ended_unstopped(deadline, stop))
    }

    /// A check that is under way is interrupted: nobody needs its answer. Returns the monitor's name if it hangs.
    fn end_monitor(&self, grace: Duration) -> Option<String> {
        self.pipeline.stop.stop();
        let monitor = self.monitor.as_ref()?;
        (!monitor.has_ended_by(Instant::now() + grace)).then(|| monitor.name.clone())
    }

    /// Stops the threads, takes what hanging ones hold after their grace, and empties the hand-over. Returns the names of
    /// those that hang.
    fn leave_behind(&self, begun: Instant) -> Vec<String> {
        self.pipeline.stop.stop();
        let grace = Instant::now() + GRACE;
        if begun.elapsed() >= GRACE {
            // The rings have been closing for so long that no batcher can still be on its way into one by the open door:
            // what lies in them need not wait for the grace of one that hangs.
            self.batchers.iter().for_each(|worker| worker.seat.bury_queued());
        }
        for worker in self.senders.iter().filter(|worker| !worker.has_ended_by(grace)) {
            worker.seat.leave_behind();
        }
        for worker in self.batchers.iter().filter(|worker| !worker.has_ended_by(grace)) {
            worker.seat.leave_behind();
        }
        Parcel::bury_undelivered(self.handover.try_iter(), &self.pipeline);
        // One that was busy writing down what it held has been waited for: only its end is missing.
        let last_steps = Instant::now() + LAST_STEPS;
        let senders = self.senders.iter().filter(|worker| !worker.has_ended_by(last_steps));
        let mut left: Vec<String> = senders.map(|worker| worker.name.clone()).collect();
        let batchers = self.batchers.iter().filter(|worker| !worker.has_ended_by(last_steps));
        let batchers: Vec<String> = batchers.map(|worker| worker.name.clone()).collect();
        if !batchers.is_empty() {
            // Whatever has no fate by now is in the hands of a batcher that hangs.
            let held = self.metrics().ledger.in_flight;
            self.pipeline.books.lose(LostReason::Abandoned, held);
        }
        left.extend(batchers);
        left
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // Whoever has drained has the report, and says what there is to say.
        if !self.started_in.is_elsewhere() && self.report.lock().is_none() {
            let report = self.drain(self.config.drain_timeout);
            if !report.all_delivered() {
                log::warn!("{}: {report}", self.pipeline.origin.pipeline);
            }
        }
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("origin", &self.pipeline.origin).finish_non_exhaustive()
    }
}
