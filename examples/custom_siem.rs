//! A SIEM of your own in a page: the one that the original framework shows as its example. It takes
//! `{"events": [...]}` at `/events/batch` with a bearer token, and says at `/health` how it is.
//!
//! `cargo run --example custom_siem` forwards to a server that it starts itself.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever tries it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use siem_forward::net::{BaseUrl, Http, HttpConfig, Stop};
use siem_forward::siem::{CauseKind, FormatError};
use siem_forward::{AuditEvent, Batch, Cause, EventType, Forwarder, Health, Severity, Shape, Siem, Verdict};

struct CustomSiem {
    url: BaseUrl,
    authorization: String,
}

impl Siem for CustomSiem {
    type Connection = Http;

    fn shape(&self) -> Shape {
        Shape::framed(br#"{"events":["#, b",", b"]}")
    }

    fn connect(&self, stop: &Stop) -> Result<Http, Verdict> {
        Http::new(&self.url, &HttpConfig::default(), stop).map_err(|error| Verdict::retry(error.into()))
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        let formatted = json!({
            "id": event.id().to_string(),
            "timestamp": event.timestamp().to_string(),
            "event_type": event.event_type().name(),
            "severity": event.severity().name(),
            "user": { "id": event.user_id(), "email": event.user_email() },
            "resource": { "server_id": event.server_id(), "tool_name": event.tool_name() },
            "decision": event.decision(),
            "context": {
                "ip_address": event.ip_address(),
                "user_agent": event.user_agent(),
                "request_id": event.request_id(),
            },
        });
        serde_json::to_writer(body, &formatted).map_err(|error| FormatError::new(error.to_string()))
    }

    fn send_batch(&self, http: &mut Http, batch: &Batch) -> Verdict {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        match http.post("/events/batch", &headers, batch.body()) {
            Ok(answer) => match answer.status {
                200 => Verdict::Accept,
                401 | 403 => Verdict::Halt(Cause::http(answer.status)),
                413 => Verdict::Reject(Cause::new(CauseKind::TooLarge)),
                400..=499 if answer.status != 429 => Verdict::Reject(Cause::http(answer.status)),
                status => Verdict::Retry { after: answer.retry_after, cause: Cause::http(status) },
            },
            Err(error) => Verdict::retry(error.into()),
        }
    }

    fn health_check(&self, http: &mut Http) -> Health {
        let begun = Instant::now();
        match http.get("/health", &[("Authorization", self.authorization.as_str())]) {
            Ok(answer) if answer.status == 200 => Health::healthy().latency(begun.elapsed()),
            Ok(answer) => Health::unhealthy(format!("HTTP {}", answer.status)).latency(begun.elapsed()),
            Err(error) => Health::unhealthy(error.to_string()),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let siem = CustomSiem { url: serve()?.parse()?, authorization: "Bearer secret-key".to_owned() };
    let forwarder = Forwarder::builder(siem).batch_size(100).start()?;
    println!("health: {:?}", forwarder.health_check());
    let emitter = forwarder.emitter();
    for attempt in 0..1000 {
        emitter
            .event(EventType::ToolInvoked, Severity::Low)
            .user_id("u-17")
            .tool_name("create_ticket")
            .detail("attempt", attempt)
            .send_timeout(Duration::from_secs(1))?;
    }
    let report = forwarder.drain(Duration::from_secs(10));
    println!("{report}");
    if report.all_delivered() { Ok(()) } else { Err("not all events were delivered".into()) }
}

/// The other side: answers every request with 200 and an empty object. Returns its address.
fn serve() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut reader = BufReader::new(stream.try_clone()?);
                let mut stream = stream;
                loop {
                    let mut length = 0;
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line)? == 0 {
                            return Ok(());
                        }
                        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap_or(0);
                        }
                        if line == "\r\n" {
                            break;
                        }
                    }
                    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
                }
            });
        }
    });
    Ok(url)
}
