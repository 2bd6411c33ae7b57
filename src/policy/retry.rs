//! How long to wait before the next attempt, how many there are, and which failures are worth one.
//!
//! The engine asks for its waits here and does its own waiting; what else a service repeats goes through
//! [`RetryPolicy::execute`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Jitter, RetryConfig};
use crate::net::Stop;
use crate::siem::{Cause, CauseKind};

/// The longest wait that can be configured: a day. It keeps every sum of waits within its type.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The decisions of a [`RetryConfig`], and the limits of what is [executed](Self::execute) by them.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    config: RetryConfig,
    pub(super) operation_name: &'static str,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) deadline: Option<Duration>,
    pub(super) stop: Option<Stop>,
    retryable: Retryable,
}

#[derive(Clone)]
struct Retryable(Arc<dyn Fn(&Cause) -> bool + Send + Sync>);

impl fmt::Debug for Retryable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Retryable(…)")
    }
}

impl RetryPolicy {
    /// With this configuration; waits beyond a day are a day, and no attempts are one.
    pub fn new(config: RetryConfig) -> Self {
        let config = RetryConfig {
            retry_attempts: config.retry_attempts.max(1),
            retry_backoff_max: config.retry_backoff_max.min(WAIT_MAX),
            retry_after_max: config.retry_after_max.min(WAIT_MAX),
            ..config
        };
        Self {
            config,
            operation_name: "operation",
            attempt_timeout: None,
            deadline: None,
            stop: None,
            retryable: Retryable(Arc::new(may_pass)),
        }
    }

    /// What is tried, such as `send_batch`: said when it is given up. Default `operation`.
    #[must_use]
    pub fn operation_name(mut self, name: &'static str) -> Self {
        self.operation_name = name;
        self
    }

    /// How long one attempt may take; told to the operation, which keeps it. Default: as long as it takes.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// How long all attempts and the waits between them may take, from the call on. Default: as long as they take.
    ///
    /// No wait is started that would not end before it, and each attempt is told what is left of it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Gives up at once when this happens, in the midst of a wait too.
    #[must_use]
    pub fn until(mut self, stop: &Stop) -> Self {
        self.stop = Some(stop.clone());
        self
    }

    /// Only failures of these kinds are worth another attempt.
    ///
    /// By default they are those that may pass by themselves: no connection, no answer or a garbled one, a panic, what
    /// is a custom destination's own, and the statuses 408, 425, 429 and all from 500 on but 501.
    #[must_use]
    pub fn retryable(self, kinds: impl IntoIterator<Item = CauseKind>) -> Self {
        let kinds: Vec<CauseKind> = kinds.into_iter().collect();
        self.retryable_if(move |cause| kinds.contains(&cause.kind()))
    }

    /// Only failures for which this says so are worth another attempt. Default as with [`retryable`](Self::retryable).
    #[must_use]
    pub fn retryable_if(mut self, is_retryable: impl Fn(&Cause) -> bool + Send + Sync + 'static) -> Self {
        self.retryable = Retryable(Arc::new(is_retryable));
        self
    }

    /// Whether a failure is worth another attempt.
    pub fn is_retryable(&self, cause: &Cause) -> bool {
        (self.retryable.0)(cause)
    }

    /// How many attempts there are; of a batch in the engine, how many charged failures before it is cut.
    pub fn attempts(&self) -> u32 {
        self.config.retry_attempts
    }

    /// The longest backoff.
    pub fn backoff_max(&self) -> Duration {
        self.config.retry_backoff_max
    }

    /// How long to wait before attempt `attempt` (the first is 1): the original's
    /// `min(base^(attempt - 1), max)` seconds, spread by `random` in 0..1 where jitter is on.
    pub fn backoff(&self, attempt: u32, random: f64) -> Duration {
        if attempt <= 1 {
            return Duration::ZERO;
        }
        let exponent = f64::from(attempt - 1);
        let max = self.config.retry_backoff_max;
        let seconds = self.config.retry_backoff_base.max(0.0).powf(exponent).min(max.as_secs_f64());
        let spread = match self.config.retry_jitter {
            Jitter::Full => seconds * random.clamp(0.0, 1.0),
            Jitter::None => seconds,
        };
        // Not a number cannot come out of a base of 0 or more, but a wait must come out of anything.
        Duration::try_from_secs_f64(spread).unwrap_or(max)
    }

    /// How long to wait after a failure: the longer of our backoff and what the destination asked for, which has a
    /// ceiling of its own.
    pub fn wait(&self, attempt: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        let asked = retry_after.unwrap_or_default().min(self.config.retry_after_max);
        self.backoff(attempt, random).max(asked)
    }
}

