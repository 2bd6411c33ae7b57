//! The forwarder: owns the threads, hands out emitters, drains.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, never, select};
use parking_lot::Mutex;

use super::batcher::BatcherSeat;
use super::builder::Builder;
use super::destination::Destination;
use super::emitter::{Emitter, Gate};
use super::parcel::Parcel;
use super::pipeline::{Pipeline, nanos};
use super::report::Report;
use super::sender::SenderSeat;
use super::settings::SiemConfig;
use crate::event::monotonic;
use crate::ledger::{LostReason, Snapshot};
use crate::net::Stop;
use crate::siem::{Health, Siem};

/// How long a thread may take to come back after the deadline, before it is left behind.
const GRACE: Duration = Duration::from_millis(250);

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
    /// The senders' end of the hand-over, for what they leave in it.
    pub(crate) handover: Receiver<Parcel>,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) config: SiemConfig,
    pub(crate) process: u32,
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
    /// Waits for its end, until the deadline or, where one is given, the stop; says whether it has ended.
    fn has_ended_by(&self, deadline: Instant, stop: Option<&Stop>) -> bool {
        let stop = stop.map_or_else(never, |stop| stop.receiver().clone());
        // Nothing is ever sent on either: the first to be disconnected says which of them has happened.
        select! {
            recv(self.ended) -> _ => true,
            recv(stop) -> _ => self.ended.try_recv() == Err(TryRecvError::Disconnected),
            default(deadline.saturating_duration_since(Instant::now())) => false,
        }
    }
}

impl Forwarder {
    /// Begins a forwarder to this destination.
    pub fn builder(siem: impl Siem) -> Builder {
        Builder::new(siem)
    }

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
        self.pipeline.books.snapshot(self.gates.iter().map(|gate| gate.ring.len()).sum())
    }

    /// What the forwarder knows from its own requests, without asking: whether events get through, and why not.
    pub fn health(&self) -> Health {
        self.pipeline.health()
    }

    /// Asks the destination, on a connection of its own; blocks within the destination's timeouts.
    pub fn health_check(&self) -> Health {
        self.destination.health_check(&self.pipeline.stop)
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
        let mut report = self.report.lock();
        if let Some(report) = &*report {
            return report.clone();
        }
        let begun = Instant::now();
        let deadline_reached = self.end_threads(begun, timeout);
        let threads_left = if deadline_reached { self.leave_behind(Instant::now() + GRACE) } else { Vec::new() };
        let metrics = self.metrics();
        let dead_letter = self.pipeline.dead_letter.as_ref().map(|dead_letter| dead_letter.path().to_owned());
        let ledger = metrics.ledger.clone();
        let elapsed = begun.elapsed();
        report.insert(Report { ledger, metrics, elapsed, deadline_reached, dead_letter, threads_left }).clone()
    }

    /// Ends now: what is not delivered goes to the dead letter. The original's `stop(flush=False)`. A drain on another
    /// thread ends by it, too.
    pub fn abort(&self) -> Report {
        if std::process::id() == self.process {
            self.pipeline.stop.stop();
        }
        self.drain(Duration::ZERO)
    }

    /// Drains; true if the deadline came before the end of the last thread.
    fn end_threads(&self, begun: Instant, timeout: Duration) -> bool {
        if std::process::id() != self.process {
            return false;
        }
        self.pipeline.drain_until(monotonic().saturating_add(nanos(timeout)));
        for gate in &self.gates {
            gate.ring.hint_closed();
        }
        // A deadline that the clock cannot hold is none.
        let deadline = begun.checked_add(timeout).unwrap_or_else(|| begun + Duration::from_secs(365 * 24 * 3600));
        let stop = Some(&self.pipeline.stop);
        let ended = self.batchers.iter().all(|worker| worker.has_ended_by(deadline, stop))
            && self.senders.iter().all(|worker| worker.has_ended_by(deadline, stop));
        if !ended {
            self.pipeline.stop.stop();
        }
        !ended || self.pipeline.stop.is_stopped()
    }

    /// After the stop: waits for the threads until `grace`, takes what hanging ones hold, and empties the hand-over.
    fn leave_behind(&self, grace: Instant) -> Vec<String> {
        let mut left = Vec::new();
        for worker in &self.senders {
            if !worker.has_ended_by(grace, None) {
                worker.seat.leave_behind();
                left.push(worker.name.clone());
            }
        }
        let mut batcher_left = false;
        for worker in &self.batchers {
            if !worker.has_ended_by(grace, None) {
                worker.seat.leave_behind();
                batcher_left = true;
                left.push(worker.name.clone());
            }
        }
        self.handover.try_iter().for_each(Parcel::bury_undelivered);
        if batcher_left {
            // Whatever has no fate by now is in the hands of a batcher that hangs.
            let held = self.metrics().ledger.in_flight;
            self.pipeline.books.lose(LostReason::Abandoned, held);
        }
        left
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if std::process::id() == self.process {
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
