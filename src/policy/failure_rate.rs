//! How often a request fails whose bytes are good: what a batch's failures are held against before it is blamed.

use std::sync::atomic::{AtomicU64, Ordering};

/// Before anything is known: one failure for four deliveries.
const MEAN_AT_FIRST: f64 = 0.25;
/// What a delivery with more failures than the mean weighs, and one with fewer: believed at once, forgotten slowly, since
/// patience costs a poisoned batch some requests, and haste costs a good one its events.
const WEIGHT_UP: f64 = 1.0 / 8.0;
const WEIGHT_DOWN: f64 = 1.0 / 32.0;
/// No rate is believed above this, so that patience ends.
const RATE_MAX: f64 = 0.97;

/// Chances at which a batch is called guilty although its bytes are good. Halves go on; what is given up is lost to the
/// destination.
const DOUBT_TO_HALVE: f64 = 0.01;
const DOUBT_TO_GIVE_UP: f64 = 1e-6;

/// A moving mean of the failures that batches were charged with which were delivered in the end. An outage does not raise
/// it, for it charges nobody; nor does a poisoned batch, whose good parts are delivered at once.
#[derive(Debug)]
pub(crate) struct FailureRate {
    /// The bits of the mean.
    mean: AtomicU64,
}

impl FailureRate {
    pub(crate) fn new() -> Self {
        Self { mean: AtomicU64::new(MEAN_AT_FIRST.to_bits()) }
    }

    /// A batch was delivered after so many charged failures.
    pub(crate) fn delivered_after(&self, charged: u32) {
        // Relaxed, and not exchanged: an observation that another sender overwrites is one of many.
        let mean = f64::from_bits(self.mean.load(Ordering::Relaxed));
        let difference = f64::from(charged) - mean;
        let weight = if difference > 0.0 { WEIGHT_UP } else { WEIGHT_DOWN };
        self.mean.store(difference.mul_add(weight, mean).to_bits(), Ordering::Relaxed);
    }

    /// Failures after which a batch may be halved.
    pub(crate) fn charges_to_halve(&self) -> u32 {
        self.charges(DOUBT_TO_HALVE)
    }

    /// Failures after which a single event may be given up.
    pub(crate) fn charges_to_give_up(&self) -> u32 {
        self.charges(DOUBT_TO_GIVE_UP)
    }

    /// As many failures in a row as good bytes meet with this chance: `rate^n <= doubt`.
    fn charges(&self, doubt: f64) -> u32 {
        let mean = f64::from_bits(self.mean.load(Ordering::Relaxed));
        // Failures before a success are geometrically distributed.
        let rate = (mean / (1.0 + mean)).min(RATE_MAX);
        let charges = (doubt.ln() / rate.ln()).ceil();
        // Below ln(1e-6) / ln(0.97), which is 454.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive, see above")]
        let charges = charges as u32;
        charges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(deliveries: usize, charged: impl Fn(usize) -> u32) -> FailureRate {
        let rate = FailureRate::new();
        (0..deliveries).for_each(|index| rate.delivered_after(charged(index)));
        rate
    }

    #[test]
    fn where_nothing_is_known_and_where_all_is_well_patience_is_short() {
        assert_eq!((after(0, |_| 0).charges_to_halve(), after(0, |_| 0).charges_to_give_up()), (3, 9));
        let well = after(1_000, |_| 0);
        assert!(well.charges_to_halve() <= 2 && well.charges_to_give_up() <= 2, "{well:?}");
    }

    #[test]
    fn where_six_of_seven_requests_fail_a_batch_is_not_blamed_for_a_bad_day() {
        // 6, 2, 10, … charged failures before each delivery, 6 in the mean: a rate of 0.857.
        let bad = after(1_000, |index| [6, 2, 10][index % 3]);
        let patience = bad.charges_to_give_up();
        assert!((90..=160).contains(&patience), "{patience}");
        assert!(bad.charges_to_halve() >= 30, "{bad:?}");
    }

    #[test]
    fn patience_ends_however_bad_it_is() {
        let worst = after(10_000, |_| u32::MAX);
        assert_eq!(worst.charges_to_give_up(), 454);
        assert_eq!(worst.charges_to_halve(), 152);
    }

    #[test]
    fn a_bad_day_is_forgotten() {
        let rate = after(1_000, |_| 6);
        (0..200).for_each(|_| rate.delivered_after(0));
        assert!(rate.charges_to_give_up() <= 5, "{rate:?}");
    }
}
