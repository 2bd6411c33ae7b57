//! `run` as a service and in a pipe: what systemd hears, what closes without losing events, and what is taken already.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{PATIENCE, Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, lines, wait_until};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() }).unwrap()
}

/// `run` by way of a shell, which says how in `$0 $@`.
fn by_shell(scene: &Scene, script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_siem-forward"), "run", "--config"]);
    command.arg(scene.path("siem.toml")).args(arguments).env(TOKEN_VARIABLE, TOKEN);
    command
}

/// The same command as a service whose manager wants to hear of it five times a second.
#[cfg(feature = "kafka")]
pub(crate) fn watched(command: &Command, scene: &Scene) -> Command {
    let mut watched = Command::new("sh");
    watched.args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    watched.env(TOKEN_VARIABLE, TOKEN).env("NOTIFY_SOCKET", scene.path("notify")).env("WATCHDOG_USEC", "200000");
    watched
}

/// A service manager that listens.
pub(crate) struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    pub(crate) fn new(scene: &Scene) -> Self {
        let socket = UnixDatagram::bind(scene.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { socket, heard: Vec::new() }
    }

    pub(crate) fn listen(&mut self) {
        let mut message = [0; 4096];
        match self.socket.recv(&mut message) {
            Ok(bytes) => self.heard.push(String::from_utf8(message[..bytes].to_vec()).unwrap()),
            Err(error) => assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}"),
        }
    }

    pub(crate) fn times(&self, text: &str) -> usize {
        self.heard.iter().filter(|message| message.contains(text)).count()
    }

    fn listen_until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(self) {
            assert!(Instant::now() < deadline, "{:?}", self.heard);
            self.listen();
        }
    }
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_ending() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "drain_timeout_seconds = 7");
    let mut manager = Manager::new(&scene);
    let mut command = by_shell(&scene, "WATCHDOG_PID=$$ exec \"$0\" \"$@\"", &["--json"]);
    command.env("NOTIFY_SOCKET", scene.path("notify")).env("WATCHDOG_USEC", "200000");
    let mut running = Running::start(command);
    manager.listen_until(|manager| manager.times("READY=1") == 1);
    let ready = manager.heard.first().unwrap();
    assert_eq!(*ready, format!("READY=1\nSTATUS=forwarding to {}\n", receiver.url()), "it comes first");
    running.feed(lines(0..100));
    let begun = Instant::now();
    manager.listen_until(|manager| manager.times("WATCHDOG=1") >= 8);
    assert!(begun.elapsed() >= Duration::from_millis(650), "twice within its time, no more: {:?}", begun.elapsed());
    manager.listen_until(|manager| manager.times("STATUS=100 delivered, 0 queued") == 1);
    assert_eq!(manager.times("STOPPING=1"), 0);
    let ran = running.end();
    manager.listen_until(|manager| manager.times("STOPPING=1\nEXTEND_TIMEOUT_USEC=1") == 1);
    assert_eq!((ran.code, manager.times("READY=1")), (0, 1), "{ran:?}");
    assert_received(&receiver, 0..100);
}

#[test]
fn systemd_hears_nothing_of_a_start_that_fails() {
    let scene = Scene::new("http://127.0.0.1:1", "nonsense = 1");
    let mut manager = Manager::new(&scene);
    let mut command = by_shell(&scene, "exec \"$0\" \"$@\"", &[]);
    command.env("NOTIFY_SOCKET", scene.path("notify"));
    assert_eq!(Running::start(command).end().code, 2);
    manager.listen();
    assert!(manager.heard.is_empty(), "{:?}", manager.heard);
}

#[test]
fn a_second_run_with_the_same_dead_letter_is_refused_before_anything_is_read() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let mut first = scene.start(&["--json"]);
    first.feed(lines(0..10));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 10));
    let second = scene.start(&["--json"]).wait();
    assert_eq!((second.code, second.stdout.as_str()), (2, ""), "{second:?}");
    let words = format!("dead.ndjson is in use by process {}: give each its own, or end the other first", first.id());
    assert!(second.stderr.contains(&words), "{}", second.stderr);
    first.feed(lines(10..20));
    assert_eq!(first.end().code, 0);
    let third = scene.run(&[], lines(20..30));
    assert_eq!(third.code, 0, "{third:?}");
    assert_received(&receiver, 0..30);
}

