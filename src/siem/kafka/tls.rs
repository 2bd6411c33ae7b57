//! TLS with the brokers: the files that it takes, and whether OpenSSL can use them. librdkafka reads them when a client is made.

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};

use super::told::NAMES;
use super::trouble::not_made;
use crate::net::is_pem_itself;
use crate::secret::exposure;

/// Files in PEM for TLS with the brokers; the system's store where no authority is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KafkaTls {
    /// The certificates to trust instead of the system's. Default none.
    pub ca: Option<PathBuf>,
    /// The client's certificate, where the brokers ask for one; needs `key`. Default none.
    pub cert: Option<PathBuf>,
    /// The key of that certificate. Default none.
    pub key: Option<PathBuf>,
}

impl KafkaTls {
    /// Our key, librdkafka's setting, and the file.
    fn files(&self) -> impl Iterator<Item = (&'static str, &'static str, &Path)> {
        let files = [&self.ca, &self.cert, &self.key];
        NAMES.into_iter().zip(files).filter_map(|((key, setting), file)| Some((key, setting, file.as_deref()?)))
    }

    /// Names them in a client's settings.
    pub(super) fn set(&self, config: &mut ClientConfig) {
        for (_, setting, file) in self.files() {
            config.set(setting, file.display().to_string());
        }
    }

    /// Looks at the files as a client would, without a network.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub(super) fn prepare(&self) -> Result<(), String> {
        for (key, _, file) in self.files() {
            if is_pem_itself(file) {
                // Not shown: it may be the key.
                return Err(format!("{key} holds the PEM text itself: write it into a file, and name that file here"));
            }
            std::fs::File::open(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err("tls.key is missing: a certificate needs its key".to_owned()),
            (None, Some(_)) => return Err("tls.cert is missing: a key needs its certificate".to_owned()),
            _ => {}
        }
        self.try_files()?;
        if let Some(doubt) = self.key.as_deref().and_then(exposure) {
            log::warn!("{doubt}");
        }
        Ok(())
    }

    /// Has a client made of them that knows no broker, and so connects to none.
    fn try_files(&self) -> Result<(), String> {
        let mut config = ClientConfig::new();
        config.set("security.protocol", "ssl");
        self.set(&mut config);
        let made: Result<BaseProducer<Unheard>, _> = config.create_with_context(Unheard);
        let Err(error) = made else { return Ok(()) };
        let words = not_made(error);
        let blamed = self.files().find_map(|(key, _, file)| {
            let why = words.split_once(&format!("{key} failed: "))?.1;
            Some(format!("{key} ({}) cannot be used: {}{why}", file.display(), expected(key, why)))
        });
        Err(blamed.unwrap_or(words))
    }
}

/// What OpenSSL missed in the file of this key, where its own words tell nobody.
fn expected(key: &str, why: &str) -> &'static str {
    let is_no_pem = ["no start line", "no certificate", "bad base64", "asn1", "ASN.1", "DECODER", "PEM"]
        .iter()
        .any(|sign| why.contains(sign));
    match key {
        "tls.key" if why.contains("mismatch") => "it is not the key of tls.cert: ",
        // It asks for the password of an encrypted one, and nobody is there to answer; which of these it is it does not say.
        "tls.key" if is_no_pem => {
            "it holds no private key in PEM, or an encrypted one, or one of another kind than tls.cert's: "
        }
        "tls.ca" | "tls.cert" if is_no_pem => "it holds no certificate in PEM: ",
        _ => "",
    }
}

/// What the trial of the files logs: its error says it.
struct Unheard;

impl ClientContext for Unheard {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }
}

impl ProducerContext for Unheard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
