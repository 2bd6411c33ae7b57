//! The health monitor: asks the destination at start and every now and then, on a connection of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use super::pipeline::{Pipeline, nanos};
use super::settings::HealthConfig;
use crate::event::monotonic;
use crate::ledger::Operation;
use crate::policy::Permit;
use crate::siem::{Health, Siem, Verdict};

/// How long a check that hangs keeps the senders from connecting.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// What the monitor works with; the loop is generic in the destination, this is not.
#[derive(Debug)]
pub(crate) struct MonitorSeat {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) health: HealthConfig,
}

/// Runs until draining begins. It checks one after the other: never more than one is outstanding.
pub(crate) fn run<S: Siem>(siem: &S, seat: &MonitorSeat) {
    let mut connection = None;
    let mut has_failed = false;
    loop {
        let is_closed = || connection.as_ref().is_some_and(|connected| siem.is_closed(connected));
        if catch_unwind(AssertUnwindSafe(is_closed)).unwrap_or(true) {
            forget(&mut connection);
        }
        let permit = match &connection {
            Some(_) => None,
            None => match seat.permit() {
                Some(permit) => Some(permit),
                None => return,
            },
        };
        if has_failed {
            seat.pipeline.books.retry(Operation::HealthCheck);
        }
        let begun = monotonic();
        let checked = catch_unwind(AssertUnwindSafe(|| check(siem, seat, &mut connection)));
        let health = checked.unwrap_or_else(|_| {
            seat.pipeline.panicked("health_check");
            Health::unhealthy("the health check panicked")
        });
        let now = monotonic();
        if seat.pipeline.stop.is_stopped() {
            // The stop interrupted it: that says nothing about the destination.
            return;
        }
        match permit {
            Some(permit) if health.healthy => permit.succeeded(Duration::from_nanos(now)),
            Some(permit) => permit.failed(Duration::from_nanos(now), "health_check"),
            None => {}
        }
        has_failed = !health.healthy;
        if has_failed {
            // A new one asks for the address again.
            forget(&mut connection);
        }
        seat.pipeline.checked(&health, seat.health.failures, now.saturating_sub(begun));
        if !seat.wait(nanos(seat.health.interval)) {
            return;
        }
    }
}

/// One that panics when dropped must not end this thread.
fn forget<C>(connection: &mut Option<C>) {
    drop(catch_unwind(AssertUnwindSafe(|| *connection = None)));
}

fn check<S: Siem>(siem: &S, seat: &MonitorSeat, connection: &mut Option<S::Connection>) -> Health {
    let connected = match connection {
        Some(connected) => connected,
        None => match siem.connect(&seat.pipeline.stop) {
            Ok(connected) => connection.insert(connected),
            Err(verdict) => return no_connection(verdict),
        },
    };
    siem.health_check(connected)
}

/// What a connect that failed says about health.
pub(crate) fn no_connection(verdict: Verdict) -> Health {
    match verdict {
        Verdict::Retry { cause, .. } | Verdict::Reject(cause) | Verdict::Halt(cause) => {
            Health::unhealthy(format!("no connection: {cause}"))
        }
        Verdict::Accept | Verdict::Partial(_) | Verdict::Pending(_) => Health::unhealthy("no connection"),
    }
}

impl MonitorSeat {
    /// Waits for leave to connect; `None` once draining begins.
    fn permit(&self) -> Option<Permit> {
        loop {
            let now = monotonic();
            match self.pipeline.connects.permit_within(Duration::from_nanos(now), CONNECT_MAX) {
                Ok(permit) => return Some(permit),
                Err(later) => {
                    if !self.wait(nanos(later).saturating_sub(now)) {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits; false once draining begins.
    fn wait(&self, nanos: u64) -> bool {
        select! {
            recv(self.pipeline.draining.receiver()) -> _ => false,
            recv(self.pipeline.stop.receiver()) -> _ => false,
            default(Duration::from_nanos(nanos)) => true,
        }
    }
}
