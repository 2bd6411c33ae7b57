//! siem-forward carries audit events out of latency-sensitive services into SIEMs, without harming the service and
//! without losing an event silently.
//!
//! # A guided tour
//!
//! **1. Start a forwarder.** It owns a few threads: batchers that encode, senders that speak HTTP. Nothing else in your
//! service changes, and there is no async runtime anywhere.
//!
//! ```no_run
//! use std::time::Duration;
//! use siem_forward::{DeadLetterConfig, EventType, Forwarder, Severity, siem::Splunk};
//!
//! let splunk = Splunk::new("https://splunk.example:8088", std::env::var("SPLUNK_HEC_TOKEN")?)?;
//! let dead_letter = DeadLetterConfig::new("audit.dead.ndjson");
//! let forwarder = Forwarder::builder(splunk).batch_size(500).dead_letter(dead_letter).start()?;
//! let emitter = forwarder.emitter();
//!
//! // On the request path: no lock, no system call, no allocation while the pool lasts.
//! let event = emitter
//!     .event(EventType::AuthorizationDenied, Severity::High)
//!     .user_id("u-17")
//!     .tool_name("payments.refund")
//!     .detail("amount", 120);
//! if let Err(refused) = event.try_send() {
//!     // The event comes back, with the reason: what an audit trail is worth is the service's choice.
//!     eprintln!("{refused}: {:?}", refused.event());
//! }
//!
//! // At the end: deliver what was accepted, and say what became of it.
//! let report = forwarder.drain(Duration::from_secs(30));
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **2. Emit.** An [`Emitter`] is `Send + Sync` and cheap to clone. [`Emitter::event`] builds in a pooled buffer;
//! [`AuditEvent::builder`] builds anywhere. [`Emitter::try_send`] never blocks, unless [`policy::Overflow`] says so;
//! [`Emitter::send_timeout`] waits for room as long as you say. What is not taken comes back as [`Refused`], and where
//! that leaves a gap, an event of type `audit_gap` tells the SIEM.
//!
//! **3. What becomes of an event.** A batcher encodes it once into the body of a [`Batch`]; a sender hands the batch to
//! the [`Siem`], whose [`Verdict`] says what the destination holds. What failed is sent again, what is wrong is cut down to
//! the one event that is, which goes to the [dead letter](DeadLetterConfig), or is counted as lost where none is configured. An outage, however long, sends nothing
//! there.
//!
//! **4. Read the books.** [`Forwarder::metrics`] shows the [`Ledger`]: `accepted = delivered + dead_lettered + lost +
//! in_flight`, always. [`Forwarder::health`] says in a sentence what is wrong.
//!
//! **5. Forward to several.** A [`Fanout`] of forwarders hands each event to all of them, under the same id. Each is its own
//! failure domain: one that has no room refuses by its name, and the others have the event.
//!
//! **6. Forward to something else.** [`siem::from_fn`] makes a destination of a function; [`Siem`] has four methods for
//! a real one, and [`net::Http`] brings timeouts, TLS and gzip along. `examples/custom_siem.rs` is one in a page.
//!
//! # What it promises
//!
//! 1. The caller is never harmed.
//! 2. Every accepted event has exactly one fate, and the books balance.
//! 3. Nothing is called delivered before the SIEM said so.
//! 4. The SIEM is never stormed.
//!
//! And what it does not: exactly-once (a request that timed out may have been taken, and its events can arrive twice,
//! under the same id); order beyond one batch; events in memory when the machine dies; anything after `process::exit`;
//! an engine in a child forked after [`Builder::start`].
//!
//! # Features
//!
//! `cli` (default) holds what only the program needs: its commands, the configuration file, [`input`] and [`receiver`]. A
//! service links the library with `default-features = false`.
//!
//! `kafka` brings `siem::Kafka`, and builds librdkafka for it; `kafka-tls` the same with TLS and SCRAM.
//!
//! `tracing-layer` makes audit events of what a service says by `tracing`: `layer::AuditLayer`.

// The rooms of the house, in the order in which data flows: each imports only from rooms above it.
pub mod event;
mod secret;
#[cfg(feature = "cli")]
mod table;
mod batch;
mod append;
pub mod format;
pub mod net;
pub mod siem;
pub mod policy;
pub mod ledger;
mod dead_letter;
mod engine;
#[cfg(feature = "tracing-layer")]
pub mod layer;
#[cfg(feature = "cli")]
pub mod input;
#[cfg(feature = "cli")]
mod config;
#[cfg(feature = "cli")]
pub mod receiver;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use batch::{Batch, Mark, Shape};
pub use engine::{
    BatchConfig, Builder, ConnectionConfig, DeadLetterConfig, Emitter, Fanout, Forwarder, HealthConfig, Pin, Refused,
    Report, SiemConfig, StartError, fanout,
};
pub use event::{AuditEvent, EventBuilder, EventId, EventType, Severity, Timestamp};
pub use ledger::{Ledger, Snapshot};
pub use secret::Secret;
pub use siem::{Cause, Health, Siem, Verdict};

/// The README's own code, compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
