//! What an answer of HEC means for the events: one pure function.
//!
//! HEC reads a request's events in order. At the first one that is wrong it stops and says its number (from 0): those
//! before it are kept, it and those behind it are not. Sending them all again would double the first ones.
//!
//! With indexer acknowledgement a success is a number to ask by, and what is kept of a request that failed has none:
//! nobody will ever say that it is indexed. So it goes again, apart from what was not read yet.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::net::Answer;
use crate::siem::words::readable;
use crate::siem::{Cause, CauseKind, Partial, Ticket, Verdict, status};

/// From this size on, "invalid data format" at event 0 may mean that the body was too large: Splunk Cloud says so
/// instead of 413, and its documented limit is 1 MB.
const SUSPECT_BYTES: usize = 1_000_000;

/// What is wrong where a success brings no number.
pub(super) const NO_ACKNOWLEDGEMENT: &str =
    "the token has no indexer acknowledgement: switch it on for the token (useACK), or set ack = false";

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) events: usize,
    /// The body's size, uncompressed.
    pub(super) bytes: usize,
    /// Removed from any words, should somebody on the way repeat it.
    pub(super) token: &'a str,
    /// Whether only an acknowledgement counts as delivery.
    pub(super) ack: bool,
}

/// What Splunk says, as far as it can be read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: Option<i64>,
    /// Splunk's text and code, else the beginning of the body.
    pub(super) words: String,
    /// The number of the first event that was not taken.
    invalid_event_number: Option<usize>,
    /// The number to ask for acknowledgement by.
    ack_id: Option<u64>,
}

impl Reply {
    pub(super) fn of(answer: &Answer, token: &str) -> Self {
        // An object and nothing else: what is not HEC's must not be mistaken for its success.
        let object: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = object.get("code").and_then(Value::as_i64);
        let number = object.get("invalid-event-number").and_then(Value::as_u64);
        // Splunk writes `ackId`; others transcribe it otherwise.
        let ack_id = ["ackId", "ack_id", "ackID"].iter().find_map(|key| object.get(*key));
        let words = match (object.get("text").and_then(Value::as_str), code) {
            (Some(text), Some(code)) => format!("{} (code {code})", readable(text, token)),
            (Some(text), None) => readable(text, token),
            (None, Some(code)) => format!("code {code}"),
            (None, None) => readable(&String::from_utf8_lossy(&answer.body), token),
        };
        Self {
            code,
            words,
            invalid_event_number: number.and_then(|number| usize::try_from(number).ok()),
            ack_id: ack_id.and_then(Value::as_u64),
        }
    }
}

/// The verdict on the batch; a ticket holds Splunk's own number.
pub(super) fn read(answer: &Answer, sent: Sent<'_>) -> Verdict {
    let reply = Reply::of(answer, sent.token);
    let cause = Cause::http(answer.status).words(reply.words.as_str());
    match (answer.status, reply.code) {
        // 24 and 25: taken too, but the queue, or that of acknowledgements, is filling up.
        (200, Some(0 | 24 | 25)) => taken(reply.ack_id, &reply.words, sent.ack),
        (400, code) => refused(code, &reply, cause, sent, answer.retry_after),
        (503, Some(9)) => busy(reply.invalid_event_number, cause, sent, answer.retry_after),
        // "Success" in other words is not Splunk's: nothing says that the events are held.
        _ => status::verdict(answer, &reply.words),
    }
}

/// A success: all is queued, and will be indexed. Where that is not enough, the number says when it is.
fn taken(ack_id: Option<u64>, words: &str, ack: bool) -> Verdict {
    match ack_id {
        _ if !ack => Verdict::Accept,
        Some(number) => Verdict::Pending(Ticket::new(number)),
        // Taken, and nobody will say that it is indexed. Not delivered then, and not to be sent again and again either.
        None => {
            let words = format!("{NO_ACKNOWLEDGEMENT}; Splunk says: {words}");
            Verdict::Halt(Cause::new(CauseKind::Garbage).words(words))
        }
    }
}

/// A 400: the code tells whether one event, the batch or the configuration is wrong.
fn refused(code: Option<i64>, reply: &Reply, cause: Cause, sent: Sent<'_>, after: Option<Duration>) -> Verdict {
    match (code, reply.invalid_event_number) {
        (Some(6), Some(0)) if sent.events > 1 && sent.bytes > SUSPECT_BYTES => {
            Verdict::Reject(Cause::new(CauseKind::TooLarge).words(reply.words.as_str()))
        }
        // The format, no event, a blank event, the indexed fields: the first event that is wrong is named.
        (Some(6 | 12 | 13 | 15), Some(bad)) if bad < sent.events => cut(bad, cause, sent),
        // The index, whose number is one too high. All events of a destination have the same: one that was refused
        // behind others that were not is refused alone, the first stands for all of them.
        (Some(7), Some(number)) if (2..=sent.events).contains(&number) => cut(number - 1, cause, sent),
        // The token (1 to 4, 21, 22), the index (7), the channel (10, 11, 28), acknowledgement (14), the token in the
        // query (16): the same for all events of this destination.
        (Some(1..=4 | 7 | 10 | 11 | 14 | 16 | 21 | 22 | 28), _) => Verdict::Halt(cause),
        // An error inside (8), busy or full (9, 18 to 20, 26, 27), shutting down (23), whatever the status says.
        (Some(8 | 9 | 18..=20 | 23 | 26 | 27), _) => Verdict::Retry { after, cause },
        // No data (5), a culprit that is not named or does not exist, an unknown code: halving finds it.
        _ => Verdict::Reject(cause),
    }
}

/// One event is wrong, those before it are taken, and those behind it were not read.
fn cut(bad: usize, cause: Cause, sent: Sent<'_>) -> Verdict {
    Verdict::Partial(before(bad, sent).reject(bad, cause).resend(bad + 1..sent.events))
}

/// Too busy, perhaps in the middle of the batch: those before `number` are taken.
fn busy(number: Option<usize>, cause: Cause, sent: Sent<'_>, after: Option<Duration>) -> Verdict {
    match number {
        Some(taken) if taken > 0 && taken < sent.events => {
            Verdict::Partial(before(taken, sent).resend(taken..sent.events).retry(after, cause))
        }
        _ => Verdict::Retry { after, cause },
    }
}

/// Those before `end` are taken, without a number.
fn before(end: usize, sent: Sent<'_>) -> Partial {
    if sent.ack { Partial::new().resend_apart(0..end) } else { Partial::new() }
}
