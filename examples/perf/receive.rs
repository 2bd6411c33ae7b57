//! A collector for `perf/peers`: it takes events until all are there or nothing comes any more, and tells how fast they came.

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use siem_forward::receiver::{Receiver, ReceiverConfig};

/// Longer than whoever sends may pause: a peer's own pause after a failure, its start.
const QUIET: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many different events are to come
    #[arg(long)]
    expect: u64,
}

/// Prints the address in a line on standard error, and in the end one JSON object.
pub(crate) fn ask(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let receiver = Receiver::start(ReceiverConfig::default())?;
    eprintln!("listening on {}", receiver.url());
    let first = receiver.wait_until(QUIET * 2, |counts| counts.events > 0).then(Instant::now);
    let mut last = Instant::now();
    let mut events = receiver.counts().events;
    while receiver.counts().unique < arguments.expect {
        // Also true when events come that have no id: they are no reason to wait.
        if !receiver.wait_until(QUIET, |counts| counts.events > events) {
            break;
        }
        events = receiver.counts().events;
        last = Instant::now();
    }
    let counts = receiver.counts();
    println!(
        "{}",
        serde_json::json!({
            "seconds": first.map(|first| last.saturating_duration_since(first).as_secs_f64()),
            "events": counts.events,
            "unique": counts.unique,
            "duplicated": counts.duplicated,
            "missing": arguments.expect.saturating_sub(counts.unique),
            "without_id": counts.without_id,
            "requests": counts.requests,
            "bytes": counts.bytes,
            "bytes_inflated": counts.bytes_inflated,
        })
    );
    // The last answer is on its way: whoever waits for it must not be told that it is unknown.
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}
