//! The program as a black box: a folder with its files, its arguments, and what comes out.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use siem_forward::EventId;
use siem_forward::receiver::Receiver;

/// Longer than any program of a test that passes runs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What no output may show; the configuration names its place.
pub const TOKEN: &str = "5f0c3a1e-planted-token-that-nobody-prints";
pub const TOKEN_VARIABLE: &str = "SIEM_FORWARD_TEST_TOKEN";

/// The command, with the token in its environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siem-forward"));
    command.args(arguments).env(TOKEN_VARIABLE, TOKEN).env_remove("COLUMNS");
    command
}

/// Runs it to its end with nothing on standard input.
pub fn run(arguments: &[&str]) -> Ran {
    Running::start(command(arguments)).end()
}

pub fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it never happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A program on its way.
pub struct Running {
    child: Alive,
    pub stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

/// What it has written so far, and the thread that reads it.
struct Stream {
    text: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

/// What became of it.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = Stream::of(child.stdout.take().unwrap());
        let stderr = Stream::of(child.stderr.take().unwrap());
        Self { child: Alive(child), stdin, stdout, stderr }
    }

    /// Writes to its standard input, which must take it.
    pub fn feed(&mut self, text: impl AsRef<[u8]>) {
        self.stdin.as_mut().unwrap().write_all(text.as_ref()).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until it has said this on standard error.
    pub fn wait_for(&self, text: &str) {
        wait_until(|| self.stderr.text.lock().unwrap().contains(text));
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text.lock().unwrap().clone()
    }

    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// Closes its standard input and waits for its end.
    pub fn end(mut self) -> Ran {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for its end, whatever its standard input is.
    pub fn wait(mut self) -> Ran {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.0.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                self.child.0.kill().unwrap();
                panic!("it never ends: {}", self.stderr.end());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = begun.elapsed();
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        let ran = Ran { code: status.code().unwrap_or(-1), stdout, stderr, took };
        assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN), "the token is printed: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        ran
    }
}

/// The process, killed when it is dropped unless it has ended and was waited for: a test that fails leaves nothing running
/// behind it.
struct Alive(Child);

impl Drop for Alive {
    fn drop(&mut self) {
        // One that has ended, and was waited for, is left alone.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

impl Stream {
    fn of(from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&text);
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                *theirs.lock().unwrap() += &(line.unwrap() + "\n");
            }
        });
        Self { text, reading }
    }

    fn end(self) -> String {
        self.reading.join().unwrap();
        let text = self.text.lock().unwrap();
        text.clone()
    }
}

impl Ran {
    /// Standard output as the one object that it must be.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A folder with a configuration, and the files that `run` writes.
pub struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// A configuration that sends to `url`, with quick retries, and more keys of the pipeline.
    pub fn new(url: &str, keys: &str) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        let (dead, rejected) = (scene.path("dead.ndjson"), scene.path("rejected.ndjson"));
        let text = format!(
            "[input]\nrejected = {{ path = \"{}\" }}\n\n[siem.splunk]\ntype = \"splunk\"\nurl = \"{url}\"\n\
             token = {{ env = \"{TOKEN_VARIABLE}\" }}\nretry_backoff_max = 0.02\nbatch_timeout_seconds = 0.1\n{keys}\n",
            rejected.display(),
        );
        // `keys` may name another dead letter, or none.
        let letter = format!("dead_letter = {{ path = \"{}\" }}\n", dead.display());
        let text = if keys.contains("dead_letter") { text } else { text + &letter };
        std::fs::write(scene.path("siem.toml"), text).unwrap();
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// `run` with this configuration.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let config = self.path("siem.toml");
        let mut command = command(&["run", "--config", config.to_str().unwrap()]);
        command.args(arguments).current_dir(self.folder.path());
        Running::start(command)
    }

    /// The same with this on standard input, to its end.
    pub fn run(&self, arguments: &[&str], input: impl AsRef<[u8]> + Send + 'static) -> Ran {
        let mut running = self.start(arguments);
        let mut stdin = running.stdin.take().unwrap();
        let feed = std::thread::spawn(move || stdin.write_all(input.as_ref()));
        let ran = running.wait();
        // A program that starts nothing reads nothing.
        drop(feed.join().unwrap());
        ran
    }

    pub fn dead_letter(&self) -> BTreeMap<String, Value> {
        super::support::dead_letter(&self.path("dead.ndjson"))
    }

    /// The rejected lines.
    pub fn rejected(&self) -> Vec<Value> {
        self.read("rejected.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Scene {
    /// No file of any run holds the token.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_hidden(self.folder.path());
        }
    }
}

fn assert_hidden(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(memchr::memmem::find(&bytes, TOKEN.as_bytes()).is_none(), "{} holds the token", path.display());
        }
    }
}

pub fn id(number: u32) -> EventId {
    EventId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}

/// An event as a line, with its end.
pub fn line(number: u32) -> String {
    format!(
        "{{\"id\":\"{}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"event_type\":\"tool_invoked\",\"severity\":\"low\",\
         \"user_id\":\"u-{number}\"}}\n",
        id(number)
    )
}

pub fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(line).collect()
}

/// Fails unless the receiver holds exactly these.
pub fn assert_received(receiver: &Receiver, numbers: impl IntoIterator<Item = u32>) {
    let mut expected: Vec<u128> = numbers.into_iter().map(|number| id(number).as_u128()).collect();
    let mut held: Vec<u128> = receiver.ids().into_iter().map(|(id, _)| id).collect();
    expected.sort_unstable();
    held.sort_unstable();
    assert!(expected == held, "{} expected, {} received", expected.len(), held.len());
}
