//! The keys of one object, of which none may come twice.

use std::collections::HashSet;

/// Up to so many keys are compared pair by pair, which costs no allocation.
const PAIRWISE_MAX: usize = 16;

/// What two texts rarely share: its length, and the bytes at both of its ends.
pub(super) fn fingerprint(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let ends = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => bytes.iter().fold(0, |ends, byte| ends << 8 | u64::from(*byte)),
    };
    ends ^ (bytes.len() as u64).rotate_right(8)
}

/// The keys so far.
#[derive(Default)]
pub(super) struct Keys<'t> {
    fingerprints: [u64; PAIRWISE_MAX],
    few: [&'t str; PAIRWISE_MAX],
    count: usize,
    many: HashSet<&'t str>,
}

impl<'t> Keys<'t> {
    /// Whether this key, with this fingerprint, is new.
    pub(super) fn insert(&mut self, fingerprint: u64, key: &'t str) -> bool {
        let seen = self.fingerprints.iter().zip(&self.few).take(self.count);
        if seen.into_iter().any(|(other, text)| *other == fingerprint && *text == key) {
            return false;
        }
        match (self.few.get_mut(self.count), self.fingerprints.get_mut(self.count)) {
            (Some(free), Some(its)) => {
                (*free, *its) = (key, fingerprint);
                self.count += 1;
                true
            }
            _ => self.many.insert(key),
        }
    }
}
