//! Decisions without threads: how long to wait, how often to try, whose fault a failure is. Time and randomness are
//! arguments.

mod blame;
mod retry_config;
mod retry;
mod execute;
#[cfg(test)]
mod execute_tests;

pub(crate) use blame::{Circumstances, Step, cut_budget, step};
pub use execute::{Attempt, Failure, GaveUp, GaveUpReason};
pub use retry::RetryPolicy;
pub use retry_config::{Jitter, RetryConfig};
