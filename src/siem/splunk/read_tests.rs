//! What answers of Splunk's mean.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::siem::{Cause, CauseKind, Partial};

pub(super) const TOKEN: &str = "9f1c2e0e-8f0b-4a53-9a7e-0d6c0b1b2c3d";

pub(super) fn read_of(status: u16, body: &str, events: usize, bytes: usize) -> Verdict {
    read(&Answer::new(status, body), sent(events, bytes, false))
}

fn sent(events: usize, bytes: usize, ack: bool) -> Sent<'static> {
    Sent { events, bytes, token: TOKEN, ack }
}

/// The verdict where only an acknowledgement counts.
fn read_with_ack(status: u16, body: &str, events: usize) -> Verdict {
    read(&Answer::new(status, body), sent(events, 700 * events, true))
}

pub(super) fn cause(status: u16, words: &str) -> Cause {
    Cause::http(status).words(words)
}

type Meaning = fn(Cause) -> Verdict;

/// Every code of Splunk's own table, as Splunk answers it to a batch of 10.
#[test]
fn every_code_has_its_verdict() {
    let body = |text: &str, code: i64| format!(r#"{{"text":"{text}","code":{code}}}"#);
    let accept = |_: Cause| Verdict::Accept;
    let garbage = |cause: Cause| {
        let words = format!("http 200: {}", cause.as_words().unwrap());
        Verdict::retry(Cause::new(CauseKind::Garbage).words(words))
    };
    let (retry, reject, halt): (Meaning, Meaning, Meaning) = (Verdict::retry, Verdict::Reject, Verdict::Halt);
    let table: [(i64, u16, &str, Meaning); 29] = [
        (0, 200, "Success", accept),
        (1, 403, "Token disabled", halt),
        (2, 401, "Token is required", halt),
        (3, 401, "Invalid authorization", halt),
        (4, 403, "Invalid token", halt),
        (5, 400, "No data", reject),
        (6, 400, "Invalid data format", reject),
        (7, 400, "Incorrect index", halt),
        (8, 500, "Internal server error", retry),
        (9, 503, "Server is busy", retry),
        (10, 400, "Data channel is missing", halt),
        (11, 400, "Invalid data channel", halt),
        (12, 400, "Event field is required", reject),
        (13, 400, "Event field cannot be blank", reject),
        (14, 400, "ACK is disabled", halt),
        (15, 400, "Error in handling indexed fields", reject),
        (16, 400, "Query string authorization is not enabled", halt),
        (17, 200, "HEC is healthy", garbage),
        (18, 503, "HEC is unhealthy, queues are full", retry),
        (19, 503, "HEC is unhealthy, ack service unavailable", retry),
        (20, 503, "HEC is unhealthy, queues are full, ack service unavailable", retry),
        (21, 400, "Invalid token", halt),
        (22, 400, "Token disabled", halt),
        (23, 503, "Server is shutting down", retry),
        (24, 200, "HEC queue is approaching its capacity limit", accept),
        (25, 200, "HEC ACK is approaching its capacity limit", accept),
        (26, 429, "HEC queue is at capacity and cannot process any more requests", retry),
        (27, 429, "HEC ACK channel is at capacity and cannot process any more requests", retry),
        (28, 400, "Data channel is missing. If you have multiple indexers, sticky sessions are needed", halt),
    ];
    for (index, (code, status, text, verdict)) in table.into_iter().enumerate() {
        assert_eq!(i64::try_from(index), Ok(code));
        let expected = verdict(cause(status, &format!("{text} (code {code})")));
        assert_eq!(read_of(status, &body(text, code), 10, 7_000), expected, "code {code}");
    }
    for code in [-1, 29, 404, i64::MAX] {
        assert!(matches!(read_of(400, &body("New", code), 10, 7_000), Verdict::Reject(_)));
        assert!(matches!(read_of(200, &body("New", code), 10, 7_000), Verdict::Retry { .. }));
    }
}

#[test]
fn a_named_event_is_rejected_those_before_it_are_held_and_the_rest_goes_again() {
    for (code, text) in [
        (6, "Invalid data format"),
        (12, "Event field is required"),
        (13, "Event field cannot be blank"),
        (15, "Error in handling indexed fields"),
    ] {
        let answer = |number: &str| format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{number}}}"#);
        let why = || cause(400, &format!("{text} (code {code})"));
        let cut = |bad: usize| Verdict::Partial(Partial::new().reject(bad, why()).resend(bad + 1..5));
        for bad in 0..5 {
            assert_eq!(read_of(400, &answer(&bad.to_string()), 5, 3_000), cut(bad));
        }
        // A number that no event has names nobody.
        for number in ["5", "-1", "1.5", "\"1\"", "null", "99999999999999999999999"] {
            assert_eq!(read_of(400, &answer(number), 5, 3_000), Verdict::Reject(why()), "{number}");
        }
    }
}

