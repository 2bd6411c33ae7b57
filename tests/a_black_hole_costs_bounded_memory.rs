//! A destination that swallows everything and answers nothing: what is held is bounded, and so is the memory, however
//! long the service goes on emitting. Alone in its process, whose memory is measured.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what cannot go on fails its test, and a measurement prints"
)]

mod support;

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use siem_forward::net::Compression;
use siem_forward::siem::Splunk;
use siem_forward::{DeadLetterConfig, Emitter, EventId, EventType, Severity};

use support::{PATIENCE, assert_one_fate_each, dead_letter, until};

const QUEUE: usize = 20_000;
const BATCH: usize = 500;
const SENDERS: usize = 2;
/// What can be anywhere: in the queue; in the batch being filled; handed over, one for each sender; and at each sender
/// the one being sent and the four that wait.
const HELD_MAX: usize = QUEUE + BATCH * (1 + SENDERS + SENDERS * (1 + 4));
/// What an event carries; a hundred times what can be held would be gigabytes.
const TEXT_BYTES: usize = 600;
const REFUSED_AT_LEAST: u64 = 10 * HELD_MAX as u64;
const MB: u64 = 1_000_000;

/// Offers events as fast as they are refused until `enough`, told how many were; adds the ids that were answered with
/// `Ok`.
fn offer(emitter: &Emitter, text: &str, sent: &mut Vec<EventId>, enough: impl Fn(u64) -> bool) -> u64 {
    let deadline = Instant::now() + 4 * PATIENCE;
    let mut refused = 0;
    while !enough(refused) {
        assert!(Instant::now() < deadline, "never enough: {} taken, {refused} refused", sent.len());
        for _ in 0..1000 {
            // A UUID of version 8, numbered.
            let id = EventId::from_u128(0x8 << 76 | 0b10 << 62 | sent.len() as u128);
            match emitter.event(EventType::ToolInvoked, Severity::Low).id(id).user_agent(text).try_send() {
                Ok(()) => sent.push(id),
                Err(_) => refused += 1,
            }
        }
    }
    refused
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// T11, in a bounded time: as much as fits is held and no more, and ten times as much that is refused leaves no trace.
#[test]
fn what_is_held_and_the_memory_for_it_are_bounded() {
    // Connections come about in its backlog, what is written there is never read.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", hole.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dead.ndjson");
    let splunk = Splunk::new(url, "t").unwrap().timeout(Duration::from_millis(100)).compression(Compression::None);
    let before = resident();
    let forwarder = support::builder(splunk)
        .max_queue_size(QUEUE)
        .batch_size(BATCH)
        .senders(SENDERS)
        .dead_letter(DeadLetterConfig::new(&path))
        .start()
        .unwrap();
    let emitter = forwarder.emitter();
    let text = "x".repeat(TEXT_BYTES);
    let failed = || forwarder.metrics().batches_failed;

    // Full to the brim, and both senders know how it is.
    let mut sent = Vec::new();
    let mut refused = offer(&emitter, &text, &mut sent, |refused| refused >= 10_000 && failed() >= 2);
    let full = resident();
    let begun = Instant::now();
    refused += offer(&emitter, &text, &mut sent, |refused| {
        // Each sender has met it often enough to have a full list of waiting batches, unless it has been told to keep
        // away.
        refused >= REFUSED_AT_LEAST && (failed() >= 20 || begun.elapsed() >= Duration::from_secs(5))
    });
    let after = resident();

    assert!(sent.len() <= HELD_MAX && sent.len() > QUEUE, "{} of at most {HELD_MAX}", sent.len());
    until(|| {
        let ledger = forwarder.metrics().ledger;
        ledger.queued + ledger.in_flight == sent.len() as u64
    });
    let ledger = forwarder.metrics().ledger;
    assert_eq!((ledger.delivered, ledger.dead_lettered, ledger.lost_total()), (0, 0, 0), "{ledger:?}");
    assert_eq!((ledger.refused["full"], ledger.refused_total()), (refused, refused), "{ledger:?}");

    println!(
        "{} held, {refused} refused; {} MB to be full, {} KB for what was refused then",
        sent.len(),
        full.saturating_sub(before) / MB,
        after.saturating_sub(full) / 1000
    );
    // A slot holds up to 1 KB, and the bodies are bounded by their events; the rest is the threads' and the client's.
    let bound = HELD_MAX as u64 * 1200 + 32 * MB;
    assert!(full.saturating_sub(before) < bound, "{} MB of {} MB", (full - before) / MB, bound / MB);
    assert!(after.saturating_sub(full) < 16 * MB, "{} MB more for what was refused", (after - full) / MB);

    let report = forwarder.abort();
    assert_one_fate_each(&sent, &HashMap::new(), &dead_letter(&path), &report);
}
