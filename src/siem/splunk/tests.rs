//! Secrets that stay unseen, and health.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::read_tests::{TOKEN, cause, read_of};
use super::*;
use crate::event::{EventType, Severity};
use crate::net::script::{Script, hang, reply, serve};
use crate::siem::CauseKind;

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
fn a_token_without_acknowledgement_is_told_where_it_is_asked_for() {
    let script = |answer: fn(&str) -> (&'static str, &'static str)| {
        serve(move |request, stream| {
            let (status, body) = match request.head[0].split(['?', ' ']).nth(1).unwrap() {
                "/services/collector/health" => ("200 OK", r#"{"text":"HEC is healthy","code":17}"#),
                "/services/collector/event" => ("400 Bad Request", r#"{"text":"No data","code":5}"#),
                path => answer(path),
            };
            reply(stream, status, body.as_bytes())
        })
    };
    let health = |script: &Script, ack| {
        let splunk = Splunk::new(&script.url, TOKEN).unwrap().ack(ack);
        splunk.health_check(&mut splunk.connect(&Stop::new()).unwrap()).error_message
    };
    let disabled = script(|_| ("400 Bad Request", r#"{"text":"ACK is disabled","code":14}"#));
    let complaint = health(&disabled, true).unwrap();
    assert!(complaint.starts_with("the token has no indexer acknowledgement: switch it on"), "{complaint}");
    assert_eq!(health(&disabled, false), None);
    let missing = script(|_| ("404 Not Found", "nothing here"));
    let complaint = health(&missing, true).unwrap();
    assert!(complaint.contains("does not answer questions about acknowledgement"), "{complaint}");
    assert!(complaint.ends_with("nothing here (http 404)"), "{complaint}");
    let enabled = script(|_| ("200 OK", r#"{"acks":{"0":false}}"#));
    assert_eq!(health(&enabled, true), None);
    // Asked about another channel than the one that batches wait in: a true is told once.
    let requests: Vec<_> = enabled.requests.try_iter().collect();
    let [_, sent, asked] = &requests[..] else { panic!("{requests:?}") };
    assert_ne!(asked.header("x-splunk-request-channel"), sent.header("x-splunk-request-channel"));
    let channel = asked.head[0].split(['=', ' ']).nth(2).unwrap();
    assert_eq!(asked.header("x-splunk-request-channel"), Some(channel));
    assert_eq!(asked.header("authorization"), Some(&*format!("Splunk {TOKEN}")));
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
