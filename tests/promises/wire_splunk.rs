//! What Splunk gets to see, byte for byte, through the public interface.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use siem_forward::net::{Compression, Stop};
use siem_forward::siem::Splunk;
use siem_forward::{AuditEvent, EventBuilder, EventId, EventType, Severity, Siem, Timestamp, Verdict};

const TOKEN: &str = "00000000-0000-0000-0000-000000000000";

fn splunk() -> Splunk {
    Splunk::new("https://splunk.example:8088", TOKEN).unwrap().host("gw-1")
}

fn event(event_type: EventType<'_>, severity: Severity) -> EventBuilder {
    let at: Timestamp = "2026-01-01T00:00:00.031983Z".parse().unwrap();
    let id = EventId::parse("2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a").unwrap();
    AuditEvent::builder(event_type, severity).id(id).timestamp(at)
}

fn envelope_of(splunk: &Splunk, event: &AuditEvent) -> String {
    let mut body = Vec::new();
    splunk.format_event(event, &mut body).unwrap();
    let text = String::from_utf8(body).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    // With a key that it does not know, Splunk says success and forgets the rest of the request.
    let known = ["time", "host", "source", "sourcetype", "index", "fields", "event"];
    assert!(json.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())));
    text
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
        envelope_of(&splunk().index("audit").source("mcp").sourcetype("mcp:audit"), &event),
        concat!(
            r#"{"time":1767225600.031983,"host":"gw-1","source":"mcp","sourcetype":"mcp:audit","index":"audit","#,
            r#""fields":{"event_id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a","event_type":"tool_invoked","#,
            r#""severity":"high"},"#,
            r#""event":{"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a","timestamp":"2026-01-01T00:00:00.031983Z","#,
            r#""event_type":"tool_invoked","severity":"high","user_id":"u-17","user_email":"ada@example.com","#,
            r#""server_id":"srv-3","tool_name":"create_ticket","decision":"allow","policy_id":"p-9","#,
            r#""src_ip":"10.194.128.204","user_agent":"curl/8.5","request_id":"r-1","#,
            r#""details":{"attempt":2,"why":"on \"call\""}}}"#,
        )
    );
}

#[test]
fn an_event_without_anything() {
    let event = event(EventType::UserLogin, Severity::Low).build();
    assert_eq!(
        envelope_of(&splunk(), &event),
        concat!(
            r#"{"time":1767225600.031983,"host":"gw-1","source":"siem-forward","sourcetype":"siem_forward:audit","#,
            r#""fields":{"event_id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a","event_type":"user_login","#,
            r#""severity":"low"},"#,
            r#""event":{"id":"2dc1005f-6a1f-7c5e-9d3b-1f2e3d4c5b6a","timestamp":"2026-01-01T00:00:00.031983Z","#,
            r#""event_type":"user_login","severity":"low"}}"#,
        )
    );
    let bare = splunk().host("").source("").sourcetype("").index("");
    assert!(envelope_of(&bare, &event).starts_with(r#"{"time":1767225600.031983,"fields":{"event_id":"#));
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "\"}}\n{\"time\":0,\"event\":\"forged\"}\u{0}\u{7f}\u{2028}é\\";
    let custom = EventType::custom("pay\"load\n").unwrap();
    let event = event(custom, Severity::Critical).user_id(hostile).detail(hostile, hostile).build();
    let text = envelope_of(&splunk().index("a\"b").host("\\"), &event);
    assert!(!text.contains('\n') && !text.contains('\0'));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["index"], "a\"b");
    assert_eq!(json["host"], "\\");
    assert_eq!(json["fields"]["event_type"], "pay\"load\n");
    assert_eq!(json["event"]["event_type"], "pay\"load\n");
    assert_eq!(json["event"]["user_id"], hostile);
    assert_eq!(json["event"]["details"][hostile], hostile);
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
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"text\":\"Success\",\"code\":0}";
        stream.write_all(answer).unwrap();
        // The request line sorts before the headers, whose names are in lower case.
        head.sort_unstable();
        (head, String::from_utf8(body).unwrap())
    });
    let splunk = Splunk::new(&url, TOKEN).unwrap().compression(Compression::None);
    let event = event(EventType::UserLogin, Severity::Low).build();
    let mut connection = splunk.connect(&Stop::new()).unwrap();
    assert_eq!(splunk.send_event(&mut connection, &event), Verdict::Accept);

    let (head, body) = server.join().unwrap();
    assert_eq!(body, envelope_of(&splunk, &event));
    assert_eq!(head[0], "POST /services/collector/event HTTP/1.1");
    let names: Vec<&str> = head[1..].iter().map(|line| line.split_once(": ").unwrap().0).collect();
    let mut expected = vec!["accept", "authorization", "content-length", "content-type", "host", "user-agent"];
    expected.push("x-splunk-request-channel");
    assert_eq!(names, expected);
    assert!(head.contains(&format!("authorization: Splunk {TOKEN}")));
    assert!(head.contains(&"content-type: application/json".to_owned()));
    let channel = head.iter().find_map(|line| line.strip_prefix("x-splunk-request-channel: ")).unwrap();
    assert!(EventId::parse(channel).is_ok());
}
