use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::event::{EventId, EventType};
use crate::net::script::{Script, hang, reply, serve};
use crate::net::{InvalidUrl, Stop};
use crate::siem::{Health, Siem};

const KEY: &str = "9f1c2e0e8f0b4a539a7e0d6c0b1b2c3d";

fn datadog() -> Datadog {
    Datadog::new("us1", KEY).unwrap()
}

fn read_of(status: u16, body: &str) -> Verdict {
    datadog().read(&Answer::new(status, body), 3, KEY)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn each_status_has_its_verdict() {
    let body = r#"{"errors":[{"status":"400","title":"Bad Request","detail":"Invalid JSON"},"Forbidden",{"x":1}]}"#;
    let words = "Bad Request: Invalid JSON; Forbidden";
    let cause = |status| Cause::http(status).words(words);
    assert_eq!(read_of(202, "{}"), Verdict::Accept);
    assert_eq!(read_of(202, "whatever"), Verdict::Accept);
    assert_eq!(read_of(400, body), Verdict::Reject(cause(400)));
    assert_eq!(read_of(413, body), Verdict::Reject(Cause::new(CauseKind::TooLarge).words(words)));
    for status in [408, 429, 500, 502, 503, 504, 599] {
        assert_eq!(read_of(status, body), Verdict::retry(cause(status)), "{status}");
    }
    for status in [301, 401, 403, 404, 405, 415, 422, 501] {
        assert_eq!(read_of(status, body), Verdict::Halt(cause(status)), "{status}");
    }
    // Whoever says this has not taken the logs: Datadog says 202.
    for status in [200, 201, 204, 100, 600] {
        let garbage = Cause::new(CauseKind::Garbage).words(format!("http {status}: hello"));
        assert_eq!(read_of(status, "hello"), Verdict::retry(garbage), "{status}");
    }
    let patient = Answer { retry_after: Some(Duration::from_secs(7)), ..Answer::new(429, "") };
    let Verdict::Retry { after, .. } = datadog().read(&patient, 3, KEY) else { panic!() };
    assert_eq!(after, Some(Duration::from_secs(7)));
}

#[test]
fn a_rate_limit_says_when_it_is_reset_where_nothing_says_more() {
    for (status, headers, seconds) in [
        ("429 Slow", "X-RateLimit-Limit: 9\r\nX-RateLimit-Period: 60\r\nX-RateLimit-Reset: 7", Some(7)),
        ("429 Slow", "X-RateLimit-Reset: 7\r\nRetry-After: 3", Some(3)),
        ("429 Slow", "X-RateLimit-Reset: soon", None),
        ("429 Slow", "X-RateLimit-Period: 60", None),
        // What is left of the window is no reason to wait for a server that is only broken.
        ("503 Busy", "X-RateLimit-Reset: 7", None),
    ] {
        let head = format!("{status}\r\n{headers}");
        let script = serve(move |_, stream| reply(stream, &head, b"{}"));
        let datadog = datadog().url(&script.url).unwrap();
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
        let verdict = datadog.send_event(&mut datadog.connect(&Stop::new()).unwrap(), &event);
        let Verdict::Retry { after, .. } = verdict else { panic!("{verdict:?}") };
        assert_eq!(after, seconds.map(Duration::from_secs), "{headers}");
    }
}

proptest! {
    #[test]
    fn any_answer_has_a_verdict_and_none_shows_the_key(
        status in prop_oneof![any::<u16>(), 190u16..=520], raw in prop::collection::vec(any::<u8>(), 0..200), words in ".*", is_json: bool, echoes: bool,
    ) {
        let echo = if echoes { KEY } else { "" };
        let json = serde_json::json!({"errors": [{"title": words, "detail": echo}, words, 7, null, [echo]]}).to_string();
        let body = if is_json { json.into_bytes() } else { [raw.as_slice(), echo.as_bytes()].concat() };
        let verdict = datadog().read(&Answer::new(status, body), 3, KEY);
        prop_assert_eq!(verdict == Verdict::Accept, status == 202);
        let shown = format!("{verdict:?}");
        prop_assert!(!shown.contains(KEY));
    }
}

#[test]
fn a_site_is_known_by_its_name_or_its_domain() {
    let addresses = |site: &str| {
        let (logs, api) = place_of_site(site).unwrap();
        (logs.to_string(), api.unwrap().to_string())
    };
    let pair = |logs: &str, api: &str| (logs.to_owned(), api.to_owned());
    assert_eq!(addresses("US1"), pair("https://http-intake.logs.datadoghq.com", "https://api.datadoghq.com"));
    assert_eq!(addresses("datadoghq.eu"), addresses("eu1"));
    assert_eq!(addresses("us2-fed"), pair("https://http-intake.logs.us2.ddog-gov.com", "https://api.us2.ddog-gov.com"));
    assert_eq!(addresses("us9.datadoghq.com").0, "https://http-intake.logs.us9.datadoghq.com", "one to come");
    for (name, domain) in SITES {
        assert_eq!(addresses(name), addresses(domain));
    }
    for site in ["", "us", "evildatadoghq.com", ".datadoghq.com", "a/b.datadoghq.com", "a@x.datadoghq.com", "x.example"]
    {
        let error = place_of_site(site).unwrap_err();
        assert!(error.to_string().starts_with("is no site of Datadog's"), "{site}: {error}");
    }
}

#[test]
fn what_is_no_destination_is_refused_without_repeating_it() {
    let refused = |key: &str| Datadog::new("us1", key).unwrap_err().to_string();
    assert_eq!(refused(""), "the API key is empty");
    let told = refused("hunter 2");
    assert!(told.starts_with("the API key holds a space") && !told.contains("hunter"), "{told}");
    assert_eq!(datadog().url("proxy:1").unwrap_err(), IntakeError::Url(InvalidUrl::Scheme));
    assert!(matches!(datadog().url("http://proxy/api/v2/logs"), Err(IntakeError::Place(_))));
    let error = Datadog::api_key_file("us1", "/nowhere/key").unwrap_err();
    assert!(error.to_string().starts_with("cannot read /nowhere/key"), "{error}");
}

#[test]
fn the_key_is_never_shown() {
    let datadog = datadog();
    let connection = datadog.connect(&Stop::new()).unwrap();
    let shown = format!("{datadog:?} {connection:?} {}", datadog.destination());
    assert!(!shown.contains(KEY) && shown.contains("https://http-intake.logs.datadoghq.com"), "{shown}");
}

fn batch_at(datadog: &Datadog, times: &[&str]) -> Batch {
    let mut batch = Batch::open(datadog.shape(), Vec::new(), Vec::new());
    for time in times {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).timestamp(at(time)).build();
        batch.append(&event, |body| datadog.format_event(&event, body)).unwrap();
    }
    batch.seal();
    batch
}

