//! TLS: whom to trust and who we are, read from files; the handshake; and why it failed.
//!
//! rustls with ring. The client's own connector would panic at a key that does not belong to its certificate, pass over
//! certificates that it cannot read, and read each file but once.

mod certificate;
mod handshake;
mod kept;
#[cfg(feature = "cli")]
mod keys;
mod material;
mod pem;
mod roots;
mod settings;
mod verify;

use std::sync::Arc;

use crate::secret::exposure;
use material::{Material, Sources};

#[cfg(feature = "cli")]
pub(super) use certificate::Described;
pub(super) use certificate::expiry;
pub(super) use handshake::{Handshake, Identity};
pub(super) use material::TlsError;
#[cfg(feature = "kafka")]
pub(crate) use material::is_pem_itself;
pub use settings::{TlsConfig, TlsVersion};

impl TlsConfig {
    /// Reads every file, whatever was read before.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(super) fn read(&self, verify_ssl: bool) -> Result<(), TlsError> {
        self.kept.keep(&Material::read(&self.sources(verify_ssl), None)?);
        Ok(())
    }

    /// What is to be told of the files once at start, though they can be used.
    pub(super) fn doubts(&self) -> Vec<String> {
        let of_certificate = self.kept.material().and_then(|material| material.doubt());
        let of_key = self.key.as_deref().and_then(exposure);
        of_certificate.into_iter().chain(of_key).collect()
    }

    /// A handshake with the server of this name, by the files as they are now.
    ///
    /// # Errors
    /// When a file cannot be used and never could, or the host is none that a certificate can name.
    pub(super) fn handshake(&self, verify_ssl: bool, host: &str) -> Result<Handshake, String> {
        let material = self.material(verify_ssl).map_err(|error| error.to_string())?;
        Handshake::new(&material, self.min_version, host)
    }

    fn material(&self, verify_ssl: bool) -> Result<Arc<Material>, TlsError> {
        let sources = self.sources(verify_ssl);
        // Not locked while it reads: a file system that hangs holds up nobody else.
        let before = self.kept.material().filter(|material| material.sources == sources);
        match (Material::read(&sources, before.as_ref()), before) {
            (Ok(material), _) => {
                self.kept.keep(&material);
                Ok(material)
            }
            // Half written, or gone for a moment: whoever renews certificates may still be at it.
            (Err(error), Some(before)) => {
                let complaint = error.to_string();
                if self.kept.is_news(&complaint) {
                    log::warn!("{complaint}; what it held before serves on");
                }
                Ok(before)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn sources(&self, verify_ssl: bool) -> Sources {
        Sources { verify_ssl, ca: self.ca.clone(), cert: self.cert.clone(), key: self.key.clone() }
    }
}
