//! What librdkafka says of a connection that fails, in words that lead somewhere.
//!
//! It names its own settings, which nobody finds in our configuration, and of some failures it tells in its log alone. Why a
//! certificate is not trusted it does not tell.

/// What librdkafka says of a connection, with our keys for its settings.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) words: String,
    /// What failed, where that is known here.
    pub(super) failure: Option<Failure>,
}

impl Told {
    pub(crate) fn of(said: &str) -> Self {
        let Some((failure, advice)) = understand(said) else {
            return Self { words: said.to_owned(), failure: None };
        };
        let end = ADVICE.into_iter().filter_map(|advice| said.find(advice)).min();
        let said = end.and_then(|end| said.get(..end)).unwrap_or(said);
        Self { words: format!("{said}: {advice}"), failure: Some(failure) }
    }

    /// A line of its log, where that is of a connection that fails in a way that is known here: some it tells there alone.
    pub(crate) fn of_log(facility: &str, line: &str) -> Option<Self> {
        // `[thrd:kafka:9092/bootstrap]: kafka:9092/bootstrap: Disconnected: …`
        let said = line.strip_prefix("[thrd:").and_then(|line| line.split_once("]: ")).map_or(line, |(_, said)| said);
        (facility == LOGGED_FAILURE).then(|| Self::of(said)).filter(|told| told.failure.is_some())
    }
}

/// What a connection's failure is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Somebody's certificate is not taken: that stays so until a file is another one, here or there.
    Certificate,
    /// A connection that may be another one the next time.
    Connection,
}

/// Our keys, and librdkafka's settings.
pub(super) const NAMES: [(&str, &str); 3] =
    [("tls.ca", "ssl.ca.location"), ("tls.cert", "ssl.certificate.location"), ("tls.key", "ssl.key.location")];

const NOT_TRUSTED: &str = "the broker's certificate is not trusted: what tls.ca names, or else the system's store, has not signed \
                           it, or it is of another host, or has expired";
const NOT_TAKEN: &str =
    "the broker refuses us: it demands a client's certificate (tls.cert, tls.key), or does not take ours";
const NO_HANDSHAKE: &str = "the broker refuses to speak TLS as we do: look at its settings and its log";
const NO_TLS: &str =
    "the broker speaks no TLS on this port, or is not well: look at the port, or set encryption = \"none\"";
const TLS_ALONE: &str = "it hung up, and may speak TLS alone: encryption = \"tls\"";
/// Where librdkafka begins to advise, and where it tells of its state.
const ADVICE: [&str; 5] = [
    ": broker certificate could not be verified",
    ": client SSL authentication might",
    ": connecting to a PLAINTEXT",
    ": requesting ApiVersion",
    " (after ",
];

/// How librdkafka marks what it logs of a connection that has failed.
const LOGGED_FAILURE: &str = "FAIL";

/// What failed, and what to do.
fn understand(said: &str) -> Option<(Failure, &'static str)> {
    // A broker's name begins with how it is spoken to: `ssl://`, `sasl_ssl://`.
    let is_tls = said.contains("ssl://");
    let has = |sign| said.contains(sign);
    if has("certificate verify failed") {
        Some((Failure::Certificate, NOT_TRUSTED))
    } else if let Some(alert) = alert(said) {
        Some(if is_of_certificate(alert) {
            (Failure::Certificate, NOT_TAKEN)
        } else {
            (Failure::Connection, NO_HANDSHAKE)
        })
    } else if is_tls && (has("state SSL_HANDSHAKE") || has("wrong version number")) {
        Some((Failure::Connection, NO_TLS))
    } else if !is_tls && has("Disconnected") && has("in state APIVERSION_QUERY") {
        // Its first words were none for the other side.
        Some((Failure::Connection, TLS_ALONE))
    } else {
        None
    }
}

/// What the other side ended the handshake with: `…: SSL alert number 116 (after 2ms in state SSL_HANDSHAKE)`.
fn alert(said: &str) -> Option<u8> {
    let (_, number) = said.split_once("SSL alert number ")?;
    number.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

/// RFC 8446, 6.2: of a certificate, of its authority, or that there is none; 40 says TLS 1.2 instead of the last one.
fn is_of_certificate(alert: u8) -> bool {
    matches!(alert, 40 | 42..=46 | 48 | 49 | 116)
}

/// librdkafka's settings by our keys.
pub(super) fn our_names(words: &str) -> String {
    NAMES.into_iter().fold(words.to_owned(), |words, (key, setting)| words.replace(setting, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_said_with_our_keys_and_what_to_do() {
        const VERIFY: &str = "ssl://kafka:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate \
                              verify failed: broker certificate could not be verified, verify that ssl.ca.location is \
                              correctly configured or root CA certificates are installed (install ca-certificates package) \
                              (after 2ms in state SSL_HANDSHAKE)";
        let Told { words, failure } = Told::of(VERIFY);
        assert_eq!(failure, Some(Failure::Certificate));
        let told = "ssl://kafka:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: \
                    the broker's certificate is not trusted: what tls.ca names";
        assert!(words.starts_with(told) && !words.contains("ssl.ca") && !words.contains("2ms"), "{words}");
        for (alert, failure) in [
            ("tlsv13 alert certificate required: SSL alert number 116", Failure::Certificate),
            ("sslv3 alert bad certificate: SSL alert number 42", Failure::Certificate),
            ("tlsv1 alert protocol version: SSL alert number 70", Failure::Connection),
        ] {
            let said = format!(
                "ssl://kafka:9093/bootstrap: error:0A00045C:SSL routines::{alert} (after 2ms in state SSL_HANDSHAKE)"
            );
            let told = Told::of(&said);
            assert_eq!(told.failure, Some(failure), "{told:?}");
            assert!(told.words.contains(&format!("{alert}: the broker refuses")), "{told:?}");
        }
        let late = "ssl://kafka:9093/bootstrap: Connection setup timed out in state SSL_HANDSHAKE (after 5ms in state SSL_HANDSHAKE)";
        let Told { words, failure } = Told::of(late);
        assert_eq!(failure, Some(Failure::Connection));
        assert!(words.contains("in state SSL_HANDSHAKE: the broker speaks no TLS"), "{words}");
        let refused = "kafka:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
        let Told { words, failure } = Told::of(refused);
        assert_eq!((words.as_str(), failure), (refused, None));
    }

    #[test]
    fn of_the_log_only_what_is_known_is_taken_and_without_the_thread() {
        const LINE: &str = "[thrd:kafka:9092/bootstrap]: kafka:9092/bootstrap: Disconnected: connection closed by peer (after 3ms \
                            in state APIVERSION_QUERY)";
        let told = Told::of_log("FAIL", LINE).unwrap();
        assert_eq!(told.words, format!("kafka:9092/bootstrap: Disconnected: connection closed by peer: {TLS_ALONE}"));
        assert!(Told::of_log("CONNECT", LINE).is_none());
        let plain = "[thrd:kafka:9092/1]: kafka:9092/1: Disconnected (after 60000ms in state UP)";
        assert!(Told::of_log("FAIL", plain).is_none(), "brokers close what is idle");
    }
}
