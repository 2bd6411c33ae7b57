//! Decisions without threads: time and randomness are arguments.

mod blame;
mod retry;

pub(crate) use blame::{Circumstances, Step, cut_budget, step};
pub use retry::{Jitter, RetryConfig, RetryPolicy};
