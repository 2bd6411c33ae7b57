//! A destination that takes note of when it was told that events are held.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use siem_forward::net::Stop;
use siem_forward::siem::Splunk;
use siem_forward::{AuditEvent, Batch, Health, Shape, Siem, Verdict};

use crate::sample;
use crate::times::Times;

/// When each event was due: the first then, the others one `pause` later each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) begun: Instant,
    pub(crate) pause: Duration,
}

impl Schedule {
    /// How long after the due time of the event with this number it is now.
    pub(crate) fn late(&self, number: u64, now: Instant) -> u64 {
        let due = self.pause.as_nanos() * u128::from(number);
        let since = now.saturating_duration_since(self.begun).as_nanos();
        u64::try_from(since.saturating_sub(due)).unwrap_or(u64::MAX)
    }
}

/// What both sides share.
pub(crate) struct Stamps {
    pub(crate) schedule: OnceLock<Schedule>,
    pub(crate) held: Mutex<Times>,
}

/// Splunk, and the time of each success beside it.
pub(crate) struct Stamped {
    pub(crate) splunk: Splunk,
    pub(crate) stamps: Arc<Stamps>,
}

impl Siem for Stamped {
    type Connection = <Splunk as Siem>::Connection;

    fn siem_type(&self) -> &'static str {
        self.splunk.siem_type()
    }

    fn shape(&self) -> Shape {
        self.splunk.shape()
    }

    fn request_timeout(&self) -> Duration {
        self.splunk.request_timeout()
    }

    fn connect(&self, stop: &Stop) -> Result<Self::Connection, Verdict> {
        self.splunk.connect(stop)
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), siem_forward::siem::FormatError> {
        self.splunk.format_event(event, body)
    }

    fn send_batch(&self, connection: &mut Self::Connection, batch: &Batch) -> Verdict {
        let verdict = self.splunk.send_batch(connection, batch);
        if verdict == Verdict::Accept
            && let Some(schedule) = self.stamps.schedule.get()
        {
            let now = Instant::now();
            let mut held = self.stamps.held.lock().unwrap_or_else(PoisonError::into_inner);
            for mark in batch.marks() {
                held.record(schedule.late(sample::number(mark.id), now));
            }
        }
        verdict
    }

    fn is_closed(&self, connection: &Self::Connection) -> bool {
        self.splunk.is_closed(connection)
    }

    fn health_check(&self, connection: &mut Self::Connection) -> Health {
        self.splunk.health_check(connection)
    }
}
