//! `run` ends when it is asked to, in time, with an account of what was read; and it never reads more than it can hold.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::Write;
use std::process::{ChildStdin, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{self, PATIENCE, Ran, Running, Scene, TOKEN, assert_received, line, lines};

/// What a process may need to start and end on a busy machine, besides what it was asked to do.
const PROCESS: Duration = Duration::from_millis(1_500);

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() }).unwrap()
}

fn ends_between(ran: &Ran, least: Duration, most: Duration) {
    assert!(ran.took >= least && ran.took <= most + PROCESS, "{:?}: {ran:?}", ran.took);
}

#[test]
fn a_signal_delivers_what_was_read_of_a_pipe_that_stays_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let receiver = receiver(&[]);
        let scene = Scene::new(&receiver.url(), "");
        let mut running = scene.start(&["--json"]);
        running.feed(lines(0..1_000));
        assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 1_000));
        running.feed(lines(1_000..1_050));
        // Read within milliseconds, and waiting for others to fill a batch.
        assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 1_050));
        running.signal(signal);
        let ran = running.wait();
        ends_between(&ran, Duration::ZERO, Duration::from_millis(500));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!((ran.json()["delivered"].as_u64(), ran.json()["unreadable"].as_u64()), (Some(1_050), Some(0)));
        assert!(ran.stderr.contains("All 1,050 events were delivered. The ledger balances."), "{}", ran.stderr);
        assert_received(&receiver, 0..1_050);
    }
}

/// Writes to the program until it closes its input: the number of whole lines that it took from the pipe lies at most
/// a pipe's size below.
fn feed_without_end(mut stdin: ChildStdin, wrote: Arc<AtomicU64>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        // In pieces that end within lines.
        let text = (0..).flat_map(|number| line(number).into_bytes());
        let mut piece = Vec::new();
        for byte in text {
            piece.push(byte);
            if piece.len() == 1_000 {
                if stdin.write_all(&piece).is_err() {
                    return;
                }
                wrote.fetch_add(1_000, Ordering::Relaxed);
                piece.clear();
            }
        }
    })
}

#[test]
fn a_signal_amid_a_stream_tears_no_line() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let mut running = scene.start(&["--json"]);
    let feeding = feed_without_end(running.stdin.take().unwrap(), Arc::default());
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique > 5_000));
    running.signal(Signal::TERM);
    let ran = running.wait();
    feeding.join().unwrap();
    assert_eq!((ran.code, scene.rejected().len()), (0, 0), "{ran:?}");
    // All that was read, and nothing in between is missing.
    let delivered = u32::try_from(ran.json()["delivered"].as_u64().unwrap()).unwrap();
    assert_received(&receiver, 0..delivered);
}

#[test]
fn a_signal_while_the_receiver_hangs_ends_within_the_drain_timeout() {
    let receiver = receiver(&["hang"]);
    let scene = Scene::new(&receiver.url(), "drain_timeout_seconds = 1\nbatch_size = 100");
    let mut running = scene.start(&[]);
    running.feed(lines(0..300));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests >= 2));
    running.signal(Signal::TERM);
    let ran = running.wait();
    ends_between(&ran, Duration::ZERO, Duration::from_millis(1_500));
    assert_eq!((ran.code, scene.dead_letter().len()), (1, 300), "{ran:?}");
    assert!(ran.stdout.contains("Of 300 events 0 were delivered, 300 are in "), "{}", ran.stdout);
    assert!(ran.stderr.contains("a second signal gives up on it"), "{}", ran.stderr);
}

#[test]
fn a_second_signal_gives_up_within_a_second() {
    let receiver = receiver(&["hang"]);
    let scene = Scene::new(&receiver.url(), "drain_timeout_seconds = 600\nbatch_size = 100");
    let mut running = scene.start(&["--json"]);
    running.feed(lines(0..300));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests >= 2));
    running.signal(Signal::INT);
    running.wait_for("a second signal gives up on it");
    running.signal(Signal::INT);
    let ran = running.wait();
    ends_between(&ran, Duration::ZERO, Duration::from_millis(500));
    assert_eq!((ran.code, scene.dead_letter().len()), (1, 300), "{ran:?}");
    assert_eq!(ran.json()["balances"], true);
}

/// A ring of 200 events, batches of 20, one sender: with a receiver that hangs, all full.
const SMALL: &str = "max_queue_size = 200\nbatch_size = 20\nsenders = 1\ncompression = \"none\"\ntimeout_seconds = 0.5";
/// Ring, open batch, hand-over, the batch under way, four waiting ones and the parts that they may be cut into.
const HELD_MAX: u64 = 200 + 20 + 20 + 20 + 5 * 20;

