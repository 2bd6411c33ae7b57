//! Which destinations of a fan-out, a bit each.

/// The most destinations of one fan-out: as many bits are looked at for each event.
pub(crate) const DESTINATIONS_MAX: usize = 32;

/// Destinations by their place, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places(u32);

impl Places {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u32::MAX);

    /// A place is below [`DESTINATIONS_MAX`].
    #[inline]
    pub(super) fn at(place: usize) -> Self {
        debug_assert!(place < DESTINATIONS_MAX, "{place}");
        Self(1 << (place % DESTINATIONS_MAX))
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) fn holds(self, place: usize) -> bool {
        self.0 & Self::at(place).0 != 0
    }

    /// Those that it holds, in order.
    pub(super) fn iter(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || self.take_first_but(Self::NONE))
    }

    #[inline]
    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline]
    pub(super) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Takes out the first; where others are there, not this one.
    #[inline]
    pub(super) fn take_first_but(&mut self, last: Self) -> Option<usize> {
        let others = self.0 & !last.0;
        let of = if others == 0 { self.0 } else { others };
        let place = of.trailing_zeros() as usize;
        (place < DESTINATIONS_MAX).then(|| {
            self.remove(Self::at(place));
            place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_to_be_last_is_taken_out_last() {
        let mut places = Places::NONE;
        for place in [0, 1, 5, 31] {
            places.add(Places::at(place));
        }
        let last = Places::at(1);
        let order: Vec<usize> = std::iter::from_fn(|| places.take_first_but(last)).collect();
        assert_eq!(order, [0, 5, 31, 1]);
        assert!(places.is_empty());
        for place in [31, 0, 5] {
            places.add(Places::at(place));
        }
        assert!(places.iter().eq([0, 5, 31]));
        let mut others = Places::at(3);
        assert_eq!((others.take_first_but(last), others.take_first_but(last)), (Some(3), None));
    }
}
