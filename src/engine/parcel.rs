//! A batch on its way: the bytes, and what is known of the attempts to deliver them.
//!
//! Whoever holds a parcel owes its events a fate. One that is dropped without it counts them as `lost{bug}`, so that no
//! path through the engine can forget events silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::pipeline::Pipeline;
use crate::batch::{Batch, Mark};
use crate::dead_letter::{Attempts, Records};
use crate::ledger::LostReason;
use crate::policy::cut_budget;
use crate::siem::{Cause, CauseKind};

#[derive(Debug)]
pub(crate) struct Parcel {
    /// Shared with the thread that sends it, so that drain can take the parcel from under a hanging one.
    pub(crate) batch: Arc<Batch>,
    pub(crate) history: History,
    pipeline: Arc<Pipeline>,
    /// When the oldest of its events was created: known to the books as long as it lives.
    created: u64,
    settled: bool,
}

/// What is known of the attempts, and what parts of a batch inherit.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Requests that failed since the batch was made or cut.
    pub(crate) attempts: u32,
    /// Of these, those charged to it.
    pub(crate) charged: u32,
    /// Of these, how many had their connection reset.
    pub(crate) resets: u32,
    /// When the first request with these events failed.
    pub(crate) first_failure: Option<u64>,
    /// Not before this moment again.
    pub(crate) due: u64,
    /// The destination may hold these events although it never said so.
    pub(crate) ambiguous: bool,
    /// Why it failed last.
    pub(crate) cause: Option<Cause>,
    /// Cuts left, shared by all parts of one batch; the pointer is also their family's name.
    cuts_left: Arc<AtomicU32>,
}

impl Parcel {
    pub(crate) fn new(batch: Batch, pipeline: Arc<Pipeline>) -> Self {
        let history = History {
            attempts: 0,
            charged: 0,
            resets: 0,
            first_failure: None,
            due: 0,
            ambiguous: false,
            cause: None,
            cuts_left: Arc::new(AtomicU32::new(cut_budget(batch.len()))),
        };
        Self::begin(batch, history, pipeline)
    }

    fn begin(batch: Batch, history: History, pipeline: Arc<Pipeline>) -> Self {
        // An empty one, of which there are parts, is the youngest of all.
        let created = batch.marks().iter().map(|mark| mark.created).min().unwrap_or(u64::MAX);
        pipeline.books.ages.enter(created);
        Self { batch: Arc::new(batch), history, pipeline, created, settled: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.len()
    }

    /// The bytes that it holds in memory.
    pub(crate) fn memory(&self) -> usize {
        self.batch.body().len() + std::mem::size_of_val(self.batch.marks())
    }

    /// Gives back memory that it does not fill, where nobody else reads it.
    pub(crate) fn shrink(&mut self) {
        if let Some(batch) = Arc::get_mut(&mut self.batch) {
            batch.shrink();
        }
    }

    pub(crate) fn is_of_family(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.history.cuts_left, &other.history.cuts_left)
    }

    /// Spends cuts; false, and nothing spent, where there are not so many.
    pub(crate) fn spend_cuts(&self, cuts: u32) -> bool {
        // Relaxed: all parts of a batch stay on one sender.
        let spend = |left: u32| left.checked_sub(cuts);
        self.history.cuts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }

    /// All its events are delivered; gives the memory back where nobody else reads it.
    pub(crate) fn delivered(mut self) -> Option<(Vec<u8>, Vec<Mark>)> {
        self.settled = true;
        self.pipeline.deliver(self.batch.marks().iter().copied());
        let batch = std::mem::replace(&mut self.batch, Arc::new(Batch::nothing()));
        Arc::try_unwrap(batch).ok().map(Batch::into_parts)
    }

    /// All its events go to the dead letter.
    pub(crate) fn bury(self, cause: Cause) {
        let pipeline = Arc::clone(&self.pipeline);
        let mut records = pipeline.records();
        self.record(cause, &mut records);
        pipeline.bury(&records);
    }

    /// Time ran out: all events of these parcels go to the dead letter as undelivered, in one write.
    pub(crate) fn bury_undelivered(parcels: impl IntoIterator<Item = Self>, pipeline: &Pipeline) {
        let mut records = pipeline.records();
        for parcel in parcels {
            let cause = undelivered(parcel.history.cause.as_ref());
            parcel.record(cause, &mut records);
        }
        pipeline.bury(&records);
    }

    fn record(mut self, cause: Cause, records: &mut Records) {
        self.settled = true;
        let attempts = self.attempts(cause);
        if self.pipeline.left_to_witness(self.batch.marks().iter().copied(), &attempts) {
            return;
        }
        records.attempted(&attempts);
        (0..self.len()).for_each(|index| self.pipeline.record(records, &self.batch, index));
    }

