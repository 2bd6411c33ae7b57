//! What an answer to a bulk request means for the events: pure.
//!
//! The status is 200 whatever became of the documents; each has an item in the answer, in the order of the request, and
//! the item alone counts: `errors` and `took` are not believed. Events are created with their own id, so that one which
//! was stored before is a conflict, and delivered; and so nothing is lost by sending again whatever was not told.
//!
//! Called by [`super::Elastic`].

use std::borrow::Cow;
use std::iter::repeat_with;
use std::time::Duration;

use serde_json::Value;

use super::items::{self, Item};
use crate::net::Answer;
use crate::siem::words::readable;
use crate::siem::{Cause, CauseKind, Partial, Verdict, status};

/// Of the index or of what the credential may do, whatever the document is. Some of them come with a status of 400.
const OF_THE_INDEX: [&str; 7] = [
    "cluster_block_exception",
    "index_closed_exception",
    "index_create_block_exception",
    "index_not_found_exception",
    "invalid_index_name_exception",
    "security_exception",
    // As many shards as the cluster may have: no index for a new day.
    "validation_exception",
];

/// What became of one document.
#[derive(Debug)]
enum Fate {
    Held,
    /// It is wrong.
    Rejected(Cause),
    /// Later.
    Again(Cause),
    /// Whatever it is.
    Halted(Cause),
}

/// The verdict on a batch of so many events.
pub(super) fn read(answer: &Answer, events: usize, secret: &str) -> Verdict {
    if answer.status != 200 {
        return refusal(answer, secret);
    }
    if items::are_all_created(&answer.body, events) {
        return Verdict::Accept;
    }
    let told = items::read(&answer.body, events);
    if told.is_empty() {
        let words = format!("http 200: {}", readable(&String::from_utf8_lossy(&answer.body), secret));
        return Verdict::retry(Cause::new(CauseKind::Garbage).words(words));
    }
    let untold = || Fate::Again(Cause::new(CauseKind::Garbage).words("the answer ends before this event"));
    let fates = told.iter().map(|item| fate(item, secret)).chain(repeat_with(untold));
    verdict(fates.take(events), events, answer.retry_after)
}

/// All fates of a batch as one verdict.
fn verdict(fates: impl Iterator<Item = Fate>, events: usize, after: Option<Duration>) -> Verdict {
    let (mut rejected, mut again, mut halted) = (Vec::new(), Vec::new(), 0);
    let mut reason: Option<Cause> = None;
    for (index, fate) in fates.enumerate() {
        let cause = match fate {
            Fate::Held => continue,
            Fate::Rejected(cause) => {
                rejected.push((index, cause));
                continue;
            }
            Fate::Again(cause) => cause,
            Fate::Halted(cause) => {
                halted += 1;
                cause
            }
        };
        again.push(index);
        // That it is busy is said of the endpoint, and so charges nobody.
        if reason.as_ref().is_none_or(|known| cause.is_the_endpoints() && !known.is_the_endpoints()) {
            reason = Some(cause);
        }
    }
    match reason {
        None if rejected.is_empty() => Verdict::Accept,
        None => Verdict::Partial(partial(rejected)),
        Some(cause) if halted == events => Verdict::Halt(cause),
        Some(cause) if again.len() == events => Verdict::Retry { after, cause },
        Some(cause) => Verdict::Partial(partial(rejected).resend(again).retry(after, cause)),
    }
}

fn partial(rejected: Vec<(usize, Cause)>) -> Partial {
    rejected.into_iter().fold(Partial::new(), |partial, (index, cause)| partial.reject(index, cause))
}

/// The whole request was refused.
fn refusal(answer: &Answer, secret: &str) -> Verdict {
    let object: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = object.get("error").unwrap_or(&Value::Null);
    let words = words_of(error).map_or_else(|| String::from_utf8_lossy(&answer.body), Cow::Owned);
    let words = readable(&words, secret);
    if is_of_the_index(error) && answer.status < 500 {
        return Verdict::Halt(Cause::http(answer.status).words(words));
    }
    status::verdict(answer, &words)
}

/// The error's type and reason, where it has any.
fn words_of(error: &Value) -> Option<String> {
    let part = |key| error.get(key).and_then(Value::as_str);
    let parts: Vec<&str> = [part("type"), part("reason"), error.as_str()].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn is_of_the_index(error: &Value) -> bool {
    error.get("type").and_then(Value::as_str).is_some_and(|kind| OF_THE_INDEX.contains(&kind))
}

/// What an item says of its document.
fn fate(item: &Item, secret: &str) -> Fate {
    let status = item.status.as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(0);
    let cause = || {
        let words = words_of(&item.error).unwrap_or_default();
        Cause::http(status).words(readable(&words, secret))
    };
    match status {
        200 | 201 if item.failure_store == "used" => {
            let words = "it was put into the failure store of its data stream, and not into the stream";
            Fate::Rejected(Cause::new(CauseKind::Custom("failure_store")).words(words))
        }
        200 | 201 | 409 => Fate::Held,
        401 | 403 | 404 => Fate::Halted(cause()),
        408 | 425 | 429 | 500..=599 => Fate::Again(cause()),
        400..=499 if is_of_the_index(&item.error) => Fate::Halted(cause()),
        413 => Fate::Rejected(Cause::new(CauseKind::TooLarge).words(cause().as_words().unwrap_or_default())),
        400..=499 => Fate::Rejected(cause()),
        _ => {
            let words = readable(&format!("an item's status is {}", item.status), secret);
            Fate::Again(Cause::new(CauseKind::Garbage).words(words))
        }
    }
}
