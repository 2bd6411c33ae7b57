//! Where a destination is: scheme, host, port and an optional path in front of the destination's own.

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

use super::dial::Place;

/// The base of a destination's addresses, such as `https://splunk.example:8088`.
///
/// ```
/// use siem_forward::net::BaseUrl;
///
/// let url: BaseUrl = "https://proxy.example:8443/splunk/".parse()?;
/// assert_eq!(url.join("/services/collector"), "https://proxy.example:8443/splunk/services/collector");
/// # Ok::<(), siem_forward::net::InvalidUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    is_https: bool,
    /// As in the URL: an IPv6 address with its brackets.
    host: String,
    port: u16,
    /// Empty, or a path that begins with a slash and does not end with one.
    prefix: String,
}

impl BaseUrl {
    /// Whether connections are made over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The path in front of the destination's own: empty, or with a leading and without a trailing slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The full address of `path`, before which a slash is put where it has none: it can never become part of the host.
    pub fn join(&self, path: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{self}{slash}{path}")
    }

    /// The host as the system's resolver takes it, without brackets.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// All of it that stands before the path.
    pub(super) fn origin(&self) -> String {
        let whole = self.to_string();
        whole.strip_suffix(&self.prefix).unwrap_or(&whole).to_owned()
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { host: self.bare_host(), port: self.port }
    }

    fn default_port(is_https: bool) -> u16 {
        if is_https { 443 } else { 80 }
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        // Looked at before parsing, which forgets the fragment and reads `host:8088` as a scheme.
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Scheme)?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidUrl::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(InvalidUrl::Query);
        }
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err(InvalidUrl::UserInfo);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Malformed)?;
        let authority = uri.authority().ok_or(InvalidUrl::Host)?;
        let host = authority.host();
        if host.is_empty() {
            return Err(InvalidUrl::Host);
        }
        let port = match authority.as_str().strip_prefix(host).and_then(|rest| rest.strip_prefix(':')) {
            None => Self::default_port(is_https),
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(InvalidUrl::Port)?,
        };
        Ok(Self { is_https, host: host.to_owned(), port, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != Self::default_port(self.is_https) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.prefix)
    }
}

/// The text is no base URL. It is not repeated, since it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// No scheme, or another than http and https.
    #[error("the URL must begin with https:// or http://")]
    Scheme,
    /// A user or password.
    #[error("the URL must not hold a user or password: the token has a setting of its own")]
    UserInfo,
    /// A query or a fragment.
    #[error("the URL must not hold a query (?) or a fragment (#): it is the base that the destination's path follows")]
    Query,
    /// No host.
    #[error("the URL names no host")]
    Host,
    /// No port that exists.
    #[error("the URL's port is not between 1 and 65535")]
    Port,
    /// Anything else.
    #[error("the URL holds characters that no URL may hold")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_base_url_keeps_its_parts_and_forgets_its_trailing_slash() {
        let url: BaseUrl = "HTTPS://splunk.example:8088/".parse().unwrap();
        assert_eq!(url.to_string(), "https://splunk.example:8088");
        let url: BaseUrl = "http://[::1]/proxy/splunk//".parse().unwrap();
        assert_eq!(url.join("/x"), "http://[::1]/proxy/splunk/x");
        assert_eq!("http://siem".parse::<BaseUrl>().unwrap().join(".evil.example"), "http://siem/.evil.example");
        assert_eq!((url.place().host, url.place().port), ("::1", 80));
        assert_eq!("https://a:443".parse::<BaseUrl>().unwrap().to_string(), "https://a");
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        for (text, error) in [
            ("", InvalidUrl::Scheme),
            ("splunk.example:8088", InvalidUrl::Scheme),
            ("ftp://splunk.example", InvalidUrl::Scheme),
            ("https://admin:hunter2@splunk.example", InvalidUrl::UserInfo),
            ("https://splunk.example?token=hunter2", InvalidUrl::Query),
            ("https://splunk.example/#hunter2", InvalidUrl::Query),
            ("https://", InvalidUrl::Malformed),
            ("https://splunk.example:0", InvalidUrl::Port),
            ("https://splunk.example:99999", InvalidUrl::Port),
            ("https://splunk example", InvalidUrl::Malformed),
        ] {
            let found = text.parse::<BaseUrl>().unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_that_reads_back_or_an_error(text in ".*", host in "[a-z.@:\\[\\]?#/ é0-9]{0,20}") {
            for text in [text, format!("https://{host}")] {
                if let Ok(url) = text.parse::<BaseUrl>() {
                    prop_assert_eq!(url.to_string().parse::<BaseUrl>(), Ok(url));
                }
            }
        }
    }
}