    /// Splits it by the fates of its events: delivered, dead-lettered, and what goes again as new parcels.
    pub(crate) fn split(mut self, fates: &[Fate]) -> Vec<Self> {
        self.settled = true;
        let with = |wanted: fn(&Fate) -> bool| {
            fates.iter().enumerate().filter(move |(_, fate)| wanted(fate)).map(|(index, _)| index)
        };
        let delivered = with(|fate| matches!(fate, Fate::Delivered));
        self.pipeline.deliver(delivered.filter_map(|index| self.batch.marks().get(index).copied()));
        let mut records = self.pipeline.records();
        for (index, fate) in fates.iter().enumerate() {
            if let Fate::Rejected(cause) = fate {
                let attempts = self.attempts(cause.clone());
                if !self.pipeline.left_to_witness(self.batch.marks().get(index).copied().into_iter(), &attempts) {
                    records.attempted(&attempts);
                    self.pipeline.record(&mut records, &self.batch, index);
                }
            }
        }
        self.pipeline.bury(&records);
        let again = self.part(self.batch.select(with(|fate| matches!(fate, Fate::Again))));
        let mut apart = self.part(self.batch.select(with(|fate| matches!(fate, Fate::AgainApart))));
        apart.history.ambiguous = true;
        [apart, again].into_iter().filter(|part| part.len() > 0).collect()
    }

    /// Gives these up, before they were sent; what is left, if anything.
    pub(crate) fn without(self, given_up: Vec<(usize, Cause)>) -> Vec<Self> {
        let mut fates = vec![Fate::Again; self.len()];
        for (index, cause) in given_up {
            if let Some(fate) = fates.get_mut(index) {
                *fate = Fate::Rejected(cause);
            }
        }
        self.split(&fates)
    }

    /// Cuts it in two. Only for two events or more.
    pub(crate) fn halve(mut self) -> [Self; 2] {
        self.settled = true;
        let (events, middle) = (self.len(), self.len() / 2);
        [self.part(self.batch.select(0..middle)), self.part(self.batch.select(middle..events))]
    }

    /// A part inherits the family and what is known, and starts counting anew.
    fn part(&self, batch: Batch) -> Self {
        let history = History { attempts: 0, charged: 0, resets: 0, due: 0, ..self.history.clone() };
        Self::begin(batch, history, Arc::clone(&self.pipeline))
    }

    fn attempts(&self, cause: Cause) -> Attempts {
        let possible_duplicate =
            self.history.ambiguous || cause.is_ambiguous() && cause.kind() != CauseKind::Undelivered;
        Attempts { cause, count: self.history.attempts, possible_duplicate }
    }
}

/// The fate of one event of a batch that came back in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Delivered,
    Rejected(Cause),
    Again,
    /// In a batch of its own, since the destination may hold it already.
    AgainApart,
}

/// Undelivered, with the last failure as its words.
pub(crate) fn undelivered(last: Option<&Cause>) -> Cause {
    let cause = Cause::new(CauseKind::Undelivered);
    match last {
        Some(last) => cause.words(last.to_string()),
        None => cause,
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.pipeline.books.ages.leave(self.created);
        if !self.settled && !self.batch.is_empty() {
            self.pipeline.books.lose(LostReason::Bug, self.batch.len() as u64);
            self.pipeline.warn("bug", || format!("{} events are lost by a mistake of ours", self.batch.len()));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;
    use crate::batch::Shape;
    use crate::dead_letter::Origin;
    use crate::event::{AuditEvent, EventType, Severity};
    use crate::policy::{BreakerConfig, RetryConfig, RetryPolicy};

    /// A batch of so many events, accepted by a pipeline without a dead letter.
    pub(in crate::engine) fn parcel_of(events: usize) -> (Parcel, Arc<Pipeline>) {
        let origin = Origin { pipeline: "p".to_owned(), siem_type: "s", destination: "d".to_owned() };
        let pipeline = Arc::new(Pipeline::new(
            origin,
            None,
            RetryPolicy::new(RetryConfig::default()),
            BreakerConfig::default(),
            Duration::from_secs(35),
        ));
        pipeline.books.batcher_accepted().store(events as u64, Ordering::Relaxed);
        let mut batch = Batch::open(Shape::DEFAULT, Vec::new(), Vec::new());
        for _ in 0..events {
            let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
            batch
                .append(&event, |body| {
                    body.push(b'x');
                    Ok::<_, ()>(())
                })
                .unwrap();
        }
        (Parcel::new(batch, Arc::clone(&pipeline)), pipeline)
    }

    /// T1: what is dropped without a fate, by a panic or by a path that forgets it, is neither delivered nor in flight.
    #[test]
    fn a_parcel_without_a_fate_is_counted_as_lost_by_a_mistake_of_ours() {
        let (parcel, pipeline) = parcel_of(3);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _held = parcel;
            std::panic::resume_unwind(Box::new("while it was held"));
        }));
        assert!(panicked.is_err());
        let ledger = pipeline.books.snapshot(0).ledger;
        assert_eq!((ledger.accepted, ledger.delivered, ledger.lost["bug"], ledger.in_flight), (3, 0, 3, 0));

        let (parcel, pipeline) = parcel_of(4);
        drop(parcel.halve());
        assert_eq!(pipeline.books.snapshot(0).ledger.lost["bug"], 4);

        let (parcel, pipeline) = parcel_of(5);
        drop(parcel.delivered());
        let ledger = pipeline.books.snapshot(0).ledger;
        assert_eq!((ledger.delivered, ledger.lost["bug"]), (5, 0));
    }
}
