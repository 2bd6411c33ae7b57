//! Any operation, tried until it succeeds or there is a reason to give it up: the original's retry handler.
//!
//! No thread can be interrupted from outside, so an attempt's timeout is told to the operation, whose own calls keep it.
//! Time and chance are behind a trait, so that tests wait for nothing.

use std::fmt;
use std::time::{Duration, Instant};

use super::RetryPolicy;
use crate::event::random_unit;
use crate::net::{HttpError, Stop};
use crate::siem::{Cause, CauseKind};

/// What an attempt is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Which one it is; the first is 1.
    pub number: u32,
    /// How long it may take: the attempt timeout, or what is left until the deadline where that is shorter; never zero
    /// unless the attempt timeout is. `None` where neither is set.
    pub timeout: Option<Duration>,
}

/// Why an attempt failed, and how long the other side asks to wait. Made of a [`Cause`] or an [`HttpError`] by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    cause: Cause,
    after: Option<Duration>,
}

impl Failure {
    /// With its cause.
    pub fn new(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), after: None }
    }

    /// Adds the wait that was asked for, such as [`Answer::retry_after`](crate::net::Answer::retry_after); the longer of
    /// it, up to `retry_after_max`, and our own is kept.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.after = wait;
        self
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::new(cause)
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::new(error)
    }
}

/// An operation was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation_name} was given up after {}, {reason}: {cause}", Times(*attempts))]
#[non_exhaustive]
pub struct GaveUp {
    /// What was tried.
    pub operation_name: &'static str,
    /// Of the last attempt; [`CauseKind::Undelivered`] where there was none.
    pub cause: Cause,
    /// How many attempts there were; 0 where the deadline or the stop came before the first.
    pub attempts: u32,
    /// Why there was not one more.
    pub reason: GaveUpReason,
    /// From the call until it was given up.
    pub elapsed: Duration,
}

/// Why an operation was not tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUpReason {
    /// There were as many attempts as `retry_attempts` allows.
    AttemptsSpent,
    /// The failure is not one that is retryable.
    NotRetryable,
    /// The next attempt could not begin before the deadline.
    Deadline,
    /// The stop happened.
    Stopped,
}

impl fmt::Display for GaveUpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AttemptsSpent => "all that it had",
            Self::NotRetryable => "since another would fail like it",
            Self::Deadline => "since the deadline leaves no time for another",
            Self::Stopped => "since it was stopped",
        })
    }
}

struct Times(u32);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 attempt"),
            times => write!(f, "{times} attempts"),
        }
    }
}

impl RetryPolicy {
    /// Tries `operation` until it succeeds or is given up; before each wait, `on_retry` is told which attempt failed and
    /// why. Blocks, for the operation and for the waits.
    ///
    /// A success counts whenever it comes: what was done past its timeout must not be done twice.
    ///
    /// ```
    /// use std::time::Duration;
    /// use siem_forward::Cause;
    /// use siem_forward::policy::{RetryConfig, RetryPolicy};
    ///
    /// let mut config = RetryConfig::default();
    /// config.retry_backoff_max = Duration::from_millis(5);
    /// let policy = RetryPolicy::new(config)
    ///     .operation_name("send_to_siem")
    ///     .attempt_timeout(Duration::from_secs(5))
    ///     .deadline(Duration::from_secs(30));
    ///
    /// // Busy twice, then it works; a client would take `attempt.timeout` as its own.
    /// let mut retries = Vec::new();
    /// let taken = policy.execute(
    ///     |attempt| if attempt.number < 3 { Err(Cause::http(503)) } else { Ok(attempt.number) },
    ///     |attempt, cause| retries.push(format!("attempt {attempt} failed: {cause}")),
    /// )?;
    /// assert_eq!(taken, 3);
    /// assert_eq!(retries, ["attempt 1 failed: http_503", "attempt 2 failed: http_503"]);
    ///
    /// // What would fail again is not tried again.
    /// let gave_up = policy.execute(|_| Err::<(), _>(Cause::http(401).words("Invalid token")), |_, _| {}).unwrap_err();
    /// assert_eq!(
    ///     gave_up.to_string(),
    ///     "send_to_siem was given up after 1 attempt, since another would fail like it: http_401: Invalid token",
    /// );
    /// # Ok::<(), siem_forward::policy::GaveUp>(())
    /// ```
    ///
    /// # Errors
    /// [`GaveUp`], with the cause of the last attempt.
    pub fn execute<T, E: Into<Failure>>(
        &self,
        operation: impl FnMut(Attempt) -> Result<T, E>,
        on_retry: impl FnMut(u32, &Cause),
    ) -> Result<T, GaveUp> {
        self.execute_in(&RunningTime { begun: Instant::now(), stop: self.stop.as_ref() }, operation, on_retry)
    }

