//! A member of a group: reads the partitions that the group gives it, and commits what the tracker says.
//!
//! Partitions come and go by cooperative rebalancing, on the thread that polls. What is due now and then is committed by
//! another one, which waits for the group's answer meanwhile: of a commit that nobody waits for, librdkafka tells no answer.
//! At the end that thread takes over: it polls, so that nobody takes us for dead, until it is told to commit for the last time
//! and to leave. Brokers that are away hold it up, and not whoever waits for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::joining::{Joining, LOGGED};
use super::member::{ANSWER_MAX, Asked, GroupHost, Member, SETTLE_MAX};
use super::tracker::LOOK;
use super::{Figures, KafkaInput, Tracker};
use crate::siem::not_made;

/// How often librdkafka tells how far the group is behind.
const STATISTICS_MS: &str = "5000";
/// How often paused partitions are asked for their ends: before the lag is told again.
const LOOK_FOR_ENDS: Duration = Duration::from_secs(4);
/// How often a member says that it is there; a short session has room for three.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);
/// A member that has not polled for so much longer than it ever should is taken for dead.
const AWAY_MARGIN: Duration = Duration::from_secs(40);
/// What librdkafka has fetched ahead before it stops to ask for more, in KiB. What it holds beyond that is one answer of each broker.
/// With 32 MiB, more than most caches hold, a worker took a tenth more CPU time.
const FETCHED_KBYTES_MAX: &str = "4096";
/// Whether it has room again is looked at so often, in milliseconds. By itself librdkafka waits a whole second, in which we
/// are through with what it has.
const FETCH_AGAIN_MS: &str = "10";
/// What one answer of a broker may hold, as it is sent: compressed, and some ten times as much once it is not.
const ANSWER_BYTES_MAX: &str = "4194304";
/// The same of one partition in it. A larger record comes all the same, alone.
const PARTITION_BYTES_MAX: &str = "1048576";

/// The membership.
pub(crate) struct Group {
    consumer: Arc<BaseConsumer<Member>>,
    committer: Sender<Asked>,
    committing: JoinHandle<()>,
}

/// One that reads no more, and is still polled: it has its partitions until it is told to leave.
pub(crate) struct Leaving {
    member: Arc<Member>,
    thread: JoinHandle<()>,
}

