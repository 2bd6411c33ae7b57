//! How old the oldest event is that has no fate yet.
//!
//! Told at batch rate: each batch on its way says when its oldest event was created, each batcher before what moment
//! nothing was created of what it and its ring hold.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// The batches on their way: by the creation of their oldest event, how many.
#[derive(Debug, Default)]
pub(crate) struct Ages(Mutex<BTreeMap<u64, usize>>);

impl Ages {
    /// A batch is on its way whose oldest event was created at this moment.
    pub(crate) fn enter(&self, created: u64) {
        *self.0.lock().entry(created).or_default() += 1;
    }

    /// Such a batch has ended, or became parts.
    pub(crate) fn leave(&self, created: u64) {
        let mut ages = self.0.lock();
        if let Some(batches) = ages.get_mut(&created) {
            *batches -= 1;
            if *batches == 0 {
                ages.remove(&created);
            }
        }
    }

    /// When the oldest event of all batches was created.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.0.lock().first_key_value().map(|(created, _)| *created)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_known_until_the_last_of_its_batches_ends() {
        let ages = Ages::default();
        assert_eq!(ages.oldest(), None);
        for created in [5, 3, 9, 3] {
            ages.enter(created);
        }
        for (gone, oldest) in [(3, Some(3)), (9, Some(3)), (3, Some(5)), (7, Some(5)), (5, None)] {
            ages.leave(gone);
            assert_eq!(ages.oldest(), oldest);
        }
    }
}
