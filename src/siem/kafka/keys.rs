//! Kafka's keys of the configuration file.

use crate::table::{Key, Section};

pub(crate) const KEYS: Section = Section {
    title: "Kafka",
    keys: &[
        Key::required("brokers", "[\"kafka-1.example:9092\"]")
            .range("a list of texts")
            .meaning("some of the cluster's brokers, `HOST:PORT` each; they name the others"),
        Key::required("topic", "\"audit\"").range("a text").meaning(
            "where records go: a name, or a pattern such as `audit-{severity}`; also `{event_type}`, and `{date}`, the event's day in UTC",
        ),
        Key::default("key", "\"none\"").range("a text").meaning(
            "what decides on the partition, and so what keeps its order: a field such as `user_id`, or `details.NAME`; \"none\" spreads",
        ),
        Key::default("compression", "\"lz4\"").range("\"none\", \"lz4\", \"zstd\" or \"gzip\"").meaning(
            "zstd sends less than lz4, for two to three times the CPU time",
        ),
        Key::optional("username", "nobody logs in", "\"siem-forward\"")
            .range("a text")
            .meaning("the name for SASL; with `password`"),
        Key::optional("password", "nobody logs in", "{ env = \"KAFKA_PASSWORD\" }")
            .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
            .meaning("where the password is; never the password itself. A file is read again after a refusal"),
        Key::default("sasl_mechanism", "\"PLAIN\"").range("\"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"").meaning(
            "how the password is shown; SCRAM needs a build with the feature `kafka-tls`",
        ),
        Key::default("encryption", "\"none\"").range("\"none\" or \"tls\"").meaning(
            "\"tls\" needs a build with the feature `kafka-tls`; without, anybody on the way reads the events",
        ),
        Key::optional("tls.ca", "the system's store", "\"ca.pem\"")
            .range("a text")
            .meaning("the certificates to trust, instead of the system's")
            .beside("encryption = \"tls\""),
        Key::optional("tls.cert", "none", "\"client.pem\"")
            .range("a text")
            .meaning("the client's certificate, where the brokers ask for one; with `tls.key`")
            .beside("encryption = \"tls\""),
        Key::optional("tls.key", "none", "\"client.key\"")
            .range("a text")
            .meaning("the key of that certificate")
            .beside("encryption = \"tls\""),
        Key::default("timeout_seconds", "10")
            .unit("seconds")
            .range("1 to 86400")
            .meaning("how long a broker is waited for when a connection is made or health is asked"),
        Key::default("message_timeout_seconds", "120").unit("seconds").range("1 to 86400").meaning(
            "how long a record waits for the broker's report before the engine sends it again; below `ack_timeout_seconds`",
        ),
        Key::default("message_bytes_max", "\"1 MB\"").unit("bytes").range("1 KB to 1 GB").meaning(
            "the most bytes of a request, so of a record; not above the brokers' `message.max.bytes`",
        ),
    ],
};

#[cfg(feature = "kafka")]
pub(crate) use read::cluster as cluster_of_table;

#[cfg(feature = "kafka")]
mod read {
    use std::time::Duration;

    use super::super::cluster::{Cluster, PASSWORD};
    use super::super::record::RecordKey;
    use super::super::topic::Topic;
    use super::super::{Kafka, KafkaCompression, KafkaError, KafkaTls, SaslMechanism};
    use crate::siem::keys;
    use crate::table::{Problems, Table};

