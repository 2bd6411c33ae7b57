//! Whether the server is who it should be, and if it is not, why, in words that say what to do.
//!
//! rustls decides; its error alone does not tell a self-signed certificate from one of an unknown authority, nor whom
//! it names. A witness of one handshake puts that into words while the certificate is at hand.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::certificate::{Described, date, shown};
use super::material::{Material, Trust, provider};

/// How many of a certificate's names are told.
const NAMES_TOLD_MAX: usize = 3;

/// Verifies one server, and remembers what it said of it.
pub(super) struct Witness {
    material: Arc<Material>,
    complaint: Mutex<Option<String>>,
}

impl Witness {
    pub(super) fn of(material: &Arc<Material>) -> Arc<Self> {
        Arc::new(Self { material: Arc::clone(material), complaint: Mutex::new(None) })
    }

    /// Why the server was not believed, if it was not.
    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint.lock().clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.material.trust else { return Ok(ServerCertVerified::assertion()) };
        let verified = if trust.named.iter().any(|named| named == leaf) {
            verify_named(leaf, name, now)
        } else {
            trust.verifier.verify_server_cert(leaf, others, name, ocsp, now)
        };
        verified.inspect_err(|error| *self.complaint.lock() = Some(self.explain(trust, error, leaf, name, now)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.material.trust {
            Some(trust) => trust.verifier.verify_tls12_signature(message, certificate, signed),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.material.trust {
            Some(trust) => trust.verifier.verify_tls13_signature(message, certificate, signed),
            None => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that `tls.ca` names itself needs no authority: many a server signs its own, which no chain ends in.
fn verify_named(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
    let described = Described::of(leaf).ok_or(CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds > described.not_after {
        return Err(CertificateError::Expired.into());
    }
    if seconds < described.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}

impl Witness {
    fn explain(
        &self,
        trust: &Trust,
        error: &Error,
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> String {
        let Some(described) = Described::of(leaf) else {
            return "the server shows what is no certificate: check that this is the right port".to_owned();
        };
        let Error::InvalidCertificate(error) = error else { return refused(error) };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
                "the server's certificate expired on {} (subject {}), this machine's clock says {}: have it renewed, or \
                 set the clock",
                date(described.not_after),
                described.subject,
                date(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
                "the server's certificate is not yet valid, only from {} (subject {}), this machine's clock says {}: set \
                 the clock, or wait",
                date(described.not_before),
                described.subject,
                date(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
            ),
            CertificateError::NotValidForName => wrong_host(name, &[]),
            CertificateError::NotValidForNameContext { presented, .. } => wrong_host(name, presented),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => self.unknown(trust, &described),
            CertificateError::Revoked => "the server's certificate was revoked: have a new one issued".to_owned(),
            CertificateError::BadEncoding => "the server's certificate is damaged: have a new one issued".to_owned(),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
                "the server's certificate (subject {}) was not issued for servers: have one issued with the extended \
                 key usage serverAuth",
                described.subject
            ),
            // A certificate that may sign others and is shown as a server's own.
            _ if described.is_self_signed => self.unknown(trust, &described),
            error => refused(&Error::InvalidCertificate(error.clone())),
        }
    }

    fn unknown(&self, trust: &Trust, described: &Described) -> String {
        let Described { subject, issuer, .. } = described;
        let place = match &self.material.sources.ca {
            Some(path) => format!("tls.ca ({})", path.display()),
            None => "the system's store".to_owned(),
        };
        if described.is_self_signed {
            return format!(
                "the server's certificate is self-signed (subject {subject}) and is not in {place}: if it is the right \
                 one, name its file in tls.ca"
            );
        }
        let missing = if trust.named.is_empty() { "name the file of that authority in tls.ca" } else { "add it there" };
        format!(
            "the server's certificate (subject {subject}) is issued by an unknown CA, {issuer}, to which nothing in \
             {place} leads: {missing}, or have the server send the certificates in between"
        )
    }
}

fn wrong_host(name: &ServerName<'_>, presented: &[String]) -> String {
    // rustls writes a name as `DnsName("…")`.
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        shown(inner.trim_matches('"'))
    };
    let mut names = presented.iter().take(NAMES_TOLD_MAX).map(plain).collect::<Vec<_>>().join(", ");
    if presented.len() > NAMES_TOLD_MAX {
        names.push_str(", …");
    }
    let names = if names.is_empty() { "no host at all".to_owned() } else { names };
    format!(
        "the server's certificate is for another host: for {names}, not for {}; write one of its names into the URL, or \
         have a certificate issued for this one",
        name.to_str()
    )
}

fn refused(error: &Error) -> String {
    format!("the server's certificate is refused: {}; have another one issued", shown(&error.to_string()))
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("material", &self.material).finish_non_exhaustive()
    }
}
