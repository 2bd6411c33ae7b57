//! What has become of the records that were read: told by the engine's threads, asked by the one that commits.
//!
//! An event that was read is known by its id. Where one id stands in several records, as after a producer's retry, none of
//! them is settled before as many fates were told as there are records: which copy a fate was meant for nobody knows.
//! Each assignment of a partition has a number of its own, so that a fate that comes after the partition was given up,
//! even after it came back, changes nothing.

use std::collections::hash_map::{self, Entry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::watermark::Watermark;
use crate::dead_letter::{Attempts, KafkaPlace};
use crate::engine::{Keeper, Witness};
use crate::event::EventId;
use crate::siem::CauseKind;

/// Whoever waits looks this often whether it still may.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// The most records of a partition that are read from the oldest without a fate on. Each is 16 bytes here, and most of them were
/// delivered: after a kill they are delivered again.
pub(crate) const AHEAD_MAX: usize = 1_000_000;

/// What is looked for with each record, often by what its producer chose: by a fast hash, with a seed of this process.
type HashMap<K, V> = hash_map::HashMap<K, V, RandomState>;

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
    /// A partition was read as far ahead as may be, and not half of that has come to its fate since.
    is_far_ahead: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last assignment.
    last: u64,
    /// The assignment of the last record: records come in runs.
    recent: u64,
    assignments: HashMap<u64, Assignment>,
    numbers: HashMap<Partition, u64>,
    /// Where the events under way lie, by id; of several records with one id the first.
    open: HashMap<u128, Place>,
    /// The ids of `open` that came in more records: seldom, and then few.
    repeated: HashMap<u128, Repeated>,
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

/// An event under way that came in several records.
#[derive(Debug, Default)]
struct Repeated {
    /// All but the first.
    more: Vec<Place>,
    fates: usize,
}

impl Tracker {
    /// A partition is ours from now on; nothing of it was taken.
    pub(crate) fn assign(&self, partition: Partition) {
        let state = &mut *self.state.lock();
        state.assign(partition);
        self.look_ahead(state);
    }

    /// A partition is not ours any more: what is open of it will be read again, by whoever has it then.
    pub(crate) fn revoke(&self, partition: &Partition) {
        let state = &mut *self.state.lock();
        if let Some(number) = state.numbers.remove(partition) {
            state.assignments.remove(&number);
        }
        self.look_ahead(state);
    }

    /// Whether enough was read for now: one record without a fate holds up what could be committed behind it.
    pub(crate) fn is_far_ahead(&self) -> bool {
        // Relaxed: one record more or less.
        self.is_far_ahead.load(Ordering::Relaxed)
    }

    /// Whether there is room again.
    fn look_ahead(&self, state: &State) {
        if self.is_far_ahead() {
            let is_far = state.assignments.values().any(|assignment| assignment.watermark.ahead() > AHEAD_MAX / 2);
            self.is_far_ahead.store(is_far, Ordering::Relaxed);
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
            self.look_ahead(state);
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
        if assignment.watermark.ahead() >= AHEAD_MAX {
            self.is_far_ahead.store(true, Ordering::Relaxed);
        }
        let Some(id) = id else { return true };
        match state.open.entry(id.as_u128()) {
            Entry::Occupied(_) => state.repeated.entry(id.as_u128()).or_default().more.push(place),
            Entry::Vacant(new) => drop(new.insert(place)),
        }
        true
    }

    /// The record that was handed over last was not taken after all; it is handed over again later, or never.
    pub(crate) fn take_back(&self, place: Place, id: EventId) {
        let state = &mut *self.state.lock();
        if let Some(assignment) = state.assignments.get_mut(&place.assignment) {
            assignment.watermark.take_back(place.offset);
        }
        match state.repeated.get_mut(&id.as_u128()) {
            None => drop(state.open.remove(&id.as_u128())),
            Some(repeated) => {
                repeated.more.pop();
                state.close_if_complete(id);
            }
        }
    }

    /// The partition of this place, while it is ours.
    pub(crate) fn partition(&self, place: Place) -> Option<Partition> {
        self.state.lock().assignments.get(&place.assignment).map(|assignment| assignment.partition.clone())
    }

    /// The record at this place has its fate without having been an event under way.
    pub(crate) fn settle(&self, place: Place) {
        let state = &mut *self.state.lock();
        state.settle(place);
        self.look_ahead(state);
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

    /// Waits until nothing of these partitions is open, at most so long, and only while it may; whether that came.
    pub(crate) fn wait(&self, partitions: &[Partition], timeout: Duration, may_wait: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        loop {
            let is_open = |partition| state.assignment(partition).is_some_and(|of| of.watermark.is_open());
            if !partitions.iter().any(is_open) {
                return true;
            }
            let now = Instant::now();
            // Unlocked: the caller may wait for others meanwhile.
            if now >= deadline || !MutexGuard::unlocked(&mut state, &may_wait) {
                return false;
            }
            self.closed.wait_until(&mut state, deadline.min(now + LOOK));
        }
    }

    fn tell(&self, ids: &[EventId]) {
        let state = &mut *self.state.lock();
        for id in ids {
            match state.repeated.get_mut(&id.as_u128()) {
                None => {
                    if let Some(place) = state.open.remove(&id.as_u128()) {
                        state.settle(place);
                    }
                }
                Some(repeated) => {
                    repeated.fates += 1;
                    state.close_if_complete(*id);
                }
            }
        }
        self.look_ahead(state);
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

    /// Settles the records of an id that came in several, once each of them has a fate.
    fn close_if_complete(&mut self, id: EventId) {
        let Entry::Occupied(repeated) = self.repeated.entry(id.as_u128()) else { return };
        if repeated.get().fates > repeated.get().more.len() {
            let Repeated { more, .. } = repeated.remove();
            let first = self.open.remove(&id.as_u128());
            first.into_iter().chain(more).for_each(|place| self.settle(place));
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

    /// That of the first that is ours, where several records have this id.
    fn place(&self, id: EventId) -> Option<KafkaPlace> {
        let state = self.state.lock();
        let first = state.open.get(&id.as_u128())?;
        let more = state.repeated.get(&id.as_u128()).map(|repeated| &repeated.more);
        let ours = |place: &Place| Some((state.assignments.get(&place.assignment)?, *place));
        let (assignment, place) = std::iter::once(first).chain(more.into_iter().flatten()).find_map(ours)?;
        let Partition { topic, number } = &assignment.partition;
        Some(KafkaPlace { topic: topic.to_string(), partition: *number, offset: place.offset })
    }

    fn buried(&self, ids: &[EventId]) {
        self.tell(ids);
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
