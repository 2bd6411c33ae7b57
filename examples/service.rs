//! A service that adopts siem-forward: what the README shows.
//!
//! Try it against the embedded receiver: `siem-forward receive`, then `cargo run --example service`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever tries it")]

use std::time::Duration;

use siem_forward::{DeadLetterConfig, EventType, Forwarder, Severity, siem::Splunk};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8088".to_owned());
    let token = std::env::var("SPLUNK_HEC_TOKEN").unwrap_or_else(|_| "any".to_owned());
    let dead_letter = DeadLetterConfig::new(std::env::temp_dir().join("service.dead.ndjson"));
    let forwarder = Forwarder::builder(Splunk::new(url, token)?).batch_size(500).dead_letter(dead_letter).start()?;
    let emitter = forwarder.emitter();

    let refund = emitter
        .event(EventType::AuthorizationDenied, Severity::High)
        .user_id("u-17")
        .tool_name("payments.refund")
        .decision("deny")
        .detail("amount", 120);
    if let Err(refused) = refund.try_send() {
        // The event comes back: the service decides what an audit trail is worth to it.
        eprintln!("{refused}: {:?}", refused.event());
    }

    let report = forwarder.drain(Duration::from_secs(30));
    println!("{report}");
    if report.all_delivered() { Ok(()) } else { Err("not all events were delivered".into()) }
}
