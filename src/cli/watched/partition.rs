//! What is known of each partition that a worker reads.

use std::collections::BTreeMap;

use super::exposition::{Exposition, Sample, whole};

/// One look at a partition of the worker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: u32,
    /// Records that the group has not committed; `None` until the brokers have said it.
    pub(crate) lag: Option<u64>,
    /// Where reading would begin again; `None` before the first commit.
    pub(crate) committed: Option<u64>,
}

impl Partition {
    /// Those that a worker says are its own, by topic and number; none of any other program.
    pub(super) fn all(scrape: &Exposition) -> Vec<Self> {
        let place =
            |sample: &Sample| Some((sample.label("topic")?.to_owned(), sample.label("partition")?.parse().ok()?));
        let owned = scrape.of("siem_kafka_partitions_owned").iter().filter(|sample| sample.value > 0.0);
        let mut all: BTreeMap<(String, u32), Self> = owned
            .filter_map(place)
            .map(|(topic, number)| ((topic.clone(), number), Self { topic, number, lag: None, committed: None }))
            .collect();
        let mut read = |family: &str, set: fn(&mut Self, u64)| {
            for sample in scrape.of(family) {
                if let Some(partition) = place(sample).and_then(|place| all.get_mut(&place)) {
                    set(partition, whole(sample.value));
                }
            }
        };
        read("siem_kafka_lag_records", |partition, value| partition.lag = Some(value));
        read("siem_kafka_committed_offset", |partition, value| partition.committed = Some(value));
        all.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_that_are_owned_with_what_is_known_of_them() {
        let text = "siem_kafka_partitions_owned{partition=\"10\",topic=\"audit\"} 1\n\
                    siem_kafka_partitions_owned{partition=\"2\",topic=\"audit\"} 1\n\
                    siem_kafka_partitions_owned{partition=\"3\",topic=\"audit\"} 0\n\
                    siem_kafka_lag_records{partition=\"2\",topic=\"audit\"} 17\n\
                    siem_kafka_lag_records{partition=\"3\",topic=\"audit\"} 17\n\
                    siem_kafka_committed_offset{partition=\"2\",topic=\"audit\"} 4\n";
        let of = |number, lag, committed| Partition { topic: "audit".to_owned(), number, lag, committed };
        let scrape = Exposition::parse(text).unwrap();
        assert_eq!(Partition::all(&scrape), [of(2, Some(17), Some(4)), of(10, None, None)]);
        assert_eq!(Partition::all(&Exposition::default()), []);
    }
}
