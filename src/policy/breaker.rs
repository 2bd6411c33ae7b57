//! The circuit breaker: whether anything may be sent now, decided from what became of what was sent.
//!
//! Closed, everything passes. After `failure_threshold` failures in a row it opens, and nothing passes for
//! `recovery_timeout`. Then it is half open: one permit at a time is lent, at most one a second, so that a destination
//! that comes back is not met by all that waited. `success_threshold` successes in a row close it, one failure opens it
//! again.
//!
//! Every change of state has a number, and a permit carries that of its time: a verdict that comes late, about a state
//! that is gone, counts for nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::breaker_lock::Lock;

/// A probe follows another no sooner than this.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Whoever finds the permit lent asks again after this.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// When a [`CircuitBreaker`] opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Failures in a row that open it, 1 or more. Default 5.
    pub failure_threshold: u32,
    /// How long nothing is sent once it is open. Default 60 s, at most a day.
    pub recovery_timeout: Duration,
    /// Successes in a row that close it again, 1 or more. Default 2.
    pub success_threshold: u32,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failure_threshold: 5, recovery_timeout: Duration::from_secs(60), success_threshold: 2 }
    }
}

#[cfg(feature = "cli")]
mod keys {
    use super::BreakerConfig;
    use crate::table::{Key, Section};

    impl BreakerConfig {
        pub(crate) const KEYS: Section = Section {
            title: "When the SIEM is down",
            keys: &[
                Key::default("breaker.failure_threshold", "5")
                    .unit("failures")
                    .range("1 to 1,000,000")
                    .meaning("so many in a row, or one refusal of everything, and nothing is sent for a while; fewer spare a SIEM in trouble, more bear a hiccup"),
                Key::default("breaker.recovery_timeout_seconds", "60")
                    .unit("seconds")
                    .range("0 to 86400")
                    .meaning("how long; then one probe a second: shorter resumes sooner, longer asks less"),
                Key::default("breaker.success_threshold", "2")
                    .unit("successes")
                    .range("1 to 1,000,000")
                    .meaning("probes that must succeed in a row before all is sent again"),
            ],
        };
    }
}

#[cfg(feature = "cli")]
impl BreakerConfig {
    /// Takes the table `breaker` out of a pipeline's table; an absent key is its default.
    pub(crate) fn read(table: &mut crate::table::Table<'_>, problems: &mut crate::table::Problems) -> Self {
        let default = Self::default();
        let Some(mut breaker) = table.take_table("breaker", problems) else { return default };
        let mut count = |key, default| {
            let count = breaker.take_integer(key, 1..=1_000_000, problems);
            count.and_then(|count| u32::try_from(count).ok()).unwrap_or(default)
        };
        let failure_threshold = count("failure_threshold", default.failure_threshold);
        let success_threshold = count("success_threshold", default.success_threshold);
        let recovery_timeout = breaker.take_seconds("recovery_timeout_seconds", 0.0..=86_400.0, problems);
        breaker.finish(problems);
        Self {
            failure_threshold,
            recovery_timeout: recovery_timeout.unwrap_or(default.recovery_timeout),
            success_threshold,
        }
    }
}

/// The state of a [`CircuitBreaker`].
#[expect(clippy::exhaustive_enums, reason = "a circuit breaker has these three states")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// One probe at a time passes.
    HalfOpen,
}

impl BreakerState {
    /// The label of metrics and JSON.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What is known of a [`CircuitBreaker`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// The state.
    pub state: BreakerState,
    /// When it came into this state; the beginning of time where it never changed.
    pub since: Duration,
    /// How many times the state has changed.
    pub transitions: u64,
    /// Why it opened last; kept until it closes.
    pub reason: Option<String>,
}

impl Default for BreakerStatus {
    fn default() -> Self {
        Self { state: BreakerState::Closed, since: Duration::ZERO, transitions: 0, reason: None }
    }
}

/// Decides whether anything may be sent. Cheap to clone: all clones are one breaker.
///
/// Time is an argument, as a duration since any fixed moment, so that whoever tests it holds the clock.
///
/// ```
/// use std::time::Duration;
/// use siem_forward::policy::{BreakerConfig, BreakerState, CircuitBreaker};
///
/// let breaker = CircuitBreaker::new(BreakerConfig::default());
/// let now = Duration::from_secs(10);
/// for _ in 0..5 {
///     breaker.permit(now).unwrap().failed(now, "connection refused");
/// }
/// assert_eq!(breaker.status().state, BreakerState::Open);
/// assert_eq!(breaker.permit(now).unwrap_err(), Duration::from_secs(70));
/// // A minute later one probe may go, and a second one after its success.
/// breaker.permit(Duration::from_secs(70)).unwrap().succeeded(Duration::from_secs(70));
/// breaker.permit(Duration::from_secs(71)).unwrap().succeeded(Duration::from_secs(71));
/// assert_eq!(breaker.status().state, BreakerState::Closed);
/// ```
#[derive(Clone)]
pub struct CircuitBreaker(Arc<Shared>);

