//! Any JSON object into an event: where each field comes from.

mod pointer;
