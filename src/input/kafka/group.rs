//! A member of a group: reads the partitions that the group gives it, and commits what the tracker says.
//!
//! Partitions come and go by cooperative rebalancing: one that goes is waited for within a deadline, committed, and let go;
//! the others are read on. All of that happens on the thread that polls. What is due now and then is committed by another one,
//! which waits for the group's answer meanwhile: of a commit that nobody waits for, librdkafka tells no answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::{KafkaInput, Partition, Tracker};

/// How often librdkafka tells how far the group is behind.
const STATISTICS_MS: &str = "5000";
/// A request that no broker answers ends after so long: a commit is waited for, at a revocation by the thread that polls.
const ANSWER_MS_MAX: &str = "10000";
/// A member that has not polled for so much longer than it ever should is taken for dead. Two commits may end without an answer
/// meanwhile: the one that was on its way, and that of the revocation.
const AWAY_MARGIN: Duration = Duration::from_secs(40);
/// What librdkafka may hold of what it has fetched ahead, in KiB.
const FETCHED_KBYTES_MAX: &str = "32768";
/// What one answer of a broker may hold, as it is sent: compressed, and some ten times as much once it is not.
const ANSWER_BYTES_MAX: &str = "4194304";
/// The same of one partition in it. A larger record comes all the same, alone.
const PARTITION_BYTES_MAX: &str = "1048576";

/// The membership.
pub(crate) struct Group {
    consumer: Arc<BaseConsumer<Member>>,
    /// To the thread that commits; there until it is to end.
    due: Option<Sender<()>>,
    committer: Option<JoinHandle<()>>,
}

/// What librdkafka calls on the polling thread.
struct Member {
    /// One commit at a time, from what is due to its answer: an older one must not undo that of a partition that was given up.
    committing: Mutex<()>,
    tracker: Arc<Tracker>,
    figures: Arc<Figures>,
    revoke_timeout: Duration,
}

/// What is known of the membership, for metrics.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    commits: AtomicU64,
    commits_failed: AtomicU64,
    assignments: AtomicU64,
    revocations: AtomicU64,
    partitions: Mutex<BTreeMap<Partition, PartitionFigures>>,
    /// The last thing that went wrong with the brokers.
    complaint: Mutex<Option<String>>,
}

/// The same of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PartitionFigures {
    /// Records in the partition that the group has not committed; `None` until it is known.
    pub(crate) lag: Option<u64>,
    /// Where reading would begin again; `None` before the first commit of ours.
    pub(crate) committed: Option<i64>,
}

/// What polling brings.
#[derive(Clone, Copy)]
pub(crate) enum Consumed<'m> {
    Record {
        topic: &'m str,
        partition: i32,
        offset: i64,
        value: Option<&'m [u8]>,
    },
    /// Nothing, for now.
    Nothing,
}

/// Why there is no membership, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("the group cannot be joined: {0}")]
    Join(String),
    #[error("the group refuses us: {0}")]
    Refused(String),
}

impl Group {
    /// Joins, as soon as it is polled.
    ///
    /// # Errors
    /// When the settings are none for librdkafka, or there is no password.
    pub(crate) fn join(
        input: &KafkaInput,
        group: &str,
        tracker: &Arc<Tracker>,
        figures: &Arc<Figures>,
    ) -> Result<Self, GroupError> {
        // Little else keeps us from polling: a member that is away for longer hangs, and must not hold up the others' rebalance.
        let away_max = input.revoke_timeout.max(input.session_timeout);
        let mut config = input.cluster.client().map_err(|cause| GroupError::Join(cause.to_string()))?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", input.session_timeout.as_millis().to_string())
            .set("max.poll.interval.ms", (away_max + AWAY_MARGIN).as_millis().to_string())
            .set("socket.timeout.ms", ANSWER_MS_MAX)
            .set("queued.max.messages.kbytes", FETCHED_KBYTES_MAX)
            .set("fetch.max.bytes", ANSWER_BYTES_MAX)
            .set("fetch.message.max.bytes", PARTITION_BYTES_MAX)
            .set("statistics.interval.ms", STATISTICS_MS);
        if let Some(instance_id) = &input.instance_id {
            config.set("group.instance.id", instance_id);
        }
        let member = Member {
            committing: Mutex::new(()),
            tracker: Arc::clone(tracker),
            figures: Arc::clone(figures),
            revoke_timeout: input.revoke_timeout,
        };
        let refused = |error: KafkaError| match error {
            // It would show the value, which may be the password.
            KafkaError::ClientConfig(_, _, name, _) => GroupError::Join(format!("librdkafka takes no such {name}")),
            other => GroupError::Join(other.to_string()),
        };
        let consumer: BaseConsumer<Member> = config.create_with_context(member).map_err(refused)?;
        let topics: Vec<&str> = input.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(refused)?;
        let consumer = Arc::new(consumer);
        let (due, asked) = bounded(1);
        let of_committer = Arc::clone(&consumer);
        let commit = move || asked.iter().for_each(|()| of_committer.context().commit(&of_committer));
        let committer = thread::Builder::new().name("siem-commit".to_owned()).spawn(commit);
        let committer = committer.map_err(|error| GroupError::Join(error.to_string()))?;
        Ok(Self { consumer, due: Some(due), committer: Some(committer) })
    }

