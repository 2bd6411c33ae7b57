//! How bytes leave: blocking HTTP over rustls, gzip, and the stop that interrupts both.
//!
//! Knows no destination: what an answer means is read in the room below. Each sender has an [`Http`] of its own, with
//! one connection; every call ends within its timeout, and within milliseconds once the [`Stop`] happens.

mod config;
mod error;
mod traffic;
mod gzip;
mod retry_after;
mod head;
mod http;
mod resolver;
mod stop;
mod tls;
mod url;
mod dial;
mod proxy;
mod session;
mod socket;
mod dialer;
#[cfg(feature = "cli")]
mod probe;
#[cfg(test)]
mod http_tests;
#[cfg(test)]
pub(crate) mod script;

pub use config::{Compression, HttpConfig};
pub use error::{HttpError, HttpErrorKind};
pub(crate) use gzip::Gzip;
pub use http::{Answer, Http};
#[cfg(feature = "cli")]
pub(crate) use probe::{Probe, TlsSeen, probe};
pub(crate) use proxy::base64;
pub use proxy::{InvalidProxy, Proxy};
pub use resolver::Resolver;
pub use stop::{Interruptible, Stop};
#[cfg(feature = "kafka")]
pub(crate) use tls::is_pem_itself;
pub use tls::{TlsConfig, TlsVersion};
pub use traffic::Traffic;
pub use url::{BaseUrl, InvalidUrl};
