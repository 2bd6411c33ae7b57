//! What a certificate says of itself, in words fit for a log.
//!
//! All of it comes from the other side: control characters are taken out, and what is long is cut.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// No name in a message is longer, in characters.
const NAME_CHARS_MAX: usize = 80;

/// A certificate, as far as people want to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::net) struct Described {
    pub(in crate::net) subject: String,
    pub(in crate::net) issuer: String,
    /// Whether it names itself as its issuer.
    pub(in crate::net) is_self_signed: bool,
    /// Unix seconds.
    pub(in crate::net) not_before: i64,
    /// Unix seconds.
    pub(in crate::net) not_after: i64,
}

impl Described {
    /// `None` of what is no certificate.
    pub(in crate::net) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            subject: shown(&certificate.subject().to_string()),
            issuer: shown(&certificate.issuer().to_string()),
            is_self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            not_before: validity.not_before.to_datetime().unix_timestamp(),
            not_after: validity.not_after.to_datetime().unix_timestamp(),
        })
    }
}

/// When it expires, in Unix seconds; `None` of what is no certificate.
pub(in crate::net) fn expiry(der: &CertificateDer<'_>) -> Option<i64> {
    Described::of(der).map(|described| described.not_after)
}

/// A name as it may be printed.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().filter(|char| !char.is_control()).take(NAME_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    shown
}

/// A moment as it is written everywhere.
pub(in crate::net) fn date(unix_seconds: i64) -> String {
    Timestamp::from_second(unix_seconds).map_or_else(|_| "a date beyond the calendar".to_owned(), |at| at.to_string())
}
