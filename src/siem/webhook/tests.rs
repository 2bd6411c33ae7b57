//! Bytes, answers, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::event::{EventId, EventType, Severity, Timestamp};
use crate::net::Stop;
use crate::net::script::{reply, serve};
use crate::siem::{Cause, CauseKind, Siem};

const TOKEN: &str = "9f1c2e0e-8f0b-4a53-9a7e-0d6c0b1b2c3d";

fn webhook() -> Webhook {
    Webhook::new("http://127.0.0.1:1/api").unwrap().bearer(TOKEN).unwrap()
}

fn event() -> AuditEvent {
    AuditEvent::builder(EventType::ToolInvoked, Severity::High)
        .id(EventId::parse("2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a").unwrap())
        .timestamp("2026-01-01T00:00:00.031983Z".parse::<Timestamp>().unwrap())
        .user_id("u-17")
        .tool_name("create \"ticket\"")
        .detail("attempt", 2)
        .build()
}

fn body_of(webhook: &Webhook, events: usize) -> String {
    let mut batch = Batch::open(webhook.shape(), Vec::new(), Vec::new());
    for _ in 0..events {
        batch.append(&event(), |body| webhook.format_event(&event(), body)).unwrap();
    }
    batch.seal();
    String::from_utf8(batch.body().to_vec()).unwrap()
}

