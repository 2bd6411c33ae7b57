//! Why nothing gets through to the brokers, as far as librdkafka says, and why a client cannot be made.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::fate::{Meaning, later, meaning};
use super::told::{Failure, Told, our_names};
use crate::siem::{Cause, CauseKind, Verdict};

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
    said: Option<String>,
    /// What failed last of each that was heard of, by its name, since something got through.
    failed: BTreeMap<String, Option<Failure>>,
}

/// Why nothing gets through.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// No broker is connected.
    Away(String),
    /// The same, and of each that was heard of somebody's certificate is not taken: that stays so until a file is another one.
    NotTrusted(String),
    /// The brokers do not let us in.
    Refused(String),
}

impl Trouble {
    /// As the verdict on whatever waits for it: none of them is about what is sent.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Away(words) => Verdict::retry(later(words)),
            Self::NotTrusted(words) => Verdict::Halt(Cause::new(CauseKind::Tls).words(words)),
            Self::Refused(words) => Verdict::Halt(Cause::new(CauseKind::NotAuthorized).words(words)),
        }
    }
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
            _ => state.failed(Told::of(reason)),
        }
    }

    /// Takes in a line of librdkafka's log: of some connections that fail it tells there alone.
    pub(crate) fn read(&self, facility: &str, line: &str) {
        if let Some(told) = Told::of_log(facility, line) {
            self.0.lock().failed(told);
        }
    }

    /// Something got through.
    pub(super) fn clear(&self) {
        let state = &mut *self.0.lock();
        (state.refused, state.down) = (None, None);
        // What was said may still explain what comes, since librdkafka does not repeat it at once; it decides on nothing any more.
        state.failed.clear();
    }

    /// The one that there is; `None` while nothing bad is said.
    pub(crate) fn present(&self) -> Option<Trouble> {
        let state = self.0.lock();
        // After a refusal they are also all away: that says less.
        if let Some(words) = &state.refused {
            return Some(Trouble::Refused(words.clone()));
        }
        let down = state.down.as_ref()?;
        let Some(said) = &state.said else { return Some(Trouble::Away(down.clone())) };
        let are_certificates = state.failed.values().all(|failure| *failure == Some(Failure::Certificate));
        Some(if are_certificates && !state.failed.is_empty() {
            Trouble::NotTrusted(said.clone())
        } else {
            Trouble::Away(format!("{down}: {said}"))
        })
    }
}

impl State {
    fn failed(&mut self, told: Told) {
        let name = told.words.split_once(": ").map_or("", |(name, _)| name);
        self.failed.insert(name.to_owned(), told.failure);
        self.said = Some(told.words);
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

    /// Else an event that had failed before, while others were delivered, would be given up for a password.
    #[test]
    fn no_trouble_is_charged_to_an_event() {
        for trouble in [Trouble::Away, Trouble::NotTrusted, Trouble::Refused] {
            let verdict = trouble("words".to_owned()).verdict();
            let (Verdict::Retry { cause, .. } | Verdict::Halt(cause)) = &verdict else { panic!("{verdict:?}") };
            assert!(cause.is_the_endpoints(), "{verdict:?}");
        }
    }

    #[test]
    fn a_certificate_is_a_refusal_once_no_broker_is_left_and_not_of_an_outage_that_comes_later() {
        let troubles = Troubles::default();
        note(&troubles, RDKafkaErrorCode::SSL, UNTRUSTED);
        assert_eq!(shown(&troubles), "None", "the others may do");
        note(&troubles, RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let refused = shown(&troubles);
        assert!(
            refused.starts_with("Some(NotTrusted(\"ssl://kafka:9093/1") && refused.contains("is not trusted"),
            "{refused}"
        );
        let away = |troubles: &Troubles| shown(troubles).starts_with("Some(Away(");
        note(&troubles, RDKafkaErrorCode::BrokerTransportFailure, "ssl://kafka:9093/2: Connect failed");
        note(&troubles, RDKafkaErrorCode::SSL, UNTRUSTED);
        assert!(away(&troubles), "another one may do once it is back: {}", shown(&troubles));
        troubles.clear();
        note(&troubles, RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(away(&troubles), "{}", shown(&troubles));
    }
}
