//! `receive`: the embedded receiver alone.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::figures::{bytes, count};
use super::progress::Progress;
use super::signals::Ended;
use super::{exit_code, print, tell};
use crate::receiver::{Counts, Fault, Receiver, ReceiverConfig};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReceiveArguments {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8088)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The token to accept; without it, any is accepted
    #[arg(long)]
    token: Option<String>,
    /// A fault to show, may be repeated; see below
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// How many different events are expected: those that did not come are missing
    #[arg(long, value_name = "EVENTS")]
    expect: Option<u64>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward receive --port 8088                     healthy, any token
  siem-forward receive --token T --fault 503:every=3   every third request is answered with 503
  siem-forward receive --fault 429:retry_after=5,first=10 --fault delay:ms=200

It counts events by id until it is ended by SIGINT or SIGTERM, then prints what it counted.

Faults:
  503, 500, 502, 504         busy, or broken; with `taken`: after indexing all
  429:retry_after=5          asks for patience
  400:event=3                refuses this event and all behind it
  401, 403, 413, 415         refuses the request
  delay:ms=200, drip:ms=50   answers late, or byte by byte
  reset, reset_after         resets the connection, before or after indexing all
  garbage, hang, close       answers nonsense, or never, or hangs up afterwards
Each with every=N, first=N, share=0.2, contains=TEXT, id=ID or bytes=N, joined by commas: which
requests are hit; by default all of them.";

pub(crate) fn receive(arguments: &ReceiveArguments) -> Result<ExitCode, Failure> {
    let ended = Ended::watch()?;
    let address = SocketAddr::new(arguments.address, arguments.port);
    let config = ReceiverConfig {
        address,
        token: arguments.token.clone(),
        faults: arguments.faults.clone(),
        ..ReceiverConfig::default()
    };
    let receiver =
        Receiver::start(config).map_err(|source| Failure::Listen { address: address.to_string(), source })?;
    tell(&format!("listening on {} (end with Ctrl-C)", receiver.url()));
    let mut progress = Progress::new("events", arguments.expect);
    while !ended.is_asked() {
        std::thread::sleep(Duration::from_millis(100));
        let counts = receiver.counts();
        progress.set(counts.unique, &format!("{} requests, {} bytes", count(counts.requests), bytes(counts.bytes)));
    }
    progress.finish();
    let counts = receiver.counts();
    let missing = arguments.expect.map(|expected| expected.saturating_sub(counts.unique));
    let text = if arguments.json { to_json(&counts, missing) } else { to_text(&counts, missing) };
    print(&text)?;
    Ok(exit_code(missing.unwrap_or(0) == 0))
}

fn to_json(counts: &Counts, missing: Option<u64>) -> String {
    let receiver = json!({
        "unique": counts.unique,
        "duplicated": counts.duplicated,
        "missing": missing,
        "events": counts.events,
        "without_id": counts.without_id,
        "unindexed": counts.unindexed,
        "requests": counts.requests,
        "requests_failed": counts.requests_failed,
        "bytes": counts.bytes,
        "bytes_inflated": counts.bytes_inflated,
        "connections": counts.connections,
    });
    format!("{}\n", json!({ "receiver": receiver }))
}

fn to_text(counts: &Counts, missing: Option<u64>) -> String {
    let missing = missing.map_or_else(|| "unknown".to_owned(), count);
    let rows = [
        ("unique events", count(counts.unique)),
        ("duplicated", count(counts.duplicated)),
        ("missing", missing),
        ("without an id", count(counts.without_id)),
        ("requests", count(counts.requests)),
        ("failed requests", count(counts.requests_failed)),
        ("connections", count(counts.connections)),
        ("bytes received", bytes(counts.bytes)),
        ("bytes inflated", bytes(counts.bytes_inflated)),
    ];
    let rows = rows.map(|(name, value)| format!("  {name:<16}{value:>14}\n"));
    rows.concat()
}
