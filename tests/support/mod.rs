//! What the tests share: a destination in memory that plays a script and keeps ids, and the comparison that every test
//! ends with.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(missing_docs, missing_debug_implementations, reason = "nobody else's")]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use siem_forward::net::Stop;
use siem_forward::policy::{BreakerConfig, Jitter, RetryConfig};
use siem_forward::siem::FormatError;
use siem_forward::{
    AuditEvent, Batch, Builder, Emitter, EventId, EventType, Forwarder, Health, HealthConfig, Report, Severity, Shape,
    Siem, Verdict, format, siem,
};

/// Longer than any wait of a test that passes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The dead letter of a forwarder that has none.
pub const NONE_DEAD: BTreeMap<String, serde_json::Value> = BTreeMap::new();

/// How often each id was accepted by the destination in memory.
#[derive(Clone, Default)]
pub struct Received(Arc<Mutex<HashMap<EventId, u32>>>);

impl Received {
    pub fn take(&self, batch: &Batch, indices: impl IntoIterator<Item = usize>) {
        let mut received = self.0.lock().unwrap();
        for index in indices {
            *received.entry(batch.marks()[index].id).or_default() += 1;
        }
    }

    pub fn take_ids(&self, ids: &[EventId]) {
        let mut received = self.0.lock().unwrap();
        for id in ids {
            *received.entry(*id).or_default() += 1;
        }
    }

    pub fn take_all(&self, batch: &Batch) {
        self.take(batch, 0..batch.len());
    }

    pub fn ids(&self) -> HashMap<EventId, u32> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A destination that answers by `script` and counts what it accepts whole.
pub fn scripted(
    received: &Received,
    script: impl Fn(&Batch) -> Verdict + Send + Sync + 'static,
) -> siem::FromFn<impl Fn(&Batch) -> Verdict + Send + Sync + 'static> {
    let received = received.clone();
    siem::from_fn("scripted", move |batch| {
        let verdict = script(batch);
        if verdict == Verdict::Accept {
            received.take_all(batch);
        }
        verdict
    })
}

type FormatEvent = Box<dyn Fn(&AuditEvent, &mut Vec<u8>) -> Result<(), FormatError> + Send + Sync>;

/// A destination whose every method a test may replace; as it comes, it accepts everything.
pub struct Played {
    pub shape: Shape,
    pub connect: Box<dyn Fn() -> Result<(), Verdict> + Send + Sync>,
    pub format_event: FormatEvent,
    pub send_batch: Box<dyn Fn(&Batch) -> Verdict + Send + Sync>,
}

impl Played {
    pub fn new(received: &Received) -> Self {
        let received = received.clone();
        Self {
            shape: Shape::DEFAULT,
            connect: Box::new(|| Ok(())),
            format_event: Box::new(|event, body| {
                format::json::write(event, body);
                Ok(())
            }),
            send_batch: Box::new(move |batch| {
                received.take_all(batch);
                Verdict::Accept
            }),
        }
    }
}

impl Siem for Played {
    type Connection = ();

    fn shape(&self) -> Shape {
        self.shape
    }

    fn connect(&self, _stop: &Stop) -> Result<(), Verdict> {
        (self.connect)()
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        (self.format_event)(event, body)
    }

    fn send_batch(&self, (): &mut (), batch: &Batch) -> Verdict {
        (self.send_batch)(batch)
    }

    fn health_check(&self, (): &mut ()) -> Health {
        Health::healthy()
    }
}

/// Something that hangs until the test lets it go, at the latest when it drops this.
pub struct Hang(Option<Sender<()>>, Receiver<()>);

impl Hang {
    pub fn new() -> Self {
        let (release, held) = bounded(0);
        Self(Some(release), held)
    }

    /// What hangs calls this.
    pub fn hook(&self) -> impl Fn() + Send + Sync + Clone + 'static {
        let held = self.1.clone();
        move || assert!(held.recv().is_err(), "it ends by the release alone")
    }

    pub fn release(&mut self) {
        self.0 = None;
    }
}

/// Retries at once, so that a test of what happens is no test of how long it takes.
pub fn impatient() -> RetryConfig {
    let mut retry = RetryConfig::default();
    retry.retry_backoff_max = Duration::from_millis(1);
    retry.retry_jitter = Jitter::None;
    retry
}

/// A forwarder whose breaker hardly rests, so that a test of what happens is no test of how long it takes; and which
/// asks nobody how he is.
pub fn builder(siem: impl Siem) -> Builder {
    Forwarder::builder(siem).breaker(restless()).health(unasked())
}

/// A breaker that rests for a millisecond.
pub fn restless() -> BreakerConfig {
    let mut breaker = BreakerConfig::default();
    breaker.recovery_timeout = Duration::from_millis(1);
    breaker
}

/// No health checks.
pub fn unasked() -> HealthConfig {
    let mut health = HealthConfig::default();
    health.interval = Duration::ZERO;
    health
}

/// Keeps the panics that a test provokes on workers out of its output.
pub fn panic_quietly() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_worker = std::thread::current().name().is_some_and(|name| name.starts_with("siem-"));
        if !is_worker {
            loud(panic);
        }
    }));
}

