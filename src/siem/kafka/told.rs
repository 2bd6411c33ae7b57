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
        let words = advice.map_or_else(|| said.to_owned(), |advice| format!("{said}: {advice}"));
        Self { words, failure: Some(failure) }
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
const NOT_AGREED: &str = "the broker refuses us: it demands a client's certificate (tls.cert, tls.key), or does not take ours, or has no \
                          cipher in common with us";
const NO_HANDSHAKE: &str = "the broker refuses to speak TLS as we do: look at its settings and its log";
const NO_TLS: &str = "the broker speaks no TLS on this port: look at the port, or set encryption = \"none\"";
const UNFINISHED: &str = "the broker is not well, or speaks no TLS on this port";
const TLS_ALONE: &str = "it hung up, and may speak TLS alone: encryption = \"tls\"";
/// Where librdkafka begins to advise, and where it tells of its state.
const ADVICE: [&str; 4] = [
    ": broker certificate could not be verified",
    ": client SSL authentication might",
    ": connecting to a PLAINTEXT",
    " (after ",
];

/// How librdkafka marks what it logs of a connection that has failed.
const LOGGED_FAILURE: &str = "FAIL";

/// What failed, and what to do, where we know.
fn understand(said: &str) -> Option<(Failure, Option<&'static str>)> {
    let has = |sign| said.contains(sign);
    let known = |failure, advice| Some((failure, Some(advice)));
    if has("certificate verify failed") {
        return known(Failure::Certificate, NOT_TRUSTED);
    }
    if let Some(alert) = alert(said) {
        return match alert {
            // TLS 1.2 says it of a certificate too.
            40 => known(Failure::Certificate, NOT_AGREED),
            // RFC 8446, 6.2: of a certificate, of its authority, or that there is none.
            42..=46 | 48 | 49 | 116 => known(Failure::Certificate, NOT_TAKEN),
            _ => known(Failure::Connection, NO_HANDSHAKE),
        };
    }
    if has("wrong version number") || has("state SSL_HANDSHAKE") && has("closed by peer") {
        known(Failure::Connection, NO_TLS)
    } else if has("state SSL_HANDSHAKE") {
        known(Failure::Connection, UNFINISHED)
    } else if has("Disconnected") && has("in state APIVERSION_QUERY") && is_named_by_address(said) {
        // Its first words were none for the other side.
        known(Failure::Connection, TLS_ALONE)
    } else {
        // It tells this in its log alone.
        has("Connection setup timed out").then_some((Failure::Connection, None))
    }
}

/// A broker that is spoken to without TLS, by its address: with it the name begins with `ssl://` or `sasl_ssl://`, and that of
/// the group's coordinator says neither.
fn is_named_by_address(said: &str) -> bool {
    !said.contains("ssl://") && !said.starts_with("GroupCoordinator")
}

/// What the other side ended the handshake with: `…: SSL alert number 116 (after 2ms in state SSL_HANDSHAKE)`.
fn alert(said: &str) -> Option<u8> {
    let (_, number) = said.split_once("SSL alert number ")?;
    number.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
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
            ("sslv3 alert handshake failure: SSL alert number 40", Failure::Certificate),
            ("tlsv1 alert protocol version: SSL alert number 70", Failure::Connection),
        ] {
            let said = format!(
                "ssl://kafka:9093/bootstrap: error:0A00045C:SSL routines::{alert} (after 2ms in state SSL_HANDSHAKE)"
            );
            let told = Told::of(&said);
            assert_eq!(told.failure, Some(failure), "{told:?}");
            assert!(told.words.contains(&format!("{alert}: the broker refuses")), "{told:?}");
        }
        for (said, advice) in [
            ("Connection setup timed out in state SSL_HANDSHAKE (after 5ms in state SSL_HANDSHAKE)", UNFINISHED),
            ("Disconnected: connection reset by peer (after 5ms in state SSL_HANDSHAKE)", UNFINISHED),
            ("Disconnected: connection closed by peer (after 5ms in state SSL_HANDSHAKE)", NO_TLS),
            (
                "SSL handshake failed: error:0A00010B:SSL routines::wrong version number (after 1ms in state SSL_HANDSHAKE)",
                NO_TLS,
            ),
        ] {
            // The group's coordinator by its role.
            for name in ["ssl://kafka:9093/bootstrap", "GroupCoordinator: kafka:9093"] {
                let told = Told::of(&format!("{name}: {said}"));
                assert!(told.failure == Some(Failure::Connection) && told.words.ends_with(advice), "{told:?}");
            }
        }
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
        let coordinator =
            "[thrd:GroupCoordinator]: GroupCoordinator: kafka:9093: Disconnected (after 3ms in state APIVERSION_QUERY)";
        assert!(Told::of_log("FAIL", coordinator).is_none(), "whether with TLS it does not say");
        let late = "[thrd:kafka:9092/1]: kafka:9092/1: Connection setup timed out in state CONNECT (after 8001ms in state CONNECT)";
        let told = Told::of_log("FAIL", late).unwrap();
        assert_eq!(told.words, "kafka:9092/1: Connection setup timed out in state CONNECT");
    }
}
