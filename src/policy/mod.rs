//! Decisions without threads: time and randomness are arguments.

mod retry;

pub use retry::{Jitter, RetryConfig, RetryPolicy};
