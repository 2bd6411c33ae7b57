//! What Datadog gets to see, byte for byte, through the public interface.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use siem_forward::net::{Compression, HttpConfig, Stop};
use siem_forward::siem::Datadog;
use siem_forward::{AuditEvent, EventBuilder, EventId, EventType, Severity, Siem, Timestamp, Verdict};

const KEY: &str = "00000000000000000000000000000000";

fn datadog() -> Datadog {
    Datadog::new("us1", KEY).unwrap().hostname("gw-1")
}

fn event(event_type: EventType<'_>, severity: Severity) -> EventBuilder {
    let at: Timestamp = "2026-01-01T00:00:00.031983Z".parse().unwrap();
    let id = EventId::parse("2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a").unwrap();
    AuditEvent::builder(event_type, severity).id(id).timestamp(at)
}

fn log_of(datadog: &Datadog, event: &AuditEvent) -> String {
    let mut body = Vec::new();
    datadog.format_event(event, &mut body).unwrap();
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
        log_of(&datadog().source("mcp").service("gateway").tags("env:prod,team:sec"), &event),
        concat!(
            r#"{"ddsource":"mcp","hostname":"gw-1","service":"gateway","ddtags":"env:prod,team:sec","#,
            r#""timestamp":"2026-01-01T00:00:00.031983Z","status":"error","#,
            r#""message":"tool_invoked create_ticket allow ada@example.com","#,
            r#""event":{"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"},"#,
            r#""evt":{"name":"tool_invoked","outcome":"allow"},"#,
            r#""audit":{"severity":"high","server_id":"srv-3","tool_name":"create_ticket","policy_id":"p-9","#,
            r#""details":{"attempt":2,"why":"on \"call\""}},"#,
            r#""usr":{"id":"u-17","email":"ada@example.com"},"network":{"client":{"ip":"10.194.128.204"}},"#,
            r#""http":{"useragent":"curl/8.5","request_id":"r-1"}}"#,
        )
    );
}

#[test]
fn an_event_without_anything() {
    let event = event(EventType::UserLogin, Severity::Low).build();
    assert_eq!(
        log_of(&datadog(), &event),
        concat!(
            r#"{"ddsource":"siem-forward","hostname":"gw-1","timestamp":"2026-01-01T00:00:00.031983Z","status":"info","#,
            r#""message":"user_login","event":{"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a"},"#,
            r#""evt":{"name":"user_login"},"audit":{"severity":"low"}}"#,
        )
    );
    for (severity, status) in
        [(Severity::Medium, "warning"), (Severity::High, "error"), (Severity::Critical, "critical")]
    {
        let log = log_of(&datadog(), &self::event(EventType::UserLogin, severity).build());
        assert!(log.contains(&format!(r#""status":"{status}""#)), "{log}");
    }
}

#[test]
fn a_request() {
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
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        // The request line sorts before the headers, whose names are in lower case.
        head.sort_unstable();
        (head, String::from_utf8(body).unwrap())
    });
    let mut http = HttpConfig::default();
    http.compression = Compression::None;
    let datadog = datadog().url(&url).unwrap().http(http);
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    let mut connection = datadog.connect(&Stop::new()).unwrap();
    assert_eq!(datadog.send_event(&mut connection, &event), Verdict::Accept);

    let (head, body) = server.join().unwrap();
    assert_eq!(body, format!("[{}]", log_of(&datadog, &event)));
    assert_eq!(head[0], "POST /api/v2/logs HTTP/1.1");
    let names: Vec<&str> = head[1..].iter().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["accept", "content-length", "content-type", "dd-api-key", "host", "user-agent"]);
    assert!(head.contains(&format!("dd-api-key: {KEY}")));
    assert!(head.contains(&"content-type: application/json".to_owned()));
}