    /// Waits for a record, and hands it over; also for whatever else the group has to say.
    ///
    /// # Errors
    /// When the membership is at an end.
    pub(crate) fn poll<T>(&self, timeout: Duration, take: impl FnOnce(Consumed<'_>) -> T) -> Result<T, GroupError> {
        let figures = &self.consumer.context().figures;
        match self.consumer.poll(timeout) {
            Some(Ok(message)) => {
                let (topic, partition) = (message.topic(), message.partition());
                Ok(take(Consumed::Record { topic, partition, offset: message.offset(), value: message.payload() }))
            }
            Some(Err(error)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                figures.complain(code.to_string());
                let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
                let is_refused = matches!(code, Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed);
                if is_fatal || is_refused {
                    Err(GroupError::Refused(code.to_string()))
                } else {
                    Ok(take(Consumed::Nothing))
                }
            }
            None => Ok(take(Consumed::Nothing)),
        }
    }

    /// Stops reading, without leaving: what was fetched and not handed over is fetched again.
    pub(crate) fn pause(&self) {
        if let Err(error) = self.consumer.assignment().and_then(|all| self.consumer.pause(&all)) {
            log::debug!("partitions are not paused: {error}");
        }
    }

    pub(crate) fn resume(&self) {
        if let Err(error) = self.consumer.assignment().and_then(|all| self.consumer.resume(&all)) {
            log::debug!("partitions are not resumed: {error}");
        }
    }

    /// Commits what is due, without waiting for the answer.
    pub(crate) fn commit(&self) {
        // One that is asked already commits what is due by then.
        let _is_asked = self.due.as_ref().is_some_and(|due| due.try_send(()).is_ok());
    }

    /// The same, and waits for the answer.
    pub(crate) fn commit_and_wait(&self) {
        self.consumer.context().commit(&self.consumer);
    }
}

impl Drop for Group {
    /// The group is left by this thread, once no other has the consumer.
    fn drop(&mut self) {
        drop(self.due.take());
        if let Some(committer) = self.committer.take() {
            // It does not panic; and what it might have had to say is of no use any more.
            drop(committer.join());
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Member {
    /// Commits what is due.
    fn commit(&self, consumer: &BaseConsumer<Self>) {
        let _alone = self.committing.lock();
        self.commit_these(consumer, &self.tracker.due());
    }

    /// Commits these, and waits for the answer.
    fn commit_these(&self, consumer: &BaseConsumer<Self>, due: &[(Partition, i64)]) {
        if due.is_empty() {
            return;
        }
        let mut positions = TopicPartitionList::with_capacity(due.len());
        for (Partition { topic, number }, position) in due {
            let added = positions.add_partition_offset(topic, *number, Offset::Offset(*position));
            debug_assert!(added.is_ok());
        }
        match consumer.commit(&positions, CommitMode::Sync) {
            Ok(()) => {
                self.tracker.committed(due);
                self.figures.committed(due);
            }
            // It stays due, and is committed again.
            Err(error) => self.figures.commit_failed(&error),
        }
    }
}

impl ClientContext for Member {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        self.figures.complain(reason.to_owned());
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = &mut *self.figures.partitions.lock();
        for (name, topic) in &statistics.topics {
            for (number, known) in &topic.partitions {
                let partition = Partition { topic: name.as_str().into(), number: *number };
                if let Some(figures) = partitions.get_mut(&partition) {
                    let committed = figures.committed.unwrap_or(known.committed_offset);
                    let lag = known.hi_offset.checked_sub(committed.max(known.lo_offset));
                    figures.lag = lag.filter(|_| known.hi_offset >= 0).and_then(|lag| u64::try_from(lag).ok());
                }
            }
        }
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(assigned) => {
                let partitions = partitions(assigned);
                self.figures.assigned(&partitions);
                for partition in partitions {
                    self.tracker.assign(partition);
                }
            }
            Rebalance::Revoke(revoked) => {
                let partitions = partitions(revoked);
                // Until they are given up: nothing of them is committed afterwards.
                let _alone = self.committing.lock();
                // One that was lost is somebody else's already, whose commits ours would undo.
                if !consumer.assignment_lost() {
                    self.tracker.wait(&partitions, self.revoke_timeout);
                    let mut due = self.tracker.due();
                    due.retain(|(partition, _)| partitions.contains(partition));
                    self.commit_these(consumer, &due);
                }
                for partition in &partitions {
                    self.tracker.revoke(partition);
                }
                self.figures.revoked(&partitions);
            }
            Rebalance::Error(error) => self.figures.complain(error.to_string()),
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    elements.iter().map(|of| Partition { topic: of.topic().into(), number: of.partition() }).collect()
}

impl Figures {
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

    fn complain(&self, words: String) {
        *self.complaint.lock() = Some(words);
    }

    fn assigned(&self, partitions: &[Partition]) {
        self.assignments.fetch_add(partitions.len() as u64, Ordering::Relaxed);
        self.partitions
            .lock()
            .extend(partitions.iter().map(|partition| (partition.clone(), PartitionFigures::default())));
    }

    fn revoked(&self, partitions: &[Partition]) {
        self.revocations.fetch_add(partitions.len() as u64, Ordering::Relaxed);
        let known = &mut *self.partitions.lock();
        for partition in partitions {
            known.remove(partition);
        }
    }

    fn committed(&self, positions: &[(Partition, i64)]) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        let known = &mut *self.partitions.lock();
        for (partition, position) in positions {
            if let Some(figures) = known.get_mut(partition) {
                figures.committed = Some(*position);
            }
        }
    }

    fn commit_failed(&self, error: &KafkaError) {
        self.commits_failed.fetch_add(1, Ordering::Relaxed);
        self.complain(format!("a commit failed: {error}"));
    }
}