/// Whether a failure may pass by itself: the default of what is retryable.
fn may_pass(cause: &Cause) -> bool {
    match cause.kind() {
        CauseKind::Http(status) => matches!(status, 408 | 425 | 429 | 500 | 502..),
        CauseKind::ConnectionRefused
        | CauseKind::Unreachable
        | CauseKind::ConnectionReset
        | CauseKind::Timeout
        | CauseKind::Dns
        | CauseKind::Tls
        | CauseKind::NotAuthorized
        | CauseKind::Garbage
        | CauseKind::Storage
        | CauseKind::Panic
        | CauseKind::Custom(_) => true,
        CauseKind::TooLarge | CauseKind::Format | CauseKind::Rejected | CauseKind::Undelivered => false,
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
    fn full_jitter_spreads_from_nothing_to_the_whole_wait_and_is_the_default() {
        let policy = RetryPolicy::new(RetryConfig::default());
        let seconds = [0.0, 0.25, 0.5, 1.0].map(|random| policy.backoff(4, random).as_secs());
        assert_eq!(seconds, [0, 2, 4, 8]);
    }

    /// A base of 1 is constant, one below it shrinks; neither they nor any other overflow, however often it failed.
    #[test]
    fn no_attempt_is_too_late_for_a_wait() {
        let with_base = |base| {
            RetryPolicy::new(RetryConfig { retry_backoff_base: base, retry_jitter: Jitter::None, ..Default::default() })
        };
        for attempt in [10_000, u32::MAX] {
            let seconds = |base| with_base(base).wait(attempt, 0.5, None).as_secs();
            assert_eq!([-1.0, 0.0, 0.5, f64::NAN].map(seconds), [0; 4]);
            assert_eq!(seconds(1.0), 1);
            assert_eq!([1.01, 2.0, 1e6, 1e300, f64::INFINITY].map(seconds), [60; 5]);
        }
    }

    /// T19: a zero or an absurd value does not shorten our own wait, nor lengthen it beyond its ceiling.
    #[test]
    fn a_retry_after_is_honoured_up_to_its_ceiling() {
        assert_eq!(exact().wait(2, 0.0, Some(Duration::from_secs(30))), Duration::from_secs(30));
        assert_eq!(exact().wait(2, 0.0, Some(Duration::ZERO)), Duration::from_secs(2));
        assert_eq!(exact().wait(2, 0.0, Some(Duration::from_secs(1_000_000_000))), Duration::from_secs(900));
        assert_eq!(exact().wait(2, 0.0, Some(Duration::MAX)), Duration::from_secs(900));
    }

    #[test]
    fn what_may_pass_is_retryable_until_said_otherwise() {
        let is_retryable = |kind| exact().is_retryable(&Cause::new(kind));
        for status in [408, 425, 429, 500, 502, 503, 504, 529, 599] {
            assert!(is_retryable(CauseKind::Http(status)), "{status}");
        }
        for status in [200, 301, 400, 401, 403, 404, 413, 415, 501] {
            assert!(!is_retryable(CauseKind::Http(status)), "{status}");
        }
        assert!(is_retryable(CauseKind::Timeout) && is_retryable(CauseKind::Custom("busy")));
        assert!(!is_retryable(CauseKind::TooLarge) && !is_retryable(CauseKind::Rejected));

        let listed = exact().retryable([CauseKind::Http(404), CauseKind::Timeout]);
        assert!(listed.is_retryable(&Cause::http(404).words("not yet")));
        assert!(!listed.is_retryable(&Cause::http(503)));
        let told = exact().retryable_if(|cause| cause.as_words() == Some("patience"));
        assert!(told.is_retryable(&Cause::http(400).words("patience")) && !told.is_retryable(&Cause::http(503)));
    }

    fn any_wait() -> impl Strategy<Value = Duration> {
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos))
    }

    fn any_policy() -> impl Strategy<Value = RetryPolicy> {
        // Any float at all: a negative base, an infinite one, none.
        let base = prop_oneof![any::<f64>(), 0.0..10.0f64];
        let max = prop_oneof![any_wait(), (0u64..200_000).prop_map(Duration::from_millis)];
        (base, max, any_wait(), any::<bool>(), any::<u32>()).prop_map(|(base, max, after_max, is_full, attempts)| {
            RetryPolicy::new(RetryConfig {
                retry_attempts: attempts,
                retry_backoff_base: base,
                retry_backoff_max: max,
                retry_jitter: if is_full { Jitter::Full } else { Jitter::None },
                retry_after_max: after_max,
            })
        })
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_maximum_or_is_shorter_than_asked(
            policy in any_policy(),
            attempt: u32,
            random in prop_oneof![any::<f64>(), 0.0..1.0f64],
            retry_after in proptest::option::of(any_wait()),
        ) {
            prop_assert!(policy.attempts() >= 1);
            let backoff = policy.backoff(attempt, random);
            prop_assert!(backoff <= policy.backoff_max() && policy.backoff_max() <= WAIT_MAX);
            let asked = retry_after.unwrap_or_default().min(policy.config.retry_after_max);
            prop_assert_eq!(policy.wait(attempt, random, retry_after), backoff.max(asked));
            prop_assert!(policy.wait(attempt, random, retry_after) <= WAIT_MAX);
        }

        #[test]
        fn waits_grow_with_the_attempt_where_the_base_is_above_one(
            base in 1.0..1e6f64, attempt in 1u32..u32::MAX, random in 0.0..1.0f64, is_full: bool,
        ) {
            let policy = RetryPolicy::new(RetryConfig {
                retry_backoff_base: base,
                retry_jitter: if is_full { Jitter::Full } else { Jitter::None },
                ..RetryConfig::default()
            });
            prop_assert!(policy.backoff(attempt, random) <= policy.backoff(attempt + 1, random));
            prop_assert_eq!(policy.backoff(1, random), Duration::ZERO);
        }
    }
}
