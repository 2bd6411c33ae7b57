//! A program that runs, as it is seen from outside, at its `[metrics] listen`: what `status` and `top` show.

mod endpoint;
mod exposition;
mod partition;
mod pipeline;

pub(crate) use endpoint::{Endpoint, Unseen};
pub(crate) use partition::Partition;
#[cfg(test)]
pub(crate) use pipeline::LastError;
pub(crate) use pipeline::{Observed, Pipeline};