/// T22: Datadog answers 202 to what is older than 18 hours, and drops it.
#[test]
fn what_is_too_old_is_told_event_by_event() {
    let datadog = datadog();
    let times =
        ["2026-01-01T06:00:00Z", "2026-01-01T05:59:59.999999999Z", "2026-01-02T00:00:00Z", "1700-01-01T00:00:00Z"];
    let batch = batch_at(&datadog, &times);
    let now = at("2026-01-02T00:00:00Z");
    let old = |datadog: &Datadog, now| {
        let old = datadog.too_old(batch.marks(), now);
        assert!(old.iter().all(|(_, cause)| cause.label() == "too_old"));
        old.into_iter().map(|(index, _)| index).collect::<Vec<_>>()
    };
    assert_eq!(old(&datadog, now), [1, 3], "exactly 18 hours is young enough");
    assert_eq!(old(&datadog, at("2026-01-02T00:00:00.000000001Z")), [0, 1, 3]);
    assert_eq!(old(&datadog, at("1677-09-22T00:00:00Z")), [] as [usize; 0], "a clock that is behind makes nothing old");
    let words = datadog.too_old(batch.marks(), now)[0].1.as_words().unwrap().to_owned();
    assert_eq!(words, "older than 64800 s (age_max_seconds): Datadog would take it and drop it silently");
    assert_eq!(old(&datadog.age_max(Duration::from_secs(1)), now), [0, 1, 3]);
    assert_eq!(old(&self::datadog().age_max(Duration::MAX), now), [] as [usize; 0]);
    assert_eq!(old(&self::datadog().age_max(Duration::ZERO), now), [] as [usize; 0], "off");
}

