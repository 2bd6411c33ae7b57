//! What Datadog would answer to a body, and which of its logs it would keep.
//!
//! A body is one JSON array; all of it is taken, or nothing. What is too large or too old is taken all the same and then
//! cut or dropped, which nobody is told: such logs are found here and not indexed, so that a sender that causes any is seen.
//! Pure but for the clock, and nothing is kept here.
//!
//! Called by [`super::reply`].

use super::answer::Answer;
use super::collector::Reading;
use super::envelope::{Envelope, Judgement};
use super::ids::id_of;
use super::json::{LEVELS_MAX, Malformed, Scanner, Text};

const LOGS_MAX: usize = 1_000;
const BYTES_MAX: usize = 5_000_000;
/// Of one log.
const LOG_BYTES_MAX: usize = 1_000_000;
const AGE_SECONDS_MAX: i64 = 18 * 60 * 60;

/// Reads a body; `found` gets its logs where all of it is taken.
pub(super) fn read(body: &[u8], found: &mut Vec<Envelope>) -> Reading {
    found.clear();
    let now = jiff::Timestamp::now().as_second();
    let answer = match logs(body, now, found) {
        Ok(()) if body.len() > BYTES_MAX || found.len() > LOGS_MAX => Answer::plain(413),
        Ok(()) if found.iter().all(|log| !matches!(log.judgement, Judgement::Refuse(_))) => Answer::success(),
        Ok(()) | Err(Malformed) => Answer::plain(400),
    };
    if !answer.is_success() {
        found.clear();
    }
    let unindexed = found.iter().filter(|log| log.judgement == Judgement::Skip).count() as u64;
    Reading { answer, unindexed }
}

fn logs(body: &[u8], now: i64, found: &mut Vec<Envelope>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(body);
    if !scanner.eat(b'[') {
        return Err(Malformed);
    }
    scanner.elements(|scanner| {
        found.push(log(scanner, now)?);
        Ok(())
    })?;
    if scanner.peek().is_none() { Ok(()) } else { Err(Malformed) }
}

fn log(scanner: &mut Scanner<'_>, now: i64) -> Result<Envelope, Malformed> {
    let opens = scanner.peek() == Some(b'{');
    let start = scanner.position();
    if !(opens && scanner.eat(b'{')) {
        return Err(Malformed);
    }
    let (mut id, mut timestamp, mut message) = (None, None, None);
    scanner.members(|scanner, key| {
        if key.is(b"event") && scanner.eat(b'{') {
            return scanner.members(|scanner, key| {
                if !key.is(b"id") {
                    return scanner.pass(LEVELS_MAX - 3);
                }
                id = scanner.value(LEVELS_MAX - 3)?.text();
                Ok(())
            });
        }
        let value = scanner.value(LEVELS_MAX - 2)?;
        if key.is(b"message") {
            message = value.text();
        } else if key.is(b"timestamp") {
            timestamp = value.text();
        }
        Ok(())
    })?;
    let end = scanner.position();
    let is_old = timestamp.and_then(seconds).is_some_and(|seconds| now - seconds > AGE_SECONDS_MAX);
    let judgement = match message {
        None => Judgement::Refuse(6),
        Some(_) if is_old || end - start > LOG_BYTES_MAX => Judgement::Skip,
        Some(_) => Judgement::Index,
    };
    Ok(Envelope { start, end, judgement, id: id.map(|text: Text<'_>| id_of(text.decoded().as_ref())) })
}

/// What a time says; where it says nothing, the log is as old as its arrival.
fn seconds(text: Text<'_>) -> Option<i64> {
    let time: jiff::Timestamp = std::str::from_utf8(text.decoded().as_ref()).ok()?.parse().ok()?;
    Some(time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, how many logs are found, and how many of them vanish silently.
    fn reading(body: &str) -> (u16, usize, u64) {
        let mut found = Vec::new();
        let reading = read(body.as_bytes(), &mut found);
        (reading.answer.status, found.len(), reading.unindexed)
    }

    #[test]
    fn an_array_is_taken_whole_or_not_at_all() {
        let good = r#"{"message":"x","event":{"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"}}"#;
        assert_eq!(reading(&format!("[{good}, {good}]\n")), (200, 2, 0));
        assert_eq!(reading("[]"), (200, 0, 0));
        for bad in ["", good, "[", "[7]", "[{}]", r#"[{"message":7}]"#, "[{\"message\":\"x\"}]]"] {
            assert_eq!(reading(bad), (400, 0, 0), "{bad}");
        }
        assert_eq!(reading(&format!("[{good},{{\"message\":}}]")), (400, 0, 0));
        let many = vec![good; LOGS_MAX].join(",");
        assert_eq!(reading(&format!("[{many}]")), (200, LOGS_MAX, 0));
        assert_eq!(reading(&format!("[{many},{good}]")), (413, 0, 0));
        let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(LOG_BYTES_MAX - 13));
        assert_eq!(reading(&format!("[{large}]")), (200, 1, 1), "taken and cut");
        assert_eq!(reading(&format!("[{}]", [large.as_str(); 5].join(","))), (413, 0, 0));
    }

    #[test]
    fn what_is_too_old_vanishes_silently() {
        let at = |time: &str| format!(r#"[{{"timestamp":"{time}","message":"x"}}]"#);
        let ago = |hours: i64| (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours)).to_string();
        assert_eq!(reading(&at(&ago(17))), (200, 1, 0));
        assert_eq!(reading(&at(&ago(19))), (200, 1, 1));
        assert_eq!(reading(&at("yesterday")), (200, 1, 0));
    }

    #[test]
    fn a_log_is_known_by_the_id_of_its_event() {
        let body = r#"[{"event":{"x":[1],"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"},"message":""},{"event":"none","message":""}]"#;
        let mut found = Vec::new();
        read(body.as_bytes(), &mut found);
        let ids: Vec<_> = found.iter().map(|log| log.id).collect();
        assert_eq!(ids, [Some(id_of(b"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a")), None]);
        assert_eq!(body.as_bytes()[found[1].start..found[1].end], *br#"{"event":"none","message":""}"#);
    }
}