    impl Kafka {
        /// Takes Kafka's keys out of a pipeline's table, and fetches the password from its place. The engine gives a
        /// record up after `ack_timeout`.
        pub(crate) fn read(table: &mut Table<'_>, ack_timeout: Duration, problems: &mut Problems) -> Option<Self> {
            let cluster = cluster(table, problems);
            table.require("topic", "topic = \"audit\"", problems);
            let topic = table.take_parsed("topic", "\"audit-{severity}\"", problems, Topic::read);
            let key =
                table.take_parsed("key", "\"user_id\"", problems, |name| RecordKey::read(name).ok_or(KafkaError::Key));
            let compressions = [
                ("none", KafkaCompression::None),
                ("lz4", KafkaCompression::Lz4),
                ("zstd", KafkaCompression::Zstd),
                ("gzip", KafkaCompression::Gzip),
            ];
            let compression = table.take_choice("compression", &compressions, problems).unwrap_or_default();
            let message_timeout = table.take_seconds("message_timeout_seconds", 1.0..=86_400.0, problems);
            let bytes_max = table.take_bytes("message_bytes_max", 1000..=1_000_000_000, problems);
            let mut kafka = Self::of(cluster?, topic?).compression(compression);
            if let Some(timeout) = message_timeout {
                kafka = kafka.message_timeout(timeout);
            }
            if kafka.as_message_timeout() >= ack_timeout {
                let what = format!("is not below ack_timeout_seconds = {}", ack_timeout.as_secs_f64());
                let help = "a record that is only late would be sent twice: lower it, or raise ack_timeout_seconds";
                table.blame("message_timeout_seconds", &what, help, problems);
            }
            if let Some(bytes) = bytes_max.and_then(|bytes| usize::try_from(bytes).ok()) {
                kafka = kafka.message_bytes_max(bytes);
            }
            kafka.key = key.unwrap_or(RecordKey::None);
            Some(kafka)
        }
    }

    /// Takes what says where a cluster is and how it is spoken to.
    pub(crate) fn cluster(table: &mut Table<'_>, problems: &mut Problems) -> Option<Cluster> {
        const EXAMPLE: &str = "[\"kafka-1.example:9092\"]";
        table.require("brokers", "brokers = [\"kafka-1.example:9092\"]", problems);
        let brokers = table.take_list_of_texts("brokers", EXAMPLE, problems, |broker| {
            Cluster::new(vec![broker.to_owned()]).map(|_| broker.to_owned())
        });
        let cluster = brokers.and_then(|brokers| {
            let cluster = Cluster::new(brokers);
            cluster.map_err(|error| table.blame("brokers", &error.to_string(), EXAMPLE, problems)).ok()
        });
        let timeout = table.take_seconds("timeout_seconds", 1.0..=86_400.0, problems);
        let tls = tls(table, problems);
        let login = login(table, problems);
        let mut cluster = cluster?;
        if let Some(timeout) = timeout {
            cluster.timeout = timeout;
        }
        if let Some(tls) = tls
            && let Err(error) = cluster.tls(tls)
        {
            table.blame("encryption", &error.to_string(), "or set encryption = \"none\"", problems);
        }
        if let Some((mechanism, username, password)) = login
            && let Err(error) = cluster.log_in_with(mechanism, username, password)
        {
            table.blame("sasl_mechanism", &error.to_string(), "or set sasl_mechanism = \"PLAIN\"", problems);
        }
        Some(cluster)
    }

    fn tls(table: &mut Table<'_>, problems: &mut Problems) -> Option<KafkaTls> {
        let is_on = table.take_choice("encryption", &[("none", false), ("tls", true)], problems).unwrap_or_default();
        let mut tls = KafkaTls::default();
        if let Some(mut files) = table.take_table("tls", problems) {
            tls.ca = files.take_path("ca", problems);
            tls.cert = files.take_path("cert", problems);
            tls.key = files.take_path("key", problems);
            match (files.has("cert"), files.has("key")) {
                (true, false) => files.require("key", "key = \"client.key\": a certificate needs its key", problems),
                (false, true) => files.require("cert", "cert = \"client.pem\": a key needs its certificate", problems),
                _ => {}
            }
            if !is_on {
                let help = "set encryption = \"tls\", or remove the table";
                files.blame_whole("has no effect without encryption = \"tls\"", help, problems);
            }
            files.finish(problems);
        }
        is_on.then_some(tls)
    }

    fn login(
        table: &mut Table<'_>,
        problems: &mut Problems,
    ) -> Option<(SaslMechanism, String, crate::siem::credential::Credential)> {
        let mechanisms = [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];
        let mechanisms = mechanisms.map(|mechanism| (mechanism.name(), mechanism));
        let mechanism = table.take_choice("sasl_mechanism", &mechanisms, problems).unwrap_or_default();
        let username = table.take_string("username", problems);
        let password = keys::credential(table, "password", PASSWORD, problems);
        match (table.has("username"), table.has("password")) {
            (true, false) => {
                table.require("password", "password = { env = \"KAFKA_PASSWORD\" }: a name needs it", problems);
            }
            (false, true) => table.require("username", "username = \"…\": a password needs a name", problems),
            _ => {}
        }
        Some((mechanism, username?, password?))
    }
}
