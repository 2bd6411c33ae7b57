//! What feeds the senders in a replay: recorded wire forms, collected into batches and handed over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Select, Sender};
use crossbeam_utils::CachePadded;

use super::batcher::Limits;
use super::destination::Destination;
use super::parcel::Parcel;
use super::pipeline::Pipeline;
use crate::batch::Batch;
use crate::event::{AuditEvent, EventId, Severity, Timestamp};
use crate::siem::{Cause, CauseKind};

/// How long a wait for a sender lasts before it is asked whether to wait on.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The way to the senders, which end once it is dropped and nothing waits.
pub(crate) struct Resender {
    pipeline: Arc<Pipeline>,
    destination: Arc<dyn Destination>,
    handover: Sender<Parcel>,
    limits: Limits,
    accepted: Arc<CachePadded<AtomicU64>>,
    open: Batch,
}

/// An event as its record knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) id: EventId,
    pub(crate) timestamp: Timestamp,
    pub(crate) severity: Severity,
}

/// Who is asked about the hand-over of a batch.
pub(crate) trait HandOver {
    /// Whether to wait on for a sender.
    fn may_wait(&self) -> bool;

    /// These are handed over now. What is not is forgotten, and nobody is told of it.
    fn handing_over(&self, ids: &[EventId]);
}

impl Resender {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        destination: Arc<dyn Destination>,
        handover: Sender<Parcel>,
        limits: Limits,
    ) -> Self {
        let accepted = pipeline.books.batcher_accepted();
        let open = Batch::open(limits.shape, Vec::new(), Vec::new());
        Self { pipeline, destination, handover, limits, accepted, open }
    }

    /// The wire form of an event that never got one.
    ///
    /// # Errors
    /// When it has none here.
    pub(crate) fn format(&self, event: &AuditEvent) -> Result<Vec<u8>, Cause> {
        let mut wire = Vec::new();
        match catch_unwind(AssertUnwindSafe(|| self.destination.format(event, &mut wire))) {
            Ok(Ok(())) => Ok(wire),
            Ok(Err(error)) => Err(Cause::new(CauseKind::Format).words(error.to_string())),
            Err(_) => Err(Cause::new(CauseKind::Panic).words("format_event panicked")),
        }
    }

    /// Adds an event, and hands over what is full; false where nobody took that.
    ///
    /// # Errors
    /// When the wire form is larger than the destination takes.
    pub(crate) fn push(&mut self, event: Recorded, wire: &[u8], hand_over: &impl HandOver) -> Result<bool, Cause> {
        let Limits { shape, batch_size, batch_bytes_max, event_bytes_max, .. } = self.limits;
        if wire.len() > event_bytes_max {
            return Err(Cause::new(CauseKind::TooLarge).words(format!("its wire form has {} bytes", wire.len())));
        }
        let bytes = self.open.body().len() + shape.separator.len() + wire.len() + shape.suffix.len();
        let is_full = bytes > batch_bytes_max || self.open.len() >= batch_size;
        if !self.open.is_empty() && is_full && !self.flush(hand_over) {
            return Ok(false);
        }
        self.open.push_recorded(event.id, event.timestamp, event.severity, wire);
        Ok(true)
    }

    /// Hands over what is left; false where nobody took it.
    pub(crate) fn flush(&mut self, hand_over: &impl HandOver) -> bool {
        if self.open.is_empty() {
            return true;
        }
        let next = Batch::open(self.limits.shape, Vec::new(), Vec::new());
        let mut batch = std::mem::replace(&mut self.open, next);
        batch.seal();
        let ids: Vec<EventId> = batch.marks().iter().map(|mark| mark.id).collect();
        while hand_over.may_wait() && !self.pipeline.stop.is_stopped() {
            let mut select = Select::new();
            select.send(&self.handover);
            if let Ok(ready) = select.select_timeout(ASK_EVERY) {
                hand_over.handing_over(&ids);
                // One thread writes it, and reads are of a sum.
                self.accepted.fetch_add(ids.len() as u64, Ordering::Relaxed);
                let parcel = Parcel::new(batch, Arc::clone(&self.pipeline));
                if let Err(unsent) = ready.send(&self.handover, parcel) {
                    Parcel::bury_undelivered([unsent.0], &self.pipeline);
                }
                return true;
            }
        }
        false
    }
}
