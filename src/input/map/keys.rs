//! The keys of objects that are open, of which none may come twice in its own.

use std::collections::HashSet;

use crate::input::tape::{Item, Kind};

/// Beyond so many keys of one object they are looked for in a set.
const PAIRWISE_MAX: usize = 16;

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

/// Whether two texts of the same fingerprint are one: of less than 8 bytes the fingerprint holds all.
#[inline]
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.len() < 8 || one == other)
}

pub(super) const BUCKETS: usize = 64;

/// A number below [`BUCKETS`] of a fingerprint: what looks there first needs no loop, whose end a processor cannot foresee.
#[inline]
pub(super) fn bucket(fingerprint: u64) -> usize {
    // The highest bits of a product depend on all of its bits: Fibonacci hashing, by the golden ratio.
    usize::try_from(fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.trailing_zeros())).unwrap_or(0)
}

/// The keys of the object that is being looked at, behind those of the objects around it. Memory that is kept from
/// record to record.
#[derive(Debug, Default)]
pub(super) struct Keys {
    fingerprints: Vec<u64>,
    /// The nodes that they are.
    nodes: Vec<usize>,
}

/// An object that is open.
#[derive(Debug)]
pub(super) struct Open<'r> {
    /// Where its keys stand.
    begin: usize,
    /// A bit for each bucket that one of them is in.
    buckets: u64,
    /// All of them, once they are many.
    many: Option<HashSet<&'r str>>,
}

impl Keys {
    pub(super) fn clear(&mut self) {
        self.truncate(0);
    }

    /// An object begins.
    #[inline]
    pub(super) fn begin<'r>(&self) -> Open<'r> {
        Open { begin: self.nodes.len(), buckets: 0, many: None }
    }

    /// It ends.
    #[inline]
    pub(super) fn end(&mut self, object: &Open<'_>) {
        self.truncate(object.begin);
    }

    fn truncate(&mut self, len: usize) {
        self.fingerprints.truncate(len);
        self.nodes.truncate(len);
    }

    /// Notes the key at this node, with its fingerprint; false where the object has it already.
    #[inline]
    pub(super) fn insert<'r, N: Item>(
        &mut self,
        object: &mut Open<'r>,
        (its, key, node): (u64, &'r str, usize),
        record: &'r [N],
    ) -> bool {
        let bit = 1 << bucket(its);
        let is_alone = object.buckets & bit == 0;
        object.buckets |= bit;
        let before = self.fingerprints.get(object.begin..).unwrap_or_default();
        if before.len() < PAIRWISE_MAX {
            let is_new =
                is_alone || !before.contains(&its) || !self.texts(object.begin, record).any(|text| text == key);
            self.fingerprints.push(its);
            self.nodes.push(node);
            return is_new;
        }
        object.many.get_or_insert_with(|| self.texts(object.begin, record).collect()).insert(key)
    }

    fn texts<'r, N: Item>(&self, begin: usize, record: &'r [N]) -> impl Iterator<Item = &'r str> {
        let nodes = self.nodes.get(begin..).unwrap_or_default();
        nodes.iter().filter_map(|node| match record.get(*node)?.kind() {
            Kind::Text(text) => Some(text),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn texts_of_one_fingerprint_are_told_apart(one in "[a-b\0]{0,10}", other in "[a-b\0]{0,10}") {
            let is_same_fingerprint = fingerprint(&one) == fingerprint(&other);
            prop_assert_eq!(is_same_fingerprint && is_same(&one, &other), one == other);
        }
    }
}
