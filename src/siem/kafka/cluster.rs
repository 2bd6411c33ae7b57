//! Where a cluster is, and how it is spoken to: what producers and consumers have in common.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::{KafkaError, KafkaTls, SaslMechanism};
use crate::secret::{Secret, SecretFile};
use crate::siem::credential::{Credential, Scheme, Written};
use crate::siem::{Cause, CauseKind, Verdict};

/// Of the header only the noun is used: Kafka has no headers to show a password in.
pub(super) const PASSWORD: Scheme = Scheme { noun: "password", header: "", prefix: "", written: Written::AsItIs };
/// Between two attempts to reach a broker; librdkafka doubles up to this.
const RECONNECT_MS_MAX: &str = "1000";
/// A connection that takes too long is to be told of before nobody waits for it any more; librdkafka looks once a second.
const SETUP_MARGIN: Duration = Duration::from_secs(2);

/// A cluster.
pub(crate) struct Cluster {
    brokers: Vec<String>,
    tls: Option<KafkaTls>,
    pub(super) login: Option<Login>,
    pub(crate) timeout: Duration,
}

/// By which name we log in.
pub(super) struct Login {
    pub(super) mechanism: SaslMechanism,
    pub(super) username: String,
    pub(super) password: Credential,
}

impl Cluster {
    pub(super) fn new(brokers: Vec<String>) -> Result<Self, KafkaError> {
        let is_broker = |broker: &String| {
            let port = broker.rsplit_once(':').map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
            let is_plain = broker.bytes().all(|byte| byte.is_ascii_graphic() && !b",/@".contains(&byte));
            is_plain && matches!(port, Some((true, Ok(1..))))
        };
        if brokers.is_empty() || !brokers.iter().all(is_broker) {
            return Err(KafkaError::Brokers);
        }
        Ok(Self { brokers, tls: None, login: None, timeout: Duration::from_secs(10) })
    }

    /// Speaks TLS with the brokers.
    ///
    /// # Errors
    /// Where this build has none.
    pub(super) fn tls(&mut self, tls: KafkaTls) -> Result<(), KafkaError> {
        self.tls = cfg!(feature = "kafka-tls").then_some(tls);
        if self.tls.is_some() { Ok(()) } else { Err(KafkaError::NoTls) }
    }

    /// Logs in with a password that stays.
    pub(super) fn log_in(
        &mut self,
        mechanism: SaslMechanism,
        username: String,
        password: Secret,
    ) -> Result<(), KafkaError> {
        let password = Credential::fixed(PASSWORD, password);
        self.log_in_with(
            mechanism,
            username,
            password.map_err(|problem| KafkaError::Password(PASSWORD.complaint(&problem)))?,
        )
    }

    /// Logs in with what the file holds, read again for each new client.
    pub(super) fn log_in_by_file(
        &mut self,
        mechanism: SaslMechanism,
        username: String,
        file: PathBuf,
    ) -> Result<(), KafkaError> {
        let password = Credential::of_file(PASSWORD, SecretFile::new(file));
        self.log_in_with(
            mechanism,
            username,
            password.map_err(|problem| KafkaError::Password(PASSWORD.complaint(&problem)))?,
        )
    }

    pub(super) fn log_in_with(
        &mut self,
        mechanism: SaslMechanism,
        username: String,
        password: Credential,
    ) -> Result<(), KafkaError> {
        if !mechanism.is_built() {
            return Err(KafkaError::NoScram);
        }
        self.login = Some(Login { mechanism, username, password });
        Ok(())
    }

    /// What to look at once at start, without a network.
    pub(crate) fn prepare(&self) -> Result<(), String> {
        if let Some(tls) = &self.tls {
            tls.prepare()?;
        }
        if let Some(login) = &self.login {
            if let Some(doubt) = login.password.doubt() {
                log::warn!("{doubt}");
            }
            if self.tls.is_none() && login.mechanism == SaslMechanism::Plain {
                log::warn!("encryption = \"none\": anybody on the way to {self} can read the events and the password");
            }
        }
        Ok(())
    }

    /// The settings of a client, the password read again.
    ///
    /// # Errors
    /// When the file of the password holds none.
    pub(crate) fn client(&self) -> Result<ClientConfig, Cause> {
        let mut config = ClientConfig::new();
        let setup_ms = millis(self.timeout.saturating_sub(SETUP_MARGIN));
        config
            // That a broker hangs up is told there.
            .set_log_level(RDKafkaLogLevel::Info)
            .set("client.id", "siem-forward")
            .set("bootstrap.servers", self.brokers.join(","))
            .set("socket.keepalive.enable", "true")
            .set("socket.connection.setup.timeout.ms", setup_ms.clamp(1000, 2_147_483_647).to_string())
            .set("reconnect.backoff.max.ms", RECONNECT_MS_MAX);
        let protocol = match (&self.tls, &self.login) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.set(&mut config);
        }
        if let Some(Login { mechanism, username, password }) = &self.login {
            config.set("sasl.mechanism", mechanism.name()).set("sasl.username", username);
            let password = password.read_again().map_err(|verdict| match verdict {
                Verdict::Halt(cause) => cause,
                _ => Cause::new(CauseKind::Unreachable).words("there is no password"),
            })?;
            config.set("sasl.password", password.secret());
        }
        Ok(config)
    }
}

/// Milliseconds of a duration, as many as fit.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The brokers.
impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.brokers.join(","))
    }
}

/// The password stays unseen.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { brokers, tls, login, timeout } = self;
        f.debug_struct("Cluster")
            .field("brokers", brokers)
            .field("tls", tls)
            .field("login", &login.as_ref().map(|login| (login.mechanism, &login.username, &login.password)))
            .field("timeout", timeout)
            .finish()
    }
}
