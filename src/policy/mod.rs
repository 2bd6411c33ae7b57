//! Decisions without threads: time and randomness are arguments.

mod blame;
mod overflow;
mod retry;
mod sampling;

pub(crate) use blame::{Circumstances, Step, cut_budget, step};
pub use overflow::{Overflow, Shed};
pub use retry::{Jitter, RetryConfig, RetryPolicy};
pub(crate) use sampling::Sampler;
pub use sampling::Sampling;
