//! What does not describe a cluster, and how one logs in.

/// What was given does not describe where records go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KafkaError {
    /// There is no broker, or something that is none among them.
    #[error("a broker is written HOST:PORT, such as \"kafka-1.example:9092\", and there is at least one")]
    Brokers,
    /// The topic is no name and no pattern.
    #[error(
        "is no topic: letters, digits, `.`, `_` and `-`, up to 249, and between them {{event_type}}, {{severity}} or {{date}}"
    )]
    Topic,
    /// There is no such key.
    #[error("names no key: none, a field such as user_id, or details.NAME")]
    Key,
    /// The password cannot be used; says why.
    #[error("{0}")]
    Password(String),
    /// TLS was asked for, and this build cannot.
    #[error("this build speaks no TLS with Kafka: build it with `cargo build --release --features kafka-tls`")]
    NoTls,
    /// SCRAM was asked for, and this build cannot.
    #[error("this build has no SCRAM: build it with `cargo build --release --features kafka-tls`, or use PLAIN")]
    NoScram,
}

/// How a password is shown to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// As it is: anybody on the way reads it, unless TLS is spoken.
    #[default]
    Plain,
    /// By a challenge, with SHA-256. Needs the feature `kafka-tls`, whose library it is made with.
    ScramSha256,
    /// By a challenge, with SHA-512. The same.
    ScramSha512,
}

impl SaslMechanism {
    /// As Kafka calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    pub(super) fn is_built(self) -> bool {
        self == Self::Plain || cfg!(feature = "kafka-tls")
    }
}
