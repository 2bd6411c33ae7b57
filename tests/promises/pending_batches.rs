//! Batches that were taken and are not held yet: delivered when the destination says so, sent again when it never does,
//! and in nobody's way meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use siem_forward::net::Stop;
use siem_forward::siem::{Cause, CauseKind, FormatError, Ticket};
use siem_forward::{
    AuditEvent, Batch, Builder, ConnectionConfig, DeadLetterConfig, EventId, Forwarder, Health, Siem, Verdict, format,
};

use crate::support::{self, PATIENCE, Received, assert_one_fate_each, drain_in_time, impatient, send, send_one, until};

/// Events in a batch.
const EVENTS: usize = 10;

/// What the indexer answers when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tell {
    /// Nothing is indexed yet.
    Nothing,
    /// The question has no answer.
    NoAnswer,
    /// Of these tickets that they are indexed.
    Only(Vec<u64>),
    /// Everything is.
    All,
    /// Everything is, from this question on, counted from 1.
    AllFrom(usize),
}

/// A batch as it was taken.
#[derive(Debug, Clone)]
struct Taken {
    ticket: u64,
    connection: usize,
    ids: Vec<EventId>,
    body: Vec<u8>,
    memory: usize,
    at: Instant,
}

#[derive(Debug)]
struct Memory {
    connections: usize,
    taken: Vec<Taken>,
    tell: Tell,
    /// When it was asked.
    questions: Vec<Instant>,
    /// Tickets that were asked for on a connection that they do not belong to.
    foreign: Vec<u64>,
    /// What is refused for good from now on.
    refuses: bool,
    /// The next batch gets the latest ticket once more.
    repeats: bool,
}

/// A destination that takes everything and says later that it holds it.
#[derive(Clone)]
struct Indexer {
    memory: Arc<Mutex<Memory>>,
    /// What it has said that it holds.
    indexed: Received,
}

/// Its number.
struct Connection(usize);

impl Indexer {
    fn new(tell: Tell) -> Self {
        let memory = Memory {
            connections: 0,
            taken: Vec::new(),
            tell,
            questions: Vec::new(),
            foreign: Vec::new(),
            refuses: false,
            repeats: false,
        };
        Self { memory: Arc::new(Mutex::new(memory)), indexed: Received::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, tell: Tell) {
        self.memory().tell = tell;
    }

    fn taken(&self) -> Vec<Taken> {
        self.memory().taken.clone()
    }

    fn wait_for_taken(&self, batches: usize) {
        until(|| self.memory().taken.len() >= batches);
    }

    /// Waits until it was asked so often from now on.
    fn wait_for_questions(&self, more: usize) {
        let before = self.memory().questions.len();
        until(|| self.memory().questions.len() >= before + more);
    }

    /// One sender, in batches of ten; nothing is as short as a test would like but the waits between attempts.
    fn builder(&self, connection: ConnectionConfig) -> Builder {
        support::builder(self.clone())
            .batch_size(EVENTS)
            .batch_timeout(Duration::from_millis(20))
            .senders(1)
            .retry(impatient())
            .connection(connection)
    }

    /// Ends with the books: delivered is what the indexer said that it holds.
    fn assert_settled(&self, forwarder: &Forwarder, sent: &[EventId]) {
        let report = drain_in_time(forwarder, PATIENCE);
        assert!(report.all_delivered(), "{report}");
        assert_one_fate_each(sent, &self.indexed.ids(), &BTreeMap::new(), &report);
        assert_eq!(self.memory().foreign, [0; 0], "asked for on another connection");
    }
}

impl Siem for Indexer {
    type Connection = Connection;

    fn connect(&self, _stop: &Stop) -> Result<Connection, Verdict> {
        let mut memory = self.memory();
        memory.connections += 1;
        Ok(Connection(memory.connections))
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        format::json::write(event, body);
        Ok(())
    }

    fn send_batch(&self, connection: &mut Connection, batch: &Batch) -> Verdict {
        let mut memory = self.memory();
        if memory.refuses {
            return Verdict::Reject(Cause::new(CauseKind::Rejected));
        }
        let repeated = std::mem::take(&mut memory.repeats).then(|| memory.taken.last().unwrap().ticket);
        let ticket = repeated.unwrap_or(memory.taken.len() as u64);
        let taken = Taken {
            ticket,
            connection: connection.0,
            ids: batch.marks().iter().map(|mark| mark.id).collect(),
            body: batch.body().to_vec(),
            memory: batch.body().len() + std::mem::size_of_val(batch.marks()),
            at: Instant::now(),
        };
        memory.taken.push(taken);
        drop(memory);
        let is_bomb = memchr::memmem::find(batch.body(), b"bomb").is_some();
        // Once: what is taken a second time has gone off.
        assert!(!is_bomb || self.taken().iter().filter(|taken| taken.body == batch.body()).count() > 1, "a bomb");
        Verdict::Pending(Ticket::new(ticket))
    }

