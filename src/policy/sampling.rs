//! Which events are kept where not all are wanted: decided by the event's id alone, so that every forwarder on every
//! machine, and every version of this library, keeps the same ones.

use crate::event::{EventId, Severity};

/// Which part of the events of a severity is kept, each 0 to 1. Default 1: all. Critical events are always kept.
///
/// What is not kept comes back as [`Refused::Sampled`](crate::Refused::Sampled) and is counted; it is no gap, since
/// somebody wanted it so. What a smaller part keeps, a larger one keeps as well.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// Of the low ones.
    pub low: f64,
    /// Of the medium ones.
    pub medium: f64,
    /// Of the high ones.
    pub high: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { low: 1.0, medium: 1.0, high: 1.0 }
    }
}

impl Sampling {
    fn parts(&self) -> [f64; 3] {
        [self.low, self.medium, self.high]
    }

    /// Whether each part is one.
    pub(crate) fn is_in_range(&self) -> bool {
        self.parts().iter().all(|part| (0.0..=1.0).contains(part))
    }

    /// Whether every event is kept.
    pub(crate) fn keeps_all(&self) -> bool {
        self.parts().iter().all(|part| *part >= 1.0)
    }
}

#[cfg(feature = "cli")]
mod keys {
    use super::Sampling;
    use crate::table::{Key, Section};

    impl Sampling {
        pub(crate) const KEYS: Section = Section {
            title: "Which events are kept",
            keys: &[
                Key::default("sampling.low", "1.0")
                    .range("0 to 1")
                    .meaning("0.1 keeps a tenth, decided by the id, so that every forwarder keeps the same; critical ones are always kept"),
                Key::default("sampling.medium", "1.0").range("0 to 1").meaning("the same of medium ones"),
                Key::default("sampling.high", "1.0").range("0 to 1").meaning("the same of high ones"),
            ],
        };
    }
}

#[cfg(feature = "cli")]
impl Sampling {
    /// Takes `sampling` out of a pipeline's table; an absent key is its default.
    pub(crate) fn read(table: &mut crate::table::Table<'_>, problems: &mut crate::table::Problems) -> Self {
        let Some(mut sampling) = table.take_table("sampling", problems) else { return Self::default() };
        let mut part = |key| sampling.take_float(key, 0.0..=1.0, problems).unwrap_or(1.0);
        let read = Self { low: part("low"), medium: part("medium"), high: part("high") };
        super::overflow::blame_critical(&mut sampling, "critical events are never sampled", problems);
        sampling.finish(problems);
        read
    }
}

/// The decision of a [`Sampling`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampler {
    /// By severity: the mixed ids below this are kept.
    below: [u64; 4],
}

impl Sampler {
    /// Mixed ids are below this.
    const ALL: u64 = 1 << 63;

    pub(crate) fn new(sampling: Sampling) -> Self {
        let [low, medium, high] = sampling.parts().map(Self::threshold);
        Self { below: [low, medium, high, Self::ALL] }
    }

    fn threshold(part: f64) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a power of two is exact, and a cast from a float saturates"
        )]
        let threshold = (part * Self::ALL as f64) as u64;
        threshold.min(Self::ALL)
    }

    #[inline]
    pub(crate) fn keeps(&self, id: EventId, severity: Severity) -> bool {
        let below = self.below.get(severity as usize).copied().unwrap_or(Self::ALL);
        below == Self::ALL || mix(id.as_u128()) < below
    }
}

/// 63 bits, to each of which all 128 of the id contribute: neighbours in time, which share the beginning of an id, and
/// numbered ones, which share all but its end, fall anywhere. Two rounds of xorshift and multiply over 128 bits, with
/// the multipliers of O'Neill's PCG and of Steele and Vigna. It never changes: who keeps what depends on it.
#[inline]
fn mix(bits: u128) -> u64 {
    let bits = (bits ^ (bits >> 65)).wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645);
    let bits = (bits ^ (bits >> 63)).wrapping_mul(0xda94_2042_e4dd_58b5);
    (bits >> 65) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;
    use proptest::prelude::*;

    fn kept(part: f64, ids: impl Iterator<Item = EventId>) -> usize {
        let sampler = Sampler::new(Sampling { low: part, ..Sampling::default() });
        ids.filter(|id| sampler.keeps(*id, Severity::Low)).count()
    }

    /// Within six standard deviations, which chance leaves once in 500 million times.
    fn assert_share(part: f64, ids: impl Iterator<Item = EventId> + Clone, kind: &str) {
        let [total, kept] =
            [ids.clone().count(), kept(part, ids)].map(|count| f64::from(u32::try_from(count).unwrap()));
        let deviation = (total * part * (1.0 - part)).sqrt();
        assert!((kept - total * part).abs() <= 6.0 * deviation, "{kind}: {kept} of {total} at {part}");
    }

    #[test]
    fn about_the_asked_part_is_kept_of_ids_of_every_kind() {
        let start = Timestamp::now().unix_nanos();
        for part in [0.01, 0.1, 0.5, 0.9] {
            let fresh = (0..100_000).map(|at| Timestamp::from_unix_nanos(start + at * 1_000)).map(EventId::generate);
            assert_share(part, fresh.collect::<Vec<_>>().into_iter(), "fresh");
            assert_share(part, (0..20_000).map(|text| EventId::from_foreign(&format!("order-{text}"))), "foreign");
            assert_share(part, (0..100_000).map(EventId::from_u128), "numbered at the end");
            assert_share(part, (0..100_000).map(|number| EventId::from_u128(number << 80)), "numbered in front");
            assert_share(part, (0..100_000).map(|number| EventId::from_u128(number << 60 | 7)), "numbered within");
        }
    }

    /// Another answer here means that forwarders of two versions keep different events.
    #[test]
    fn the_decision_is_the_same_for_ever() {
        let mixed = [0, 1, 1 << 127, 0x0199_d6a7_8e0e_7c33_9d0a_1111_1111_1111].map(mix);
        assert_eq!(mixed, [0, 2_842_060_583_198_403_670, 496_655_087_915_588_545, 6_313_686_896_532_224_059]);
    }

    proptest! {
        #[test]
        fn a_larger_part_keeps_what_a_smaller_one_keeps(bits: u128, low in 0.0..=1.0f64, more in 0.0..=1.0f64) {
            let id = EventId::from_u128(bits);
            let sampler = |part| Sampler::new(Sampling { low: part, medium: part, high: part });
            let (smaller, larger) = (sampler(low.min(more)), sampler(low.max(more)));
            for severity in Severity::ALL {
                prop_assert!(larger.keeps(id, severity) || !smaller.keeps(id, severity));
                prop_assert_eq!(sampler(1.0).keeps(id, severity), true);
                prop_assert_eq!(sampler(0.0).keeps(id, severity), severity == Severity::Critical);
            }
        }
    }
}
