//! PEM files: certificates and a key, and what is wrong with a file that holds none.
//!
//! No error repeats what a file holds: it may be a key.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use zeroize::{Zeroize, Zeroizing};

/// No bundle is larger; something else was named by mistake.
const BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A file's bytes, wiped when dropped.
pub(super) fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len().min(BYTES_MAX);
    // As large as it may become: a buffer that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err("is larger than 8 MiB: no certificate is".to_owned());
    }
    Ok(bytes)
}

/// All certificates of a file, at least one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| damage(&error))?;
    if certificates.is_empty() {
        return Err(format!("holds no certificate{}", found_instead(pem)));
    }
    Ok(certificates)
}

/// The one key of a file.
pub(super) fn key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, String> {
    if holds(pem, "ENCRYPTED PRIVATE KEY") || holds(pem, "Proc-Type: 4,ENCRYPTED") {
        let help = "the key is encrypted, and nobody is there to type its password: decrypt it (openssl pkey -in … -out \
                    …) and keep the file to this user alone";
        return Err(help.to_owned());
    }
    let mut der = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(der) => der,
        Err(PemError::NoItemsFound) => return Err(format!("holds no private key{}", found_instead(pem))),
        Err(error) => return Err(damage(&error)),
    };
    let key = any_supported_type(&der);
    der.zeroize();
    key.map_err(|_| "holds a private key that is damaged or of no kind that is known (RSA, ECDSA, Ed25519)".to_owned())
}

fn holds(pem: &[u8], text: &str) -> bool {
    memchr::memmem::find(pem, text.as_bytes()).is_some()
}

fn found_instead(pem: &[u8]) -> &'static str {
    match () {
        () if pem.is_empty() => ": it is empty",
        () if holds(pem, "-----BEGIN CERTIFICATE-----") => ", but a certificate",
        () if holds(pem, "PRIVATE KEY-----") => ", but a private key",
        () if holds(pem, "-----BEGIN ") => ", but something else in PEM",
        () => ": it is not PEM, which begins with -----BEGIN; from DER: openssl x509 -inform der -in … -out …",
    }
}

fn damage(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "is cut off: an END line is missing",
        PemError::IllegalSectionStart { .. } => "is damaged: a BEGIN line is not as it must be",
        _ => "is damaged: between BEGIN and END stands what is no base64",
    }
    .to_owned()
}