/// What polling brings.
#[derive(Clone, Copy)]
pub(crate) enum Consumed<'m> {
    Record {
        topic: &'m str,
        partition: i32,
        offset: i64,
        value: Option<&'m [u8]>,
        /// When it was written, in milliseconds since 1970, where that is known.
        written_at: Option<i64>,
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
    /// Joins, as soon as it is polled. While its host is in a hurry, a partition that is taken away is given up without waiting
    /// for anything.
    ///
    /// # Errors
    /// When the settings are none for librdkafka, or there is no password.
    pub(crate) fn join(
        input: &KafkaInput,
        group: &str,
        tracker: &Arc<Tracker>,
        figures: &Arc<Figures>,
        host: Box<dyn GroupHost>,
    ) -> Result<Self, GroupError> {
        // Little else keeps us from polling: a member that is away for longer hangs, and must not hold up the others' rebalance.
        let away_max = input.revoke_timeout.max(input.session_timeout) + AWAY_MARGIN;
        let heartbeat = HEARTBEAT_MAX.min(input.session_timeout / 3);
        let mut config = input.cluster.client().map_err(|cause| GroupError::Join(cause.to_string()))?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", input.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", heartbeat.as_millis().to_string())
            .set("max.poll.interval.ms", away_max.as_millis().to_string())
            .set("socket.timeout.ms", ANSWER_MAX.as_millis().to_string())
            .set("queued.max.messages.kbytes", FETCHED_KBYTES_MAX)
            .set("fetch.queue.backoff.ms", FETCH_AGAIN_MS)
            .set("fetch.max.bytes", ANSWER_BYTES_MAX)
            .set("fetch.message.max.bytes", PARTITION_BYTES_MAX)
            .set("statistics.interval.ms", STATISTICS_MS)
            .set("debug", LOGGED)
            .set_log_level(RDKafkaLogLevel::Debug);
        if let Some(instance_id) = &input.instance_id {
            config.set("group.instance.id", instance_id);
        }
        let (committer, asked) = unbounded();
        let member = Member {
            tracker: Arc::clone(tracker),
            figures: Arc::clone(figures),
            revoke_timeout: input.revoke_timeout,
            host,
            joining: Joining::default(),
            committer: committer.clone(),
            is_paused: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        };
        let made: Result<BaseConsumer<Member>, KafkaError> = config.create_with_context(member);
        let consumer = made.map_err(|error| GroupError::Join(not_made(error)))?;
        let topics: Vec<&str> = input.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| GroupError::Join(error.to_string()))?;
        let consumer = Arc::new(consumer);
        let of_committer = Arc::clone(&consumer);
        let commit = move || commit_and_leave(of_committer, asked);
        let committing = thread::Builder::new().name("siem-commit".to_owned()).spawn(commit);
        let committing = committing.map_err(|error| GroupError::Join(error.to_string()))?;
        Ok(Self { consumer, committer, committing })
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
                let (offset, written_at) = (message.offset(), message.timestamp().to_millis());
                Ok(take(Consumed::Record { topic, partition, offset, value: message.payload(), written_at }))
            }
            Some(Err(error)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                figures.complain_otherwise(code.to_string());
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
        pause(&self.consumer);
        self.consumer.context().is_paused.store(true, Ordering::Relaxed);
    }

    /// Reads on; whether it does.
    pub(crate) fn resume(&self) -> bool {
        let resumed = self.consumer.assignment().and_then(|all| self.consumer.resume(&all));
        if let Err(error) = resumed {
            log::debug!("partitions are not resumed: {error}");
            return false;
        }
        let member = self.consumer.context();
        member.is_paused.store(false, Ordering::Relaxed);
        member.figures.read_on();
        true
    }

    /// Commits what is due, without waiting for the answer.
    pub(crate) fn commit(&self) {
        // One that is asked already commits what is due by then.
        if self.committer.is_empty() {
            let _is_asked = self.committer.send(Asked::Commit).is_ok();
        }
    }

    /// Reads no more. It has its partitions, and is polled for them, until it is told to leave.
    pub(crate) fn end(self) -> Leaving {
        let _is_asked = self.committer.send(Asked::End).is_ok();
        Leaving { member: Arc::clone(self.consumer.context()), thread: self.committing }
    }
}

impl Leaving {
    /// Commits what is due for the last time, and leaves: waits for that while it may, and says whether it came to its end.
    /// If not, whoever comes next reads again what is not committed.
    pub(crate) fn leave(self, mut may_wait: impl FnMut() -> bool) -> bool {
        self.member.leave();
        while !self.thread.is_finished() && may_wait() {
            thread::sleep(LOOK);
        }
        self.thread.is_finished()
    }
}

/// Commits as it is asked to; polls and leaves at the end.
#[expect(
    clippy::needless_pass_by_value,
    reason = "both end with this thread, the consumer as the last: it leaves the group"
)]
fn commit_and_leave(consumer: Arc<BaseConsumer<Member>>, asked: Receiver<Asked>) {
    let member = Arc::clone(consumer.context());
    let (mut looked, mut next) = (Instant::now(), 0);
    for asked in &asked {
        match asked {
            Asked::Commit => {
                member.commit(&consumer);
                if looked.elapsed() >= LOOK_FOR_ENDS {
                    member.look_for_ends(&consumer, &mut next);
                    looked = Instant::now();
                }
            }
            Asked::CommitAndTell(done) => {
                member.commit(&consumer);
                let _is_waited_for = done.send(()).is_ok();
            }
            Asked::End => break,
        }
    }
    // From now on partitions go by this thread, which then is to commit by itself.
    drop(asked);
    pause(&consumer);
    while !member.is_leaving() {
        poll(&consumer);
    }
    // What is said of the join comes by polling.
    let deadline = Instant::now() + SETTLE_MAX;
    while member.joining.is_under_way() && Instant::now() < deadline && !member.host.is_in_a_hurry() {
        poll(&consumer);
    }
    member.commit(&consumer);
}

/// Takes nothing any more: a record that comes all the same is not committed, and read again.
fn poll(consumer: &BaseConsumer<Member>) {
    if let Some(Err(error)) = consumer.poll(LOOK) {
        log::debug!("polled at the end: {error}");
        thread::sleep(LOOK);
    }
}

fn pause(consumer: &BaseConsumer<Member>) {
    if let Err(error) = consumer.assignment().and_then(|all| consumer.pause(&all)) {
        log::debug!("partitions are not paused: {error}");
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}
