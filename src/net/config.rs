//! What can be set of an HTTP client.

use std::time::Duration;

use super::Resolver;

/// The longest timeout or age: a day. It keeps every deadline within its type.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How requests are made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// How long a whole exchange may take, from the name's resolution to the last byte of the answer; 1 ms to a day.
    /// Default 30 s, recommended 5–10 s where the network is near.
    pub timeout: Duration,
    /// How long name resolution, TCP and TLS may take together for a new connection; 1 ms to `timeout`. Default 5 s.
    pub connect_timeout: Duration,
    /// Whether the server must show a certificate for its name that the system's store trusts (`SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name another store). Default true; without, anybody on the way can read the events and the
    /// token.
    pub verify_ssl: bool,
    /// How bodies are compressed. Default [`Compression::Gzip`].
    pub compression: Compression,
    /// Bodies of fewer bytes are sent as they are, since compressing would not pay. Default 1,024.
    pub compression_bytes_min: usize,
    /// Who finds the addresses of the host, anew for each connection. Default: the system.
    pub resolver: Resolver,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            verify_ssl: true,
            compression: Compression::Gzip,
            compression_bytes_min: 1024,
            resolver: Resolver::default(),
        }
    }
}

impl HttpConfig {
    /// The same with every duration within its range.
    pub(super) fn in_range(self) -> Self {
        let timeout = self.timeout.clamp(Duration::from_millis(1), DURATION_MAX);
        Self { timeout, connect_timeout: self.connect_timeout.clamp(Duration::from_millis(1), timeout), ..self }
    }
}

#[cfg(feature = "cli")]
mod keys {
    use super::HttpConfig;
    use crate::table::{Key, Section};

    impl HttpConfig {
        pub(crate) const KEYS: Section = Section {
            title: "Requests",
            keys: &[
                Key::default("verify_ssl", "true")
                    .range("true or false")
                    .meaning("whether the server's certificate is checked; without, anybody on the way reads events and token"),
                Key::default("timeout_seconds", "30")
                    .unit("seconds")
                    .range("0.001 to 86400")
                    .meaning("a whole request; 5–10 where the network is near: shorter sees a hang sooner, longer bears a slow SIEM"),
                Key::default("connect_timeout_seconds", "5")
                    .unit("seconds")
                    .range("0.001 to 86400")
                    .meaning("name, TCP and TLS of a new connection"),
                Key::default("compression", "\"gzip\"")
                    .range("\"none\" or \"gzip\"")
                    .meaning("gzip sends about an eighth of the bytes, and doubles the engine's CPU time"),
                Key::default("compression_bytes_min", "1024")
                    .unit("bytes")
                    .range("0 B to 1 GB")
                    .meaning("smaller bodies are sent as they are: compressing them costs more than it saves"),
            ],
        };
    }
}

#[cfg(feature = "cli")]
impl HttpConfig {
    /// Takes the keys of HTTP out of a pipeline's table; an absent key is its default.
    pub(crate) fn read(table: &mut crate::table::Table<'_>, problems: &mut crate::table::Problems) -> Self {
        let default = Self::default();
        let day = DURATION_MAX.as_secs_f64();
        let compression = [("none", Compression::None), ("gzip", Compression::Gzip)];
        let timeout = table.take_seconds("timeout_seconds", 0.001..=day, problems).unwrap_or(default.timeout);
        let connect_timeout = table.take_seconds("connect_timeout_seconds", 0.001..=day, problems);
        let bytes_min = table.take_bytes("compression_bytes_min", 0..=1_000_000_000, problems);
        Self {
            timeout,
            connect_timeout: connect_timeout.unwrap_or(default.connect_timeout),
            verify_ssl: table.take_bool("verify_ssl", problems).unwrap_or(default.verify_ssl),
            compression: table.take_choice("compression", &compression, problems).unwrap_or_default(),
            compression_bytes_min: bytes_min
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.compression_bytes_min),
            resolver: default.resolver,
        }
    }
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, level 1: audit events shrink to about an eighth at 600 MB/s.
    #[default]
    Gzip,
}
