//! TLS: ring, and the system's certificate store.

use std::sync::Arc;

use parking_lot::Mutex;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::{HttpError, HttpErrorKind};

/// Read once a process: it takes milliseconds, and every sender needs it.
static ROOTS: Mutex<Option<RootCerts>> = Mutex::new(None);

/// How to talk TLS with the system's certificates, or with anybody.
pub(super) fn config(verify_ssl: bool) -> Result<TlsConfig, HttpError> {
    let roots = if verify_ssl { system_roots()? } else { no_roots() };
    Ok(trusting(roots, verify_ssl))
}

/// For connections that never are TLS.
pub(super) fn unused() -> TlsConfig {
    trusting(no_roots(), true)
}

/// The provider is always named: the client panics where it has to guess.
pub(super) fn trusting(roots: RootCerts, verify_ssl: bool) -> TlsConfig {
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .disable_verification(!verify_ssl)
        .build()
}

fn no_roots() -> RootCerts {
    RootCerts::new_with_certs(&[])
}

fn system_roots() -> Result<RootCerts, HttpError> {
    let mut cached = ROOTS.lock();
    if let Some(roots) = &*cached {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "none is installed".to_owned(), ToString::to_string);
        let words = format!("no certificates to trust: {why}; install ca-certificates or set SSL_CERT_FILE");
        return Err(HttpError::new(HttpErrorKind::Tls, words));
    }
    let certificates: Vec<Certificate<'static>> =
        found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    Ok(cached.insert(RootCerts::new_with_certs(&certificates)).clone())
}
