//! A service that audits by `tracing`: it answers HTTP, asks its policy, and says what it decided, which the layer makes an
//! audit event of.
//!
//! Try it against the embedded receiver: `siem-forward receive`, then
//! `cargo run --features tracing-layer --example audited_service`, and ask it:
//!
//! ```sh
//! curl -H 'X-User: u-17' http://127.0.0.1:8080/tools/create_ticket     # 200
//! curl -H 'X-User: u-17' http://127.0.0.1:8080/tools/refund            # 403
//! ```
//!
//! Arguments: where the collector is, where to listen, and after how many requests to end (never, without it).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever tries it")]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::Duration;

use siem_forward::{DeadLetterConfig, Forwarder, layer::AuditLayer, siem::Splunk};
use tracing::{info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;

const HEAD_BYTES_MAX: u64 = 8 * 1024;
const TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let collector = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8088".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let requests = arguments.next().map_or(Ok(usize::MAX), |text| text.parse())?;

    let token = std::env::var("SPLUNK_HEC_TOKEN").unwrap_or_else(|_| "any".to_owned());
    let dead_letter = DeadLetterConfig::new(std::env::temp_dir().join("audited_service.dead.ndjson"));
    let forwarder = Forwarder::builder(Splunk::new(collector, token)?).dead_letter(dead_letter).start()?;
    // The event comes back: the service decides what an audit trail is worth to it.
    let audit = AuditLayer::new(forwarder.emitter()).on_refused(|refused| eprintln!("not audited: {refused}"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(audit))?;

    let listener = TcpListener::bind(address)?;
    println!("listening on http://{}", listener.local_addr()?);
    std::thread::scope(|scope| {
        for connection in listener.incoming().take(requests) {
            // One that broke off before it was answered is nobody's loss.
            scope.spawn(|| connection.and_then(serve).inspect_err(|error| eprintln!("a connection failed: {error}")));
        }
    });

    let report = forwarder.drain(Duration::from_secs(30));
    println!("{report}");
    if report.all_delivered() { Ok(()) } else { Err("not all events were delivered".into()) }
}

/// Answers one request.
fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    let from = connection.peer_addr()?.ip();
    let request = Request::read(&connection)?;
    let (status, text) = request.answer(from);
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())
}

/// What is looked at of a request.
struct Request {
    path: String,
    user: Option<String>,
    agent: Option<String>,
}

impl Request {
    fn read(connection: &TcpStream) -> std::io::Result<Self> {
        let mut head = BufReader::new(connection.take(HEAD_BYTES_MAX)).lines();
        let line = head.next().transpose()?.unwrap_or_default();
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut request = Self { path, user: None, agent: None };
        for line in head {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "x-user" => request.user = Some(value.trim().to_owned()),
                "user-agent" => request.agent = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        Ok(request)
    }

    /// Decides, and says so. What the span holds stands in the details of every event within it.
    fn answer(&self, from: IpAddr) -> (&'static str, &'static str) {
        let _span = info_span!("request", path = self.path).entered();
        let (user, agent) = (self.user.as_deref(), self.agent.as_deref());
        let Some(tool) = self.path.strip_prefix("/tools/") else { return ("404 Not Found", "no such tool\n") };
        let Some(user) = user else {
            warn!(
                target: "audit", event_type = "security_violation", severity = "high", tool_name = tool,
                decision = "deny", ip_address = %from, user_agent = agent, "nobody asked for it",
            );
            return ("401 Unauthorized", "say who you are: X-User\n");
        };
        if may(user, tool) {
            info!(
                target: "audit", event_type = "authorization_allowed", user_id = user, tool_name = tool,
                decision = "allow", policy_id = "example", ip_address = %from, user_agent = agent,
            );
            ("200 OK", "done\n")
        } else {
            warn!(
                target: "audit", event_type = "authorization_denied", user_id = user, tool_name = tool,
                decision = "deny", policy_id = "example", ip_address = %from, user_agent = agent,
            );
            ("403 Forbidden", "not allowed\n")
        }
    }
}

/// The policy: money is for administrators.
fn may(user: &str, tool: &str) -> bool {
    tool != "refund" || user.starts_with("admin-")
}
