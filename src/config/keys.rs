//! All keys of the configuration, in words: what the rooms say of theirs, put together.

use super::MetricsConfig;
use crate::engine::SiemConfig;
use crate::net::{HttpConfig, TlsConfig};
use crate::siem::{Datadog, Elastic, File, KAFKA_KEYS, Splunk, Webhook};
use crate::table::{Key, Section};

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Chapter {
    /// Its header, such as `siem.splunk`.
    pub(crate) table: &'static str,
    pub(crate) sections: Vec<Section>,
}

/// A destination, as the key `type` names it.
#[derive(Debug)]
pub(crate) struct DestinationKeys {
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// The keys that say where it is.
    pub(crate) place: &'static str,
    /// The key of its secret's place, where it has one.
    pub(crate) secret: Option<&'static str>,
    /// Its pipeline's table.
    pub(crate) table: &'static str,
    sections: &'static [Section],
}

/// Every destination that can be configured.
pub(crate) const DESTINATIONS: &[DestinationKeys] = &[
    DestinationKeys {
        name: "splunk",
        about: "Splunk, by its HTTP Event Collector",
        place: "`url`",
        secret: Some("token"),
        table: "siem.splunk",
        sections: &[
            Section { title: WHICH, keys: &[Key::required("type", "\"splunk\"").range(TYPES).meaning(KIND)] },
            Splunk::KEYS,
            HttpConfig::KEYS,
            TlsConfig::KEYS,
        ],
    },
    DestinationKeys {
        name: "datadog",
        about: "Datadog, by its Logs API v2",
        place: "`site`",
        secret: Some("api_key"),
        table: "siem.datadog",
        sections: &[
            Section { title: WHICH, keys: &[Key::required("type", "\"datadog\"").range(TYPES).meaning(KIND)] },
            Datadog::KEYS,
            HttpConfig::KEYS,
            TlsConfig::KEYS,
        ],
    },
    DestinationKeys {
        name: "elastic",
        about: "Elasticsearch or OpenSearch, by its bulk API",
        place: "`url`",
        secret: Some("api_key"),
        table: "siem.elastic",
        sections: &[
            Section { title: WHICH, keys: &[Key::required("type", "\"elastic\"").range(TYPES).meaning(KIND)] },
            Elastic::KEYS,
            HttpConfig::KEYS,
            TlsConfig::KEYS,
        ],
    },
    DestinationKeys {
        name: "webhook",
        about: "a webhook: whatever takes JSON by a request",
        place: "`url`",
        secret: Some("token"),
        table: "siem.webhook",
        sections: &[
            Section { title: WHICH, keys: &[Key::required("type", "\"webhook\"").range(TYPES).meaning(KIND)] },
            Webhook::KEYS,
            HttpConfig::KEYS,
            TlsConfig::KEYS,
        ],
    },
    DestinationKeys {
        name: "file",
        about: "a file of NDJSON, or standard output",
        place: "`path`",
        secret: None,
        table: "siem.file",
        sections: &[
            Section { title: WHICH, keys: &[Key::required("type", "\"file\"").range(TYPES).meaning(KIND)] },
            File::KEYS,
        ],
    },
    DestinationKeys {
        name: "kafka",
        about: "Kafka, in a build with the feature `kafka`",
        place: "`brokers`",
        secret: Some("password"),
        table: "siem.kafka",
        sections: &[
            Section { title: WHICH, keys: &[Key::required("type", "\"kafka\"").range(TYPES).meaning(KIND)] },
            KAFKA_KEYS,
        ],
    },
];

const WHICH: &str = "Which destination";
const TYPES: &str = "\"splunk\", \"datadog\", \"elastic\", \"webhook\", \"file\" or \"kafka\"";
const KIND: &str = "the kind of destination";

/// What a field of the map may come from; docs/input-map.md has all forms.
const PLACE: &str = "a JSON pointer, a list or a table";

const MAP: Section = Section {
    title: "Where the fields of an event come from, in logs of another layout (docs/input-map.md)",
    keys: &[
        Key::optional("map.id", "generated", "{ of = [\"/auditID\", \"/stage\"] }")
            .range(PLACE)
            .meaning("the identity of an event; of several values it is their hash"),
        Key::optional("map.timestamp", "required in a map", "{ from = \"/time\", format = \"rfc3339\" }")
            .range(PLACE)
            .meaning("when it happened: \"rfc3339\", \"seconds\", \"milliseconds\" or \"nanoseconds\" since 1970"),
        Key::optional("map.event_type", "required in a map", "{ value = \"request\" }")
            .range(PLACE)
            .meaning("what happened: a known type or any name of up to 64 bytes"),
        Key::optional(
            "map.severity",
            "required in a map",
            "{ from = \"/verb\", values = { delete = \"high\" }, default = \"low\" }",
        )
        .range(PLACE)
        .meaning("how severe it is: low, medium, high or critical"),
        Key::optional("map.user_id", "none", "\"/user/name\"").range(PLACE).meaning("the acting user"),
        Key::optional("map.user_email", "none", "\"/user/email\"").range(PLACE).meaning("the acting user's address"),
        Key::optional("map.server_id", "none", "{ value = \"k8s\" }").range(PLACE).meaning("what was acted upon"),
        Key::optional("map.tool_name", "none", "[\"/tool\", \"/command\"]").range(PLACE).meaning("what was used"),
        Key::optional("map.decision", "none", "\"/outcome\"").range(PLACE).meaning("usually allow or deny"),
        Key::optional("map.policy_id", "none", "\"/policy\"").range(PLACE).meaning("the policy that decided"),
        Key::optional("map.ip_address", "none", "\"/sourceIPs/0\"").range(PLACE).meaning("where it came from"),
        Key::optional("map.user_agent", "none", "\"/userAgent\"").range(PLACE).meaning("the client's own description"),
        Key::optional("map.request_id", "none", "\"/requestID\"").range(PLACE).meaning("the request that caused it"),
        Key::optional("map.details", "none", "\"\"")
            .range("a JSON pointer or a table")
            .meaning("the whole original object, or named parts of it"),
    ],
};

