//! Decisions without threads: when to send again, when not to send at all, and whose fault a failure is. Time and
//! randomness are arguments.

mod blame;
mod breaker;
mod breaker_lock;
mod retry;

pub(crate) use blame::{Circumstances, Step, cut_budget, step};
pub use breaker::{BreakerConfig, BreakerState, BreakerStatus, CircuitBreaker, Permit};
pub use retry::{Jitter, RetryConfig, RetryPolicy};
