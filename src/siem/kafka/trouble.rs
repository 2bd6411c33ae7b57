//! Why nothing gets through to the brokers, as far as librdkafka says, and why a client cannot be made.

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::fate::{Meaning, meaning};
use super::told::{Failure, Told, our_names};

/// What one client has heard of its connections.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The brokers refused us, in these words.
    refused: Option<String>,
    /// All brokers are away, in librdkafka's words.
    down: Option<String>,
    /// What was last said of one broker: why it is away, once all are.
    said: Option<Told>,
}

/// Why nothing gets through.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// No broker is connected.
    Away(String),
    /// The brokers refuse us, or we them.
    Refused(String),
}

impl Troubles {
    /// Takes in an error of a connection.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let state = &mut *self.0.lock();
        match meaning(code, false) {
            Meaning::Refused => state.refused = Some(Told::of(reason).words),
            _ if code == RDKafkaErrorCode::AllBrokersDown => state.down = Some(reason.to_owned()),
            // One of several brokers: the others may do.
            _ => state.said = Some(Told::of(reason)),
        }
    }

    /// Takes in a line of librdkafka's log: of some connections that fail it tells there alone.
    pub(crate) fn read(&self, facility: &str, line: &str) {
        if let Some(told) = Told::of_log(facility, line) {
            self.0.lock().said = Some(told);
        }
    }

    /// Something got through.
    pub(super) fn clear(&self) {
        let state = &mut *self.0.lock();
        (state.refused, state.down) = (None, None);
        // What was said may still explain what comes, since librdkafka says nothing twice; it decides on nothing any more.
        if let Some(told) = &mut state.said {
            told.failure = None;
        }
    }

    /// The one that there is; `None` while nothing bad is said.
    pub(crate) fn present(&self) -> Option<Trouble> {
        let state = self.0.lock();
        // After a refusal they are also all away: that says less.
        if let Some(words) = &state.refused {
            return Some(Trouble::Refused(words.clone()));
        }
        let down = state.down.as_ref()?;
        Some(match &state.said {
            None => Trouble::Away(down.clone()),
            Some(Told { words, failure: Some(Failure::Certificate) }) => Trouble::Refused(words.clone()),
            Some(Told { words, .. }) => Trouble::Away(format!("{down}: {words}")),
        })
    }
}

/// Why a client cannot be made. The error itself would show a setting's value, which may be the password.
pub(crate) fn not_made(error: KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => format!("librdkafka takes no such {name}"),
        KafkaError::ClientCreation(words) => format!("librdkafka does not start: {}", our_names(&words)),
        other => format!("librdkafka does not start: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTRUSTED: &str = "ssl://kafka:9093/1: certificate verify failed (after 1ms in state SSL_HANDSHAKE)";

    fn note(troubles: &Troubles, code: RDKafkaErrorCode, reason: &str) {
        troubles.note(&KafkaError::Global(code), reason);
    }

    fn shown(troubles: &Troubles) -> String {
        format!("{:?}", troubles.present())
    }

    #[test]
    fn why_all_brokers_are_away_is_what_was_last_said_of_one() {
        let troubles = Troubles::default();
        note(&troubles, RDKafkaErrorCode::Resolve, "kafka: unknown host");
        assert_eq!(shown(&troubles), "None", "the others may do");
        note(&troubles, RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(shown(&troubles), "Some(Away(\"1/1 brokers are down: kafka: unknown host\"))");
        // That all are away librdkafka says but once.
        note(&troubles, RDKafkaErrorCode::BrokerTransportFailure, "kafka: refused");
        assert_eq!(shown(&troubles), "Some(Away(\"1/1 brokers are down: kafka: refused\"))");
        note(&troubles, RDKafkaErrorCode::Authentication, "kafka: who are you?");
        note(&troubles, RDKafkaErrorCode::BrokerTransportFailure, "kafka: gone");
        assert_eq!(shown(&troubles), "Some(Refused(\"kafka: who are you?\"))", "what is away says less");
        troubles.clear();
        assert_eq!(shown(&troubles), "None");
    }

    #[test]
    fn a_certificate_is_a_refusal_once_no_broker_is_left_and_not_of_an_outage_that_comes_later() {
        let troubles = Troubles::default();
        note(&troubles, RDKafkaErrorCode::SSL, UNTRUSTED);
        assert_eq!(shown(&troubles), "None", "the others may do");
        note(&troubles, RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let refused = shown(&troubles);
        assert!(
            refused.starts_with("Some(Refused(\"ssl://kafka:9093/1") && refused.contains("is not trusted"),
            "{refused}"
        );
        troubles.clear();
        note(&troubles, RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(shown(&troubles).starts_with("Some(Away("), "{}", shown(&troubles));
    }
}