/// The threads of forwarders in this process: their directories under `/proc`, by name.
pub fn workers() -> Vec<(String, std::path::PathBuf)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named = tasks.filter_map(|task| Some((std::fs::read_to_string(task.join("comm")).ok()?, task)));
    let workers = named.filter(|(name, _)| name.starts_with("siem-"));
    let mut workers: Vec<_> = workers.map(|(name, task)| (name.trim_end().to_owned(), task)).collect();
    workers.sort();
    workers
}

pub fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Drains, and holds the forwarder to its word: half a second past the deadline at most, by our own clock.
pub fn drain_in_time(forwarder: &Forwarder, timeout: Duration) -> Report {
    let begun = Instant::now();
    let report = forwarder.drain(timeout);
    let elapsed = begun.elapsed();
    assert!(elapsed <= timeout + Duration::from_millis(500), "{elapsed:?} for {timeout:?}: {report}");
    report
}

/// Pushes until the ring is full; the ids that were answered with `Ok`.
pub fn fill(emitter: &Emitter) -> Vec<EventId> {
    let mut sent = Vec::new();
    loop {
        let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low).tool_name("tool").build();
        let id = event.id();
        match emitter.try_send(event) {
            Ok(()) => sent.push(id),
            Err(_) => return sent,
        }
    }
}

/// Sends `count` events and waits for room; the ids that were answered with `Ok`, in order.
pub fn send(emitter: &Emitter, count: usize) -> Vec<EventId> {
    (0..count).map(|index| send_one(emitter, "tool", index)).collect()
}

pub fn send_one(emitter: &Emitter, tool: &str, index: usize) -> EventId {
    let event =
        AuditEvent::builder(EventType::ToolInvoked, Severity::Low).tool_name(tool).detail("index", index).build();
    let id = event.id();
    emitter.send_timeout(event, PATIENCE).expect("room within the test's patience");
    id
}

/// The records of a dead letter by id; each line must be a whole JSON object.
pub fn dead_letter(path: &Path) -> BTreeMap<String, serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let record = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).expect("a whole line of JSON");
        (record["id"].as_str().expect("an id").to_owned(), record)
    };
    let records: BTreeMap<_, _> = text.lines().map(record).collect();
    assert_eq!(records.len(), text.lines().count(), "an event is in the dead letter twice");
    records
}

/// The comparison that every test ends with: our own `Ok`s, the ids that the destination holds, the dead letter's ids,
/// and the ledger, event by event.
pub fn assert_one_fate_each(
    sent: &[EventId],
    received: &HashMap<EventId, u32>,
    dead: &BTreeMap<String, serde_json::Value>,
    report: &Report,
) {
    let ledger = &report.ledger;
    for id in sent {
        let (held, dead) = (received.contains_key(id), dead.get(&id.to_string()));
        assert!(held || dead.is_some() || ledger.lost_total() > 0, "{id} has no fate: {report}");
        if let Some(record) = dead {
            let excused = record["possible_duplicate"] == true;
            assert!(!held || excused, "{id} is delivered and dead, and nobody said that it may be");
        }
    }
    // What nobody here sent are the forwarder's own events, each of which tells of a gap and has a fate as well.
    let known: std::collections::HashSet<_> = sent.iter().collect();
    let known_names: std::collections::HashSet<_> = sent.iter().map(ToString::to_string).collect();
    let own_dead = dead.keys().filter(|id| !known_names.contains(*id)).count() as u64;
    let own_held =
        received.keys().filter(|id| !known.contains(id) && !dead.contains_key(&id.to_string())).count() as u64;
    let own_lost = ledger.gaps.checked_sub(own_held + own_dead).expect("somebody holds an event that was never sent");
    assert!(own_lost <= ledger.lost_total(), "{own_lost} gaps have no fate: {ledger:?}");
    let not_dead = sent.iter().filter(|id| !dead.contains_key(&id.to_string())).count() as u64;
    assert_eq!(ledger.delivered + ledger.lost_total(), not_dead + own_held + own_lost, "{ledger:?}");
    assert_eq!(ledger.dead_lettered, dead.len() as u64, "{ledger:?}");
    assert_eq!(ledger.lost["bug"], 0, "{ledger:?}");
    assert!(ledger.balances(sent.len() as u64), "{} sent, {ledger:?}", sent.len());
    assert_eq!(ledger.accepted, sent.len() as u64 + ledger.gaps, "accepted is our `Ok`s and the gaps: {ledger:?}");
}

/// Waits until the forwarder's metrics satisfy `condition`.
pub fn wait_until(forwarder: &Forwarder, mut condition: impl FnMut(&siem_forward::Snapshot) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    // A snapshot merges the histograms of all threads, which a debug build takes milliseconds for.
    let mut pause = Duration::from_millis(10);
    while !condition(&forwarder.metrics()) {
        assert!(Instant::now() < deadline, "never happened: {:?}", forwarder.metrics());
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(Duration::from_millis(40));
    }
}
