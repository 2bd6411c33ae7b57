//! What can be set of an HTTP client.

use std::time::Duration;

use super::{BaseUrl, HttpError, HttpErrorKind, Proxy, Resolver, TlsConfig};

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
    /// Whether the server must show a certificate for its name that `tls.ca` or the system's store trusts. Default true;
    /// without, anybody on the way can read the events and the token.
    pub verify_ssl: bool,
    /// Whom to trust, who we are, and how old TLS may be. Default: the system's store, nobody, TLS 1.2.
    pub tls: TlsConfig,
    /// Whether the way leads through an HTTP proxy. Default [`Proxy::none`]: the environment is not asked.
    pub proxy: Proxy,
    /// How bodies are compressed. Default [`Compression::Gzip`].
    pub compression: Compression,
    /// How hard gzip tries, 1 to 9: more makes smaller bodies for more CPU time. Default 1.
    pub compression_level: u32,
    /// Bodies of fewer bytes are sent as they are, since compressing would not pay. Default 1,024.
    pub compression_bytes_min: usize,
    /// Who finds the addresses of the host, anew for each connection; through a proxy, those of the
    /// proxy. Default: the system.
    pub resolver: Resolver,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            verify_ssl: true,
            tls: TlsConfig::default(),
            proxy: Proxy::none(),
            compression: Compression::Gzip,
            compression_level: 1,
            compression_bytes_min: 1024,
            resolver: Resolver::default(),
        }
    }
}

impl HttpConfig {
    /// The same with every duration and the level within their ranges.
    pub(super) fn in_range(self) -> Self {
        let timeout = self.timeout.clamp(Duration::from_millis(1), DURATION_MAX);
        Self {
            timeout,
            connect_timeout: self.connect_timeout.clamp(Duration::from_millis(1), timeout),
            compression_level: self.compression_level.clamp(1, 9),
            ..self
        }
    }
}

impl HttpConfig {
    /// Reads the files that connections to `url` will need, so that a mistake in one is found when a forwarder starts
    /// ([`Siem::prepare`](crate::Siem::prepare)) and not at the first event, and logs a warning of what is dangerous.
    /// Nothing is connected to.
    ///
    /// # Errors
    /// [`HttpErrorKind::Tls`] when a file of `tls` cannot be used or the system has no
    /// certificates to trust; the words name key and file. [`HttpErrorKind::Unreachable`]
    /// when the environment names a proxy that is none.
    pub fn prepare(&self, url: &BaseUrl) -> Result<(), HttpError> {
        let gateway = self.proxy.on_the_way_to(url);
        gateway.map_err(|words| HttpError::new(HttpErrorKind::Unreachable, words))?;
        if !url.is_https() {
            if self.tls != TlsConfig::default() {
                log::warn!("tls has no effect: the URL {url} is http, anybody on the way can read events and token");
            }
            return Ok(());
        }
        self.tls.read(self.verify_ssl).map_err(|error| HttpError::new(HttpErrorKind::Tls, error.to_string()))?;
        if !self.verify_ssl {
            log::warn!(
                "verify_ssl = false: anybody on the way to {url} can pass for it, and read events and token; name the CA \
                 or the certificate of the server in tls.ca instead"
            );
        }
        for doubt in self.tls.doubts() {
            log::warn!("{doubt}");
        }
        Ok(())
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
                    .meaning("whether the server's certificate is checked; without, anybody on the way reads events and token, and each start warns of it"),
                Key::default("proxy", "\"none\"")
                    .range("\"http://HOST:PORT\", \"none\" or \"env\"")
                    .meaning("an HTTP proxy; with a password its URL has a place, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`; \"env\" asks the environment"),
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
                    .meaning("gzip sends about an eighth of the bytes, for two to three times the CPU time of the engine"),
                Key::default("compression_level", "1")
                    .range("1 to 9")
                    .meaning("how hard gzip tries: the engine computes a third more at 3 and twice as much at 6, for 30 and 40 % fewer bytes"),
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
        let timeout = table.take_seconds("timeout_seconds", 0.001..=day, problems).unwrap_or(default.timeout);
        let connect_timeout = table.take_seconds("connect_timeout_seconds", 0.001..=day, problems);
        let level = table.take_integer("compression_level", 1..=9, problems);
        let bytes_min = table.take_bytes("compression_bytes_min", 0..=1_000_000_000, problems);
        // Where only the whole is set, connecting has no more than that anyway.
        if let Some(connect) = connect_timeout.filter(|connect| *connect > timeout) {
            let what =
                format!("{} s is longer than timeout_seconds = {}", connect.as_secs_f64(), timeout.as_secs_f64());
            let help = "connecting is part of the whole: lower it, or raise timeout_seconds";
            table.blame("connect_timeout_seconds", &what, help, problems);
        }
        let verify_ssl = table.take_bool("verify_ssl", problems).unwrap_or(default.verify_ssl);
        Self {
            timeout,
            connect_timeout: connect_timeout.unwrap_or(default.connect_timeout),
            verify_ssl,
            tls: TlsConfig::of_table(table, verify_ssl, problems),
            proxy: Proxy::of_table(table, problems),
            compression: table.take_choice("compression", &Compression::NAMES, problems).unwrap_or_default(),
            compression_level: level.and_then(|level| u32::try_from(level).ok()).unwrap_or(default.compression_level),
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
    /// gzip, of [`HttpConfig::compression_level`]: at level 1 audit events shrink to about an eighth at 600 MB/s.
    #[default]
    Gzip,
}

#[cfg(feature = "cli")]
impl Compression {
    /// By their names in the configuration file.
    pub(crate) const NAMES: [(&'static str, Self); 2] = [("none", Self::None), ("gzip", Self::Gzip)];
}
