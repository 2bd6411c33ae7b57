//! A destination without a forwarder: asked whether it is well, and given one event. No thread, no ring, no retry.

use std::sync::Arc;

use super::destination::Destination;
use super::memory::{Share, shares};
use super::settings::SiemConfig;
use crate::event::AuditEvent;
use crate::net::Stop;
use crate::siem::{Cause, Health, Verdict};

/// A destination with the settings of its pipeline.
pub(crate) struct Trial {
    destination: Arc<dyn Destination>,
    config: SiemConfig,
}

/// What became of the one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The destination holds it.
    Held,
    /// It was taken, and no acknowledgement came in time.
    Unacknowledged,
    /// It is not held, and why.
    Refused(Cause),
    /// Nobody knows: it was sent, and no answer says what became of it.
    Unknown(Cause),
}

impl Trial {
    pub(super) fn new(destination: Arc<dyn Destination>, config: SiemConfig) -> Self {
        Self { destination, config }
    }

    /// Looks at what it needs without a network, as a start does.
    ///
    /// # Errors
    /// What is wrong and what to do: a forwarder would not start.
    pub(crate) fn prepare(&self) -> Result<(), String> {
        self.destination.prepare()
    }

    /// Asks the destination over a connection of its own.
    pub(crate) fn health(&self) -> Health {
        self.destination.health_check(&Stop::new())
    }

    /// Sends this event, once; waits for an acknowledgement as long as a forwarder would, where there is to be one.
    pub(crate) fn send(&self, event: &AuditEvent) -> Sent {
        match self.destination.try_event(event, self.config.connection.ack_timeout) {
            Verdict::Accept => Sent::Held,
            Verdict::Pending(_) => Sent::Unacknowledged,
            Verdict::Retry { cause, .. } if cause.is_ambiguous() => Sent::Unknown(cause),
            Verdict::Retry { cause, .. } | Verdict::Reject(cause) | Verdict::Halt(cause) => Sent::Refused(cause),
            Verdict::Partial(partial) => match (partial.rejected.into_iter().next(), partial.retry) {
                (Some((_, cause)), _) | (None, Some((_, cause))) => Sent::Refused(cause),
                (None, None) => Sent::Held,
            },
        }
    }

    /// The most memory that the settings can use, by what uses it. `acknowledges` where batches wait for that.
    pub(crate) fn memory(&self, acknowledges: bool) -> Vec<Share> {
        shares(&self.config, self.destination.shape(), acknowledges)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::batch::Batch;
    use crate::engine::Forwarder;
    use crate::event::{EventType, Severity};
    use crate::siem::{CauseKind, Partial, Ticket, from_fn};

    fn sent(verdict: Verdict) -> Sent {
        let siem = from_fn("answers", move |batch: &Batch| {
            assert_eq!(batch.len(), 1);
            verdict.clone()
        });
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
        let ack_timeout = Duration::from_millis(1);
        let connection = crate::engine::ConnectionConfig { ack_timeout, ..Default::default() };
        Forwarder::builder(siem).connection(connection).trial().send(&event)
    }

    #[test]
    fn each_verdict_on_the_event_is_told_for_what_it_is() {
        let cause = |kind| Cause::new(kind).words("why");
        let busy = cause(CauseKind::Http(429));
        assert_eq!(sent(Verdict::Accept), Sent::Held);
        assert_eq!(sent(Verdict::Pending(Ticket::new(7))), Sent::Unacknowledged);
        assert_eq!(sent(Verdict::retry(busy.clone())), Sent::Refused(busy.clone()));
        assert_eq!(sent(Verdict::retry(cause(CauseKind::Timeout))), Sent::Unknown(cause(CauseKind::Timeout)));
        assert_eq!(sent(Verdict::Halt(busy.clone())), Sent::Refused(busy.clone()));
        assert_eq!(sent(Verdict::Reject(busy.clone())), Sent::Refused(busy.clone()));
        assert_eq!(sent(Verdict::Partial(Partial::new().reject(0, busy.clone()))), Sent::Refused(busy.clone()));
        assert_eq!(sent(Verdict::Partial(Partial::new().resend([0]).retry(None, busy.clone()))), Sent::Refused(busy));
        assert_eq!(sent(Verdict::Partial(Partial::new())), Sent::Held);
    }
}
