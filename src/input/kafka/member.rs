//! What librdkafka calls where partitions come and go, and the commits that this takes.
//!
//! A partition that goes is waited for within a deadline, committed, and let go; the others are read on. That happens on the
//! thread that polls; the commit itself is made by another one, so that brokers that do not answer hold up the first for a
//! while and no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::joining::Joining;
use super::tracker::LOOK;
use super::{Figures, Partition, Tracker};
use crate::siem::Told;

/// How long the brokers' answer to the commit of a partition that goes is waited for. librdkafka itself may keep it for a
/// session, until somebody coordinates the group again.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a commit waits, and is tried again, while the group settles who reads what. Some groups settle only once we have given
/// up what we commit here, so that more would be in vain.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(2);

/// How long the brokers are asked where partitions end: a commit waits meanwhile.
const ASK_MAX: Duration = Duration::from_secs(1);

/// What the committing thread is asked for.
pub(super) enum Asked {
    /// All that is due.
    Commit,
    /// The same, and word of it once that is answered.
    CommitAndTell(Sender<()>),
    /// To poll from now on, and to leave once the member is told to.
    End,
}

/// Whom a member carries records for.
pub(crate) trait GroupHost: Send + Sync {
    /// Whether there is no time to wait for anything.
    fn is_in_a_hurry(&self) -> bool;

    /// What was read is to come to its fate, and to wait for nothing that comes behind it.
    fn hasten(&self);

    /// Called every 20 ms by a thread that waits for partitions that go: nobody is to take it for dead.
    fn waits(&self);
}

/// A member of the group, as librdkafka knows it.
pub(super) struct Member {
    pub(super) tracker: Arc<Tracker>,
    pub(super) figures: Arc<Figures>,
    pub(super) revoke_timeout: Duration,
    pub(super) host: Box<dyn GroupHost>,
    pub(super) joining: Joining,
    /// To the committing thread, for as long as it does nothing else.
    pub(super) committer: Sender<Asked>,
    /// Nothing is fetched.
    pub(super) is_paused: AtomicBool,
    /// Told to leave: what has no fate by now gets none here any more.
    pub(super) is_leaving: AtomicBool,
}

impl Member {
    /// Commits what is due, and waits for the answer.
    pub(super) fn commit(&self, consumer: &BaseConsumer<Self>) {
        self.commit_positions(consumer, &self.tracker.due());
    }

    fn commit_positions(&self, consumer: &BaseConsumer<Self>, due: &[(Partition, i64)]) {
        if due.is_empty() {
            return;
        }
        let mut positions = TopicPartitionList::with_capacity(due.len());
        for (Partition { topic, number }, position) in due {
            let added = positions.add_partition_offset(topic, *number, Offset::Offset(*position));
            debug_assert!(added.is_ok());
        }
        match self.commit_once_settled(consumer, &positions) {
            Some(Ok(())) => {
                self.tracker.committed(due);
                self.figures.committed(due);
            }
            // It stays due, and is committed again.
            Some(Err(error)) => self.figures.commit_failed(&error),
            None => log::debug!("no commit while the group is being joined"),
        }
    }

    /// Asks the brokers how far partitions go, which only reading would tell otherwise: while they are paused, the lag grows. One
    /// after the other, as many as there is time for; the next time it goes on with the others.
    pub(super) fn look_for_ends(&self, consumer: &BaseConsumer<Self>, next: &mut usize) {
        let partitions: Vec<Partition> = self.figures.partitions().into_keys().collect();
        let deadline = Instant::now() + ASK_MAX;
        for _ in 0..partitions.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.is_paused() || self.is_in_a_hurry() {
                return;
            }
            *next = (*next + 1) % partitions.len();
            let Some(partition) = partitions.get(*next) else { return };
            match consumer.fetch_watermarks(&partition.topic, partition.number, left) {
                Ok((start, end)) if self.is_paused() => self.figures.spans(partition, start, end),
                Ok(_) => return,
                Err(error) => log::debug!("how far partition {} goes is not known: {error}", partition.number),
            }
        }
    }

    fn is_paused(&self) -> bool {
        // Relaxed: asked once more than need be.
        self.is_paused.load(Ordering::Relaxed)
    }

    /// While its members have not agreed on who reads what, a group takes no commit: that is a matter of moments. `None` where it
    /// was not asked, since it settles for longer.
    fn commit_once_settled(
        &self,
        consumer: &BaseConsumer<Self>,
        positions: &TopicPartitionList,
    ) -> Option<KafkaResult<()>> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let answer = (!self.joining.is_under_way()).then(|| consumer.commit(positions, CommitMode::Sync));
            let is_unsettled =
                matches!(answer, None | Some(Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::RebalanceInProgress))));
            if !is_unsettled || Instant::now() >= deadline || self.host.is_in_a_hurry() {
                return answer;
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits for what is open of these partitions, and commits them: on the committing thread, behind whatever it commits
    /// now, since an older commit must not undo theirs. What is due of the others goes along: as soon as these are given up the
    /// group takes no commit for a while.
    fn finish(&self, consumer: &BaseConsumer<Self>, partitions: &[Partition]) {
        let may_wait = || {
            self.host.waits();
            !self.is_in_a_hurry()
        };
        let may_wait_for_fates = || {
            self.host.hasten();
            may_wait()
        };
        self.tracker.wait(partitions, self.revoke_timeout, may_wait_for_fates);
        let (done, answered) = bounded(1);
        if self.committer.send(Asked::CommitAndTell(done)).is_err() {
            // We are that thread.
            return self.commit(consumer);
        }
        let deadline = Instant::now() + ANSWER_MAX;
        while answered.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if Instant::now() >= deadline || !may_wait() {
                return self.figures.complain("no answer to the commit of a partition that was taken away".to_owned());
            }
        }
    }

    fn is_in_a_hurry(&self) -> bool {
        self.is_leaving() || self.host.is_in_a_hurry()
    }

    pub(super) fn is_leaving(&self) -> bool {
        // Relaxed, as is the store: whoever waits looks again.
        self.is_leaving.load(Ordering::Relaxed)
    }

    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }
}

impl ClientContext for Member {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.joining.read(facility, message);
        if let Some(told) = Told::of_log(facility, message) {
            self.figures.complain(told.words);
        }
        log::debug!(target: "librdkafka", "{facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.figures.complain_otherwise(reason.to_owned());
        } else {
            self.figures.complain(Told::of(reason).words);
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.figures.told(&statistics);
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
                self.figures.revoked(&partitions);
                // One that was lost is somebody else's already, whose commits ours would undo.
                if !consumer.assignment_lost() {
                    self.finish(consumer, &partitions);
                }
                for partition in &partitions {
                    self.tracker.revoke(partition);
                }
                // librdkafka remembers a pause beyond the assignment: came they back, nothing would ever be read of them.
                if let Err(error) = consumer.resume(revoked) {
                    log::debug!("partitions that are given up stay paused: {error}");
                }
                self.figures.given_up(&partitions);
                self.joining.follows();
            }
            Rebalance::Error(error) => self.figures.complain(error.to_string()),
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    elements.iter().map(|of| Partition { topic: of.topic().into(), number: of.partition() }).collect()
}
