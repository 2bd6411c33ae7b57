//! What an error of librdkafka says about a record, and what the fates of a batch's records make of the batch.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::siem::{Cause, CauseKind, Partial, Verdict};

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The broker holds it, with all replicas that are in sync.
    Delivered,
    /// It is not, or nobody knows.
    Failed(RDKafkaErrorCode),
}

/// What a failure means for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// These bytes, or this topic, will never be taken.
    Rejected(CauseKind),
    /// The broker refused all records of one request for one of them: each is to be sent alone.
    Apart,
    /// We are refused, whatever we send.
    Refused,
    /// Later.
    Later,
}

impl Fate {
    pub(super) fn of(error: &KafkaError) -> Self {
        Self::Failed(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
    }
}

/// Reads an error's code. `is_alone` where the record had a request to itself.
pub(super) fn meaning(code: RDKafkaErrorCode, is_alone: bool) -> Meaning {
    use RDKafkaErrorCode as Code;
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Meaning::Rejected(CauseKind::Custom("unknown_topic"))
        }
        Code::InvalidTopic => Meaning::Rejected(CauseKind::Custom("invalid_topic")),
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge if is_alone => Meaning::Rejected(CauseKind::TooLarge),
        Code::InvalidRecord | Code::InvalidMessage | Code::InvalidTimestamp | Code::UnsupportedForMessageFormat
            if is_alone =>
        {
            Meaning::Rejected(CauseKind::Rejected)
        }
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidMessage
        | Code::InvalidTimestamp
        | Code::UnsupportedForMessageFormat => Meaning::Apart,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::PolicyViolation
        | Code::UnsupportedCompressionType => Meaning::Refused,
        // A broker that is away, a leader that is being elected, too few replicas, a producer that has to begin anew.
        _ => Meaning::Later,
    }
}

/// The words for people: librdkafka's own.
pub(super) fn words(code: RDKafkaErrorCode) -> String {
    // `MessageTimedOut (Local: Message timed out)`: the name is Kafka's in other spelling, the sentence says it.
    let words = code.to_string();
    match words.split_once(" (").and_then(|(_, sentence)| sentence.strip_suffix(')')) {
        Some(sentence) => sentence.to_owned(),
        None => words,
    }
}

/// Never charged to a batch: whatever keeps the broker from taking a good record is not the record's fault.
pub(super) fn later(words: impl Into<String>) -> Cause {
    Cause::new(CauseKind::Unreachable).words(words)
}

/// The cause of a refusal of us.
pub(super) fn refused(words: impl Into<String>) -> Cause {
    Cause::new(CauseKind::Custom("not_authorized")).words(words)
}