/// What a killed program leaves lying there is no lock.
#[test]
fn a_killed_run_locks_nobody_out() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let mut first = scene.start(&[]);
    first.feed(lines(0..10));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 10));
    first.signal(Signal::KILL);
    first.wait();
    assert!(scene.path("dead.ndjson.lock").exists());
    assert_eq!(scene.run(&[], lines(10..20)).code, 0);
    assert!(!scene.path("dead.ndjson.lock").exists());
    assert_received(&receiver, 0..20);
}

/// Feeds a program whose output goes elsewhere; returns its exit code and what it said on standard error.
fn feed(mut child: Child, input: &str) -> (Option<i32>, String) {
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_closed_standard_output_loses_no_event() {
    for (script, code) in
        [("exec \"$0\" \"$@\" >&-", 0), ("exec \"$0\" \"$@\" >&- 2>&-", 0), ("exec \"$0\" \"$@\" >/dev/full", 1)]
    {
        for arguments in [&["--json"][..], &[]] {
            let receiver = receiver(&["400:contains=u-7\""]);
            let scene = Scene::new(&receiver.url(), "");
            let mut command = by_shell(&scene, script, arguments);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let (ended, stderr) = feed(command.spawn().unwrap(), &lines(10..1_000));
            assert_eq!(ended, Some(code), "{script}: {stderr}");
            if code == 1 {
                assert!(stderr.contains("All 990 events were delivered."), "said where it is heard: {stderr}");
                assert!(stderr.contains("error: standard output cannot be written"), "{stderr}");
            }
            assert_received(&receiver, 10..1_000);
            assert_eq!(scene.read("dead.ndjson"), "", "nothing is printed into a file");
        }
    }
}

#[test]
fn a_reader_that_goes_away_loses_no_event() {
    let receiver = receiver(&["delay:ms=20"]);
    let scene = Scene::new(&receiver.url(), "batch_size = 100");
    // The pipe is closed before anything is written to it.
    let mut command = by_shell(&scene, "exec \"$0\" \"$@\"", &["--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let (ended, stderr) = feed(child, &lines(0..2_000));
    assert_eq!(ended, Some(1), "{stderr}");
    assert!(stderr.contains("All 2,000 events were delivered.") && stderr.contains("Broken pipe"), "{stderr}");
    assert_received(&receiver, 0..2_000);
}

#[test]
fn sigpipe_ends_nothing_and_sighup_ends_in_order() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let mut running = scene.start(&[]);
    running.feed(lines(0..100));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 100));
    running.signal(Signal::PIPE);
    running.feed(lines(100..200));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 200));
    running.signal(Signal::HUP);
    let ran = running.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("ending: what was read is delivered"), "{}", ran.stderr);
    assert_received(&receiver, 0..200);
}

#[test]
fn whoever_is_to_outlive_its_terminal_does() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let mut running = Running::start(by_shell(&scene, "trap '' HUP; exec \"$0\" \"$@\"", &[]));
    running.feed(lines(0..100));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 100));
    running.signal(Signal::HUP);
    running.feed(lines(100..200));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 200));
    let ran = running.end();
    assert!(ran.code == 0 && !ran.stderr.contains("ending"), "{ran:?}");
    assert_received(&receiver, 0..200);
}

#[test]
fn a_drain_says_what_is_left_and_how_long_it_may_take() {
    let receiver = receiver(&["hang"]);
    let scene = Scene::new(&receiver.url(), "batch_size = 100\ndrain_timeout_seconds = 30");
    let mut running = scene.start(&[]);
    running.feed(lines(0..1_234));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.requests >= 2));
    drop(running.stdin.take());
    running.wait_for("draining: 1,234 events left, 30 s\n");
    // And again, with less time.
    running.wait_for("draining: 1,234 events left, 25 s\n");
    running.signal(Signal::TERM);
    running.wait_for("a second signal gives up on it");
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert!(ran.code == 1 && ran.stderr.matches("draining: ").count() <= 3, "{ran:?}");
    wait_until(|| scene.dead_letter().len() == 1_234);
}
