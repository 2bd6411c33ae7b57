//! The books of what was read, told and asked in every order.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

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
    assert!(tracker.wait(&[partition(0)], Duration::ZERO, || false));
}

/// Else one record without a fate would let all behind it be read, kept in mind, and delivered again after a kill.
#[test]
fn a_partition_is_read_so_far_ahead_of_its_oldest_record_and_no_further() {
    let tracker = tracker_of(&[]);
    let take = |offset: i64| {
        let place = tracker.locate("audit", 0, offset).unwrap();
        assert!(tracker.begin(place, None));
        place
    };
    let most = i64::try_from(AHEAD_MAX).unwrap();
    let places: Vec<Place> = (0..most - 1).map(take).collect();
    let (oldest, rest) = places.split_first().unwrap();
    let half = AHEAD_MAX / 2;
    rest[..half - 1].iter().chain(&rest[half..]).for_each(|place| tracker.settle(*place));
    assert!(!tracker.is_far_ahead());
    take(most - 1);
    assert!(tracker.is_far_ahead(), "the oldest has no fate");
    tracker.settle(*oldest);
    assert!(!tracker.is_far_ahead(), "half of them have theirs");
    for offset in most..most + i64::try_from(half).unwrap() {
        take(offset);
    }
    assert!(tracker.is_far_ahead(), "as many again");
    tracker.revoke(&partition(0));
    assert!(!tracker.is_far_ahead(), "somebody else has it");
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
fn a_record_has_its_place_while_its_partition_is_ours_also_where_that_came_back() {
    let tracker = tracker_of(&[(7, 1)]);
    let place = || tracker.place(id(1)).map(|place| (place.topic, place.partition, place.offset));
    assert_eq!(place(), Some(("audit".to_owned(), 0, 7)));
    tracker.revoke(&partition(0));
    assert_eq!(place(), None);
    tracker.assign(partition(0));
    begin(&tracker, 7, 1);
    assert_eq!(place(), Some(("audit".to_owned(), 0, 7)));
    assert_eq!(tracker.place(id(2)), None);
}

/// Whoever waits may ask somebody who is slow, or who asks the tracker.
#[test]
fn fates_are_told_while_somebody_is_asked_whether_to_wait() {
    let tracker = tracker_of(&[(0, 1)]);
    let may_wait = || {
        tracker.delivered(&[id(1)]);
        true
    };
    assert!(tracker.wait(&[partition(0)], Duration::from_secs(20), may_wait));
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
    assert!(!tracker.wait(&[partition(0)], Duration::from_millis(1), || true));
    assert!(!tracker.wait(&[partition(0)], Duration::from_secs(3600), || false));
}

/// What happens to two partitions.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next record of one is handed over; of what lies there nothing is skipped.
    Take(i32),
    /// The same, and there was no room for it after all.
    TakeBack(i32),
    /// One of the events under way is delivered, or stands in the dead letter.
    Deliver(Index),
    Bury(Index),
    /// What is due is committed, of those that are still ours then.
    Commit,
    /// One is taken away; what is under way of it stays under way.
    Revoke(i32),
    /// And comes back: reading begins at what was committed.
    Assign(i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2).prop_map(Step::Take),
        1 => (0..2).prop_map(Step::TakeBack),
        5 => any::<Index>().prop_map(Step::Deliver),
        1 => any::<Index>().prop_map(Step::Bury),
        2 => Just(Step::Commit),
        1 => (0..2).prop_map(Step::Revoke),
        2 => (0..2).prop_map(Step::Assign),
    ];
    prop::collection::vec(step, 0..150)
}

/// A partition as the brokers have it, and how far it was read.
#[derive(Default)]
struct Log {
    is_ours: bool,
    /// The ids of its records, by offset.
    ids: Vec<u128>,
    /// Which of them ever had a fate.
    fated: BTreeSet<usize>,
    read_to: usize,
    committed: usize,
}

impl Tracker {
    fn holds_nothing(&self) -> bool {
        let state = self.state.lock();
        state.open.is_empty() && state.repeated.is_empty()
    }
}