    fn settle(&self, connection: &mut Connection, tickets: &[Ticket]) -> Result<Vec<(Ticket, Verdict)>, Cause> {
        let mut memory = self.memory();
        memory.questions.push(Instant::now());
        let asked = memory.questions.len();
        let numbers: Vec<u64> = tickets.iter().map(|ticket| ticket.number()).collect();
        let is_own =
            |number: &u64| memory.taken.iter().any(|taken| (taken.ticket, taken.connection) == (*number, connection.0));
        let foreign: Vec<u64> = numbers.iter().copied().filter(|number| !is_own(number)).collect();
        memory.foreign.extend(foreign);
        let told: Vec<u64> = match &memory.tell {
            Tell::NoAnswer => return Err(Cause::http(503)),
            Tell::Nothing => Vec::new(),
            Tell::Only(these) => numbers.into_iter().filter(|number| these.contains(number)).collect(),
            Tell::AllFrom(question) if asked < *question => Vec::new(),
            Tell::All | Tell::AllFrom(_) => numbers,
        };
        for number in &told {
            // The latest: what had the ticket before has lost it.
            let taken = memory.taken.iter().rfind(|taken| taken.ticket == *number).unwrap();
            self.indexed.take_ids(&taken.ids);
        }
        Ok(told.into_iter().map(|number| (Ticket::new(number), Verdict::Accept)).collect())
    }

    fn health_check(&self, _: &mut Connection) -> Health {
        Health::healthy()
    }
}

/// The default, with one thing set.
fn with(set: impl Fn(&mut ConnectionConfig)) -> ConnectionConfig {
    let mut connection = ConnectionConfig::default();
    set(&mut connection);
    connection
}

fn letter() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    (folder, path)
}

fn wait_for_sent(forwarder: &Forwarder, events: usize) {
    support::wait_until(forwarder, |metrics| metrics.events_sent == events as u64);
}

#[test]
fn acknowledgements_hold_up_no_sender() {
    let indexer = Indexer::new(Tell::Nothing);
    let forwarder = indexer.builder(ConnectionConfig::default()).start().unwrap();
    let sent = send(&forwarder.emitter(), 10 * EVENTS);
    indexer.wait_for_taken(10);
    indexer.wait_for_questions(1);
    let ledger = forwarder.metrics().ledger;
    assert_eq!((ledger.delivered, ledger.in_flight), (0, 100), "{ledger:?}");
    let first = indexer.memory().questions[0];
    assert!(indexer.taken().iter().all(|taken| taken.at <= first), "all ten before anything was asked");

    indexer.tell(Tell::All);
    wait_for_sent(&forwarder, sent.len());
    assert_eq!(indexer.taken().len(), 10, "none was sent twice");
    indexer.assert_settled(&forwarder, &sent);
}

#[test]
fn delivered_is_what_is_acknowledged_and_nothing_else() {
    let indexer = Indexer::new(Tell::Nothing);
    let forwarder = indexer.builder(ConnectionConfig::default()).start().unwrap();
    let sent = send(&forwarder.emitter(), 8 * EVENTS);
    indexer.wait_for_taken(8);
    // In no order.
    for (told, delivered) in [(vec![6, 2], 2), (vec![0], 3)] {
        indexer.tell(Tell::Only(told));
        wait_for_sent(&forwarder, delivered * EVENTS);
        // Whatever else would be delivered would be by the next question.
        indexer.wait_for_questions(1);
        assert_eq!(forwarder.metrics().events_sent, (delivered * EVENTS) as u64);
    }
    let taken = indexer.taken();
    let held: HashSet<EventId> = [0, 2, 6].iter().flat_map(|batch: &usize| taken[*batch].ids.clone()).collect();
    assert_eq!(indexer.indexed.ids().into_keys().collect::<HashSet<_>>(), held);
    indexer.tell(Tell::All);
    wait_for_sent(&forwarder, sent.len());
    indexer.assert_settled(&forwarder, &sent);
}

