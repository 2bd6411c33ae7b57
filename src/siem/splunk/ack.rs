//! Asking for acknowledgements: which batches are indexed, and whether the token acknowledges at all.
//!
//! Splunk says `true` of a number once, and `false` of whatever it does not know. So only a `true` under the very number
//! that was asked for means anything; all else, an error of the question included, leaves the batch pending. And what
//! only wants to know whether the token acknowledges asks about a channel on which nothing is ever sent.
//!
//! Called by the destination and by [`super::health`]; which number belongs to which batch is [`super::channel`]'s.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};

use super::channel::Channel;
use super::read::{NO_ACKNOWLEDGEMENT, Reply};
use super::{SCHEME, Splunk, SplunkConnection};
use crate::net::{Answer, HttpError};
use crate::siem::{Cause, CauseKind, Ticket, Verdict};

const ACK_PATH: &str = "/services/collector/ack";
/// The most numbers in one question. Their answer, 29 bytes a number at the longest, fits what is kept of one.
const NUMBERS_MAX: usize = 1_000;
/// "ACK is disabled".
const DISABLED: i64 = 14;

/// The verdict on a batch as the engine may know it: a number of the indexer's becomes a ticket of ours.
pub(super) fn noted(splunk: &Splunk, channel: &mut Channel, verdict: Verdict) -> Verdict {
    let may_be_taken = match &verdict {
        Verdict::Pending(number) => return Verdict::Pending(channel.taken(number.number())),
        Verdict::Accept => false,
        Verdict::Partial(partial) => !partial.apart().is_empty(),
        Verdict::Retry { cause, .. } => cause.is_ambiguous(),
        // A 400 that names no culprit does not tell what it took before.
        Verdict::Reject(cause) => matches!(cause.kind(), CauseKind::Http(_)),
        Verdict::Halt(cause) => {
            // A success without a number; refusals of other kinds carry their status.
            if cause.kind() == CauseKind::Garbage {
                splunk.doubted.store(true, Ordering::Relaxed);
            }
            cause.is_ambiguous()
        }
    };
    if may_be_taken {
        channel.unanswered();
    }
    verdict
}

/// What became of these batches: those that are indexed now, and those that nobody will ever know of.
pub(super) fn settle(
    splunk: &Splunk,
    connection: &mut SplunkConnection,
    tickets: &[Ticket],
) -> Result<Vec<(Ticket, Verdict)>, Cause> {
    let waiting = connection.channel.keep(tickets);
    let known: BTreeSet<Ticket> = waiting.iter().map(|(ticket, _)| *ticket).collect();
    let gone = tickets.iter().filter(|ticket| !known.contains(ticket));
    let mut verdicts: Vec<_> = gone.map(|ticket| (*ticket, forgotten())).collect();
    for waiting in waiting.chunks(NUMBERS_MAX) {
        match indexed(splunk, connection, waiting) {
            Ok(indexed) => {
                for ticket in indexed {
                    connection.channel.settled(ticket);
                    verdicts.push((ticket, Verdict::Accept));
                }
            }
            // Whoever gives no answer to one question gives none to the next, and each may take as long as its timeout.
            Err(cause) if verdicts.is_empty() => return Err(cause),
            Err(_) => break,
        }
    }
    Ok(verdicts)
}

/// Those of one question that are indexed.
fn indexed(
    splunk: &Splunk,
    connection: &mut SplunkConnection,
    waiting: &[(Ticket, u64)],
) -> Result<Vec<Ticket>, Cause> {
    let numbers: Vec<u64> = waiting.iter().map(|(_, number)| *number).collect();
    let guid = connection.channel.guid().to_owned();
    let answer = ask(connection, &guid, &numbers)?;
    if let Some(indexed) = acknowledged(&answer) {
        return Ok(waiting.iter().filter(|(_, number)| indexed.contains(number)).map(|(ticket, _)| *ticket).collect());
    }
    let Reply { code, words, .. } = Reply::of(&answer, connection.authorization.secret());
    if code == Some(DISABLED) {
        splunk.doubted.store(true, Ordering::Relaxed);
    }
    Err(Cause::http(answer.status).words(words))
}

/// The number that the batch waited for means nothing any more: it may be indexed, or lost with the indexer's memory.
fn forgotten() -> Verdict {
    let words = "the indexer has forgotten what it was to acknowledge: it was restarted, or another one answers";
    Verdict::retry(Cause::new(CauseKind::ConnectionReset).words(words))
}

/// Before a batch is sent with a token that did not acknowledge the last one: Splunk would take it, and again each time
/// that it is sent.
pub(super) fn dispel_doubt(splunk: &Splunk, connection: &mut SplunkConnection) -> Result<(), Verdict> {
    if !splunk.doubted.load(Ordering::Relaxed) {
        return Ok(());
    }
    match examine(connection) {
        Ok(Examined::Acknowledges) => {
            splunk.doubted.store(false, Ordering::Relaxed);
            Ok(())
        }
        Ok(Examined::Disabled(words)) => {
            let words = format!("{NO_ACKNOWLEDGEMENT}; Splunk says: {words}");
            Err(Verdict::Halt(Cause::http(400).words(words)))
        }
        Ok(Examined::Unknown(answer, words)) => {
            let cause = Cause::http(answer.status);
            Err(match answer.status {
                408 | 425 | 429 | 500..=599 => Verdict::Retry { after: answer.retry_after, cause: cause.words(words) },
                _ => Verdict::Halt(cause.words(format!("{NO_ACKNOWLEDGEMENT}; asked for one, it says: {words}"))),
            })
        }
        Err(error) => Err(Verdict::retry(error.into())),
    }
}

