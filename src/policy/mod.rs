//! Decisions without threads: how long to wait and how often to try, when not to send at all, whose fault a failure is.
//! Time and randomness are arguments.

mod blame;
mod breaker;
mod breaker_lock;
mod execute;
#[cfg(test)]
mod execute_tests;
mod failure_rate;
mod filter;
mod overflow;
mod retry;
mod retry_config;
mod sampling;
mod wait;

pub(crate) use blame::{Circumstances, Step, cut_budget, step};
pub use breaker::{BreakerConfig, BreakerState, BreakerStatus, CircuitBreaker, Permit};
pub use execute::{Attempt, Failure, GaveUp, GaveUpReason};
pub(crate) use failure_rate::FailureRate;
pub use filter::Filter;
pub use overflow::{Overflow, Shed};
pub use retry::RetryPolicy;
pub use retry_config::{Jitter, RetryConfig};
pub(crate) use sampling::Sampler;
pub use sampling::Sampling;
pub use wait::WaitStrategy;