/// T2, in the engine: that the question has no answer says nothing of the batches.
#[test]
fn an_unanswered_question_delivers_nothing_and_the_timeout_sends_the_same_bytes_again() {
    let timeout = Duration::from_millis(1_500);
    let indexer = Indexer::new(Tell::NoAnswer);
    let (_folder, path) = letter();
    let builder = indexer.builder(with(|connection| connection.ack_timeout = timeout));
    let forwarder = builder.dead_letter(DeadLetterConfig::new(&path)).start().unwrap();
    let sent = send(&forwarder.emitter(), EVENTS);
    indexer.wait_for_taken(2);
    let taken = indexer.taken();
    assert_eq!(taken[1].body, taken[0].body);
    assert_eq!(taken[1].ids, sent);
    let waited = taken[1].at - taken[0].at;
    assert!(waited >= timeout, "sent again after {waited:?}");
    assert!(indexer.memory().questions.iter().filter(|asked| **asked < taken[1].at).count() >= 2);
    let ledger = forwarder.metrics().ledger;
    assert_eq!((ledger.delivered, ledger.in_flight), (0, 10), "{ledger:?}");

    // Refused the third time: its record must say that the destination may hold it all the same.
    indexer.memory().refuses = true;
    support::wait_until(&forwarder, |metrics| metrics.events_failed == EVENTS as u64);
    let report = drain_in_time(&forwarder, PATIENCE);
    let dead = support::dead_letter(&path);
    for record in dead.values() {
        assert_eq!((&record["cause"], &record["possible_duplicate"]), (&"rejected".into(), &true.into()));
    }
    assert_one_fate_each(&sent, &indexer.indexed.ids(), &dead, &report);
}

/// Sends until nothing more is taken, over two questions; the batches that wait then.
fn fill_up(indexer: &Indexer, forwarder: &Forwarder, sent: &mut Vec<EventId>) -> Vec<Taken> {
    let before = indexer.taken().len();
    sent.extend(send(&forwarder.emitter(), 8 * EVENTS));
    indexer.wait_for_questions(1);
    let full = indexer.taken().len();
    indexer.wait_for_questions(2);
    assert_eq!(indexer.taken().len(), full, "nothing new is sent while too much waits");
    indexer.taken().split_off(before)
}

fn assert_bounded(waiting: &[Taken], bytes_max: usize) {
    let bytes: usize = waiting.iter().map(|taken| taken.memory).sum();
    let last = waiting.last().unwrap().memory;
    assert!(bytes >= bytes_max && bytes - last < bytes_max, "{bytes} in {} of {bytes_max}", waiting.len());
}

#[test]
fn what_waits_for_acknowledgements_is_bounded() {
    const BYTES_MAX: usize = 12_000;
    let indexer = Indexer::new(Tell::Nothing);
    let builder = indexer.builder(with(|connection| connection.pending_bytes_max = BYTES_MAX));
    let forwarder = builder.start().unwrap();
    let mut sent = Vec::new();
    // Twice: what was settled does not count any more.
    for _ in 0..2 {
        indexer.tell(Tell::Nothing);
        let waiting = fill_up(&indexer, &forwarder, &mut sent);
        assert!(waiting.len() > 1 && waiting.len() < 8, "{}", waiting.len());
        assert_bounded(&waiting, BYTES_MAX);
        indexer.tell(Tell::All);
        wait_for_sent(&forwarder, sent.len());
    }
    indexer.assert_settled(&forwarder, &sent);
}

#[test]
fn a_connection_is_settled_before_it_is_replaced() {
    let indexer = Indexer::new(Tell::Nothing);
    let forwarder = indexer.builder(with(|connection| connection.age_max = Duration::from_millis(1))).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, EVENTS);
    indexer.wait_for_taken(1);
    // Long past its age, with something to send.
    sent.extend(send(&emitter, 3 * EVENTS));
    indexer.wait_for_questions(2);
    assert_eq!(indexer.memory().connections, 1, "its tickets are not settled");
    indexer.tell(Tell::All);
    wait_for_sent(&forwarder, sent.len());
    sent.extend(send(&emitter, EVENTS));
    wait_for_sent(&forwarder, sent.len());
    assert!(indexer.memory().connections >= 2, "connections are replaced");
    assert_eq!(indexer.taken().len(), sent.len() / EVENTS, "none was sent twice");
    indexer.assert_settled(&forwarder, &sent);
}

