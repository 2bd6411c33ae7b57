//! When and how often something is tried again: what can be set.

use std::time::Duration;

/// When and how often a batch is sent again; the original's keys.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How many failures a batch is charged with before it is halved, 1 or more. Default 3, recommended 3–5.
    ///
    /// Only failures for which there is evidence that the batch is to blame are charged; an outage never spends them. Where
    /// the destination often fails batches that it takes later, more are asked for, up to 152; and up to 454 before a
    /// single event is given up, so that chance does so to one event in a million. Of
    /// [`RetryPolicy::execute`](super::RetryPolicy::execute) it is the number of attempts, the first included.
    pub retry_attempts: u32,
    /// Base of the exponential backoff, 0 or more; 1.0 is constant. Default 2.0.
    pub retry_backoff_base: f64,
    /// The longest backoff. Default 60 s, recommended 60–120 s, at most a day.
    pub retry_backoff_max: Duration,
    /// Whether waits are spread at random. Default [`Jitter::Full`].
    pub retry_jitter: Jitter,
    /// The longest `Retry-After` that is honoured. Default 900 s, at most a day.
    pub retry_after_max: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            retry_attempts: 3,
            retry_backoff_base: 2.0,
            retry_backoff_max: Duration::from_secs(60),
            retry_jitter: Jitter::Full,
            retry_after_max: Duration::from_secs(900),
        }
    }
}

#[cfg(feature = "cli")]
mod keys {
    use super::RetryConfig;
    use crate::table::{Key, Section};

    impl RetryConfig {
        pub(crate) const KEYS: Section = Section {
            title: "When a request fails",
            keys: &[
                Key::default("retry_attempts", "3").unit("attempts").range("1 to 1,000,000").meaning(
                    "failures charged to a batch before it is halved, 3–5; fewer find a wrong event sooner; an outage spends none, and a SIEM that often fails good batches is granted more",
                ),
                Key::default("retry_backoff_base", "2.0")
                    .range("0 to 1000000")
                    .meaning("before attempt n: `min(base^(n-1), max)` seconds; 1 is constant, more is kinder to a SIEM in trouble"),
                Key::default("retry_backoff_max", "60")
                    .unit("seconds")
                    .range("0 to 86400")
                    .meaning("the longest of these waits, 60–120; shorter resumes sooner, longer asks less"),
                Key::default("retry_jitter", "true")
                    .range("true or false")
                    .meaning("waits are spread between nothing and that, so that many senders do not come back at once"),
                Key::default("retry_after_seconds_max", "900")
                    .unit("seconds")
                    .range("0 to 86400")
                    .meaning("the longest `Retry-After` that is honoured"),
            ],
        };
    }
}

#[cfg(feature = "cli")]
impl RetryConfig {
    /// Takes the keys of retry out of a pipeline's table; an absent key is its default.
    pub(crate) fn read(table: &mut crate::table::Table<'_>, problems: &mut crate::table::Problems) -> Self {
        let (default, day) = (Self::default(), 86_400.0);
        let attempts = table.take_integer("retry_attempts", 1..=1_000_000, problems);
        let jitter = table.take_bool("retry_jitter", problems).unwrap_or(true);
        Self {
            retry_attempts: attempts.and_then(|count| u32::try_from(count).ok()).unwrap_or(default.retry_attempts),
            retry_backoff_base: table
                .take_float("retry_backoff_base", 0.0..=1e6, problems)
                .unwrap_or(default.retry_backoff_base),
            retry_backoff_max: table
                .take_seconds("retry_backoff_max", 0.0..=day, problems)
                .unwrap_or(default.retry_backoff_max),
            retry_jitter: if jitter { Jitter::Full } else { Jitter::None },
            retry_after_max: table
                .take_seconds("retry_after_seconds_max", 0.0..=day, problems)
                .unwrap_or(default.retry_after_max),
        }
    }
}

/// Whether waits are spread, so that many senders do not come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// Anywhere between nothing and the full wait.
    Full,
    /// Exactly the formula.
    None,
}