struct Shared {
    config: BreakerConfig,
    /// A permit is void after this long: its holder hangs.
    permit_timeout: Duration,
    inner: Lock<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    since: Duration,
    /// Of the present state; changes also when a permit that was lost is lent anew.
    generation: u64,
    transitions: u64,
    reason: Option<String>,
    /// Nothing passes before, whatever the state: what a `Retry-After` asks for.
    not_before: Duration,
    recovery_timeout: Duration,
    probe_interval: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed {
        failures: u32,
    },
    Open {
        until: Duration,
    },
    HalfOpen {
        successes: u32,
        next_probe: Duration,
        /// When the permit that is out is void.
        lent: Option<Duration>,
    },
}

impl CircuitBreaker {
    /// A closed breaker, whose permits are void after 35 s, as long as a request with a connect may take by default.
    pub fn new(config: BreakerConfig) -> Self {
        Self::with_permit_timeout(config, Duration::from_secs(35))
    }

    /// A closed breaker. A probe that has said nothing for `permit_timeout` counts for nothing any more, and another
    /// may go: no hanging sender keeps it half open for ever.
    pub fn with_permit_timeout(config: BreakerConfig, permit_timeout: Duration) -> Self {
        let day = Duration::from_secs(24 * 3600);
        let config = BreakerConfig {
            failure_threshold: config.failure_threshold.max(1),
            recovery_timeout: config.recovery_timeout.min(day),
            success_threshold: config.success_threshold.max(1),
        };
        let probe_interval = PROBE_INTERVAL.min(config.recovery_timeout);
        Self::in_phase(Phase::Closed { failures: 0 }, config, permit_timeout, probe_interval)
    }

    /// One that lends a single permit at any time, however long all goes well, and nothing for `pause` after a failure.
    pub(crate) fn one_at_a_time(pause: Duration, permit_timeout: Duration) -> Self {
        let config = BreakerConfig { failure_threshold: 1, recovery_timeout: pause, success_threshold: u32::MAX };
        let phase = Phase::HalfOpen { successes: 0, next_probe: Duration::ZERO, lent: None };
        Self::in_phase(phase, config, permit_timeout, Duration::ZERO)
    }

    fn in_phase(phase: Phase, config: BreakerConfig, permit_timeout: Duration, probe_interval: Duration) -> Self {
        let inner = Inner {
            phase,
            since: Duration::ZERO,
            generation: 0,
            transitions: 0,
            reason: None,
            not_before: Duration::ZERO,
            recovery_timeout: config.recovery_timeout,
            probe_interval,
        };
        Self(Arc::new(Shared { config, permit_timeout, inner: Lock::new(inner) }))
    }

    /// Asks whether one attempt may be made now.
    ///
    /// # Errors
    /// When not, the moment at which to ask again.
    pub fn permit(&self, now: Duration) -> Result<Permit, Duration> {
        self.permit_within(now, self.0.permit_timeout)
    }

    /// The same, with a permit that is void after a time of its own.
    pub(crate) fn permit_within(&self, now: Duration, timeout: Duration) -> Result<Permit, Duration> {
        self.0.inner.with(|inner| {
            if now < inner.not_before {
                return Err(inner.not_before);
            }
            if let Phase::Open { until } = inner.phase {
                if now < until {
                    return Err(until);
                }
                inner.enter(Phase::HalfOpen { successes: 0, next_probe: now, lent: None }, now);
            }
            if let Phase::HalfOpen { next_probe, lent, .. } = &mut inner.phase {
                match *lent {
                    Some(void) if now < void => return Err(now + ASK_AGAIN),
                    // Lost in a sender that hangs: should it come back, it speaks of the past.
                    Some(_) => inner.generation += 1,
                    None if now < *next_probe => return Err(*next_probe),
                    None => {}
                }
                *lent = Some(now.saturating_add(timeout));
                *next_probe = now.saturating_add(inner.probe_interval);
            }
            Ok(Permit { breaker: self.clone(), generation: inner.generation, is_used: false })
        })
    }

    /// The earliest moment at which a permit may be had; in the past where one can be had now.
    pub fn not_before(&self) -> Duration {
        self.0.inner.with(|inner| match inner.phase {
            Phase::Open { until } => until.max(inner.not_before),
            Phase::Closed { .. } | Phase::HalfOpen { .. } => inner.not_before,
        })
    }

