//! What has become of the records that were read: told by the engine's threads, asked by the one that commits.
//!
//! An event that was read is known by its id. Where one id stands in several records, as after a producer's retry, none of
//! them is settled before as many fates were told as there are records: which copy a fate was meant for nobody knows.
//! Each assignment of a partition has a number of its own, so that a fate that comes after the partition was given up,
//! even after it came back, changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::watermark::Watermark;
use crate::dead_letter::Attempts;
use crate::engine::{Keeper, Witness};
use crate::event::EventId;
use crate::siem::CauseKind;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
}

/// Where a record lies, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    assignment: u64,
    offset: i64,
}

impl Place {
    pub(crate) fn offset(self) -> i64 {
        self.offset
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tracker {
    state: Mutex<State>,
    /// Told when a partition has nothing open any more.
    closed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last assignment.
    last: u64,
    /// The assignment of the last record: records come in runs.
    recent: u64,
    assignments: HashMap<u64, Assignment>,
    numbers: HashMap<Partition, u64>,
    open: HashMap<EventId, Open>,
}

/// A partition that is ours.
#[derive(Debug)]
struct Assignment {
    partition: Partition,
    watermark: Watermark,
    /// Behind the last that was read.
    read_to: i64,
    /// What was committed last.
    committed: Option<i64>,
}

/// An event under way.
#[derive(Debug)]
struct Open {
    first: Place,
    /// More records with its id: seldom, and then few.
    more: Vec<Place>,
    fates: usize,
}

impl Tracker {
    /// A partition is ours from now on; nothing of it was taken.
    pub(crate) fn assign(&self, partition: Partition) {
        self.state.lock().assign(partition);
    }

    /// A partition is not ours any more: what is open of it will be read again, by whoever has it then.
    pub(crate) fn revoke(&self, partition: &Partition) {
        let state = &mut *self.state.lock();
        if let Some(number) = state.numbers.remove(partition) {
            state.assignments.remove(&number);
        }
    }

    /// The place of a record that was read. `None` where its partition is not ours.
    pub(crate) fn locate(&self, topic: &str, number: i32, offset: i64) -> Option<Place> {
        let state = &mut *self.state.lock();
        let mut assignment = state.find(topic, number)?;
        let read_to = state.assignments.get(&assignment)?.read_to;
        if offset < read_to {
            // The topic was made anew: what was read of the old one is none of this one's.
            assignment = state.assign(Partition { topic: topic.into(), number });
        }
        state.assignments.get_mut(&assignment)?.read_to = offset.saturating_add(1);
        Some(Place { assignment, offset })
    }

    /// The record at this place is handed over, in the order of reading; fates of this id are its own from now on. Without
    /// an id it is settled by [`settle`](Self::settle). False where its partition is not ours any more: whoever has it
    /// reads it again.
    pub(crate) fn begin(&self, place: Place, id: Option<EventId>) -> bool {
        let state = &mut *self.state.lock();
        let Some(assignment) = state.assignments.get_mut(&place.assignment) else { return false };
        assignment.watermark.take(place.offset);
        let Some(id) = id else { return true };
        match state.open.get_mut(&id) {
            Some(open) => open.more.push(place),
            None => drop(state.open.insert(id, Open { first: place, more: Vec::new(), fates: 0 })),
        }
        true
    }

    /// The record that was handed over last was not taken after all; it is handed over again later, or never.
    pub(crate) fn take_back(&self, place: Place, id: EventId) {
        let state = &mut *self.state.lock();
        if let Some(assignment) = state.assignments.get_mut(&place.assignment) {
            assignment.watermark.take_back(place.offset);
        }
        if state.open.get_mut(&id).is_some_and(|open| open.more.pop().is_none()) {
            state.open.remove(&id);
        } else {
            state.close_if_complete(id);
        }
    }

    /// The partition of this place, while it is ours.
    pub(crate) fn partition(&self, place: Place) -> Option<Partition> {
        self.state.lock().assignments.get(&place.assignment).map(|assignment| assignment.partition.clone())
    }

    /// The record at this place has its fate without having been an event under way.
    pub(crate) fn settle(&self, place: Place) {
        self.state.lock().settle(place);
        self.closed.notify_all();
    }

    /// Where each partition may be committed that has come further since the last time.
    pub(crate) fn due(&self) -> Vec<(Partition, i64)> {
        let state = self.state.lock();
        let due = state.assignments.values().filter_map(|assignment| {
            let position = assignment.watermark.position()?;
            (assignment.committed != Some(position)).then(|| (assignment.partition.clone(), position))
        });
        due.collect()
    }

    /// The group holds these from now on.
    pub(crate) fn committed(&self, positions: &[(Partition, i64)]) {
        let state = &mut *self.state.lock();
        for (partition, position) in positions {
            let assignment = state.numbers.get(partition).and_then(|number| state.assignments.get_mut(number));
            if let Some(assignment) = assignment {
                assignment.committed = Some(*position);
            }
        }
    }

    /// Waits until nothing of these partitions is open, at most so long; whether that came.
    pub(crate) fn wait(&self, partitions: &[Partition], timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        loop {
            let is_open = |partition| state.assignment(partition).is_some_and(|of| of.watermark.is_open());
            if !partitions.iter().any(is_open) {
                return true;
            }
            if self.closed.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
    }

    fn tell(&self, ids: &[EventId]) {
        let state = &mut *self.state.lock();
        for id in ids {
            if let Some(open) = state.open.get_mut(id) {
                open.fates += 1;
                state.close_if_complete(*id);
            }
        }
        self.closed.notify_all();
    }
}

impl State {
    fn assign(&mut self, partition: Partition) -> u64 {
        self.last += 1;
        if let Some(before) = self.numbers.insert(partition.clone(), self.last) {
            self.assignments.remove(&before);
        }
        let assignment = Assignment { partition, watermark: Watermark::default(), read_to: 0, committed: None };
        self.assignments.insert(self.last, assignment);
        self.last
    }

    fn find(&mut self, topic: &str, number: i32) -> Option<u64> {
        let recent = self.assignments.get(&self.recent).map(|assignment| &assignment.partition);
        if recent.is_none_or(|recent| recent.number != number || *recent.topic != *topic) {
            self.recent = *self.numbers.get(&Partition { topic: topic.into(), number })?;
        }
        Some(self.recent)
    }

    fn assignment(&self, partition: &Partition) -> Option<&Assignment> {
        self.assignments.get(self.numbers.get(partition)?)
    }

    fn settle(&mut self, place: Place) {
        if let Some(assignment) = self.assignments.get_mut(&place.assignment) {
            assignment.watermark.settle(place.offset);
        }
    }

    /// Settles the records of this id, once each has a fate.
    fn close_if_complete(&mut self, id: EventId) {
        if self.open.get(&id).is_some_and(|open| open.fates > open.more.len())
            && let Some(Open { first, more, .. }) = self.open.remove(&id)
        {
            self.settle(first);
            for place in more {
                self.settle(place);
            }
        }
    }
}

impl Witness for Tracker {
    fn delivered(&self, ids: &[EventId]) {
        self.tell(ids);
    }

    fn failed(&self, _ids: &[EventId], attempts: &Attempts) -> Keeper {
        // Nobody refused it: it stays in its topic, and whoever reads there next delivers it.
        if attempts.cause.kind() == CauseKind::Undelivered { Keeper::Origin } else { Keeper::DeadLetter }
    }

    fn buried(&self, ids: &[EventId]) {
        self.tell(ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::Cause;

    fn partition(number: i32) -> Partition {
        Partition { topic: "audit".into(), number }
    }

    fn id(number: u128) -> EventId {
        EventId::from_u128(number)
    }

    /// One with partition 0, of which these offsets are under way under these ids.
    fn tracker_of(records: &[(i64, u128)]) -> Tracker {
        let tracker = Tracker::default();
        tracker.assign(partition(0));
        for (offset, number) in records {
            begin(&tracker, *offset, *number);
        }
        tracker
    }

    fn begin(tracker: &Tracker, offset: i64, number: u128) -> Place {
        let place = tracker.locate("audit", 0, offset).unwrap();
        assert!(tracker.begin(place, Some(id(number))));
        place
    }

    fn position(tracker: &Tracker) -> Option<i64> {
        tracker.due().into_iter().find(|(of, _)| *of == partition(0)).map(|(_, position)| position)
    }

    #[test]
    fn a_position_is_due_until_it_is_committed_and_again_when_it_has_moved() {
        let tracker = tracker_of(&[(5, 1), (6, 2), (7, 3)]);
        tracker.delivered(&[id(2)]);
        assert_eq!((tracker.due(), tracker.due()), (vec![(partition(0), 5)], vec![(partition(0), 5)]));
        tracker.committed(&tracker.due());
        tracker.delivered(&[id(3), id(99)]);
        assert_eq!(tracker.due(), []);
        tracker.buried(&[id(1)]);
        assert_eq!(tracker.due(), [(partition(0), 8)]);
        assert!(tracker.wait(&[partition(0)], Duration::ZERO));
    }

    /// Which copy was delivered nobody knows: were the first called settled, the second could be lost.
    #[test]
    fn copies_of_an_event_are_settled_together() {
        let tracker = tracker_of(&[(0, 1), (1, 2), (2, 1), (3, 1)]);
        tracker.delivered(&[id(2), id(1)]);
        tracker.buried(&[id(1)]);
        assert_eq!(position(&tracker), Some(0));
        tracker.delivered(&[id(1)]);
        assert_eq!(position(&tracker), Some(4));
    }

    #[test]
    fn what_was_not_taken_after_all_is_read_again() {
        let tracker = tracker_of(&[(0, 1), (1, 1)]);
        let place = begin(&tracker, 2, 1);
        tracker.take_back(place, id(1));
        assert!(tracker.begin(place, Some(id(2))));
        tracker.take_back(place, id(2));
        tracker.delivered(&[id(1), id(1), id(2)]);
        assert_eq!(position(&tracker), Some(2));
    }

    #[test]
    fn a_record_that_is_no_event_is_settled_by_itself() {
        let tracker = tracker_of(&[]);
        let place = tracker.locate("audit", 0, 4).unwrap();
        assert!(tracker.begin(place, None));
        assert_eq!(position(&tracker), Some(4));
        tracker.settle(place);
        assert_eq!(position(&tracker), Some(5));
    }

    #[test]
    fn a_fate_that_comes_after_its_partition_was_given_up_settles_nothing() {
        let tracker = tracker_of(&[(0, 1), (1, 2)]);
        let waiting = tracker.locate("audit", 0, 2).unwrap();
        tracker.revoke(&partition(0));
        assert_eq!((tracker.due().len(), tracker.locate("audit", 0, 3)), (0, None));
        tracker.assign(partition(0));
        assert!(!tracker.begin(waiting, Some(id(3))), "it will be read again, in its order");
        begin(&tracker, 0, 1);
        tracker.delivered(&[id(1)]);
        // One fate for two records, of which one is of an older assignment: the other waits for its own.
        assert_eq!(position(&tracker), Some(0));
        tracker.delivered(&[id(1), id(2)]);
        assert_eq!(position(&tracker), Some(1));
    }

    #[test]
    fn a_topic_that_was_made_anew_is_followed_from_its_own_first_record() {
        let tracker = tracker_of(&[(7, 1), (8, 2)]);
        begin(&tracker, 0, 3);
        begin(&tracker, 1, 4);
        tracker.delivered(&[id(1), id(2), id(4)]);
        assert_eq!(position(&tracker), Some(0));
        tracker.delivered(&[id(3)]);
        assert_eq!(position(&tracker), Some(2));
    }

    #[test]
    fn what_nobody_refused_stays_in_its_topic() {
        let tracker = tracker_of(&[(0, 1)]);
        let failed = |kind| tracker.failed(&[id(1)], &Attempts::none(Cause::new(kind)));
        assert_eq!(failed(CauseKind::Undelivered), Keeper::Origin);
        assert_eq!(failed(CauseKind::Http(400)), Keeper::DeadLetter);
        assert_eq!(position(&tracker), Some(0), "not before it stands there");
        assert!(!tracker.wait(&[partition(0)], Duration::from_millis(1)));
    }
}
