//! The threads: rings, batchers, senders, and the forwarder that owns them.
//!
//! Read it in this order: `ring`, `emitter` and `admission` (the caller's side), `batcher` and `gap`, `parcel` and `outcome` (a batch
//! on its way, and what becomes of it), `held` and `sender` (who sends it), `monitor`, `forwarder` (who owns the threads
//! and drains them) and `fanout` (several of them); `timing` and `exposed` (what is measured, and shown); `resender` and `witness` (a replay: what was encoded before, sent again).

mod admission;
mod batcher;
mod builder;
mod cores;
mod destination;
mod emitter;
mod exposed;
pub mod fanout;
mod forwarder;
mod gap;
mod held;
#[cfg(feature = "cli")]
mod memory;
#[cfg(feature = "cli")]
mod keys;
mod monitor;
mod outcome;
mod parcel;
mod pending;
mod pipeline;
mod refused;
mod remedy;
mod report;
#[cfg(feature = "cli")]
mod resender;
mod ring;
mod sender;
mod settings;
mod timing;
#[cfg(feature = "cli")]
mod trial;
mod vitals;
mod witness;

pub use builder::Builder;
pub use emitter::Emitter;
#[cfg(feature = "cli")]
pub(crate) use fanout::DESTINATIONS_MAX;
pub use fanout::Fanout;
pub use forwarder::Forwarder;
#[cfg(feature = "cli")]
pub(crate) use memory::Share;
#[cfg(all(feature = "cli", feature = "kafka"))]
pub(crate) use pipeline::Pipeline;
#[cfg(feature = "cli")]
pub(crate) use pipeline::chain;
pub use refused::Refused;
pub use report::Report;
#[cfg(feature = "cli")]
pub(crate) use resender::{HandOver, Recorded, Resender};
pub use settings::{BatchConfig, ConnectionConfig, DeadLetterConfig, HealthConfig, Pin, SiemConfig, StartError};
#[cfg(feature = "cli")]
pub(crate) use trial::{Sent, Trial};
#[cfg(feature = "cli")]
pub(crate) use witness::{Keeper, Witness};
