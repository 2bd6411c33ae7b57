//! A day in UTC: what a file is set aside by, and named after.

use std::fmt;

use crate::event::Timestamp;

const NANOS_PER_DAY: i64 = 86_400_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl Day {
    pub(super) fn today() -> Self {
        Self(Timestamp::now().unix_nanos().div_euclid(NANOS_PER_DAY))
    }

    /// The day of so many seconds since 1970.
    pub(super) const fn of_seconds(seconds: i64) -> Self {
        Self(seconds.div_euclid(SECONDS_PER_DAY))
    }
}

/// Such as `2026-11-29`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = Timestamp::from_unix_nanos(self.0.saturating_mul(NANOS_PER_DAY)).to_string();
        f.write_str(midnight.get(..10).unwrap_or_default())
    }
}
