//! The event as data: serde both ways, in the layout of the NDJSON that `run` reads.
