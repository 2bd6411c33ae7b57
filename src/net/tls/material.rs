//! What a handshake is made of: whom to trust, and who we are. Read from files, checked as a whole, never half.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::certificate::{Described, date};
use super::{pem, roots};

/// The files that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    /// Without, anybody is believed.
    pub(super) verify_ssl: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Ready for any number of handshakes.
pub(super) struct Material {
    pub(super) sources: Sources,
    /// Of everything that was read.
    digest: [u8; 32],
    /// `None` where anybody is believed.
    pub(super) trust: Option<Trust>,
    pub(super) client: Option<Arc<CertifiedKey>>,
}

/// Who is believed.
pub(super) struct Trust {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    /// The certificates of `tls.ca`: a server that shows one of them itself is believed too.
    pub(super) named: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

/// A file that cannot be used: which key names it, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tls.{key}{}: {what}", path.as_ref().map(|path| format!(" ({})", path.display())).unwrap_or_default())]
pub(crate) struct TlsError {
    /// Below `tls`: `ca`, `cert` or `key`.
    pub(crate) key: &'static str,
    pub(crate) path: Option<PathBuf>,
    pub(crate) what: String,
}

impl TlsError {
    fn of(key: &'static str, path: &Path, what: impl Into<String>) -> Self {
        Self { key, path: Some(path.to_owned()), what: what.into() }
    }
}

impl Material {
    /// Reads the files; `before` serves again where nothing has changed.
    pub(super) fn read(sources: &Sources, before: Option<&Arc<Self>>) -> Result<Arc<Self>, TlsError> {
        let read = |key: &'static str, path: &Option<PathBuf>| {
            let Some(path) = path.as_deref() else { return Ok(None) };
            if is_pem_itself(path) {
                // Not shown: it may be the key.
                let what = "holds the PEM text itself: write it into a file, and name that file here".to_owned();
                return Err(TlsError { key, path: None, what });
            }
            pem::bytes(path).map(Some).map_err(|what| TlsError::of(key, path, what))
        };
        let (ca, cert, key) = (read("ca", &sources.ca)?, read("cert", &sources.cert)?, read("key", &sources.key)?);
        let system = match (&ca, sources.verify_ssl) {
            (None, true) => Some(roots::of_the_system().map_err(|what| TlsError { key: "ca", path: None, what })?),
            _ => None,
        };
        let digest = digest([&ca, &cert, &key].map(|file| file.as_deref().map(Vec::as_slice)));
        if let Some(before) = before
            && before.sources == *sources
            && before.digest == digest
            && before.trusts(system.as_ref())
        {
            return Ok(Arc::clone(before));
        }
        let ca = ca.as_deref().map(Vec::as_slice);
        let trust = if sources.verify_ssl { Some(Trust::of(sources.ca.as_deref(), ca, system)?) } else { None };
        let client = match (&sources.cert, cert, &sources.key, key) {
            (Some(cert_path), Some(cert), Some(key_path), Some(key)) => {
                Some(Arc::new(identity((cert_path, &cert), (key_path, &key))?))
            }
            (Some(path), _, None, _) => {
                return Err(TlsError::of("key", path, "missing: the certificate needs its key, add tls.key"));
            }
            (None, _, Some(path), _) => {
                return Err(TlsError::of("cert", path, "missing: the key needs its certificate, add tls.cert"));
            }
            _ => None,
        };
        Ok(Arc::new(Self { sources: sources.clone(), digest, trust, client }))
    }

    fn trusts(&self, system: Option<&Arc<RootCertStore>>) -> bool {
        match (&self.trust, system) {
            (Some(trust), Some(system)) => Arc::ptr_eq(&trust.roots, system),
            _ => true,
        }
    }

    /// What will go wrong with our own certificate, where that can be known.
    pub(super) fn doubt(&self) -> Option<String> {
        let (leaf, path) = (self.client.as_ref()?.cert.first()?, self.sources.cert.as_deref()?);
        let described = Described::of(leaf)?;
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let doubt = match () {
            () if now > described.not_after => format!("expired on {}", date(described.not_after)),
            () if now < described.not_before => format!("is valid only from {}", date(described.not_before)),
            () => return None,
        };
        Some(format!("the client certificate in tls.cert ({}) {doubt}: servers will refuse it", path.display()))
    }
}

impl Trust {
    fn of(path: Option<&Path>, ca: Option<&[u8]>, system: Option<Arc<RootCertStore>>) -> Result<Self, TlsError> {
        let failed = |what: String| TlsError { key: "ca", path: path.map(Path::to_owned), what };
        let (roots, named) = match (ca, system) {
            (Some(pem), _) => {
                let named = pem::certificates(pem).map_err(failed)?;
                let mut roots = RootCertStore::empty();
                for (number, certificate) in (1..).zip(&named) {
                    let added = roots.add(certificate.clone());
                    added.map_err(|_| failed(format!("its certificate number {number} is damaged")))?;
                }
                (Arc::new(roots), named)
            }
            (None, system) => (system.unwrap_or_else(|| Arc::new(RootCertStore::empty())), Vec::new()),
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider()).build();
        let verifier = verifier.map_err(|error| failed(error.to_string()))?;
        Ok(Self { verifier, named, roots })
    }
}

/// The only one that is built in.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn identity(cert: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<CertifiedKey, TlsError> {
    let chain = pem::certificates(cert.1).map_err(|what| TlsError::of("cert", cert.0, what))?;
    let signing = pem::key(key.1).map_err(|what| TlsError::of("key", key.0, what))?;
    let identity = CertifiedKey::new(chain, signing);
    match identity.keys_match() {
        // What cannot be compared is left to the server.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(identity),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let what = format!(
                "does not belong to the certificate in {}: name the key that it was issued for; of several certificates \
                 in that file its own stands first",
                cert.0.display()
            );
            Err(TlsError::of("key", key.0, what))
        }
        Err(_) => Err(TlsError::of("cert", cert.0, "its first certificate is damaged")),
    }
}

/// No path, but what should stand in the file.
pub(crate) fn is_pem_itself(path: &Path) -> bool {
    const PATH_BYTES_MAX: usize = 4096;
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() > PATH_BYTES_MAX || bytes.contains(&b'\n') || memchr::memmem::find(bytes, b"-----").is_some()
}

fn digest(files: [Option<&[u8]>; 3]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for file in files {
        let bytes = file.unwrap_or_default();
        hash.update([u8::from(file.is_some())]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

/// Not its key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("sources", &self.sources).finish_non_exhaustive()
    }
}
