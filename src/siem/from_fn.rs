//! A destination from a function: the original's batch handler with any callback.

use std::fmt;

use super::{FormatError, Health, Siem, Verdict};
use crate::batch::Batch;
use crate::event::AuditEvent;
use crate::format::json;
use crate::net::Stop;

/// A destination that hands each batch, as NDJSON, to a function.
///
/// ```
/// use std::time::Duration;
/// use siem_forward::{EventType, Forwarder, Severity, Verdict, siem};
///
/// let print = siem::from_fn("printer", |batch| {
///     assert!(batch.body().ends_with(b"\n"));
///     Verdict::Accept
/// });
/// let forwarder = Forwarder::builder(print).start()?;
/// forwarder.emitter().event(EventType::UserLogin, Severity::Low).try_send().expect("the ring has room");
/// assert_eq!(forwarder.drain(Duration::from_secs(5)).ledger.delivered, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_fn<F>(name: &'static str, send_batch: F) -> FromFn<F>
where
    F: Fn(&Batch) -> Verdict + Send + Sync + 'static,
{
    FromFn { name, send_batch }
}

/// What [`from_fn`] returns.
pub struct FromFn<F> {
    name: &'static str,
    send_batch: F,
}

impl<F: Fn(&Batch) -> Verdict + Send + Sync + 'static> Siem for FromFn<F> {
    type Connection = ();

    fn siem_type(&self) -> &'static str {
        self.name
    }

    fn connect(&self, _stop: &Stop) -> Result<(), Verdict> {
        Ok(())
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        json::write(event, body);
        Ok(())
    }

    fn send_batch(&self, (): &mut (), batch: &Batch) -> Verdict {
        (self.send_batch)(batch)
    }

    fn health_check(&self, (): &mut ()) -> Health {
        Health::healthy()
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("name", &self.name).finish_non_exhaustive()
    }
}
