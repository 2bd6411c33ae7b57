//! How far a partition may be committed: up to the first record that has no fate.
//!
//! Records are taken in the order of their offsets and come to their fates in any order. Committed is a single number, so it
//! stays below the oldest that is open. Pure: no clock, no broker, no thread.

use std::collections::VecDeque;

/// The records of one partition that were taken since it was assigned.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    /// By offset, ascending, from the oldest without a fate on; offsets may leave gaps, as of compacted records.
    taken: VecDeque<Taken>,
    /// Behind the last that was taken.
    next: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    offset: i64,
    has_fate: bool,
}

impl Watermark {
    /// Takes a record, which has no fate yet; behind all that were taken.
    pub(super) fn take(&mut self, offset: i64) {
        debug_assert!(self.next.is_none_or(|next| offset >= next), "{offset} after {:?}", self.next);
        self.taken.push_back(Taken { offset, has_fate: false });
        self.next = Some(offset.saturating_add(1));
    }

    /// The record that was taken last was not taken after all.
    pub(super) fn take_back(&mut self, offset: i64) {
        debug_assert!(self.taken.back().is_some_and(|last| last.offset == offset && !last.has_fate));
        self.taken.pop_back();
        self.next = Some(offset);
    }

    /// The record at this offset has its fate. One that is not open changes nothing.
    pub(super) fn settle(&mut self, offset: i64) {
        if let Some(taken) = self.place(offset).and_then(|place| self.taken.get_mut(place)) {
            taken.has_fate = true;
        }
        while self.taken.front().is_some_and(|first| first.has_fate) {
            self.taken.pop_front();
        }
    }

    fn place(&self, offset: i64) -> Option<usize> {
        // Where no offset between is missing, which is nearly always.
        let far = offset.checked_sub(self.taken.front()?.offset);
        let likely = far.and_then(|far| usize::try_from(far).ok());
        let is_there = |place: &usize| self.taken.get(*place).is_some_and(|taken| taken.offset == offset);
        likely.filter(is_there).or_else(|| self.taken.binary_search_by_key(&offset, |taken| taken.offset).ok())
    }

    /// Where reading would have to begin again: what may be committed. `None` before the first record was taken.
    pub(super) fn position(&self) -> Option<i64> {
        self.taken.front().map(|first| first.offset).or(self.next)
    }

    /// How many records were taken from the oldest without a fate on.
    pub(super) fn ahead(&self) -> usize {
        self.taken.len()
    }

    /// Whether a record is without a fate.
    pub(super) fn is_open(&self) -> bool {
        !self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_committed_past_a_record_without_a_fate() {
        let mut watermark = Watermark::default();
        assert_eq!(watermark.position(), None);
        // 12 and 13 are gone from the log.
        for offset in [10, 11, 14, 15] {
            watermark.take(offset);
        }
        for (settled, position) in [(14, 10), (99, 10), (12, 10), (10, 11), (10, 11), (15, 11), (11, 16)] {
            watermark.settle(settled);
            assert_eq!(watermark.position(), Some(position), "after {settled}");
        }
        watermark.take(20);
        watermark.take_back(20);
        assert_eq!((watermark.position(), watermark.is_open()), (Some(20), false));
    }

    /// What happens to a partition.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// Another record is taken, so many offsets behind the last one.
        Take(u8),
        /// The same, and it is not taken after all: there was no room.
        TakeBack,
        /// One of those that are open has its fate.
        Settle(prop::sample::Index),
        /// A fate comes of something that is not open.
        Stray(i64),
        /// The partition is taken away and assigned again: reading begins at what was committed.
        Revoke,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u8..3).prop_map(Step::Take),
            1 => Just(Step::TakeBack),
            4 => any::<prop::sample::Index>().prop_map(Step::Settle),
            1 => (0i64..200).prop_map(Step::Stray),
            1 => Just(Step::Revoke),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against an oracle that keeps every offset that lies in the log, and which of them ever had a fate.
        #[test]
        fn the_committed_offset_never_passes_a_record_without_a_fate(steps in steps()) {
            let (mut watermark, mut committed, mut last) = (Watermark::default(), 0, -1);
            let (mut log, mut fated, mut open) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Take(gap) => {
                        // What lies in the log is read again first.
                        let next = log.range(last + 1..).next().copied().unwrap_or(last + 1 + i64::from(gap));
                        last = next;
                        log.insert(next);
                        open.insert(next);
                        watermark.take(next);
                    }
                    Step::TakeBack => {
                        let next = log.range(last + 1..).next().copied().unwrap_or(last + 1);
                        log.insert(next);
                        watermark.take(next);
                        watermark.take_back(next);
                    }
                    Step::Settle(index) if !open.is_empty() => {
                        let offset = *index.get(&open.iter().copied().collect::<Vec<i64>>());
                        open.remove(&offset);
                        fated.insert(offset);
                        watermark.settle(offset);
                    }
                    Step::Stray(offset) if !open.contains(&offset) => watermark.settle(offset),
                    Step::Revoke => {
                        (watermark, last) = (Watermark::default(), committed - 1);
                        open.clear();
                    }
                    Step::Settle(_) | Step::Stray(_) => {}
                }
                let before = committed;
                committed = watermark.position().unwrap_or(committed);
                prop_assert!(committed >= before, "{} after {}", committed, before);
                let unfated = log.iter().find(|offset| !fated.contains(*offset));
                prop_assert!(unfated.is_none_or(|unfated| committed <= *unfated), "{} is past {:?}", committed, unfated);
                // And no lower than it must: with all fated, nothing is read again.
                prop_assert!(!open.is_empty() || committed > last, "{} of {}", committed, last);
                prop_assert_eq!(watermark.is_open(), !open.is_empty());
            }
        }
    }
}