/// The verdict on a batch whose records came to this. `is_alone` says which of them had a request to itself.
pub(super) fn verdict(fates: &[Fate], is_alone: impl Fn(usize) -> bool) -> Verdict {
    let (mut partial, mut again) = (Partial::new(), Vec::new());
    let (mut rejected, mut late, mut first_late, mut first_refused) = (0, 0, None, None);
    for (index, fate) in fates.iter().enumerate() {
        let Fate::Failed(code) = *fate else { continue };
        match meaning(code, is_alone(index)) {
            Meaning::Rejected(kind) => {
                let cause = Cause::new(kind).words(words(code));
                if fates.len() == 1 {
                    return Verdict::Reject(cause);
                }
                rejected += 1;
                partial = partial.reject(index, cause);
            }
            Meaning::Apart => again.push(index),
            Meaning::Refused => {
                first_refused.get_or_insert(code);
                again.push(index);
            }
            Meaning::Later => {
                first_late.get_or_insert(code);
                late += 1;
                again.push(index);
            }
        }
    }
    let reason = first_refused.map(|code| refused(words(code))).or(first_late.map(|code| later(words(code))));
    match reason {
        None if again.is_empty() && rejected == 0 => Verdict::Accept,
        None => Verdict::Partial(partial.resend(again)),
        Some(cause) if late == fates.len() => Verdict::retry(cause),
        Some(cause) if again.len() == fates.len() && first_late.is_none() => Verdict::Halt(cause),
        Some(cause) => Verdict::Partial(partial.resend(again).retry(None, cause)),
    }
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as Code;
    use proptest::prelude::*;

    use super::*;

    const TOGETHER: fn(usize) -> bool = |_| false;
    const ALONE: fn(usize) -> bool = |_| true;

    fn failed(code: Code) -> Fate {
        Fate::Failed(code)
    }

    #[test]
    fn each_fate_makes_its_verdict() {
        let held = Fate::Delivered;
        assert_eq!(verdict(&[held, held], TOGETHER), Verdict::Accept);
        let timed_out = failed(Code::MessageTimedOut);
        assert_eq!(verdict(&[timed_out; 3], TOGETHER), Verdict::retry(later("Local: Message timed out")));
        let expected = Partial::new().resend([1]).retry(None, later("Local: Message timed out"));
        assert_eq!(verdict(&[held, timed_out], TOGETHER), Verdict::Partial(expected));
        let denied = failed(Code::TopicAuthorizationFailed);
        let cause = refused("Broker: Topic authorization failed");
        assert_eq!(verdict(&[denied, denied], TOGETHER), Verdict::Halt(cause.clone()));
        let expected = Partial::new().resend([1]).retry(None, cause);
        assert_eq!(verdict(&[held, denied], TOGETHER), Verdict::Partial(expected));
        let unknown = Cause::new(CauseKind::Custom("unknown_topic")).words("Broker: Unknown topic or partition");
        assert_eq!(verdict(&[failed(Code::UnknownTopicOrPartition)], TOGETHER), Verdict::Reject(unknown.clone()));
        let expected = Partial::new().reject(1, unknown);
        assert_eq!(verdict(&[held, failed(Code::UnknownTopicOrPartition)], TOGETHER), Verdict::Partial(expected));
    }

    #[test]
    fn a_record_that_shared_its_request_is_tried_alone_before_it_is_given_up() {
        let too_large = failed(Code::MessageSizeTooLarge);
        assert_eq!(verdict(&[too_large, too_large], TOGETHER), Verdict::Partial(Partial::new().resend([0, 1])));
        assert_eq!(verdict(&[too_large], TOGETHER), Verdict::Partial(Partial::new().resend([0])));
        let cause = Cause::new(CauseKind::TooLarge).words("Broker: Message size too large");
        assert_eq!(verdict(&[too_large], ALONE), Verdict::Reject(cause.clone()));
        let only_second = |index| index == 1;
        let expected = Partial::new().reject(1, cause).resend([0]);
        assert_eq!(verdict(&[too_large, too_large], only_second), Verdict::Partial(expected));
    }

    fn fates() -> impl Strategy<Value = Vec<(Fate, bool)>> {
        let codes = [
            Code::MessageTimedOut,
            Code::UnknownTopic,
            Code::MessageSizeTooLarge,
            Code::TopicAuthorizationFailed,
            Code::NotEnoughReplicas,
            Code::Fatal,
            Code::PurgeQueue,
            Code::Unknown,
        ];
        let fate = prop_oneof![Just(Fate::Delivered), prop::sample::select(codes.to_vec()).prop_map(Fate::Failed)];
        prop::collection::vec((fate, any::<bool>()), 1..8)
    }

    proptest! {
        /// The one mistake that loses events: to call something held that is not.
        #[test]
        fn nothing_counts_as_held_but_what_a_report_said(fates in fates()) {
            let only: Vec<Fate> = fates.iter().map(|(fate, _)| *fate).collect();
            let held = |verdict: &Verdict, index: usize| match verdict {
                Verdict::Accept => true,
                Verdict::Partial(partial) => {
                    !partial.resend.contains(&index) && !partial.rejected.iter().any(|(rejected, _)| *rejected == index)
                }
                _ => false,
            };
            let verdict = verdict(&only, |index| fates[index].1);
            for (index, fate) in only.iter().enumerate() {
                let is_whole = !matches!(verdict, Verdict::Accept | Verdict::Partial(_));
                prop_assert!(held(&verdict, index) == (*fate == Fate::Delivered) || is_whole, "{:?}", verdict);
                prop_assert!(!(is_whole && *fate == Fate::Delivered), "what is held is sent again: {:?}", verdict);
            }
        }
    }
}