/// Splunk counts from one for the index alone.
#[test]
fn a_refused_index_is_that_of_the_event_before_the_number() {
    let answer = |number: i64| format!(r#"{{"text":"Incorrect index","code":7,"invalid-event-number":{number}}}"#);
    let why = || cause(400, "Incorrect index (code 7)");
    for bad in 1..5 {
        let cut = Partial::new().reject(bad, why()).resend(bad + 1..5);
        assert_eq!(read_of(400, &answer(i64::try_from(bad).unwrap() + 1), 5, 3_000), Verdict::Partial(cut));
    }
    // The first one stands for all: an index that the token does not allow is no event's fault.
    for number in [1, 0, -1, 6, i64::MAX] {
        assert_eq!(read_of(400, &answer(number), 5, 3_000), Verdict::Halt(why()), "{number}");
    }
}

#[test]
fn with_acknowledgement_a_success_is_the_number_to_ask_by() {
    for (key, code) in [("ackId", 0), ("ackId", 24), ("ackId", 25), ("ack_id", 0), ("ackID", 0)] {
        let body = format!(r#"{{"text":"Success","code":{code},"{key}":17}}"#);
        assert_eq!(read_with_ack(200, &body, 10), Verdict::Pending(Ticket::new(17)));
        assert_eq!(read_of(200, &body, 10, 7_000), Verdict::Accept);
    }
    for number in ["", r#","ackId":"17""#, r#","ackId":-1"#, r#","ackId":1.5"#, r#","ackId":null"#, r#","ackid":1"#] {
        let body = format!(r#"{{"text":"Success","code":0{number}}}"#);
        let Verdict::Halt(cause) = read_with_ack(200, &body, 10) else { panic!("{body}") };
        assert_eq!(
            cause.to_string(),
            "garbage: the token has no indexer acknowledgement: switch it on for the token (useACK), or set ack = false; \
             Splunk says: Success (code 0)"
        );
        assert!(cause.is_ambiguous(), "Splunk has taken it, and a dead letter must say so");
    }
    // Only a success has a number that means anything.
    for (status, body) in [(200, r#"{"code":9,"ackId":1}"#), (503, r#"{"code":0,"ackId":1}"#), (201, r#"{"ackId":1}"#)]
    {
        assert!(matches!(read_with_ack(status, body, 10), Verdict::Retry { .. }), "{status} {body}");
    }
}

/// What Splunk keeps of a request that failed has no number.
#[test]
fn with_acknowledgement_what_was_before_a_named_event_goes_again_apart() {
    let after = Partial::new;
    for (status, code, number, bad) in
        [(400, 6, 3, 3), (400, 12, 1, 1), (400, 13, 0, 0), (400, 15, 4, 4), (400, 7, 3, 2), (503, 9, 2, 2)]
    {
        let body = format!(r#"{{"text":"No","code":{code},"invalid-event-number":{number}}}"#);
        let why = cause(status, &format!("No (code {code})"));
        let expected = match status {
            400 => after().resend_apart(0..bad).reject(bad, why).resend(bad + 1..5),
            _ => after().resend_apart(0..bad).resend(bad..5).retry(None, why),
        };
        assert_eq!(read_with_ack(status, &body, 5), Verdict::Partial(expected.clone()));
        assert_eq!(expected.apart(), (0..bad).collect::<Vec<_>>());
        assert!(expected.apart().iter().all(|index| expected.resend.contains(index)));
    }
    let halved = r#"{"text":"Invalid data format","code":6}"#;
    assert!(matches!(read_with_ack(400, halved, 5), Verdict::Reject(_)));
    assert!(matches!(read_with_ack(413, "", 5), Verdict::Reject(cause) if cause.kind() == CauseKind::TooLarge));
    for (status, code) in [(401, 3), (403, 4), (400, 10), (400, 14), (400, 28)] {
        let body = format!(r#"{{"text":"No","code":{code}}}"#);
        assert!(matches!(read_with_ack(status, &body, 5), Verdict::Halt(_)), "{code}");
    }
}

/// How the collector of the model takes an event.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Good,
    Wrong(u16),
    /// Good, once: the first time that it is read the collector is too busy to go on.
    Busy,
}

/// A batch as HEC reads it: in order, up to the first that it does not take. What it took, and what it says.
fn collect(batch: &[usize], events: &mut [Event], busy: &str) -> (usize, Answer) {
    for (place, event) in batch.iter().enumerate() {
        let answer = |status, text: &str, code, number: usize| {
            Answer::new(status, format!(r#"{{"text":"{text}","code":{code},"invalid-event-number":{number}}}"#))
        };
        match events[*event] {
            Event::Good => {}
            Event::Wrong(7) => return (place, answer(400, "Incorrect index", 7, place + 1)),
            Event::Wrong(code) => return (place, answer(400, "Invalid", code, place)),
            Event::Busy => {
                events[*event] = Event::Good;
                return (place, answer(503, busy, 9, place));
            }
        }
    }
    (batch.len(), Answer::new(200, r#"{"text":"Success","code":0,"ackId":3}"#))
}

proptest! {
    /// The collector reads in order and stops at the first that is wrong: whatever it is given, each event ends with one
    /// fate, and what was accepted is never sent again.
    #[test]
    fn no_event_is_sent_again_once_it_is_accepted(
        kinds in prop::collection::vec(prop_oneof![
            5 => Just(Event::Good), 1 => Just(Event::Busy),
            2 => prop::sample::select(vec![6u16, 7, 12, 13, 15]).prop_map(Event::Wrong),
        ], 1..30),
        ack: bool,
    ) {
        let mut events = kinds.clone();
        let mut open = vec![(0..kinds.len()).collect::<Vec<_>>()];
        let (mut held, mut rejected, mut taken) = (vec![0; kinds.len()], vec![0; kinds.len()], vec![0; kinds.len()]);
        while let Some(batch) = open.pop() {
            let (count, answer) = collect(&batch, &mut events, "Server is busy");
            batch[..count].iter().for_each(|event| taken[*event] += 1);
            match read(&answer, sent(batch.len(), 900, ack)) {
                Verdict::Accept if !ack => batch.iter().for_each(|event| held[*event] += 1),
                Verdict::Pending(_) if ack => batch.iter().for_each(|event| held[*event] += 1),
                Verdict::Partial(partial) => {
                    let wrong: Vec<usize> = partial.rejected.iter().map(|(index, _)| *index).collect();
                    for (index, event) in batch.iter().enumerate() {
                        held[*event] += i32::from(!wrong.contains(&index) && !partial.resend.contains(&index));
                        rejected[*event] += i32::from(wrong.contains(&index));
                    }
                    let (apart, rest) = partial.resend.iter().partition::<Vec<usize>, _>(|index| partial.apart().contains(index));
                    prop_assert!(apart.iter().all(|index| *index < count), "only what was taken may be held");
                    prop_assert_eq!(apart.is_empty(), !ack || count == 0);
                    for part in [apart, rest].into_iter().filter(|part| !part.is_empty()) {
                        open.push(part.into_iter().map(|index| batch[index]).collect());
                    }
                }
                // An index that is refused at the first event halts; here it is found to be that event's fault.
                Verdict::Halt(_) => {
                    prop_assert_eq!(events[batch[0]], Event::Wrong(7));
                    rejected[batch[0]] += 1;
                    if batch.len() > 1 { open.push(batch[1..].to_vec()) }
                }
                Verdict::Retry { .. } => open.push(batch),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        for (event, kind) in kinds.iter().enumerate() {
            let is_wrong = matches!(kind, Event::Wrong(_));
            prop_assert_eq!((held[event], rejected[event]), if is_wrong { (0, 1) } else { (1, 0) });
            prop_assert!(is_wrong || ack || taken[event] == 1, "event {} was taken {} times", event, taken[event]);
        }
    }
}

#[test]
fn invalid_data_at_event_0_of_a_large_body_is_taken_for_its_size() {
    let body = r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#;
    let too_large = Cause::new(CauseKind::TooLarge).words("Invalid data format (code 6)");
    assert_eq!(read_of(400, body, 2, 1_000_001), Verdict::Reject(too_large));
    assert!(matches!(read_of(400, body, 2, 1_000_000), Verdict::Partial(_)));
    assert!(matches!(read_of(400, body, 1, 6_000_000), Verdict::Partial(_)));
}

#[test]
fn a_busy_server_that_took_some_gets_only_the_rest_again_and_later() {
    let after = Some(Duration::from_secs(7));
    let busy = |number: i64| {
        let body = format!(r#"{{"text":"Server is busy","code":9,"invalid-event-number":{number}}}"#);
        let mut answer = Answer::new(503, body);
        answer.retry_after = after;
        read(&answer, sent(20, 14_000, false))
    };
    let why = || cause(503, "Server is busy (code 9)");
    assert_eq!(busy(10), Verdict::Partial(Partial::new().resend(10..20).retry(after, why())));
    for number in [0, 20, 21, -1] {
        assert_eq!(busy(number), Verdict::Retry { after, cause: why() });
    }
}

/// Answers of proxies and load balancers, which know nothing of Splunk's codes.
#[test]
fn a_status_without_a_code_has_its_verdict() {
    let html = "<html>\r\n<body>nginx</body></html>";
    for status in [301, 302, 307, 308, 401, 403, 404, 405, 407, 410, 415, 421, 501] {
        assert_eq!(read_of(status, html, 3, 9), Verdict::Halt(cause(status, "<html>  <body>nginx</body></html>")));
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 520, 599] {
        assert!(matches!(read_of(status, html, 3, 9), Verdict::Retry { .. }), "{status}");
    }
    assert_eq!(read_of(413, "", 3, 9), Verdict::Reject(Cause::new(CauseKind::TooLarge)));
    assert_eq!(read_of(400, html, 3, 9), Verdict::Reject(cause(400, "<html>  <body>nginx</body></html>")));
}

#[test]
fn what_is_not_splunks_success_is_not_delivered() {
    for (status, body) in [
        (200, ""),
        (200, "OK"),
        (200, "{}"),
        (200, r#"{"text":"Success"}"#),
        (200, r#"{"text":"Success","code":"0"}"#),
        (200, r#"["Success",0]"#),
        (200, r#"{"text":"Success","code":0"#),
        (200, r#"{"code":9}"#),
        (201, r#"{"text":"Success","code":0}"#),
        (202, ""),
        (204, ""),
        (100, ""),
        (999, ""),
    ] {
        let Verdict::Retry { after: None, cause } = read_of(status, body, 3, 9) else { panic!("{status} {body}") };
        assert_eq!(cause.kind(), CauseKind::Garbage);
    }
    assert_eq!(read_of(200, r#" {"code":0,"text":"Success","ackId":17} "#, 3, 9), Verdict::Accept);
}

#[test]
fn a_retry_after_is_passed_on() {
    for status in [429, 503, 500, 408] {
        let mut answer = Answer::new(status, "");
        answer.retry_after = Some(Duration::from_secs(30));
        let Verdict::Retry { after, .. } = read(&answer, sent(1, 9, false)) else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(30)));
    }
}

proptest! {
    #[test]
    fn any_answer_gets_a_verdict_whose_indices_exist(
        status: u16, code: i8, number: i64, text in ".*", raw in prop::collection::vec(any::<u8>(), 0..200),
        is_json: bool, events in 1usize..50, bytes in 0usize..3_000_000, ack: bool, ack_id: Option<u64>,
    ) {
        let status = if is_json { [200, 400, 503][usize::from(status) % 3] } else { status };
        let json = serde_json::json!({
            "text": text, "code": code, "invalid-event-number": number % 60, "ackId": ack_id,
        }).to_string();
        let body = if is_json { json.into_bytes() } else { raw };
        match read(&Answer::new(status, body), sent(events, bytes, ack)) {
            Verdict::Pending(number) => prop_assert_eq!((ack, status, Some(number.number())), (true, 200, ack_id)),
            Verdict::Accept => prop_assert_eq!((ack, status), (false, 200)),
            Verdict::Partial(partial) => {
                let is_whole = partial.apart().is_empty();
                let rejected = partial.rejected.iter().map(|(index, _)| *index);
                let mut named: Vec<usize> = rejected.chain(partial.resend).collect();
                named.sort_unstable();
                prop_assert!(is_whole || ack && named.first() == Some(&0));
                prop_assert!(!named.is_empty());
                prop_assert!(named.iter().all(|index| *index < events));
                named.dedup();
                prop_assert!(named.is_sorted() && named.last() == Some(&(events - 1)));
            }
            Verdict::Retry { .. } | Verdict::Reject(_) | Verdict::Halt(_) => {}
        }
    }
}

/// The token stands where the words are cut.
#[test]
fn no_part_of_a_token_is_left_where_words_are_cut() {
    let body = format!("{}{TOKEN} and more", "x".repeat(190));
    let Verdict::Halt(cause) = read_of(403, &body, 1, 10) else { panic!("refused") };
    assert!(!cause.to_string().contains(&TOKEN[..4]), "{cause}");
}