#[test]
fn a_panic_loses_the_connection_and_its_batches_are_sent_again() {
    support::panic_quietly();
    let indexer = Indexer::new(Tell::Nothing);
    let forwarder = indexer.builder(ConnectionConfig::default()).start().unwrap();
    let emitter = forwarder.emitter();
    // Fewer than a waiting list holds: a full one would cut them.
    let mut sent = send(&emitter, 2 * EVENTS);
    indexer.wait_for_taken(2);
    sent.push(send_one(&emitter, "bomb", 0));
    indexer.wait_for_taken(6);
    let taken = indexer.taken();
    for first in &taken[..3] {
        assert_eq!(first.connection, 1);
        let again: Vec<_> = taken[3..].iter().filter(|other| other.body == first.body).collect();
        assert!(again.len() == 1 && again[0].connection > 1 && again[0].ids == first.ids, "{again:?}");
    }
    assert_eq!(forwarder.metrics().events_sent, 0);
    indexer.tell(Tell::All);
    wait_for_sent(&forwarder, sent.len());
    indexer.assert_settled(&forwarder, &sent);
}

#[test]
fn what_waits_at_an_abort_is_dead_and_may_be_held() {
    for deadline in [Duration::ZERO, Duration::from_millis(300)] {
        let indexer = Indexer::new(Tell::Nothing);
        let (_folder, path) = letter();
        let builder = indexer.builder(ConnectionConfig::default()).dead_letter(DeadLetterConfig::new(&path));
        let forwarder = builder.start().unwrap();
        let sent = send(&forwarder.emitter(), 5 * EVENTS);
        indexer.wait_for_taken(5);
        // The last one's answer is there when the first question comes.
        indexer.wait_for_questions(1);
        let report = drain_in_time(&forwarder, deadline);
        assert!(report.deadline_reached && report.threads_left.is_empty(), "{report}");
        let dead = support::dead_letter(&path);
        assert_eq!(dead.len(), sent.len(), "{report}");
        for record in dead.values() {
            assert_eq!((&record["cause"], &record["possible_duplicate"]), (&"undelivered".into(), &true.into()));
        }
        assert_one_fate_each(&sent, &indexer.indexed.ids(), &dead, &report);
    }
}

#[test]
fn a_drain_waits_for_acknowledgements_that_come() {
    let indexer = Indexer::new(Tell::AllFrom(4));
    let forwarder = indexer.builder(ConnectionConfig::default()).start().unwrap();
    let sent = send(&forwarder.emitter(), 5 * EVENTS);
    indexer.wait_for_taken(5);
    let report = drain_in_time(&forwarder, PATIENCE);
    assert!(report.all_delivered() && !report.deadline_reached, "{report}");
    assert_eq!(indexer.memory().questions.len(), 4);
    // Somebody waits: it asks more often than the once a second of other times.
    assert!(report.elapsed < Duration::from_secs(2), "{:?}", report.elapsed);
    indexer.assert_settled(&forwarder, &sent);
}

/// What had the ticket before would never be settled, in others: it is sent again, and neither events nor bytes leak.
#[test]
fn a_ticket_that_is_given_twice_leaks_nothing() {
    const BYTES_MAX: usize = 12_000;
    let indexer = Indexer::new(Tell::Nothing);
    let builder = indexer.builder(with(|connection| connection.pending_bytes_max = BYTES_MAX));
    let forwarder = builder.start().unwrap();
    let mut sent = send(&forwarder.emitter(), EVENTS);
    indexer.wait_for_taken(1);
    indexer.memory().repeats = true;
    sent.extend(send(&forwarder.emitter(), EVENTS));
    // The one that was displaced again.
    indexer.wait_for_taken(3);
    let taken = indexer.taken();
    assert_eq!(taken[1].ticket, taken[0].ticket);
    assert_eq!((&taken[2].body, &taken[2].ids), (&taken[0].body, &taken[0].ids));
    assert_ne!(taken[2].ticket, taken[0].ticket);
    indexer.tell(Tell::All);
    wait_for_sent(&forwarder, sent.len());

    // As much may wait as ever.
    indexer.tell(Tell::Nothing);
    assert_bounded(&fill_up(&indexer, &forwarder, &mut sent), BYTES_MAX);
    indexer.tell(Tell::All);
    wait_for_sent(&forwarder, sent.len());
    indexer.assert_settled(&forwarder, &sent);
}