#[test]
fn an_event_that_is_too_old_is_rejected_alone_without_a_request() {
    let script = serve(|_, stream| reply(stream, "202 Accepted", b"{}"));
    let datadog = datadog().url(&script.url).unwrap();
    let mut connection = datadog.connect(&Stop::new()).unwrap();
    let old = AuditEvent::builder(EventType::UserLogin, Severity::Low).timestamp(at("2020-01-01T00:00:00Z")).build();
    let verdict = datadog.send_event(&mut connection, &old);
    assert!(matches!(&verdict, Verdict::Reject(cause) if cause.label() == "too_old"), "{verdict:?}");
    assert_eq!(script.requests.try_iter().count(), 0);
    let fresh = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    assert_eq!(datadog.send_event(&mut connection, &fresh), Verdict::Accept);
    assert_eq!(datadog.age_max(Duration::ZERO).send_event(&mut connection, &old), Verdict::Accept);
}

#[test]
fn hostile_text_stays_text_and_the_body_is_an_array() {
    let hostile = "\"}],\\ \u{0}\u{2028}é\r\n";
    let datadog = datadog().source(hostile).service(hostile).tags(hostile).hostname(hostile);
    let event = AuditEvent::builder(EventType::custom(hostile).unwrap(), Severity::Medium)
        .id(EventId::parse("2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a").unwrap())
        .user_id(hostile)
        .tool_name(hostile)
        .request_id(hostile)
        .detail(hostile, hostile)
        .build();
    let mut batch = Batch::open(datadog.shape(), Vec::new(), Vec::new());
    for _ in 0..2 {
        batch.append(&event, |body| datadog.format_event(&event, body)).unwrap();
    }
    batch.seal();
    let read: Value = serde_json::from_slice(batch.body()).unwrap();
    let log = &read[1];
    assert_eq!(log["message"], format!("{hostile} {hostile} {hostile}"));
    for found in [
        &log["ddsource"],
        &log["service"],
        &log["ddtags"],
        &log["hostname"],
        &log["evt"]["name"],
        &log["usr"]["id"],
        &log["audit"]["tool_name"],
        &log["http"]["request_id"],
        &log["audit"]["details"][hostile],
    ] {
        assert_eq!(found, hostile);
    }
    assert_eq!((&log["status"], &log["network"]), (&Value::from("warning"), &Value::Null));
}

fn health_of(script: &Script) -> Health {
    let http = HttpConfig { timeout: Duration::from_millis(300), ..HttpConfig::default() };
    let datadog = datadog().url(&script.url).unwrap().http(http);
    datadog.health_check(&mut datadog.connect(&Stop::new()).unwrap())
}

#[test]
fn a_valid_key_is_healthy_and_everything_else_is_told_in_a_sentence() {
    let answering = |status: &'static str, body: &'static str| {
        serve(move |_, stream| if status == "hang" { hang(stream) } else { reply(stream, status, body.as_bytes()) })
    };
    let valid = answering("200 OK", r#"{"valid":true}"#);
    let health = health_of(&valid);
    assert!(health.healthy && health.latency_ms.unwrap() > 0.0, "{health:?}");
    assert_eq!(health.details["url"], valid.url);
    let request = valid.requests.try_iter().next().unwrap();
    assert_eq!(request.head[0], "GET /api/v1/validate HTTP/1.1");
    assert_eq!(request.header("dd-api-key"), Some(KEY));

    let complaint = |status, body| {
        let health = health_of(&answering(status, body));
        assert!(!health.healthy);
        health.error_message.unwrap()
    };
    let echo = r#"{"errors":["9f1c2e0e8f0b4a539a7e0d6c0b1b2c3d"]}"#;
    assert_eq!(complaint("403 No", echo), r#"Datadog refuses the API key: {"errors":["…"]} (http 403)"#);
    assert_eq!(complaint("503 Busy", "later"), "Datadog takes no events now: later (http 503)");
    for (status, body) in [("200 OK", r#"{"valid":false}"#), ("200 OK", "<html>"), ("404 No", ""), ("302 Found", "")] {
        let told = complaint(status, body);
        assert!(told.starts_with("there is no Datadog at http://127.0.0.1"), "{told}");
    }
    assert!(complaint("501 No", "no").starts_with("Datadog refuses requests: no"));
    let told = complaint("hang", "");
    assert!(told.contains("gives no answer: timeout") && told.contains("firewalls"), "{told}");
}
