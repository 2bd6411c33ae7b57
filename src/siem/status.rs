//! What an HTTP status means for a batch where the destination's own words say no more.

use super::{Cause, CauseKind, Verdict};
use crate::net::Answer;

/// The verdict on a batch that was answered like this, and not with the destination's own success.
pub(super) fn verdict(answer: &Answer, words: &str) -> Verdict {
    let cause = Cause::http(answer.status).words(words);
    match answer.status {
        // Halving finds the culprit.
        400 => Verdict::Reject(cause),
        413 => Verdict::Reject(Cause::new(CauseKind::TooLarge).words(words)),
        501 => Verdict::Halt(cause),
        408 | 425 | 429 | 500..=599 => Verdict::Retry { after: answer.retry_after, cause },
        // A secret (401, 403) or an address (3xx, 404, 405, 415, …) that is wrong for whatever we send.
        300..=499 => Verdict::Halt(cause),
        // Success in words that are not the destination's, or no status at all: nothing says that the events are held.
        status => Verdict::retry(Cause::new(CauseKind::Garbage).words(format!("http {status}: {words}"))),
    }
}