    /// Nothing passes before `moment`, whatever the state: what a `Retry-After` asks for. An earlier moment than one
    /// that was asked for before changes nothing.
    pub fn hold_back_until(&self, moment: Duration) {
        self.0.inner.with(|inner| inner.not_before = inner.not_before.max(moment));
    }

    /// What comes back after it was away is met by probes also where it was not away for long enough to open the breaker: a
    /// closed one becomes half open, and the attempt that found it counts as the first probe.
    pub(crate) fn probe(&self, now: Duration) {
        let successes = 1;
        self.0.inner.with(|inner| {
            if matches!(inner.phase, Phase::Closed { .. }) && successes < self.0.config.success_threshold {
                let next_probe = now.saturating_add(inner.probe_interval);
                inner.enter(Phase::HalfOpen { successes, next_probe, lent: None }, now);
            }
        });
    }

    /// For a drain, which has no minute to wait: an open breaker is half open from now on, probes follow each other at
    /// once, and the longest break is a second.
    pub fn hasten(&self, now: Duration) {
        self.0.inner.with(|inner| {
            inner.recovery_timeout = inner.recovery_timeout.min(PROBE_INTERVAL);
            inner.probe_interval = Duration::ZERO;
            match &mut inner.phase {
                Phase::Open { until } => *until = now,
                Phase::HalfOpen { next_probe, .. } => *next_probe = now,
                Phase::Closed { .. } => {}
            }
        });
    }

    /// The state.
    pub fn state(&self) -> BreakerState {
        self.0.inner.with(|inner| inner.phase.state())
    }

    /// What is known of it.
    pub fn status(&self) -> BreakerStatus {
        self.0.inner.with(|inner| BreakerStatus {
            state: inner.phase.state(),
            since: inner.since,
            transitions: inner.transitions,
            reason: inner.reason.clone(),
        })
    }

    fn decide(&self, permit: &Permit, outcome: impl FnOnce(&mut Inner, &BreakerConfig)) {
        self.0.inner.with(|inner| {
            if inner.generation == permit.generation {
                outcome(inner, &self.0.config);
            }
        });
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("config", &self.0.config).field("status", &self.status()).finish()
    }
}

impl Inner {
    fn enter(&mut self, phase: Phase, now: Duration) {
        self.phase = phase;
        self.since = now;
        self.generation += 1;
        self.transitions += 1;
    }

    fn open(&mut self, now: Duration, reason: String) {
        self.reason = Some(reason);
        self.enter(Phase::Open { until: now.saturating_add(self.recovery_timeout) }, now);
    }
}

impl Phase {
    fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

/// Leave for one attempt. Say what became of it; dropped without a word it counts as never lent.
#[must_use = "say what became of the attempt"]
pub struct Permit {
    breaker: CircuitBreaker,
    generation: u64,
    is_used: bool,
}

impl Permit {
    /// The destination answered as it should.
    pub fn succeeded(mut self, now: Duration) {
        self.is_used = true;
        self.breaker.decide(&self, |inner, config| match &mut inner.phase {
            Phase::Closed { failures } => *failures = 0,
            Phase::HalfOpen { successes, .. } if successes.saturating_add(1) >= config.success_threshold => {
                inner.reason = None;
                inner.enter(Phase::Closed { failures: 0 }, now);
            }
            Phase::HalfOpen { successes, lent, .. } => {
                *successes = successes.saturating_add(1);
                *lent = None;
            }
            Phase::Open { .. } => {}
        });
    }

    /// It did not; `reason` is kept where this opens the breaker.
    pub fn failed(mut self, now: Duration, reason: impl Into<String>) {
        self.is_used = true;
        self.breaker.decide(&self, |inner, config| match &mut inner.phase {
            Phase::Closed { failures } if *failures + 1 < config.failure_threshold => *failures += 1,
            Phase::Closed { .. } | Phase::HalfOpen { .. } => inner.open(now, reason.into()),
            Phase::Open { .. } => {}
        });
    }

    /// It refuses us, whatever we send: the breaker opens at once.
    pub fn refused(mut self, now: Duration, reason: impl Into<String>) {
        self.is_used = true;
        self.breaker.decide(&self, |inner, _| match inner.phase {
            Phase::Closed { .. } | Phase::HalfOpen { .. } => inner.open(now, reason.into()),
            Phase::Open { .. } => {}
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        self.breaker.decide(self, |inner, _| {
            if let Phase::HalfOpen { lent, .. } = &mut inner.phase {
                *lent = None;
            }
        });
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
