//! The generic loops behind a plain handle: a Siem with its type forgotten, so that forwarders are not generic.

use std::time::Duration;
#[cfg(feature = "cli")]
use std::time::Instant;

use crossbeam_channel::Sender;

use super::batcher::{self, BatcherSeat};
use super::held::SenderSeat;
use super::monitor::{self, MonitorSeat};
use super::parcel::Parcel;
use super::sender;
use crate::batch::Shape;
#[cfg(feature = "cli")]
use crate::event::AuditEvent;
use crate::net::{Stop, Traffic};
#[cfg(feature = "cli")]
use crate::siem::{FormatError, Verdict};
use crate::siem::{Health, Siem};

/// Between two questions after the acknowledgement of a single event, at most.
#[cfg(feature = "cli")]
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(crate) trait Destination: Send + Sync {
    fn siem_type(&self) -> &'static str;
    fn address(&self) -> String;
    fn shape(&self) -> Shape;
    fn request_timeout(&self) -> Duration;
    fn settle_interval(&self) -> Duration;
    fn prepare(&self) -> Result<(), String>;
    fn traffic(&self) -> Option<&Traffic>;
    /// The batcher's loop; returns when it is done.
    fn batch(&self, seat: &BatcherSeat, handover: Sender<Parcel>);
    /// The sender's loop; returns when it is done.
    fn send(&self, seat: &SenderSeat);
    /// The monitor's loop; returns when it is done.
    fn monitor(&self, seat: &MonitorSeat);
    fn health_check(&self, stop: &Stop) -> Health;
    /// Appends the wire form of one event.
    #[cfg(feature = "cli")]
    fn format(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError>;
    /// Sends one event over a connection of its own, once; where it is to be acknowledged, asks until it is or
    /// `patience` is over.
    #[cfg(feature = "cli")]
    fn try_event(&self, event: &AuditEvent, patience: Duration) -> Verdict;
}

impl<S: Siem> Destination for S {
    fn siem_type(&self) -> &'static str {
        Siem::siem_type(self)
    }

    fn address(&self) -> String {
        Siem::destination(self)
    }

    fn shape(&self) -> Shape {
        Siem::shape(self)
    }

    fn request_timeout(&self) -> Duration {
        Siem::request_timeout(self)
    }

    fn settle_interval(&self) -> Duration {
        Siem::settle_interval(self)
    }

    fn prepare(&self) -> Result<(), String> {
        Siem::prepare(self)
    }

    fn traffic(&self) -> Option<&Traffic> {
        Siem::traffic(self)
    }

    fn batch(&self, seat: &BatcherSeat, handover: Sender<Parcel>) {
        batcher::run(self, seat, handover);
    }

    fn send(&self, seat: &SenderSeat) {
        sender::run(self, seat);
    }

    fn monitor(&self, seat: &MonitorSeat) {
        monitor::run(self, seat);
    }

    fn health_check(&self, stop: &Stop) -> Health {
        match self.connect(stop) {
            Ok(mut connection) => Siem::health_check(self, &mut connection),
            Err(verdict) => monitor::no_connection(verdict),
        }
    }

    #[cfg(feature = "cli")]
    fn format(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        Siem::format_event(self, event, body)
    }

    #[cfg(feature = "cli")]
    fn try_event(&self, event: &AuditEvent, patience: Duration) -> Verdict {
        send_one(self, event, patience)
    }
}

#[cfg(feature = "cli")]
/// Sends one event over a connection of its own, and asks for its acknowledgement where there is to be one.
fn send_one<S: Siem>(siem: &S, event: &AuditEvent, patience: Duration) -> Verdict {
    let mut connection = match siem.connect(&Stop::new()) {
        Ok(connection) => connection,
        Err(verdict) => return verdict,
    };
    let verdict = siem.send_event(&mut connection, event);
    let Verdict::Pending(ticket) = verdict else { return verdict };
    let (until, pause) = (Instant::now() + patience, ASK_EVERY.min(siem.settle_interval()));
    while Instant::now() < until {
        // An answer that cannot be read says nothing about the event: it is asked again.
        let settled = siem.settle(&mut connection, &[ticket]).unwrap_or_default();
        if let Some((_, verdict)) = settled.into_iter().find(|(of, _)| *of == ticket) {
            return verdict;
        }
        std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
    }
    Verdict::Pending(ticket)
}
