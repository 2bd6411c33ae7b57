//! Which event ids were received, where there are too many to remember each: a bit an id, and nothing at all for a run
//! that is complete.
//!
//! For ids that count up: those of a billion events then take less than a megabyte, while each that is missing can still
//! be named. Of ids that are drawn at random each would take a run of its own.
//!
//! Used by [`super::books`] in the place of [`super::ids`].

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use parking_lot::Mutex;

use super::ids::{Added, Flag, Register, Sorted};

/// Bits of an id that lie in a run.
const RUN_BITS: u32 = 16;
const WORDS: usize = (1 << RUN_BITS) / 64;

/// What came, and of that what has a flag.
#[derive(Debug, Default)]
pub(super) struct Runs {
    taken: Mutex<Set>,
    indexed: Mutex<Set>,
    acknowledged: Mutex<Set>,
}

impl Runs {
    fn flagged(&self, flag: Flag) -> &Mutex<Set> {
        match flag {
            Flag::Indexed => &self.indexed,
            Flag::Acknowledged => &self.acknowledged,
        }
    }
}

impl Register for Runs {
    fn add(&self, sorted: &mut Sorted, flag: Option<Flag>) -> Added {
        let mut added = Added::default();
        let (mut taken, mut flagged) = (self.taken.lock(), flag.map(|flag| self.flagged(flag).lock()));
        for id in sorted.drain() {
            if taken.insert(id) {
                added.unique += 1;
            } else {
                added.duplicated += 1;
            }
            if let Some(flagged) = &mut flagged {
                flagged.insert(id);
            }
        }
        added
    }

    fn create(&self, id: u128) -> bool {
        let is_new = self.taken.lock().insert(id);
        if is_new {
            self.indexed.lock().insert(id);
        }
        is_new
    }

    fn set(&self, ids: &[u128], flag: Flag) -> u64 {
        let mut flagged = self.flagged(flag).lock();
        ids.iter().filter(|id| flagged.insert(**id)).count() as u64
    }

    fn has(&self, id: u128, flag: Flag) -> bool {
        self.flagged(flag).lock().contains(id)
    }

    /// How often each came is not known.
    fn all(&self) -> Vec<(u128, u32)> {
        Vec::new()
    }
}

/// A set of ids, by their upper bits.
#[derive(Debug, Default)]
struct Set(BTreeMap<u128, Run>);

#[derive(Debug)]
enum Run {
    /// Those that are there, a bit each, and how many they are.
    Part(Box<[u64; WORDS]>, usize),
    Whole,
}

impl Set {
    /// Whether it was not there.
    fn insert(&mut self, id: u128) -> bool {
        let (word, bit) = place(id);
        let run = match self.0.entry(id >> RUN_BITS) {
            Entry::Vacant(vacant) => vacant.insert(Run::Part(Box::new([0; WORDS]), 0)),
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        let Run::Part(words, count) = run else { return false };
        let Some(word) = words.get_mut(word).filter(|word| **word & bit == 0) else { return false };
        *word |= bit;
        *count += 1;
        if *count == WORDS * 64 {
            *run = Run::Whole;
        }
        true
    }

    fn contains(&self, id: u128) -> bool {
        let (word, bit) = place(id);
        match self.0.get(&(id >> RUN_BITS)) {
            None => false,
            Some(Run::Whole) => true,
            Some(Run::Part(words, _)) => words.get(word).is_some_and(|word| word & bit != 0),
        }
    }
}

/// The word of its run that an id lies in, and its bit there.
fn place(id: u128) -> (usize, u64) {
    let low = id as usize % (1 << RUN_BITS);
    (low / 64, 1 << (low % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(ids: impl IntoIterator<Item = u128>) -> Sorted {
        let mut sorted = Sorted::default();
        ids.into_iter().for_each(|id| sorted.push(id));
        sorted
    }

    #[test]
    fn each_id_counts_once_in_a_part_and_in_a_whole_run() {
        let runs = Runs::default();
        let few = [0, 63, 64, 65_535, 65_536, u128::MAX];
        assert_eq!(runs.add(&mut sorted(few), None), Added { unique: 6, duplicated: 0 });
        assert_eq!(runs.add(&mut sorted([63, 66, 66]), None), Added { unique: 1, duplicated: 2 });
        assert_eq!(runs.add(&mut sorted(0..65_536), None), Added { unique: 65_531, duplicated: 5 });
        assert_eq!(runs.add(&mut sorted([0, 40_000, 65_535]), None), Added { unique: 0, duplicated: 3 });
        assert!(few.into_iter().all(|id| runs.taken.lock().contains(id)));
        assert!(![65_537, u128::MAX - 1, 1 << 64].into_iter().any(|id| runs.taken.lock().contains(id)));
    }

    #[test]
    fn a_whole_run_takes_no_bits() {
        let mut set = Set::default();
        assert!((0..3 << RUN_BITS).rev().all(|id| set.insert(id)));
        assert!(set.0.values().all(|run| matches!(run, Run::Whole)));
        assert_eq!(set.0.len(), 3);
    }

    #[test]
    fn flags_are_sets_of_their_own() {
        let runs = Runs::default();
        runs.add(&mut sorted([1, 2]), Some(Flag::Indexed));
        runs.add(&mut sorted([3]), None);
        assert_eq!((runs.set(&[3], Flag::Acknowledged), runs.set(&[1, 3], Flag::Indexed)), (1, 1));
        assert_eq!([1, 2, 3, 4].map(|id| runs.has(id, Flag::Indexed)), [true, true, true, false]);
        assert_eq!([1, 2, 3, 4].map(|id| runs.has(id, Flag::Acknowledged)), [false, false, true, false]);
    }
}
