//! The keys of `[input.kafka]`.

use std::time::Duration;

use crate::siem::{Cluster, cluster_of_table};
use crate::table::{Problems, Table};

/// What a worker reads, and as whom.
#[derive(Debug)]
pub(crate) struct KafkaInput {
    pub(crate) cluster: Cluster,
    pub(crate) topics: Vec<String>,
    /// The group's name; `None`: made of the pipeline's.
    pub(crate) group: Option<String>,
    /// By which this member is known again after a restart.
    pub(crate) instance_id: Option<String>,
    /// How long a member that says nothing keeps its partitions.
    pub(crate) session_timeout: Duration,
    /// How long what was read of a partition that is taken away is waited for.
    pub(crate) revoke_timeout: Duration,
}

impl KafkaInput {
    /// Takes its keys out of the table.
    pub(crate) fn read(mut table: Table<'_>, problems: &mut Problems) -> Option<Self> {
        const EXAMPLE: &str = "[\"audit\"]";
        let cluster = cluster_of_table(&mut table, problems);
        table.require("topics", "topics = [\"audit\"]", problems);
        let topics = table.take_list_of_texts("topics", EXAMPLE, problems, |topic| {
            // A pattern of librdkafka's own begins with ^.
            if topic.is_empty() || topic.contains(char::is_whitespace) {
                Err("names no topic")
            } else {
                Ok(topic.to_owned())
            }
        });
        if topics.as_ref().is_some_and(Vec::is_empty) {
            table.blame("topics", "names no topic", EXAMPLE, problems);
        }
        let group = table.take_string("group", problems);
        let instance_id = table.take_string("instance_id", problems);
        let session_timeout = table.take_seconds("session_timeout_seconds", 1.0..=1800.0, problems);
        let revoke_timeout = table.take_seconds("revoke_timeout_seconds", 0.0..=200.0, problems);
        table.finish(problems);
        Some(Self {
            cluster: cluster?,
            topics: topics?,
            group,
            instance_id,
            session_timeout: session_timeout.unwrap_or(Duration::from_secs(45)),
            revoke_timeout: revoke_timeout.unwrap_or(Duration::from_secs(10)),
        })
    }
}
