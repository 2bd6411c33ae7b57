//! Recorded answers and what they mean, secrets that stay unseen, and health.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::{EventType, Severity};
use crate::net::script::{Script, hang, reply, serve};
use crate::siem::{Cause, CauseKind, Partial};

const TOKEN: &str = "9f1c2e0e-8f0b-4a53-9a7e-0d6c0b1b2c3d";

fn read_of(status: u16, body: &str, events: usize, bytes: usize) -> Verdict {
    read(&Answer::new(status, body), Sent { events, bytes, token: TOKEN })
}

fn cause(status: u16, words: &str) -> Cause {
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
        read(&answer, Sent { events: 20, bytes: 14_000, token: TOKEN })
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
        let Verdict::Retry { after, .. } = read(&answer, Sent { events: 1, bytes: 9, token: TOKEN }) else { panic!() };
        assert_eq!(after, Some(Duration::from_secs(30)));
    }
}

proptest! {
    #[test]
    fn any_answer_gets_a_verdict_whose_indices_exist(
        status: u16, code: i8, number: i64, text in ".*", raw in prop::collection::vec(any::<u8>(), 0..200),
        is_json: bool, events in 1usize..50, bytes in 0usize..3_000_000,
    ) {
        let status = if is_json { [200, 400, 503][usize::from(status) % 3] } else { status };
        let json = serde_json::json!({"text": text, "code": code, "invalid-event-number": number % 60}).to_string();
        let body = if is_json { json.into_bytes() } else { raw };
        match read(&Answer::new(status, body), Sent { events, bytes, token: TOKEN }) {
            Verdict::Pending(_) => panic!("nothing was asked to be acknowledged"),
            Verdict::Accept => prop_assert_eq!(status, 200),
            Verdict::Partial(partial) => {
                let rejected = partial.rejected.iter().map(|(index, _)| *index);
                let mut named: Vec<usize> = rejected.chain(partial.resend).collect();
                prop_assert!(!named.is_empty());
                prop_assert!(named.iter().all(|index| *index < events));
                named.dedup();
                prop_assert!(named.is_sorted() && named.last() == Some(&(events - 1)));
            }
            Verdict::Retry { .. } | Verdict::Reject(_) | Verdict::Halt(_) => {}
        }
    }
}

#[test]
fn a_collector_that_cannot_be_is_refused_without_repeating_it() {
    let refused = |url: &str, token: &str| Splunk::new(url, token).unwrap_err();
    assert_eq!(refused("splunk.example:8088", TOKEN), SplunkError::Url(InvalidUrl::Scheme));
    assert_eq!(refused("https://splunk.example:8088/services/collector/event", TOKEN), SplunkError::Path);
    assert_eq!(refused("https://splunk.example", ""), SplunkError::EmptyToken);
    for token in ["hunter2\n", "hunter2\r\nX: y", "hunter 2", "hünter2", "\u{0}"] {
        let error = refused("https://splunk.example", token);
        assert_eq!(error, SplunkError::TokenCharacters);
        assert!(!format!("{error} {error:?}").contains("unter"));
    }
}

#[test]
fn the_token_is_never_shown() {
    let splunk = Splunk::new("https://splunk.example:8088", TOKEN).unwrap().index("audit");
    let connection = splunk.connect(&Stop::new()).unwrap();
    let shown = format!("{splunk:?} {connection:?} {}", splunk.destination());
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(shown.contains("https://splunk.example:8088 index audit"));
    let echo = format!(r#"{{"text":"token {TOKEN} is unknown","code":4}}"#);
    assert_eq!(read_of(403, &echo, 1, 9), Verdict::Halt(cause(403, "token … is unknown (code 4)")));
    assert!(!format!("{:?}", read_of(502, &format!("Authorization: Splunk {TOKEN}"), 1, 9)).contains(TOKEN));
}

/// While a request is under way the file changes, and another sender connects: the one that was sent is still hidden.
#[test]
fn the_token_that_was_sent_is_hidden_whatever_the_file_holds_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, TOKEN).unwrap();
    let (theirs, replaced): (Arc<OnceLock<Arc<Splunk>>>, _) = (Arc::default(), path.clone());
    let splunk = Arc::clone(&theirs);
    let script = serve(move |request, stream| {
        std::fs::write(&replaced, "a-new-one").unwrap();
        splunk.get().unwrap().connect(&Stop::new()).unwrap();
        let echo = format!(r#"{{"text":"{} is unknown","code":4}}"#, request.header("authorization").unwrap());
        reply(stream, "403 Forbidden", echo.as_bytes())
    });
    let splunk = Arc::new(Splunk::token_file(&script.url, &path).unwrap().timeout(Duration::from_secs(5)));
    theirs.set(Arc::clone(&splunk)).unwrap();
    let mut connection = splunk.connect(&Stop::new()).unwrap();
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    for _ in 0..2 {
        let verdict = splunk.send_event(&mut connection, &event);
        assert_eq!(verdict, Verdict::Halt(cause(403, "Splunk … is unknown (code 4)")));
    }
    let sent: Vec<_> =
        script.requests.try_iter().map(|request| request.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, [format!("Splunk {TOKEN}"), "Splunk a-new-one".to_owned()], "all show the one that was read last");
}

