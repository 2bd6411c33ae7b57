//! What can be set of TLS.

use std::path::PathBuf;

use super::kept::Kept;

/// Whom to trust, who we are, and how old TLS may be. Each file is PEM, and is read again for each new connection: who
/// renews a certificate replaces the file. While a file cannot be used, what it held before serves on, with a warning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificates that are trusted instead of the system's: those of authorities, or the server's own. One or
    /// more in a file. Default: the system's store (`SSL_CERT_FILE` and `SSL_CERT_DIR` name another).
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to a server that asks for one, and after it in the same file those between it and
    /// its authority. Needs `key`. Default none.
    pub cert: Option<PathBuf>,
    /// The key of `cert`, not encrypted: PKCS#8, PKCS#1 or SEC1. Needs `cert`. Default none.
    pub key: Option<PathBuf>,
    /// The oldest version that is spoken. Default 1.2.
    pub min_version: TlsVersion,
    pub(super) kept: Kept,
}

/// A version of TLS. Older ones are never spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }
}