const INPUT: Section = Section {
    title: "What `run` reads",
    keys: &[
        Key::optional("rejected.path", "they are only counted", "\"rejected.ndjson\"")
            .range("a text")
            .meaning("the file for lines that cannot become an event, with file, line number, reason and text"),
        Key::optional("records", "a line is an event", "\"/Records\"").range("a JSON pointer").meaning(
            "where the array of events stands in a document, as in those of CloudTrail; \"\" is the document itself",
        ),
    ],
};

const KAFKA_INPUT: Section = Section {
    title: "What `worker` reads, in a build with the feature `kafka` (docs/kafka.md)",
    keys: &[
        Key::optional("kafka.brokers", "required in the table", "[\"kafka-1.example:9092\"]")
            .range("a list of texts")
            .meaning("some of the cluster's brokers, `HOST:PORT` each"),
        Key::optional("kafka.topics", "required in the table", "[\"audit\"]")
            .range("a list of texts")
            .meaning("the topics to read; one that begins with `^` is a regular expression"),
        Key::optional("kafka.group", "`siem-forward-` and the pipeline's name", "\"audit-to-splunk\"")
            .range("a text")
            .meaning("the group whose members share the partitions: another SIEM needs another one"),
        Key::optional("kafka.instance_id", "none", "\"worker-1\"").range("a text").meaning(
            "this member's own name, by which it gets its partitions back after a restart without moving the others'",
        ),
        Key::default("kafka.session_timeout_seconds", "45").unit("seconds").range("1 to 1800").meaning(
            "how long a member that says nothing keeps its partitions: shorter replaces a dead one sooner, and takes a slow network for one",
        ),
        Key::default("kafka.revoke_timeout_seconds", "10").unit("seconds").range("0 to 200").meaning(
            "how long what was read of a partition that moves to another member is waited for; what is left is read again there",
        ),
        Key::optional("kafka.username", "nobody logs in", "\"siem-forward\"")
            .range("a text")
            .meaning("the name for SASL; with `password`"),
        Key::optional("kafka.password", "nobody logs in", "{ env = \"KAFKA_PASSWORD\" }")
            .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
            .meaning("where the password is; never the password itself"),
        Key::default("kafka.sasl_mechanism", "\"PLAIN\"")
            .range("\"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"")
            .meaning("how the password is shown; SCRAM needs a build with the feature `kafka-tls`"),
        Key::default("kafka.encryption", "\"none\"")
            .range("\"none\" or \"tls\"")
            .meaning("\"tls\" needs a build with the feature `kafka-tls`"),
        Key::optional("kafka.tls.ca", "the system's store", "\"ca.pem\"")
            .range("a text")
            .meaning("the certificates to trust, instead of the system's")
            .beside("encryption = \"tls\""),
        Key::optional("kafka.tls.cert", "none", "\"client.pem\"")
            .range("a text")
            .meaning("the client's certificate; with `tls.key`")
            .beside("encryption = \"tls\""),
        Key::optional("kafka.tls.key", "none", "\"client.key\"")
            .range("a text")
            .meaning("the key of that certificate")
            .beside("encryption = \"tls\""),
        Key::default("kafka.timeout_seconds", "10")
            .unit("seconds")
            .range("1 to 86400")
            .meaning("how long a broker is waited for when a connection is made, or `check` asks"),
    ],
};

/// The tables beside the pipelines.
pub(crate) fn general() -> [Chapter; 2] {
    [
        Chapter { table: "input", sections: vec![INPUT, MAP, KAFKA_INPUT] },
        Chapter { table: "metrics", sections: vec![MetricsConfig::KEYS] },
    ]
}

impl DestinationKeys {
    /// Whether this build leads there.
    #[cfg(test)]
    pub(crate) fn is_built(&self) -> bool {
        self.name != "kafka" || cfg!(feature = "kafka")
    }

    /// Its own keys, which no other destination has.
    #[cfg(test)]
    pub(crate) fn own(&self) -> &'static [Key] {
        self.sections.get(1).map_or(&[], |section| section.keys)
    }

    /// The table of a pipeline that leads there.
    pub(crate) fn chapter(&self) -> Chapter {
        Chapter { table: self.table, sections: self.sections.iter().chain(&SiemConfig::KEYS).copied().collect() }
    }
}