fn collector(answer: fn(&str) -> (&'static str, &'static str)) -> Script {
    serve(move |request, stream| {
        let (status, body) = answer(&request.head[0]);
        if status == "hang" { hang(stream) } else { reply(stream, status, body.as_bytes()) }
    })
}

fn health_of(script: &Script) -> Health {
    let splunk = Splunk::new(&script.url, TOKEN).unwrap().timeout(Duration::from_millis(300));
    splunk.health_check(&mut splunk.connect(&Stop::new()).unwrap())
}

#[test]
fn a_collector_is_healthy_when_it_is_up_and_knows_the_token() {
    let script = collector(|head| match head {
        "GET /services/collector/health HTTP/1.1" => ("200 OK", r#"{"text":"HEC is healthy","code":17}"#),
        "POST /services/collector/event HTTP/1.1" => ("400 Bad Request", r#"{"text":"No data","code":5}"#),
        _ => ("404 Not Found", ""),
    });
    let health = health_of(&script);
    assert!(health.healthy, "{health:?}");
    assert!(health.latency_ms.unwrap() > 0.0);
    assert_eq!(health.details["url"], script.url);
    assert_eq!(script.connections(), 1);
    assert_eq!(script.requests.try_iter().last().unwrap().header("authorization"), Some(&*format!("Splunk {TOKEN}")));
}

#[test]
fn an_unhealthy_collector_is_explained_in_a_sentence() {
    let complaint = |script: &Script| {
        let health = health_of(script);
        assert!(!health.healthy && health.latency_ms.is_some());
        let message = health.error_message.unwrap();
        assert!(!message.contains(TOKEN));
        message
    };
    let bad_token = collector(|head| {
        if head.starts_with("GET") {
            ("200 OK", r#"{"text":"HEC is healthy","code":17}"#)
        } else {
            ("403 Forbidden", r#"{"text":"Invalid token","code":4}"#)
        }
    });
    assert!(complaint(&bad_token).starts_with("Splunk refuses the token: Invalid token (code 4); check it under"));
    let full = collector(|_| ("503 Busy", r#"{"text":"HEC is unhealthy, queues are full","code":18}"#));
    assert_eq!(complaint(&full), "Splunk takes no events now: HEC is unhealthy, queues are full (code 18) (http 503)");
    assert!(complaint(&collector(|_| ("404 Not Found", "<html>"))).starts_with("there is no HTTP Event Collector at"));
    assert!(complaint(&collector(|_| ("200 OK", "hello"))).starts_with("there is no HTTP Event Collector at"));
    assert!(complaint(&collector(|_| ("hang", ""))).contains("timeout"));
    let no_channel = collector(|_| ("400 Bad Request", r#"{"text":"Data channel is missing","code":10}"#));
    assert!(complaint(&no_channel).starts_with("Splunk refuses requests: Data channel is missing (code 10)"));
}

#[test]
fn a_transport_failure_keeps_the_batch() {
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    let script = collector(|_| ("hang", ""));
    let splunk = Splunk::new(&script.url, TOKEN).unwrap().timeout(Duration::from_millis(100));
    let Verdict::Retry { after: None, cause } = splunk.send_event(&mut splunk.connect(&Stop::new()).unwrap(), &event)
    else {
        panic!()
    };
    assert_eq!(cause.kind(), CauseKind::Timeout);
    let stop = Stop::new();
    stop.stop();
    assert!(matches!(splunk.connect(&stop), Err(Verdict::Retry { .. })));
}
