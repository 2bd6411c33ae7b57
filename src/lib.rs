//! siem-forward carries audit events into SIEMs.

// The rooms of the house, in the order in which data flows: each imports only from rooms above it.
mod event;
mod secret;
#[cfg(feature = "cli")]
mod table;
mod batch;
pub mod format;
pub mod net;
pub mod siem;
mod policy;
mod ledger;
mod dead_letter;
mod engine;
#[cfg(feature = "cli")]
pub mod input;
#[cfg(feature = "cli")]
mod config;
#[cfg(feature = "cli")]
pub mod receiver;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use batch::{Batch, Mark, Shape};
pub use engine::{
    BatchConfig, Builder, DeadLetterConfig, Emitter, Forwarder, Pin, Refused, Report, SiemConfig, StartError,
};
pub use event::{
    AuditEvent, DetailValue, EVENT_BYTES_LIMIT, EventBuilder, EventId, EventType, InvalidEventId, InvalidEventType,
    InvalidTimestamp, Severity, Timestamp, UnknownSeverity,
};
pub use ledger::{Ledger, LostReason, Quantiles, RefusedReason, Snapshot};
pub use policy::{Jitter, RetryConfig, RetryPolicy};
pub use secret::Secret;
pub use siem::{Cause, Health, Siem, Verdict};
