//! The keys of objects that are open, of which none may come twice in its own.

use std::collections::HashSet;

/// Beyond so many keys of one object they are looked for in a set.
const PAIRWISE_MAX: usize = 16;

const ROOM: usize = 48;

/// What two texts rarely share: its length, and the bytes at both of its ends.
#[inline]
pub(super) fn fingerprint(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let ends = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => bytes.iter().fold(0, |ends, byte| ends << 8 | u64::from(*byte)),
    };
    ends ^ (bytes.len() as u64).rotate_right(8)
}

/// The keys of the object that is being looked at, behind those of the objects around it.
pub(super) struct Keys<'t> {
    fingerprints: Vec<u64>,
    texts: Vec<&'t str>,
}

impl<'t> Keys<'t> {
    pub(super) fn new() -> Self {
        // More than most records have open at once.
        Self { fingerprints: Vec::with_capacity(ROOM), texts: Vec::with_capacity(ROOM) }
    }

    /// An object begins: where its keys will stand.
    pub(super) fn begin(&self) -> usize {
        self.texts.len()
    }

    /// It ends.
    pub(super) fn end(&mut self, begin: usize) {
        self.fingerprints.truncate(begin);
        self.texts.truncate(begin);
    }

    /// Notes a key of the object that began there, with its fingerprint; false where the object has it already. `many`
    /// is that object's, for when it has many.
    #[inline]
    pub(super) fn insert(&mut self, begin: usize, many: &mut HashSet<&'t str>, its: u64, key: &'t str) -> bool {
        let before = self.fingerprints.get(begin..).unwrap_or_default();
        if before.len() >= PAIRWISE_MAX {
            if many.is_empty() {
                many.extend(self.texts.get(begin..).unwrap_or_default());
            }
            return many.insert(key);
        }
        let is_new = !before.contains(&its) || !self.texts.get(begin..).unwrap_or_default().contains(&key);
        self.fingerprints.push(its);
        self.texts.push(key);
        is_new
    }
}
