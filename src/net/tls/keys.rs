//! The keys of `tls` in the configuration file.

use super::{TlsConfig, TlsVersion};
use crate::table::{Key, Problems, Section, Table};

impl TlsConfig {
    pub(crate) const KEYS: Section = Section {
        title: "TLS (files in PEM, read again for each connection)",
        keys: &[
            Key::optional("tls.ca", "the system's store", "\"ca.pem\"")
                .range("a text")
                .meaning("the certificates to trust, instead of the system's"),
            Key::optional("tls.cert", "none", "\"client.pem\"")
                .range("a text")
                .meaning("the client's certificate, where the server asks for one; with `tls.key`"),
            Key::optional("tls.key", "none", "\"client.key\"").range("a text").meaning("the key of that certificate"),
            Key::default("tls.min_version", "\"1.2\"")
                .range("\"1.2\" or \"1.3\"")
                .meaning("the oldest version of TLS that is spoken"),
        ],
    };

    /// Takes `tls` out of a pipeline's table, and reads the files that it names: a mistake in one is a problem of its
    /// key. Absent keys are their defaults.
    pub(in crate::net) fn of_table(table: &mut Table<'_>, verify_ssl: bool, problems: &mut Problems) -> Self {
        let Some(mut keys) = table.take_table("tls", problems) else { return Self::default() };
        let mut path = |key| keys.take_path(key, problems);
        let (ca, cert, key) = (path("ca"), path("cert"), path("key"));
        let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
        let min_version = keys.take_choice("min_version", &versions, problems).unwrap_or_default();
        match (keys.has("cert"), keys.has("key")) {
            (true, false) => keys.require("key", "key = \"client.key\": a certificate needs its key", problems),
            (false, true) => keys.require("cert", "cert = \"client.pem\": a key needs its certificate", problems),
            _ => {}
        }
        let is_whole = cert.is_some() == key.is_some();
        let tls = Self { ca, cert, key, min_version, ..Self::default() };
        // The system's store is no file of this table: whether it can be read is found when the forwarder starts.
        if is_whole && let Err(error) = tls.read(verify_ssl && tls.ca.is_some()) {
            // Without a path it may be the key itself that stands there.
            let help = "name a file in PEM that this user may read";
            match error.path {
                Some(_) => keys.blame(error.key, &error.what, help, problems),
                None => keys.blame_secret(error.key, &error.what, help, problems),
            }
        }
        keys.finish(problems);
        tls
    }
}
