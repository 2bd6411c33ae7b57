//! What went over the connections to one destination: counted by all its clients together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::{HttpError, HttpErrorKind};

/// No certificate was seen.
const UNSEEN: i64 = i64::MIN;

/// Counts what the [`Http`](super::Http) clients of one destination do. Cheap to clone: all clones are one.
///
/// A destination keeps one, gives it to each of its clients ([`Http::counting`](super::Http::counting)) and shows it by
/// [`Siem::traffic`](crate::Siem::traffic): so it appears among the metrics.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Counters>);

/// All of it is relaxed: each counter stands for itself.
#[derive(Debug)]
struct Counters {
    body_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    connections: AtomicU64,
    dns_errors: AtomicU64,
    tls_errors: AtomicU64,
    certificate_expiry: AtomicI64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            body_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            dns_errors: AtomicU64::new(0),
            tls_errors: AtomicU64::new(0),
            certificate_expiry: AtomicI64::new(UNSEEN),
        }
    }
}

impl Traffic {
    /// Bytes of the bodies that were posted, before compression; those sent again count again.
    pub fn body_bytes(&self) -> u64 {
        self.0.body_bytes.load(Ordering::Relaxed)
    }

    /// The same as they were sent, after compression.
    pub fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }

    /// Connections that came about.
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Requests that failed since the host's name did not resolve.
    pub fn dns_errors(&self) -> u64 {
        self.0.dns_errors.load(Ordering::Relaxed)
    }

    /// Requests that failed since no secure connection came about.
    pub fn tls_errors(&self) -> u64 {
        self.0.tls_errors.load(Ordering::Relaxed)
    }

    /// When the certificate expires that the server showed at the last connection, in Unix seconds; `None` before the
    /// first one over TLS.
    pub fn certificate_expiry(&self) -> Option<i64> {
        Some(self.0.certificate_expiry.load(Ordering::Relaxed)).filter(|expiry| *expiry != UNSEEN)
    }

    pub(super) fn posted(&self, body: usize, sent: usize) {
        self.0.body_bytes.fetch_add(body as u64, Ordering::Relaxed);
        self.0.sent_bytes.fetch_add(sent as u64, Ordering::Relaxed);
    }

    /// A connection came about, to a server whose certificate expires then.
    pub(super) fn connected(&self, certificate_expiry: Option<i64>) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        if let Some(expiry) = certificate_expiry {
            self.0.certificate_expiry.store(expiry, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self, error: &HttpError) {
        let counter = match error.kind() {
            HttpErrorKind::Dns => &self.0.dns_errors,
            HttpErrorKind::Tls => &self.0.tls_errors,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Two are equal when they are clones of one.
impl PartialEq for Traffic {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Traffic {}