/// What an examination found.
#[derive(Debug)]
pub(super) enum Examined {
    Acknowledges,
    /// Splunk's words.
    Disabled(String),
    /// Something else was answered, in these words.
    Unknown(Answer, String),
}

/// Asks whether the token acknowledges, without sending an event.
pub(super) fn examine(connection: &mut SplunkConnection) -> Result<Examined, HttpError> {
    let silent = connection.silent.clone();
    let answer = ask(connection, &silent, &[0])?;
    if acknowledged(&answer).is_some() {
        return Ok(Examined::Acknowledges);
    }
    let Reply { code, words, .. } = Reply::of(&answer, connection.authorization.secret());
    Ok(if code == Some(DISABLED) { Examined::Disabled(words) } else { Examined::Unknown(answer, words) })
}

/// One question about these numbers of a channel.
fn ask(connection: &mut SplunkConnection, guid: &str, numbers: &[u64]) -> Result<Answer, HttpError> {
    debug_assert!(numbers.len() <= NUMBERS_MAX);
    let headers = [
        (SCHEME.header, connection.authorization.as_str()),
        ("Content-Type", "application/json"),
        ("X-Splunk-Request-Channel", guid),
    ];
    let body = serde_json::json!({ "acks": numbers }).to_string();
    // Plain: that events may be compressed is known, of questions it is not.
    connection.http.post_plain(&format!("{ACK_PATH}?channel={guid}"), &headers, body.as_bytes())
}

/// The numbers that are acknowledged; `None` where this is no answer to the question, which says nothing of any batch.
fn acknowledged(answer: &Answer) -> Option<BTreeSet<u64>> {
    let object: Map<String, Value> = serde_json::from_slice(&answer.body).ok()?;
    let is_success = answer.status == 200 && object.get("code").is_none_or(|code| code == 0);
    let acks = object.get("acks")?.as_object().filter(|_| is_success)?;
    let is_true = |(number, ack): (&String, &Value)| match ack {
        // Only a number as we write it: "07" and "+7" are none of ours.
        Value::Bool(true) => number.parse().ok().filter(|parsed: &u64| parsed.to_string() == *number),
        _ => None,
    };
    Some(acks.iter().filter_map(is_true).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(status: u16, body: &str) -> Option<Vec<u64>> {
        acknowledged(&Answer::new(status, body)).map(|numbers| numbers.into_iter().collect())
    }

    #[test]
    fn only_a_true_under_a_number_acknowledges() {
        assert_eq!(numbers(200, r#"{"acks":{"0":true,"1":false,"17":true}}"#), Some(vec![0, 17]));
        assert_eq!(numbers(200, r#"{"acks":{}}"#), Some(vec![]));
        for value in ["false", "null", "1", "\"true\"", "[true]", "{\"1\":true}"] {
            assert_eq!(numbers(200, &format!(r#"{{"acks":{{"1":{value}}}}}"#)), Some(vec![]), "{value}");
        }
        for key in ["", "01", "+1", "-1", "1.0", "1e0", " 1", "x", "18446744073709551616"] {
            assert_eq!(numbers(200, &format!(r#"{{"acks":{{"{key}":true}}}}"#)), Some(vec![]), "{key}");
        }
        assert_eq!(numbers(200, r#"{"acks":{"18446744073709551615":true}}"#), Some(vec![u64::MAX]));
    }

    /// The trap of others, who took an error of the question for an answer about the batches.
    #[test]
    fn what_is_no_answer_acknowledges_nothing() {
        for body in [
            "",
            "true",
            "[true]",
            "<html>404</html>",
            r#"{"text":"ACK is disabled","code":14}"#,
            r#"{"acks":[true,true]}"#,
            r#"{"acks":true}"#,
            r#"{"acks":{"0":true}"#,
            r#"{"0":true}"#,
            r#"{"acks":{"0":true},"code":9}"#,
        ] {
            for status in [200, 400, 503] {
                assert_eq!(numbers(status, body), None, "{status} {body}");
            }
        }
        for status in [100, 201, 202, 204, 301, 400, 401, 404, 500, 503, 999] {
            assert_eq!(numbers(status, r#"{"acks":{"0":true}}"#), None, "{status}");
        }
    }

    #[test]
    fn an_answer_about_all_numbers_of_a_question_fits_what_is_kept_of_one() {
        let longest = format!("\"{}\":false,", u64::MAX).len();
        assert!(longest * NUMBERS_MAX < 32 * 1024);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_and_none_but_a_true_acknowledges(
            status: u16, raw in prop::collection::vec(any::<u8>(), 0..200), is_json: bool,
            acks in prop::collection::hash_map(".{0,4}|[0-9]{1,20}", prop_oneof![
                Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i8>().prop_map(Value::from),
                ".*".prop_map(Value::from),
            ], 0..8),
        ) {
            let status = if is_json && status % 2 == 0 { 200 } else { status };
            let json = serde_json::json!({ "acks": acks }).to_string();
            let body = if is_json { json.into_bytes() } else { raw };
            match acknowledged(&Answer::new(status, body)) {
                None => prop_assert!(!is_json || status != 200),
                Some(numbers) => {
                    prop_assert!(is_json && status == 200);
                    prop_assert!(numbers.iter().all(|number| acks[&number.to_string()] == true));
                }
            }
        }
    }
}
