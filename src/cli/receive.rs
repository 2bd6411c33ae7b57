//! `receive`: the embedded receiver alone.

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::figures::{bytes, count};
use super::played::Played;
use super::progress::Progress;
use super::signals::Ended;
use super::{exit_code, print, tell};
use crate::receiver::{Counts, Fault, Receiver, ReceiverConfig};
use crate::secret::Secret;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReceiveArguments {
    /// Whom to play: splunk, datadog, elastic or webhook
    #[arg(long = "as", value_name = "SIEM", value_enum, default_value = "splunk", hide_possible_values = true)]
    played: Played,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8088)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Where a webhook's event has its id, as `fields.id` says; else `id`
    #[arg(long, value_name = "FIELD")]
    id_field: Option<String>,
    /// The token to accept; without it, any is accepted
    #[arg(long)]
    token: Option<Secret>,
    /// A fault to show, may be repeated; see below
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Acknowledge what is indexed, as Splunk with useACK
    #[arg(long)]
    ack: bool,
    /// Seconds until what was taken is indexed
    #[arg(long, value_name = "SECONDS", requires = "ack", default_value = "1", value_parser = seconds)]
    ack_delay: Duration,
    /// How many different events are to come, to tell the missing
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
  siem-forward receive --as webhook --id-field event.id
  siem-forward receive --ack --ack-delay 10 --fault restart:every=50   loses what waits then

It counts events by id until it is ended by SIGINT or SIGTERM, then prints what it counted. Faults:
  503, 500, 502, 504         busy, or broken; with `taken`: after indexing all
  429:retry_after=5          asks for patience
  400:event=3                refuses it and all behind it; elastic it alone, others the request
  401, 403, 413, 415         refuses the request
  delay:ms=200, drip:ms=50   answers late, or byte by byte
  reset_before, reset, reset_after   resets before the body, amid it, or after indexing all
  garbage, hang, close       answers nonsense, or never, or hangs up afterwards
With --ack:
  restart:every=50           the indexer restarts: what is not yet indexed is lost
  ack_400, ack_404, ack_503, ack_garbage, ack_hang   who asks is refused, gets nonsense, or nothing
  ack_reset, ack_reset_after or a reset, before or after the truth is used up
  ack_never                  or false, for ever
Each with every=N, first=N, share=0.2, contains=TEXT, id=ID or bytes=N, joined by commas: which
requests are hit; by default all of them.";

pub(crate) fn receive(arguments: &ReceiveArguments) -> Result<ExitCode, Failure> {
    let ended = Ended::watch()?;
    let address = SocketAddr::new(arguments.address, arguments.port);
    let ack = arguments.ack.then_some(arguments.ack_delay);
    if arguments.id_field.is_some() && arguments.played != Played::Webhook {
        return Err(Failure::IdFieldIsKnown { destination: arguments.played.name() });
    }
    let healthy = ReceiverConfig::default();
    let config = ReceiverConfig {
        play: arguments.played.part(ack)?,
        address,
        token: arguments.token.as_ref().map(|token| token.expose().to_owned()),
        faults: arguments.faults.clone(),
        ack,
        id_field: arguments.id_field.clone().unwrap_or(healthy.id_field),
        ..healthy
    };
    let receiver =
        Receiver::start(config).map_err(|source| Failure::Listen { address: address.to_string(), source })?;
    tell(&format!("listening on {} (end with Ctrl-C)", receiver.url()));
    let mut progress = Progress::new("events", arguments.expect);
    while !ended.is_asked() {
        std::thread::sleep(Duration::from_millis(100));
        let counts = receiver.counts();
        progress.set(counts.indexed, &format!("{} requests, {} bytes", count(counts.requests), bytes(counts.bytes)));
    }
    progress.finish();
    let counts = receiver.counts();
    let missing = arguments.expect.map(|expected| expected.saturating_sub(counts.indexed));
    let text = if arguments.json { to_json(&counts, missing) } else { to_text(&counts, missing, arguments.ack) };
    print(&text)?;
    Ok(exit_code(missing.unwrap_or(0) == 0))
}

fn to_json(counts: &Counts, missing: Option<u64>) -> String {
    let receiver = json!({
        "unique": counts.unique,
        "duplicated": counts.duplicated,
        "missing": missing,
        "conflicts": counts.conflicts,
        "events": counts.events,
        "without_id": counts.without_id,
        "unindexed": counts.unindexed,
        "indexed": counts.indexed,
        "acknowledged": counts.acknowledged,
        "lost": counts.lost,
        "requests": counts.requests,
        "requests_failed": counts.requests_failed,
        "ack_requests": counts.ack_requests,
        "ack_requests_failed": counts.ack_requests_failed,
        "bytes": counts.bytes,
        "bytes_inflated": counts.bytes_inflated,
        "connections": counts.connections,
    });
    format!("{}\n", json!({ "receiver": receiver }))
}

fn to_text(counts: &Counts, missing: Option<u64>, ack: bool) -> String {
    let missing = missing.map_or_else(|| "unknown".to_owned(), count);
    let acknowledgement = [
        ("indexed", count(counts.indexed)),
        ("acknowledged", count(counts.acknowledged)),
        ("lost by restart", count(counts.lost)),
        ("ack requests", count(counts.ack_requests)),
        ("of them failed", count(counts.ack_requests_failed)),
    ];
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
    let rows = rows.iter().chain(acknowledgement.iter().filter(|_| ack));
    rows.map(|(name, value)| format!("  {name:<16}{value:>14}\n")).collect::<Vec<_>>().concat()
}

/// Seconds, with a fraction or without.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let wanted = "a number of seconds, 0 or more";
    let seconds = text.parse().map_err(|_| wanted.to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wanted.to_owned())
}