#[test]
fn a_body_is_lines_an_array_or_an_array_under_a_key() {
    let small = || webhook().field("id", "i\"d").unwrap();
    let id = r#"{"i\"d":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"}"#;
    assert_eq!(body_of(&small(), 2), format!("{id}\n{id}\n"));
    assert_eq!(body_of(&small().body(WebhookBody::Array), 2), format!("[{id},{id}]"));
    let under = small().body(WebhookBody::Under("eve\"nts".to_owned()));
    assert_eq!(body_of(&under, 2), format!(r#"{{"eve\"nts":[{id},{id}]}}"#));
    let own = body_of(&webhook(), 1);
    assert!(own.contains(r#""event_type":"tool_invoked","severity":"high","user_id":"u-17""#), "{own}");
}

#[test]
fn fields_stand_where_they_were_put_and_what_is_absent_leaves_no_trace() {
    let mut webhook = webhook();
    for (field, path) in [
        ("timestamp", "timestamp"),
        ("user_id", "user.id"),
        ("user_email", "user.email"),
        ("severity", "severity"),
        ("ip_address", "context.ip.v4"),
        ("tool_name", "resource.tool"),
        ("event_type", "resource.what"),
        ("details", "details"),
    ] {
        webhook = webhook.field(field, path).unwrap();
    }
    assert_eq!(
        body_of(&webhook, 1),
        concat!(
            r#"{"timestamp":"2026-01-01T00:00:00.031983Z","user":{"id":"u-17"},"severity":"high","#,
            r#""resource":{"tool":"create \"ticket\"","what":"tool_invoked"},"details":{"attempt":2}}"#,
            "\n"
        )
    );
    let nothing = self::webhook().field("policy_id", "policy.id").unwrap();
    assert_eq!(body_of(&nothing, 1), "{}\n");
}

#[test]
fn a_place_that_cannot_be_is_told() {
    let put = |path| webhook().field("user_id", "user.id").unwrap().field("user_email", path).unwrap_err().to_string();
    for path in ["user", "user.id", "user.id.mail"] {
        assert_eq!(put(path), format!("`{path}` is the place of another field too, or a part of it is"));
    }
    for path in ["", ".", "a.", ".a", "a..b", "user."] {
        assert!(put(path).starts_with("is no path of names"), "{path}");
    }
    assert_eq!(webhook().field("user", "u").unwrap_err().to_string(), "an event has no field user");
    for path in ["", "events", "/a b", "/é", "/a#b"] {
        assert!(webhook().path(path).is_err() && webhook().health_path(path).is_err(), "{path}");
    }
    for header in ["X", "X Y: z", ": z", "X: a\nb", "X: é", "authorization: hunter2", "Host: x", "Content-Type: x"] {
        let error = webhook().header(header).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn each_status_has_its_verdict() {
    let read = |webhook: &Webhook, status| webhook.read(&Answer::new(status, "no"), 3, TOKEN);
    let cause = |status| Cause::http(status).words("no");
    for status in ACCEPTED {
        assert_eq!(read(&webhook(), status), Verdict::Accept);
    }
    assert_eq!(read(&webhook().accepted([207]), 207), Verdict::Accept);
    for status in [200, 203, 299] {
        let garbage = Cause::new(CauseKind::Garbage).words(format!("http {status}: no"));
        assert_eq!(read(&webhook().accepted([201]), status), Verdict::retry(garbage), "{status}");
    }
    assert_eq!(read(&webhook(), 400), Verdict::Reject(cause(400)));
    assert_eq!(read(&webhook(), 413), Verdict::Reject(Cause::new(CauseKind::TooLarge).words("no")));
    for status in [401, 403, 404, 302] {
        assert_eq!(read(&webhook(), status), Verdict::Halt(cause(status)));
    }
    for status in [408, 429, 500, 503] {
        assert_eq!(read(&webhook(), status), Verdict::retry(cause(status)));
    }
}

proptest! {
    #[test]
    fn any_answer_has_a_verdict_and_none_shows_the_secret(
        status in prop_oneof![any::<u16>(), 190u16..=520], raw in prop::collection::vec(any::<u8>(), 0..200), echoes: bool,
    ) {
        let body = [raw.as_slice(), if echoes { TOKEN.as_bytes() } else { b"" }].concat();
        let verdict = webhook().read(&Answer::new(status, body), 3, TOKEN);
        prop_assert_eq!(verdict == Verdict::Accept, ACCEPTED.contains(&status));
        let shown = format!("{verdict:?}");
        prop_assert!(!shown.contains(TOKEN));
    }
}

#[test]
fn a_request_is_made_as_described_and_health_is_asked_where_it_was_said() {
    let script = serve(|request, stream| {
        let status = if request.head[0].starts_with("GET") { "200 OK" } else { "201 Created" };
        reply(stream, status, b"")
    });
    let webhook = Webhook::new(format!("{}/api", script.url)).unwrap().basic("ada:hunter2").unwrap();
    let webhook =
        webhook.path("/events?x=1").unwrap().put().header("X-Tenant: a b").unwrap().health_path("/health").unwrap();
    let mut connection = webhook.connect(&Stop::new()).unwrap();
    assert_eq!(webhook.send_event(&mut connection, &event()), Verdict::Accept);
    assert!(webhook.health_check(&mut connection).healthy);
    let requests: Vec<_> = script.requests.try_iter().collect();
    let [put, get] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(put.head[0], "PUT /api/events?x=1 HTTP/1.1");
    assert_eq!(get.head[0], "GET /api/health HTTP/1.1");
    assert_eq!(put.header("content-type"), Some("application/x-ndjson"));
    for request in [put, get] {
        assert_eq!(request.header("authorization"), Some("Basic YWRhOmh1bnRlcjI="));
        assert_eq!(request.header("x-tenant"), Some("a b"));
    }
    let echo = serve(|request, stream| {
        let said = format!("who is {}?", request.header("authorization").unwrap());
        reply(stream, "403 Forbidden", said.as_bytes())
    });
    let webhook = Webhook::new(&echo.url).unwrap().basic("ada:hunter2").unwrap().health_path("/").unwrap();
    let mut connection = webhook.connect(&Stop::new()).unwrap();
    let refused = Verdict::Halt(Cause::http(403).words("who is Basic …?"));
    assert_eq!(webhook.send_event(&mut connection, &event()), refused);
    let told = webhook.health_check(&mut connection).error_message.unwrap();
    assert_eq!(told, "the webhook refuses the token: who is Basic …? (http 403)");
    let shown = format!("{webhook:?} {connection:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("YWRh") && !shown.contains("a b"), "{shown}");
    let unasked = Webhook::new(&script.url).unwrap();
    let health = unasked.health_check(&mut unasked.connect(&Stop::new()).unwrap());
    assert!(health.healthy && health.details.contains_key("not asked"), "{health:?}");
}
