//! How long to wait before the next attempt, and after how many a batch is cut.

use std::time::Duration;

/// The longest wait that can be configured: a day. It keeps every sum of waits within its type.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// When and how often a batch is sent again; the original's keys.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How many failures a batch is charged with before it is halved, 1 or more. Default 3, recommended 3–5.
    ///
    /// Only failures for which there is evidence that the batch is to blame are charged; an outage never spends them.
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

/// The decisions of a [`RetryConfig`].
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy(RetryConfig);

impl RetryPolicy {
    /// With this configuration; waits beyond a day are a day.
    pub fn new(config: RetryConfig) -> Self {
        Self(RetryConfig {
            retry_attempts: config.retry_attempts.max(1),
            retry_backoff_max: config.retry_backoff_max.min(WAIT_MAX),
            retry_after_max: config.retry_after_max.min(WAIT_MAX),
            ..config
        })
    }

    /// How many charged failures a batch may have before it is cut.
    pub fn attempts(&self) -> u32 {
        self.0.retry_attempts
    }

    /// The longest backoff.
    pub fn backoff_max(&self) -> Duration {
        self.0.retry_backoff_max
    }

    /// How long to wait before attempt `attempt` (the first is 1): the original's
    /// `min(base^(attempt - 1), max)` seconds, spread by `random` in 0..1 where jitter is on.
    pub fn backoff(&self, attempt: u32, random: f64) -> Duration {
        if attempt <= 1 {
            return Duration::ZERO;
        }
        let exponent = f64::from(attempt - 1);
        let max = self.0.retry_backoff_max.as_secs_f64();
        let seconds = self.0.retry_backoff_base.max(0.0).powf(exponent).min(max);
        let spread = match self.0.retry_jitter {
            Jitter::Full => seconds * random.clamp(0.0, 1.0),
            Jitter::None => seconds,
        };
        // Not a number cannot come out of a base of 0 or more, but a wait must come out of anything.
        Duration::try_from_secs_f64(spread).unwrap_or(self.0.retry_backoff_max)
    }

    /// How long to wait after a failure: the longer of our backoff and what the destination asked for, which has a
    /// ceiling of its own.
    pub fn wait(&self, attempt: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        let asked = retry_after.unwrap_or_default().min(self.0.retry_after_max);
        self.backoff(attempt, random).max(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact() -> RetryPolicy {
        RetryPolicy::new(RetryConfig { retry_jitter: Jitter::None, ..RetryConfig::default() })
    }

    #[test]
    fn the_backoff_is_the_originals() {
        let seconds: Vec<f64> = (1..=8).map(|attempt| exact().backoff(attempt, 0.3).as_secs_f64()).collect();
        assert_eq!(seconds, [0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    }

    #[test]
    fn a_retry_after_is_honoured_up_to_its_ceiling() {
        assert_eq!(exact().wait(2, 0.0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(exact().wait(2, 0.0, Some(Duration::ZERO)), Duration::from_secs(2));
        assert_eq!(exact().wait(2, 0.0, Some(Duration::from_secs(1_000_000_000))), Duration::from_secs(900));
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_maximum(
            base in 0.0..1e300f64, max in 0u64..1_000_000, attempt: u32, random in 0.0..1.0f64, full: bool,
        ) {
            let policy = RetryPolicy::new(RetryConfig {
                retry_backoff_base: base,
                retry_backoff_max: Duration::from_secs(max),
                retry_jitter: if full { Jitter::Full } else { Jitter::None },
                ..RetryConfig::default()
            });
            prop_assert!(policy.backoff(attempt, random) <= policy.backoff_max());
        }
    }
}
