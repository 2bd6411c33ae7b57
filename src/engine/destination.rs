//! The generic loops behind a plain handle: a Siem with its type forgotten, so that forwarders are not generic.

use crossbeam_channel::Sender;

use super::batcher::{self, BatcherSeat};
use super::parcel::Parcel;
use super::sender::{self, SenderSeat};
use crate::batch::Shape;
use crate::net::Stop;
use crate::siem::{Health, Siem, Verdict};

pub(crate) trait Destination: Send + Sync {
    fn siem_type(&self) -> &'static str;
    fn address(&self) -> String;
    fn shape(&self) -> Shape;
    /// The batcher's loop; returns when it is done.
    fn batch(&self, seat: &BatcherSeat, handover: Sender<Parcel>);
    /// The sender's loop; returns when it is done.
    fn send(&self, seat: &SenderSeat);
    fn health_check(&self, stop: &Stop) -> Health;
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

    fn batch(&self, seat: &BatcherSeat, handover: Sender<Parcel>) {
        batcher::run(self, seat, handover);
    }

    fn send(&self, seat: &SenderSeat) {
        sender::run(self, seat);
    }

    fn health_check(&self, stop: &Stop) -> Health {
        match self.connect(stop) {
            Ok(mut connection) => Siem::health_check(self, &mut connection),
            Err(Verdict::Retry { cause, .. } | Verdict::Reject(cause) | Verdict::Halt(cause)) => {
                Health::unhealthy(format!("no connection: {cause}"))
            }
            Err(Verdict::Accept | Verdict::Partial(_) | Verdict::Pending(_)) => Health::unhealthy("no connection"),
        }
    }
}