/// Stops changing, which is when all are full.
fn settled(value: impl Fn() -> u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let (mut last, mut since) = (value(), Instant::now());
    while since.elapsed() < Duration::from_millis(600) || last == 0 {
        assert!(Instant::now() < deadline, "it never settles");
        std::thread::sleep(Duration::from_millis(5));
        let now = value();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

fn peak_memory(running: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn reading_stops_while_the_ring_is_full_and_nothing_is_lost() {
    let receiver = receiver(&["hang"]);
    let scene = Scene::new(&receiver.url(), SMALL);
    let mut running = scene.start(&["--json"]);
    let mut stdin = running.stdin.take().unwrap();
    let (wrote, total) = (Arc::new(AtomicU64::new(0)), 20_000);
    let feeding = std::thread::spawn({
        let wrote = Arc::clone(&wrote);
        move || {
            for number in 0..total {
                let line = line(number);
                stdin.write_all(line.as_bytes()).unwrap();
                wrote.fetch_add(line.len() as u64, Ordering::Relaxed);
            }
        }
    });
    let taken = settled(|| wrote.load(Ordering::Relaxed));
    // The pipe itself, what one read takes, and what it can hold.
    let bytes_max = 64 * 1024 + 256 * 1024 + HELD_MAX * line(total).len() as u64;
    assert!(taken <= bytes_max, "{taken} bytes were taken, {bytes_max} can be held");
    assert!(peak_memory(&running) < 60_000_000, "{} bytes", peak_memory(&running));
    receiver.set_faults(Vec::new());
    feeding.join().unwrap();
    let ran = running.wait();
    assert_eq!((ran.code, scene.dead_letter().len(), scene.rejected().len()), (0, 0, 0), "{ran:?}");
    assert_eq!(ran.json()["delivered"], total);
    assert_received(&receiver, 0..total);
}

/// What was read and found no room before the end is kept, to be forwarded again.
#[test]
fn a_signal_while_the_ring_is_full_keeps_every_line_that_was_read() {
    let receiver = receiver(&["hang"]);
    let scene = Scene::new(&receiver.url(), &format!("{SMALL}\ndrain_timeout_seconds = 1"));
    let mut running = scene.start(&["--json"]);
    let wrote = Arc::new(AtomicU64::new(0));
    let feeding = feed_without_end(running.stdin.take().unwrap(), Arc::clone(&wrote));
    settled(|| wrote.load(Ordering::Relaxed));
    running.signal(Signal::TERM);
    let ran = running.wait();
    feeding.join().unwrap();
    ends_between(&ran, Duration::ZERO, Duration::from_millis(1_500));
    assert_eq!(ran.code, 1, "{ran:?}");
    let (dead, rejected) = (scene.dead_letter(), scene.rejected());
    assert!(!rejected.is_empty());
    let mut ids: Vec<String> = dead.keys().cloned().collect();
    for record in &rejected {
        assert_eq!(record["reason"], "read, but not accepted before the end; forward it again");
        let event: serde_json::Value = serde_json::from_str(record["text"].as_str().unwrap()).unwrap();
        ids.push(event["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    let all = u32::try_from(ids.len()).unwrap();
    assert_eq!(ids, (0..all).map(|number| program::id(number).to_string()).collect::<Vec<_>>());
    assert!(receiver.ids().is_empty());
}

/// Files can be read again: they are left where they are, and nobody is told that all is done.
#[test]
fn a_signal_amid_files_says_that_they_were_not_read_to_the_end() {
    for place in [&["--input", "large"][..], &[]] {
        let receiver = receiver(&["delay:ms=20"]);
        let scene = Scene::new(&receiver.url(), SMALL);
        let large = scene.write("large", lines(0..50_000));
        let running = if place.is_empty() {
            // As the shell gives it: a file on standard input.
            let config = scene.path("siem.toml");
            let mut command = Command::new("sh");
            let script = "exec \"$1\" run --config \"$2\" < \"$3\"";
            command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_siem-forward")]).arg(&config).arg(&large);
            command.env(program::TOKEN_VARIABLE, TOKEN);
            Running::start(command)
        } else {
            scene.start(place)
        };
        assert!(receiver.wait_until(PATIENCE, |counts| counts.unique > 200));
        running.signal(Signal::TERM);
        let ran = running.wait();
        assert_eq!((ran.code, scene.rejected().len()), (1, 0), "{ran:?}");
        assert!(ran.stderr.contains("stopped reading behind line "), "{}", ran.stderr);
        assert!(ran.stdout.contains("The input was not read to its end."), "{}", ran.stdout);
        let delivered = u32::try_from(receiver.counts().unique).unwrap();
        assert!(delivered < 50_000);
        assert_received(&receiver, 0..delivered);
    }
}

/// A FIFO is a pipe, by whatever name.
#[test]
fn a_signal_ends_the_reading_of_a_fifo() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let fifo = scene.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Without anybody who writes, too.
    let running = scene.start(&["--input", "fifo"]);
    // Both its ends in our hands: it stays open, and opening it waits for nobody.
    let mut both = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    both.write_all(lines(0..10).as_bytes()).unwrap();
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 10));
    running.signal(Signal::TERM);
    let ran = running.wait();
    ends_between(&ran, Duration::ZERO, Duration::from_millis(500));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..10);
}

#[test]
fn a_signal_before_the_first_line_ends_in_peace() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let running = scene.start(&["--json"]);
    // Its last file is made right before it starts.
    program::wait_until(|| scene.path("dead.ndjson").exists());
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert_eq!((ran.code, ran.json()["accepted"].as_u64()), (0, Some(0)), "{ran:?}");
}
