//! An event's bytes in the layouts that destinations take.

pub mod json;
