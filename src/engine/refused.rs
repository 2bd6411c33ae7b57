//! An event that comes back: nothing is dropped without its caller.

use std::fmt;

use crate::event::AuditEvent;
use crate::ledger::RefusedReason;

/// An event that was not taken, with the reason.
#[expect(clippy::exhaustive_enums, reason = "closed on purpose: a new reason must not compile unhandled")]
#[derive(thiserror::Error)]
pub enum Refused {
    /// The ring is full, or the bytes of large events are, and nobody waited or for too short a time.
    #[error("the queue is full")]
    Full(AuditEvent),
    /// The forwarder drains or has drained.
    #[error("the forwarder is closed")]
    Closed(AuditEvent),
    /// This process was forked after the forwarder started: start one here.
    #[error("the forwarder belongs to the parent process")]
    Forked(AuditEvent),
    /// The ring has room, but none for an event of so low a severity: `overflow = "shed_by_severity"`.
    #[error("the queue has no room for an event of this severity")]
    Shed(AuditEvent),
    /// `sampling` keeps only a part of such events, and this one's id is not among them: nothing is wrong.
    #[error("the event is not among those that sampling keeps")]
    Sampled(AuditEvent),
    /// `filter` keeps such events away from this destination: nothing is wrong.
    #[error("the filter keeps the event away")]
    Filtered(AuditEvent),
    /// The event is larger than `event_bytes_max`.
    #[error("the event is too large")]
    TooLarge(AuditEvent),
    /// The caller is a thread of the forwarder itself.
    #[error("the caller is a thread of the forwarder itself")]
    OwnThread(AuditEvent),
    /// The forwarder is configured with `enabled = false`.
    #[error("the forwarder is disabled")]
    Disabled(AuditEvent),
}

impl Refused {
    pub(super) fn new(reason: RefusedReason, event: AuditEvent) -> Self {
        match reason {
            RefusedReason::Full => Self::Full(event),
            RefusedReason::Closed => Self::Closed(event),
            RefusedReason::Forked => Self::Forked(event),
            RefusedReason::Shed => Self::Shed(event),
            RefusedReason::Sampled => Self::Sampled(event),
            RefusedReason::Filtered => Self::Filtered(event),
            RefusedReason::TooLarge => Self::TooLarge(event),
            RefusedReason::OwnThread => Self::OwnThread(event),
            RefusedReason::Disabled => Self::Disabled(event),
        }
    }

    /// The event, to be tried again or kept elsewhere.
    pub fn into_event(self) -> AuditEvent {
        match self {
            Self::Full(event)
            | Self::Closed(event)
            | Self::Forked(event)
            | Self::Shed(event)
            | Self::Sampled(event)
            | Self::Filtered(event)
            | Self::TooLarge(event)
            | Self::OwnThread(event)
            | Self::Disabled(event) => event,
        }
    }

    /// The event.
    pub fn event(&self) -> &AuditEvent {
        match self {
            Self::Full(event)
            | Self::Closed(event)
            | Self::Forked(event)
            | Self::Shed(event)
            | Self::Sampled(event)
            | Self::Filtered(event)
            | Self::TooLarge(event)
            | Self::OwnThread(event)
            | Self::Disabled(event) => event,
        }
    }

    /// The reason, as the ledger counts it.
    pub fn reason(&self) -> RefusedReason {
        match self {
            Self::Full(_) => RefusedReason::Full,
            Self::Closed(_) => RefusedReason::Closed,
            Self::Forked(_) => RefusedReason::Forked,
            Self::Shed(_) => RefusedReason::Shed,
            Self::Sampled(_) => RefusedReason::Sampled,
            Self::Filtered(_) => RefusedReason::Filtered,
            Self::TooLarge(_) => RefusedReason::TooLarge,
            Self::OwnThread(_) => RefusedReason::OwnThread,
            Self::Disabled(_) => RefusedReason::Disabled,
        }
    }
}

/// The reason only: an event stands in no log.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.reason().label())
    }
}
