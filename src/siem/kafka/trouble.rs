//! Why nothing gets through to the brokers, as far as librdkafka says, and why a client cannot be made.

use parking_lot::Mutex;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::fate::{Meaning, meaning};

/// What one client has heard of its connections.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    present: Mutex<Option<Trouble>>,
    /// What was last said of one broker: why it is away, once all are.
    said: Mutex<String>,
}

/// Why nothing gets through.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// No broker is connected.
    Away(String),
    /// The brokers refuse us.
    Refused(String),
}

impl Troubles {
    /// Takes in an error of a connection.
    pub(crate) fn note(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let trouble = match meaning(code, false) {
            Meaning::Refused => Trouble::Refused(reason.to_owned()),
            _ if code == RDKafkaErrorCode::AllBrokersDown => {
                let said = self.said.lock();
                Trouble::Away(if said.is_empty() { reason.to_owned() } else { format!("{reason}: {said}") })
            }
            // One of several brokers: the others may do.
            _ => return reason.clone_into(&mut self.said.lock()),
        };
        let present = &mut *self.present.lock();
        // After a refusal they are also all away: that says less.
        if !matches!((&*present, &trouble), (Some(Trouble::Refused(_)), Trouble::Away(_))) {
            *present = Some(trouble);
        }
    }

    /// Something got through.
    pub(super) fn clear(&self) {
        let mut present = self.present.lock();
        if present.is_some() {
            *present = None;
        }
    }

    /// The one that there is; `None` while nothing bad is said.
    pub(crate) fn present(&self) -> Option<Trouble> {
        self.present.lock().clone()
    }
}

/// Why a client cannot be made. The error itself would show a setting's value, which may be the password.
pub(crate) fn not_made(error: KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => format!("librdkafka takes no such {name}"),
        KafkaError::ClientCreation(words) => format!("librdkafka does not start: {words}"),
        other => format!("librdkafka does not start: {other}"),
    }
}
