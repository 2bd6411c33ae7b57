//! One handshake, and why it failed.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ClientConnection, ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, Error, PeerIncompatible, SignatureScheme};

use super::TlsVersion;
use super::material::{Material, provider};
use super::verify::Witness;

/// A connection whose handshake is to come, is on its way or is done.
#[derive(Debug)]
pub(in crate::net) struct Handshake {
    pub(in crate::net) connection: ClientConnection,
    witness: Arc<Witness>,
    pub(in crate::net) identity: Arc<Identity>,
    min_version: TlsVersion,
}

impl Handshake {
    /// With the server of this name: a host without brackets.
    pub(super) fn new(material: &Arc<Material>, min_version: TlsVersion, host: &str) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "the URL's host is no name that a certificate can hold".to_owned())?;
        let witness = Witness::of(material);
        let identity = Arc::new(Identity { shown: material.client.clone(), is_asked: AtomicBool::new(false) });
        let versions: &[_] = match min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Witness>::clone(&witness))
            .with_client_cert_resolver(Arc::<Identity>::clone(&identity));
        // Each connection is judged anew: by the files as they are then.
        config.resumption = Resumption::disabled();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        Ok(Self { connection, witness, identity, min_version })
    }

    /// Shakes hands over `wire`. The error comes as it is: [`why`](Self::why) puts it into words.
    pub(in crate::net) fn complete(&mut self, wire: &mut (impl Read + Write)) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.connection.complete_io(wire)?;
        }
        Ok(())
    }

    /// Why it failed, and what to do.
    pub(in crate::net) fn why(&self, error: &io::Error) -> String {
        if let Some(complaint) = self.witness.complaint() {
            return complaint;
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::AlertReceived(alert)) if self.identity.is_asked() => self.identity.refused(Some(*alert)),
            Some(
                Error::AlertReceived(AlertDescription::ProtocolVersion)
                | Error::PeerIncompatible(
                    PeerIncompatible::ServerDoesNotSupportTls12Or13
                    | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
                ),
            ) => self.too_old(),
            Some(Error::AlertReceived(alert)) => {
                format!(
                    "the server refused the handshake ({alert:?}): check its TLS settings, and that this is the right port"
                )
            }
            Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => {
                "the server's answer is no TLS: check that this port speaks https".to_owned()
            }
            Some(error) => format!("the handshake failed: {error}"),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof if self.identity.is_asked() => self.identity.refused(None),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    "the server closed the connection during the handshake: check that this port speaks https"
                        .to_owned()
                }
                _ => format!("the handshake failed: {error}"),
            },
        }
    }

    fn too_old(&self) -> String {
        format!(
            "the server speaks no {} or newer: have it enabled there{}",
            self.min_version.name(),
            if self.min_version > TlsVersion::Tls12 { ", or lower tls.min_version" } else { "" }
        )
    }

    /// What was agreed upon.
    #[cfg(feature = "cli")]
    pub(in crate::net) fn version(&self) -> &'static str {
        match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "unknown",
        }
    }

    /// The server's own certificate.
    #[cfg(feature = "cli")]
    pub(in crate::net) fn leaf(&self) -> Option<&rustls::pki_types::CertificateDer<'static>> {
        self.connection.peer_certificates()?.first()
    }
}

/// Who we are, for a server that asks.
#[derive(Debug)]
pub(in crate::net) struct Identity {
    shown: Option<Arc<CertifiedKey>>,
    is_asked: AtomicBool,
}

impl Identity {
    /// Whether the server asked for a certificate.
    pub(in crate::net) fn is_asked(&self) -> bool {
        // Relaxed: set by this thread, within the handshake.
        self.is_asked.load(Ordering::Relaxed)
    }

    /// What it means that a server which asked ends the connection.
    pub(in crate::net) fn refused(&self, alert: Option<AlertDescription>) -> String {
        let Some(alert) = alert else {
            return match &self.shown {
                None => {
                    "the server asked for a client certificate, none is configured, and it closed the connection \
                         without a word: if it demands one, name it in tls.cert, with its key in tls.key"
                }
                Some(_) => {
                    "the server asked for our client certificate, and closed the connection without a word: if it \
                            refuses the one in tls.cert, its own log says why"
                }
            }
            .to_owned();
        };
        let said = format!("it says {alert:?}");
        match (&self.shown, alert) {
            (None, _) => format!(
                "the server demands a client certificate and none is configured ({said}): name one in tls.cert, with its \
                 key in tls.key"
            ),
            (Some(_), AlertDescription::CertificateExpired) => {
                format!("the server refuses our client certificate as expired ({said}): renew the one in tls.cert")
            }
            (Some(_), AlertDescription::UnknownCA) => format!(
                "the server does not know the CA of our client certificate ({said}): have the one in tls.cert issued by a \
                 CA that it trusts, and put those in between behind it"
            ),
            (Some(_), AlertDescription::CertificateRequired) => format!(
                "the server demands a client certificate and takes the one in tls.cert for none ({said}): its key may be \
                 of a kind that the server does not know"
            ),
            (Some(_), _) => format!(
                "the server refuses our client certificate ({said}): check that the one in tls.cert is issued for \
                 clients, by a CA that it trusts, and is not revoked"
            ),
        }
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_asked.store(true, Ordering::Relaxed);
        self.shown.clone()
    }

    fn has_certs(&self) -> bool {
        self.shown.is_some()
    }
}
