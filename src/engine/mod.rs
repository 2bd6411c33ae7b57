//! The threads: rings, batchers, senders, and the forwarder that owns them.

mod settings;

pub use settings::{BatchConfig, DeadLetterConfig, Pin, SiemConfig};