    pub(super) fn execute_in<T, E: Into<Failure>>(
        &self,
        time: &impl Time,
        mut operation: impl FnMut(Attempt) -> Result<T, E>,
        mut on_retry: impl FnMut(u32, &Cause),
    ) -> Result<T, GaveUp> {
        let mut attempts: u32 = 0;
        let mut cause = Cause::new(CauseKind::Undelivered);
        let reason = loop {
            let left = self.deadline.map(|deadline| deadline.saturating_sub(time.elapsed()));
            if self.is_stopped() {
                break GaveUpReason::Stopped;
            }
            // A thread may wake late.
            if left.is_some_and(|left| left.is_zero()) {
                break GaveUpReason::Deadline;
            }
            attempts = attempts.saturating_add(1);
            let timeout = self.attempt_timeout.into_iter().chain(left).min();
            let failure: Failure = match operation(Attempt { number: attempts, timeout }) {
                Ok(value) => return Ok(value),
                Err(error) => error.into(),
            };
            cause = failure.cause;
            let due = match self.next(time, attempts, &cause, failure.after) {
                Ok(due) => due,
                Err(reason) => break reason,
            };
            on_retry(attempts, &cause);
            // However long the callback took: the wait ends when it was to end.
            time.wait(due.saturating_sub(time.elapsed()));
        };
        Err(GaveUp { operation_name: self.operation_name, cause, attempts, reason, elapsed: time.elapsed() })
    }

    /// When the next attempt is due, or why there is none.
    fn next(
        &self,
        time: &impl Time,
        attempts: u32,
        cause: &Cause,
        after: Option<Duration>,
    ) -> Result<Duration, GaveUpReason> {
        if !self.is_retryable(cause) {
            return Err(GaveUpReason::NotRetryable);
        }
        if self.is_stopped() {
            return Err(GaveUpReason::Stopped);
        }
        if attempts >= self.attempts() {
            return Err(GaveUpReason::AttemptsSpent);
        }
        let wait = self.wait(attempts.saturating_add(1), time.random(), after);
        let due = time.elapsed().saturating_add(wait);
        if self.deadline.is_some_and(|deadline| due >= deadline) { Err(GaveUpReason::Deadline) } else { Ok(due) }
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_stopped)
    }
}

/// What passes while an operation is executed.
pub(super) trait Time {
    /// Since the call.
    fn elapsed(&self) -> Duration;

    /// Waits, not longer than until stopped.
    fn wait(&self, wait: Duration);

    /// In 0..1, for jitter.
    fn random(&self) -> f64;
}

struct RunningTime<'a> {
    begun: Instant,
    stop: Option<&'a Stop>,
}

impl Time for RunningTime<'_> {
    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn wait(&self, wait: Duration) {
        match self.stop {
            // Ends with an error either way: it is time, or stopped.
            Some(stop) => drop(stop.receiver().recv_timeout(wait)),
            None => std::thread::sleep(wait),
        }
    }

    fn random(&self) -> f64 {
        random_unit()
    }
}