#[test]
fn an_id_that_came_twice_and_of_which_one_was_not_taken_is_settled_by_one_fate() {
    let tracker = Tracker::default();
    tracker.assign(partition(0));
    for offset in [0, 1] {
        let place = tracker.locate("audit", 0, offset).unwrap();
        assert!(tracker.begin(place, Some(id(1))));
        if offset == 1 {
            tracker.take_back(place, id(1));
        }
    }
    tracker.delivered(&[id(1)]);
    assert_eq!(tracker.due(), [(partition(0), 1)]);
    assert!(tracker.holds_nothing());
}

proptest! {
    /// Random records, of which some have the id of another, fates in any order, and partitions that are taken away
    /// amid that and come back: against an oracle that knows of each event under way which record it was.
    #[test]
    fn what_is_committed_never_passes_a_record_without_a_fate_whatever_moves(
        steps in steps(), ids in prop::collection::vec(0_u128..40, 300),
    ) {
        let tracker = Tracker::default();
        let mut logs: [Log; 2] = Default::default();
        // Partition, offset and id of what is under way; the tracker is told only the id.
        let mut open: Vec<(usize, usize, u128)> = Vec::new();
        let mut ids = ids.into_iter();
        for step in steps {
            match step {
                Step::Take(number) | Step::TakeBack(number) => {
                    let of = usize::try_from(number).unwrap();
                    let log = &mut logs[of];
                    let offset = log.read_to;
                    let place = tracker.locate("audit", number, i64::try_from(offset).unwrap());
                    prop_assert_eq!(place.is_some(), log.is_ours);
                    let Some(place) = place else { continue };
                    if log.ids.len() == offset {
                        log.ids.extend(ids.next());
                    }
                    let raw = log.ids[offset];
                    prop_assert!(tracker.begin(place, Some(id(raw))));
                    if matches!(step, Step::TakeBack(_)) {
                        tracker.take_back(place, id(raw));
                        prop_assert!(tracker.begin(place, Some(id(raw))));
                    }
                    log.read_to += 1;
                    open.push((of, offset, raw));
                }
                Step::Deliver(index) | Step::Bury(index) if !open.is_empty() => {
                    let (of, offset, raw) = open.swap_remove(index.index(open.len()));
                    logs[of].fated.insert(offset);
                    if matches!(step, Step::Bury(_)) { tracker.buried(&[id(raw)]) } else { tracker.delivered(&[id(raw)]) }
                }
                Step::Deliver(_) | Step::Bury(_) => {}
                Step::Commit => {
                    let due = tracker.due();
                    for (partition, position) in &due {
                        logs[usize::try_from(partition.number).unwrap()].committed = usize::try_from(*position).unwrap();
                    }
                    tracker.committed(&due);
                }
                Step::Revoke(number) => {
                    tracker.revoke(&partition(number));
                    logs[usize::try_from(number).unwrap()].is_ours = false;
                }
                Step::Assign(number) => {
                    let of = usize::try_from(number).unwrap();
                    if !logs[of].is_ours {
                        tracker.assign(partition(number));
                        (logs[of].is_ours, logs[of].read_to) = (true, logs[of].committed);
                    }
                }
            }
            if open.is_empty() {
                prop_assert!(tracker.holds_nothing());
            }
            for (number, log) in logs.iter().enumerate() {
                let due = tracker.due();
                let due = due.iter().find(|(of, _)| usize::try_from(of.number) == Ok(number));
                let position = due.map_or(log.committed, |(_, position)| usize::try_from(*position).unwrap());
                let unfated = (0..log.ids.len()).find(|offset| !log.fated.contains(offset)).unwrap_or(log.ids.len());
                prop_assert!(position <= unfated, "{} is past {} of {}", position, unfated, number);
                prop_assert!(due.is_none() || log.is_ours, "{} is not ours", number);
                // And no lower than it must: with all fated, also what was left under way by an older assignment,
                // nothing is read again.
                if log.is_ours && open.is_empty() && log.read_to > log.committed {
                    prop_assert_eq!(position, log.read_to);
                }
            }
        }
    }
}
