//! Whether one setting is better than another, or noise hides it.
//!
//! The repeats of one setting differ among themselves; two settings differ only where their medians are further apart than
//! the repeats of both.

use super::measured::median;

/// Less than this nobody would change a configuration for.
const LEAST: f64 = 0.02;
/// Of this many repeats on, the two furthest off are left out: one moment in which the machine did something else must not
/// hide what all others show.
const TRIMMED_FROM: usize = 5;
/// Fewer repeats tell no noise.
pub(super) const REPEATS_MIN: usize = 2;

/// What repeats of one setting came to; more is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Repeats {
    pub(super) median: f64,
    /// How far a repeat is from the median, as a part of it.
    pub(super) within: f64,
    count: usize,
}

/// How two settings compare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Comparison {
    /// Better by this part of the other.
    Better(f64),
    Worse(f64),
    /// Apart by this part of the other, where repeats of the same setting are this far off.
    Hidden {
        difference: f64,
        within: f64,
    },
    /// There are too few repeats.
    Unknown,
}

impl Repeats {
    pub(super) fn of(values: &[f64]) -> Self {
        let median = median(values);
        let mut off: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        off.sort_unstable_by(f64::total_cmp);
        let trimmed = if off.len() >= TRIMMED_FROM { off.len() - 2 } else { off.len() };
        let furthest = off.get(trimmed.saturating_sub(1)).copied().unwrap_or(0.0);
        let within = if median > 0.0 { furthest / median } else { 0.0 };
        Self { median, within, count: values.len() }
    }

    /// This setting beside another.
    pub(super) fn compared_to(self, other: Self) -> Comparison {
        if self.count < REPEATS_MIN || other.count < REPEATS_MIN || other.median <= 0.0 {
            return Comparison::Unknown;
        }
        let difference = self.median / other.median - 1.0;
        let apart = (self.median - other.median).abs();
        let noise = self.within * self.median + other.within * other.median;
        match difference {
            _ if apart <= noise.max(LEAST * other.median) => {
                Comparison::Hidden { difference, within: self.within.max(other.within) }
            }
            _ if difference > 0.0 => Comparison::Better(difference),
            _ => Comparison::Worse(-difference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(one: &[f64], other: &[f64]) -> Comparison {
        Repeats::of(one).compared_to(Repeats::of(other))
    }

    #[test]
    fn a_difference_is_told_where_it_exceeds_what_repeats_differ_by() {
        assert_eq!(compare(&[150.0, 151.0, 149.0], &[100.0, 99.0, 101.0]), Comparison::Better(0.5));
        assert_eq!(compare(&[50.0, 51.0, 49.0], &[100.0, 99.0, 101.0]), Comparison::Worse(0.5));
        // The same medians, in a noisier hour.
        let hidden = compare(&[150.0, 190.0, 110.0], &[100.0, 140.0, 80.0]);
        assert_eq!(hidden, Comparison::Hidden { difference: 0.5, within: 0.4 });
    }

    #[test]
    fn what_is_too_little_or_too_seldom_is_no_difference() {
        let hidden = compare(&[101.0, 101.0, 101.0], &[100.0, 100.0, 100.0]);
        assert!(matches!(hidden, Comparison::Hidden { within, .. } if within == 0.0), "{hidden:?}");
        assert_eq!(compare(&[200.0], &[100.0, 100.0]), Comparison::Unknown);
        assert_eq!(compare(&[1.0, 1.0], &[0.0, 0.0]), Comparison::Unknown);
    }

    #[test]
    fn of_many_repeats_two_that_are_off_hide_nothing() {
        let base = [100.0, 101.0, 99.0, 100.0, 60.0];
        let better = compare(&[130.0, 131.0, 129.0, 130.0, 80.0], &base);
        assert!(matches!(better, Comparison::Better(gain) if (0.29..0.31).contains(&gain)), "{better:?}");
        let hidden = compare(&[130.0, 131.0, 90.0, 85.0, 80.0], &base);
        assert!(matches!(hidden, Comparison::Hidden { .. }), "{hidden:?}");
    }
}
