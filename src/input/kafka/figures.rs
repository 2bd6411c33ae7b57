//! What is known of the membership: written by whoever polls and commits, read by whoever shows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::Statistics;
use rdkafka::error::KafkaError;

use super::Partition;
use super::member::ANSWER_MAX;
use super::standing::Standing;
use crate::siem::Health;

/// What is known of the membership, for metrics.
#[derive(Debug)]
pub(crate) struct Figures {
    commits: AtomicU64,
    commits_failed: AtomicU64,
    assignments: AtomicU64,
    revocations: AtomicU64,
    partitions: Mutex<BTreeMap<Partition, PartitionFigures>>,
    /// The last thing that went wrong with the brokers.
    complaint: Mutex<Option<String>>,
    standing: Standing,
}

/// The same of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PartitionFigures {
    /// Records in the partition that the group has not committed; `None` until it is known.
    pub(crate) lag: Option<u64>,
    /// Where reading would begin again; `None` before the first commit of ours.
    pub(crate) committed: Option<i64>,
    /// Its first record, and behind its last, while it is paused: then nothing comes from it that would say so.
    span: Option<(i64, i64)>,
}

impl Figures {
    /// Of a member that waits for what was read of a partition that goes so long.
    pub(crate) fn new(revoke_timeout: Duration) -> Self {
        Self {
            commits: AtomicU64::new(0),
            commits_failed: AtomicU64::new(0),
            assignments: AtomicU64::new(0),
            revocations: AtomicU64::new(0),
            partitions: Mutex::default(),
            complaint: Mutex::default(),
            standing: Standing::new(revoke_timeout + ANSWER_MAX),
        }
    }

    /// How often it was committed, and how often that failed.
    pub(crate) fn commits(&self) -> (u64, u64) {
        // Relaxed, all of this: figures for people.
        (self.commits.load(Ordering::Relaxed), self.commits_failed.load(Ordering::Relaxed))
    }

    /// How often partitions came and went.
    pub(crate) fn rebalances(&self) -> (u64, u64) {
        (self.assignments.load(Ordering::Relaxed), self.revocations.load(Ordering::Relaxed))
    }

    /// The partitions that are ours.
    pub(crate) fn partitions(&self) -> BTreeMap<Partition, PartitionFigures> {
        self.partitions.lock().clone()
    }

    /// The last thing that went wrong, told once.
    pub(crate) fn take_complaint(&self) -> Option<String> {
        self.complaint.lock().take()
    }

    /// Whether the brokers answer and the group has us.
    pub(crate) fn health(&self) -> Health {
        self.standing.health(Instant::now())
    }

    pub(super) fn complain(&self, words: String) {
        self.standing.said(&words);
        *self.complaint.lock() = Some(words);
    }

    /// The same of what says less than what else is said of it: told where nothing else is.
    pub(super) fn complain_otherwise(&self, words: String) {
        self.complaint.lock().get_or_insert(words);
    }

    pub(super) fn assigned(&self, partitions: &[Partition]) {
        self.assignments.fetch_add(partitions.len() as u64, Ordering::Relaxed);
        self.partitions
            .lock()
            .extend(partitions.iter().map(|partition| (partition.clone(), PartitionFigures::default())));
    }

    /// These are to be given up.
    pub(super) fn revoked(&self, partitions: &[Partition]) {
        self.revocations.fetch_add(partitions.len() as u64, Ordering::Relaxed);
    }

    /// These are somebody else's from now on.
    pub(super) fn given_up(&self, partitions: &[Partition]) {
        let known = &mut *self.partitions.lock();
        for partition in partitions {
            known.remove(partition);
        }
    }

    pub(super) fn committed(&self, positions: &[(Partition, i64)]) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let known = &mut *self.partitions.lock();
        for (partition, position) in positions {
            if let Some(figures) = known.get_mut(partition) {
                figures.committed = Some(*position);
            }
        }
    }

    /// How we stand and how far behind the group is, as librdkafka tells it.
    pub(super) fn told(&self, statistics: &Statistics) {
        self.standing.told(statistics);
        if let Some(words) = self.standing.complaint(Instant::now()) {
            *self.complaint.lock() = Some(words);
        }
        let partitions = &mut *self.partitions.lock();
        for (name, topic) in &statistics.topics {
            for (number, known) in &topic.partitions {
                let partition = Partition { topic: name.as_str().into(), number: *number };
                if let Some(figures) = partitions.get_mut(&partition) {
                    let committed = figures.committed.unwrap_or(known.committed_offset);
                    let (start, end) = figures.span.unwrap_or((known.lo_offset, known.hi_offset));
                    // What is not known is below 0.
                    let lag = end.checked_sub(committed.max(start).max(0));
                    figures.lag = lag.filter(|_| end >= 0).and_then(|lag| u64::try_from(lag).ok());
                }
            }
        }
    }

    /// A paused partition goes from here to there.
    pub(super) fn spans(&self, partition: &Partition, start: i64, end: i64) {
        if let Some(figures) = self.partitions.lock().get_mut(partition) {
            figures.span = Some((start, end));
        }
    }

    /// From now on what comes says how far a partition goes.
    pub(super) fn read_on(&self) {
        self.partitions.lock().values_mut().for_each(|figures| figures.span = None);
    }

    pub(super) fn commit_failed(&self, error: &KafkaError) {
        self.commits_failed.fetch_add(1, Ordering::Relaxed);
        self.complain(format!("a commit failed: {error}"));
    }
}
