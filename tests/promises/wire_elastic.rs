//! What Elasticsearch gets to see, byte for byte, through the public interface.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use siem_forward::net::{Compression, HttpConfig, Stop};
use siem_forward::siem::Elastic;
use siem_forward::{AuditEvent, EventBuilder, EventId, EventType, Severity, Siem, Timestamp, Verdict};

const KEY: &str = "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==";
const ID: &str = "2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a";

fn elastic() -> Elastic {
    Elastic::new("http://127.0.0.1:1").unwrap().api_key(KEY).unwrap()
}

fn event(event_type: EventType<'_>, severity: Severity) -> EventBuilder {
    let at: Timestamp = "2026-01-01T00:00:00.031983Z".parse().unwrap();
    AuditEvent::builder(event_type, severity).id(EventId::parse(ID).unwrap()).timestamp(at)
}

fn lines_of(elastic: &Elastic, event: &AuditEvent) -> String {
    let mut body = Vec::new();
    elastic.format_event(event, &mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_full_event() {
    let event = event(EventType::ToolInvoked, Severity::High)
        .user_id("u-17")
        .user_email("ada@example.com")
        .server_id("srv-3")
        .tool_name("create_ticket")
        .decision("allow")
        .policy_id("p-9")
        .ip_address("10.194.128.204")
        .user_agent("curl/8.5")
        .request_id("r-1")
        .detail("attempt", 2)
        .detail("why", "on \"call\"")
        .build();
    assert_eq!(
        lines_of(&elastic(), &event),
        concat!(
            r#"{"create":{"_id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"}}"#,
            "\n",
            r#"{"@timestamp":"2026-01-01T00:00:00.031983Z","ecs":{"version":"9.0.0"},"observer":{"product":"siem-forward"},"#,
            r#""data_stream":{"type":"logs","dataset":"audit","namespace":"default"},"#,
            r#""event":{"dataset":"audit","id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a","action":"tool_invoked","#,
            r#""kind":"event","category":["api"],"type":["access","allowed"],"outcome":"success","severity":73},"#,
            r#""log":{"level":"error"},"user":{"id":"u-17","email":"ada@example.com"},"service":{"id":"srv-3"},"#,
            r#""gen_ai":{"tool":{"name":"create_ticket"}},"rule":{"id":"p-9"},"source":{"ip":"10.194.128.204"},"#,
            r#""user_agent":{"original":"curl/8.5"},"http":{"request":{"id":"r-1"}},"#,
            r#""related":{"user":["u-17","ada@example.com"],"ip":["10.194.128.204"]},"#,
            r#""audit":{"severity":"high","decision":"allow","details":{"attempt":2,"why":"on \"call\""}}}"#,
        )
    );
}

#[test]
fn an_event_without_anything_in_an_index_by_its_date() {
    let event = event(EventType::UserLogin, Severity::Low).build();
    assert_eq!(
        lines_of(&elastic().index("audit-%Y.%m.%d").unwrap(), &event),
        concat!(
            r#"{"create":{"_index":"audit-2026.01.01","_id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"}}"#,
            "\n",
            r#"{"@timestamp":"2026-01-01T00:00:00.031983Z","ecs":{"version":"9.0.0"},"observer":{"product":"siem-forward"},"#,
            r#""event":{"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a","action":"user_login","kind":"event","#,
            r#""category":["authentication","session"],"type":["start"],"severity":21},"log":{"level":"info"},"#,
            r#""audit":{"severity":"low"}}"#,
        )
    );
}

#[test]
fn a_decision_is_an_outcome_and_a_type_and_a_severity_a_level() {
    let shows = |event: EventBuilder, parts: &[&str]| {
        let lines = lines_of(&elastic(), &event.build());
        for part in parts {
            assert!(lines.contains(part), "{part}: {lines}");
        }
    };
    let of = |event_type| event(event_type, Severity::Medium);
    let level = r#""severity":47},"log":{"level":"warning"}"#;
    shows(
        of(EventType::AuthorizationDenied),
        &[r#""category":["api","iam"],"type":["access","denied"],"outcome":"failure","#, level],
    );
    shows(of(EventType::AuthorizationAllowed), &[r#""type":["access","allowed"],"outcome":"success""#]);
    shows(of(EventType::AuthorizationAllowed).decision("deny"), &[r#""type":["access","denied"],"outcome":"failure""#]);
    shows(
        of(EventType::SecurityViolation).decision("Denied"),
        &[
            r#""kind":"alert","category":["intrusion_detection"],"type":["info","denied"],"outcome":"failure""#,
            r#""audit":{"severity":"medium","decision":"Denied"}"#,
        ],
    );
    shows(
        of(EventType::custom("mine").unwrap()).decision("ask"),
        &[r#""action":"mine","kind":"event","type":["info"],"outcome":"unknown""#],
    );
    shows(event(EventType::UserLogin, Severity::Critical), &[r#""severity":99},"log":{"level":"critical"}"#]);
}

/// A field of the type `ip` refuses a whole document for what is none.
#[test]
fn only_an_address_stands_where_one_must() {
    for (given, shown) in [
        ("2001:db8::1", r#""source":{"ip":"2001:db8::1"},"related":{"ip":["2001:db8::1"]}"#),
        ("10.0.0.1:8080", r#""source":{"address":"10.0.0.1:8080","ip":"10.0.0.1"},"related":{"ip":["10.0.0.1"]}"#),
        ("gateway", r#""source":{"address":"gateway"},"audit""#),
        ("", r#""source":{"address":""},"audit""#),
    ] {
        let lines = lines_of(&elastic(), &event(EventType::UserLogin, Severity::Low).ip_address(given).build());
        assert!(lines.contains(shown), "{given}: {lines}");
    }
}

/// What is too long to be looked for does not stand there twice.
#[test]
fn a_long_user_is_related_to_nothing() {
    let long = "x".repeat(1025);
    let event = event(EventType::UserLogin, Severity::Low).user_id(&long).user_email("a@b").build();
    let lines = lines_of(&elastic(), &event);
    assert!(lines.contains(r#""related":{"user":["a@b"]},"audit""#) && lines.matches(&long).count() == 1, "{lines}");
}

/// Answers one request with this, and gives what it was: the lines of the head, in order, and the body.
fn request_of(elastic: impl FnOnce(&str) -> Elastic, event: &AuditEvent) -> (Vec<String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let lines = reader.by_ref().lines().map(Result::unwrap);
        let mut head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}";
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        // The request line sorts before the headers, whose names are in lower case.
        head.sort_unstable();
        (head, String::from_utf8(body).unwrap())
    });
    let mut http = HttpConfig::default();
    http.compression = Compression::None;
    let elastic = elastic(&url).http(http);
    let mut connection = elastic.connect(&Stop::new()).unwrap();
    assert_eq!(elastic.send_event(&mut connection, event), Verdict::Accept);
    server.join().unwrap()
}

#[test]
fn a_request() {
    let event = event(EventType::UserLogin, Severity::Low).build();
    let (head, body) = request_of(|url| Elastic::new(url).unwrap().api_key(KEY).unwrap(), &event);
    assert_eq!(body, lines_of(&elastic(), &event) + "\n");
    let filter = "filter_path=errors,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason";
    assert_eq!(head[0], format!("POST /logs-audit-default/_bulk?{filter} HTTP/1.1"));
    let names: Vec<&str> = head[1..].iter().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]);
    assert!(head.contains(&format!("authorization: ApiKey {KEY}")));
    assert!(head.contains(&"content-type: application/x-ndjson".to_owned()));

    // A user, an index by date, and a proxy's path in front.
    let by_date = |url: &str| {
        let elastic = Elastic::new(format!("{url}/es/")).unwrap().basic("ada", "hunter2").unwrap();
        elastic.index("audit-%Y").unwrap()
    };
    let (head, body) = request_of(by_date, &event);
    assert_eq!(head[0], format!("POST /es/_bulk?{filter} HTTP/1.1"));
    assert!(head.contains(&"authorization: Basic YWRhOmh1bnRlcjI=".to_owned()));
    assert!(body.starts_with("{\"create\":{\"_index\":\"audit-2026\",\"_id\":"), "{body}");
    let (head, _) = request_of(|url| Elastic::new(url).unwrap(), &event);
    assert!(!head.iter().any(|line| line.starts_with("authorization")), "{head:?}");
}
