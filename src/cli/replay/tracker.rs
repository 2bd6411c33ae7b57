//! What has become of the records of one file: told by the engine's threads, noted in the file's progress.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::dead_letter::{Attempts, Failure, Fates, Journal, Since};
use crate::engine::{HandOver, Keeper, Witness};
use crate::event::{EventId, Timestamp, monotonic};
use crate::siem::CauseKind;

/// Shared by the thread that feeds, the engine's threads and the one that shows progress.
#[derive(Debug)]
pub(super) struct Tracker {
    noted: Mutex<Noted>,
    delivered: AtomicU64,
    failed: AtomicU64,
    /// No more is handed over.
    stop: AtomicBool,
    /// When anything last became of a record, in monotonic nanoseconds.
    moved: AtomicU64,
    /// How long nothing may become of any, before that is taken for the end.
    patience: Duration,
}

#[derive(Debug)]
struct Noted {
    fates: Fates,
    journal: Journal,
    error: Option<io::Error>,
}

impl Tracker {
    /// Notes in this file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new(progress: &Path, patience: Duration) -> io::Result<Self> {
        let noted = Noted { fates: Fates::default(), journal: Journal::open(progress)?, error: None };
        Ok(Self {
            noted: Mutex::new(noted),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            moved: AtomicU64::new(monotonic()),
            patience,
        })
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn deliveries(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Events that were handed over and have no fate yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.noted.lock().fates.sent.len() as u64
    }

    /// Whether nothing has become of what was handed over for too long.
    pub(super) fn is_stalled(&self) -> bool {
        if self.in_flight() == 0 {
            return false;
        }
        let moved = Duration::from_nanos(monotonic().saturating_sub(self.moved.load(Ordering::Relaxed)));
        moved >= self.patience
    }

    /// What is known in the end, and why progress could not be noted, if so.
    pub(super) fn take(&self) -> (Fates, Option<io::Error>) {
        let noted = &mut *self.noted.lock();
        (std::mem::take(&mut noted.fates), noted.error.take())
    }

    /// What cannot be noted would be sent twice after an interruption: then no more is sent.
    fn note(&self, noted: &mut Noted, write: impl FnOnce(&mut Journal) -> io::Result<()>) {
        if noted.error.is_none()
            && let Err(error) = write(&mut noted.journal)
        {
            noted.error = Some(error);
            self.stop();
        }
    }
}

impl HandOver for Tracker {
    fn may_wait(&self) -> bool {
        !self.is_stopped() && !self.is_stalled()
    }

    fn handing_over(&self, ids: &[EventId]) {
        let noted = &mut *self.noted.lock();
        if noted.fates.sent.is_empty() {
            // Nothing was on its way that could have moved.
            self.moved.fetch_max(monotonic(), Ordering::Relaxed);
        }
        self.note(noted, |journal| journal.sent(ids));
        noted.fates.sent.extend(ids);
    }
}

impl Witness for Tracker {
    fn delivered(&self, ids: &[EventId]) {
        let noted = &mut *self.noted.lock();
        self.note(noted, |journal| journal.delivered(ids));
        for id in ids {
            noted.fates.deliver(*id);
        }
        self.delivered.fetch_add(ids.len() as u64, Ordering::Relaxed);
        self.moved.fetch_max(monotonic(), Ordering::Relaxed);
    }

    fn failed(&self, ids: &[EventId], attempts: &Attempts) -> Keeper {
        let Attempts { cause, count, possible_duplicate } = attempts;
        // Never tried in earnest: its record says better why it is here.
        let is_untried = *count == 0 && cause.kind() == CauseKind::Undelivered;
        let failure = (!is_untried).then(|| Failure {
            time: Timestamp::now().to_string(),
            cause: cause.label().into_owned(),
            words: cause.as_words().map(str::to_owned),
        });
        let since = Since { failure, attempts: *count, possible_duplicate: *possible_duplicate };
        let noted = &mut *self.noted.lock();
        for id in ids {
            self.note(noted, |journal| journal.failed(*id, &since));
            noted.fates.fail(*id, since.clone());
        }
        if !is_untried {
            self.failed.fetch_add(ids.len() as u64, Ordering::Relaxed);
            self.moved.fetch_max(monotonic(), Ordering::Relaxed);
        }
        Keeper::Witness
    }

    /// It keeps all of them itself.
    fn buried(&self, _ids: &[EventId]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::Cause;

    const PATIENCE: Duration = Duration::from_secs(3600);

    fn ids(numbers: std::ops::Range<u128>) -> Vec<EventId> {
        numbers.map(EventId::from_u128).collect()
    }

    #[test]
    fn no_more_is_sent_once_progress_cannot_be_noted_and_what_is_known_is_kept() {
        let tracker = Tracker::new(Path::new("/dev/full"), PATIENCE).unwrap();
        assert!(tracker.may_wait());
        tracker.handing_over(&ids(0..3));
        assert!(!tracker.may_wait());
        tracker.delivered(&ids(0..2));
        let (fates, error) = tracker.take();
        assert_eq!((fates.delivered.len(), fates.sent.len()), (2, 1));
        assert!(error.is_some());
    }

    #[test]
    fn what_was_never_tried_keeps_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let tracker = Tracker::new(&folder.path().join("progress"), PATIENCE).unwrap();
        tracker.handing_over(&ids(0..3));
        let undelivered = Attempts::none(Cause::new(CauseKind::Undelivered));
        tracker.failed(&ids(0..1), &undelivered);
        tracker.failed(&ids(1..2), &Attempts { possible_duplicate: true, ..undelivered.clone() });
        tracker.failed(&ids(2..3), &Attempts { count: 2, ..undelivered });
        let (fates, _) = tracker.take();
        let known = |number| fates.failed.get(&EventId::from_u128(number)).unwrap();
        assert!(known(0).failure.is_none() && !known(0).possible_duplicate);
        assert!(known(1).failure.is_none() && known(1).possible_duplicate);
        assert_eq!(known(2).failure.as_ref().unwrap().cause, "undelivered");
        assert_eq!((tracker.failures(), tracker.in_flight()), (1, 0));
    }

    #[test]
    fn nothing_stalls_while_nothing_is_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let tracker = Tracker::new(&folder.path().join("progress"), Duration::ZERO).unwrap();
        assert!(!tracker.is_stalled());
        tracker.handing_over(&ids(0..1));
        assert!(tracker.is_stalled() && !tracker.may_wait());
        tracker.delivered(&ids(0..1));
        assert!(!tracker.is_stalled());
    }
}
