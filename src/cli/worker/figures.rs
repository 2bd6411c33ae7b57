//! What a worker shows of its membership, beside the pipeline's metrics.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::input::Figures;

/// Collects from the figures whenever it is asked.
pub(super) struct FiguresCollector {
    figures: Arc<Figures>,
    desc: Vec<Desc>,
}

/// Empty families, to be filled.
struct Families {
    owned: IntGaugeVec,
    lag: IntGaugeVec,
    committed: IntGaugeVec,
    commits: IntCounterVec,
    rebalances: IntCounterVec,
}

impl Families {
    /// `None` where the names were none, which they are.
    fn new() -> Option<Self> {
        let of_partition = ["topic", "partition"];
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &of_partition).ok();
        let counter = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]).ok();
        Some(Self {
            owned: gauge("siem_kafka_partitions_owned", "1 for each partition that is ours.")?,
            lag: gauge("siem_kafka_lag_records", "Records of a partition of ours that the group has not committed.")?,
            committed: gauge("siem_kafka_committed_offset", "Where reading a partition of ours would begin again.")?,
            commits: counter("siem_kafka_commits_total", "Commits, by how they ended.", "result")?,
            rebalances: counter("siem_kafka_rebalances_total", "Partitions that came and went.", "change")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.owned, &self.lag, &self.committed, &self.commits, &self.rebalances]
    }
}

impl FiguresCollector {
    pub(super) fn new(figures: &Arc<Figures>) -> Self {
        let families = Families::new();
        let all = families.iter().flat_map(Families::all).flat_map(Collector::desc);
        Self { figures: Arc::clone(figures), desc: all.cloned().collect() }
    }
}

impl Collector for FiguresCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.desc.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(families) = Families::new() else { return Vec::new() };
        for (partition, figures) in self.figures.partitions() {
            let number = partition.number.to_string();
            let labels = [&*partition.topic, number.as_str()];
            let set = |family: &IntGaugeVec, value: Option<i64>| {
                if let Some(value) = value {
                    family.with_label_values(&labels).set(value);
                }
            };
            set(&families.owned, Some(1));
            set(&families.lag, figures.lag.and_then(|lag| i64::try_from(lag).ok()));
            set(&families.committed, figures.committed);
        }
        let count = |family: &IntCounterVec, label: &str, value| family.with_label_values(&[label]).inc_by(value);
        let ((ok, failed), (assigned, revoked)) = (self.figures.commits(), self.figures.rebalances());
        count(&families.commits, "ok", ok);
        count(&families.commits, "failed", failed);
        count(&families.rebalances, "assigned", assigned);
        count(&families.rebalances, "revoked", revoked);
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}
