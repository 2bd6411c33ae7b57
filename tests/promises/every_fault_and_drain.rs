//! Whatever fault the receiver shows, each event has exactly one fate: when drained in the midst of it, within the
//! deadline; when aborted; and when the fault passes, delivered. With acknowledgements, delivered means indexed. The same
//! where Datadog, Elasticsearch or a webhook is played; Elasticsearch then holds each event once, whatever was sent again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;
use siem_forward::receiver::{Counts, Play, Receiver};
use siem_forward::{ConnectionConfig, EventId, Forwarder, Report};

use crate::hec::{
    self, Letter, acknowledging, assert_acknowledged, assert_balanced, builder, datadog, elastic, faults, ids, playing,
    receiver, splunk, webhook,
};
use crate::menu::{Case, Doubles, OF_ACKS, OF_EVENTS, serve, serve_patiently};
use crate::support::{PATIENCE, restless, send, send_one};

/// The deadline of a drain amid a fault, and the half second that drain may take beyond it.
const DEADLINE: Duration = Duration::from_millis(800);
const BEYOND: Duration = Duration::from_millis(500);

/// How long the indexer takes: a moment in which what is taken is not indexed yet.
const INDEXING: Duration = Duration::from_millis(30);

/// Who is forwarded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    Splunk,
    /// The token has indexer acknowledgement, and the destination asks for it.
    SplunkThatAcknowledges,
    Datadog,
    Elastic,
    Webhook,
}
use Guest::{Datadog, Elastic, Splunk, SplunkThatAcknowledges, Webhook};

/// A receiver with a fault, and a forwarder that meets it.
struct Table {
    receiver: Receiver,
    letter: Letter,
    forwarder: Forwarder,
    guest: Guest,
}

impl Table {
    fn lay(case: &Case, fault: &str, guest: Guest, rng: &mut Rng) -> Self {
        let receiver = match guest {
            Splunk => receiver(&[fault]),
            SplunkThatAcknowledges => acknowledging(INDEXING, &[fault]),
            Datadog => playing(Play::Datadog, &[fault]),
            Elastic => playing(Play::Elastic, &[fault]),
            Webhook => playing(Play::Webhook, &[fault]),
        };
        let letter = Letter::new();
        let mut connection = ConnectionConfig::default();
        if is_of_acks(case) && case.acked == Doubles::May {
            // The acknowledgement will never come.
            connection.ack_timeout = Duration::from_millis(300);
        }
        let splunk = splunk(receiver.url()).timeout(patience(case));
        let builder = match guest {
            Splunk => builder(splunk, &letter),
            SplunkThatAcknowledges => builder(splunk.ack(true), &letter),
            Datadog => builder(datadog(receiver.url(), patience(case)), &letter),
            Elastic => builder(elastic(receiver.url(), patience(case)), &letter),
            Webhook => builder(webhook(receiver.url(), patience(case)), &letter),
        };
        let mut breaker = restless();
        // As many probes within a deadline as show that each fails alike, and no more.
        breaker.recovery_timeout = Duration::from_millis(20);
        // Room for all that is sent; a larger ring takes longer to make than the fault to be met.
        let builder = builder.batch_size(rng.usize(25..=50)).max_queue_size(1_000).breaker(breaker);
        let forwarder = builder.connection(connection).start().unwrap();
        Self { receiver, letter, forwarder, guest }
    }

    /// Waits until the fault is met.
    fn wait_for_the_fault(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.receiver.fault_hits() == 0 {
            assert!(Instant::now() < deadline, "it is never met: {:?}", self.receiver.counts());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the fault could have been met by so many requests.
    fn wait_for_requests(&self, case: &Case, requests: u64) {
        let met = |counts: &Counts| if is_of_acks(case) { counts.ack_requests } else { counts.requests };
        let is_met = self.receiver.wait_until(PATIENCE, |counts| met(counts) >= requests);
        assert!(is_met, "{:?}", self.receiver.counts());
    }

    fn assert_balanced(&self, sent: &[EventId], report: &Report) {
        match self.guest {
            SplunkThatAcknowledges => assert_acknowledged(sent, &self.receiver, &self.letter, report),
            Splunk | Datadog | Elastic | Webhook => assert_balanced(sent, &self.receiver, &self.letter, report),
        }
        if self.guest == Elastic {
            assert!(ids(&[&self.receiver]).values().all(|times| *times == 1), "{:?}", self.receiver.counts());
        }
    }
}

/// Whether the fault is one that only those meet who ask for acknowledgements.
fn is_of_acks(case: &Case) -> bool {
    OF_ACKS.iter().any(|other| other.name == case.name)
}

/// How long a request waits for its answer. Those that are only slow wait for it however busy the machine is.
fn patience(case: &Case) -> Duration {
    if ["late", "dripping"].contains(&case.name) { PATIENCE } else { hec::TIMEOUT }
}

/// At least 300 events, three of them poison.
fn send_some(forwarder: &Forwarder, rng: &mut Rng) -> (Vec<EventId>, Vec<String>) {
    let emitter = forwarder.emitter();
    let mut sent = Vec::new();
    let mut poison = Vec::new();
    for _ in 0..3 {
        sent.extend(send(&emitter, rng.usize(66..100)));
        let id = send_one(&emitter, "poison", 0);
        sent.push(id);
        poison.push(id.to_string());
    }
    sent.extend(send(&emitter, rng.usize(100..130)));
    poison.sort();
    (sent, poison)
}

/// Drains at once, with the fault in force to the end.
fn drained_amid(case: &Case, guest: Guest, rng: &mut Rng) {
    let table = Table::lay(case, case.amid, guest, rng);
    let (sent, _) = send_some(&table.forwarder, rng);
    ended_in_time(&table, &sent, DEADLINE);
    assert!(table.receiver.fault_hits() > 0, "it is never met: {:?}", table.receiver.counts());
}

/// Aborts as soon as the fault is met. Nothing more is delivered then.
fn aborted_amid(case: &Case, guest: Guest, rng: &mut Rng) {
    let table = Table::lay(case, case.amid, guest, rng);
    let (sent, _) = send_some(&table.forwarder, rng);
    table.wait_for_the_fault();
    ended_in_time(&table, &sent, Duration::ZERO);
}

fn ended_in_time(table: &Table, sent: &[EventId], deadline: Duration) {
    let begun = Instant::now();
    let report = if deadline.is_zero() { table.forwarder.abort() } else { table.forwarder.drain(deadline) };
    let took = begun.elapsed();
    assert!(took <= deadline + BEYOND, "it took {took:?}: {report}");
    assert!(report.threads_left.is_empty(), "{report}");
    assert_eq!(report.ledger.lost_total(), 0, "{report}");
    table.assert_balanced(sent, &report);
}

/// Drains after the fault has passed: only what the destination refuses for good is not delivered.
fn drained_after(case: &Case, guest: Guest, rng: &mut Rng) {
    let table = Table::lay(case, case.after, guest, rng);
    let Table { receiver, letter, forwarder, .. } = &table;
    let (sent, poison) = send_some(forwarder, rng);
    table.wait_for_the_fault();
    // Long enough for each sender to meet the fault more than once.
    let names = case.after.starts_with("400");
    if names {
        hec::wait_for_fates(forwarder, sent.len());
    } else {
        table.wait_for_requests(case, if is_of_acks(case) { 3 } else { 5 });
    }
    receiver.set_faults(faults(&[]));
    hec::wait_for_fates(forwarder, sent.len());
    assert!(forwarder.health().healthy, "{:?}", forwarder.health());
    let report = forwarder.drain(PATIENCE);
    assert!(report.elapsed < PATIENCE / 4, "nothing was left to wait for: {:?}", report.elapsed);
    let dead = letter.records();
    if names {
        assert_eq!(dead.keys().collect::<Vec<_>>(), poison.iter().collect::<Vec<_>>(), "{report}");
        for record in dead.values() {
            // Datadog and a webhook name no culprit: it was found by halving.
            let wire = wire_of(guest, record);
            let (words, tool) = match guest {
                Datadog => ("Bad Request", &wire["audit"]["tool_name"]),
                Elastic => ("mapper_parsing_exception: failed to parse", &wire["gen_ai"]["tool"]["name"]),
                Webhook => (r#"{"errors":[{"status":"400","title":"Bad Request"}]}"#, &wire["tool_name"]),
                _ => ("Invalid data format (code 6)", &wire["event"]["tool_name"]),
            };
            assert_eq!((&record["words"], tool), (&words.into(), &"poison".into()));
            assert_eq!((&record["cause"], &record["possible_duplicate"]), (&"http_400".into(), &false.into()));
        }
    } else {
        assert!(dead.is_empty(), "{report}: {:?}", dead.values().next());
    }
    let doubles = if guest == SplunkThatAcknowledges { case.acked } else { case.doubles };
    if doubles == Doubles::Never {
        assert!(ids(&[receiver]).values().all(|times| *times == 1), "{:?}", receiver.counts());
    }
    table.assert_balanced(&sent, &report);
}

/// The recorded event, as the destination reads it.
fn wire_of(guest: Guest, record: &Value) -> Value {
    match guest {
        // An action and a document, which are two lines.
        Elastic => {
            record["wire"].as_str().unwrap().lines().nth(1).map(|line| serde_json::from_str(line).unwrap()).unwrap()
        }
        _ => record["wire"].clone(),
    }
}

mod without_acknowledgement {
    use super::*;

    #[test]
    fn drained_at_once_amid_every_fault() {
        serve(OF_EVENTS, |case, rng| drained_amid(case, Splunk, rng));
    }

    #[test]
    fn drained_later_when_every_fault_has_passed() {
        serve_patiently(OF_EVENTS, |case, rng| drained_after(case, Splunk, rng));
    }

    #[test]
    fn aborted_amid_every_fault() {
        serve(OF_EVENTS, |case, rng| aborted_amid(case, Splunk, rng));
    }
}

mod with_acknowledgement {
    use super::*;

    fn all() -> Vec<Case> {
        [OF_EVENTS, OF_ACKS].concat()
    }

    #[test]
    fn drained_at_once_amid_every_fault() {
        serve(&all(), |case, rng| drained_amid(case, SplunkThatAcknowledges, rng));
    }

    #[test]
    fn drained_later_when_every_fault_has_passed() {
        serve_patiently(&all(), |case, rng| drained_after(case, SplunkThatAcknowledges, rng));
    }

    #[test]
    fn aborted_amid_every_fault() {
        serve(&all(), |case, rng| aborted_amid(case, SplunkThatAcknowledges, rng));
    }
}

mod webhook_played {
    use super::*;

    /// All that a webhook says is its status: a success with nonsense behind it is its word.
    fn understood() -> Vec<Case> {
        OF_EVENTS.iter().filter(|case| case.name != "no_json").copied().collect()
    }

    #[test]
    fn drained_at_once_amid_every_fault() {
        serve(&understood(), |case, rng| drained_amid(case, Webhook, rng));
    }

    #[test]
    fn drained_later_when_every_fault_has_passed() {
        serve_patiently(&understood(), |case, rng| drained_after(case, Webhook, rng));
    }

    #[test]
    fn aborted_amid_every_fault() {
        serve(&understood(), |case, rng| aborted_amid(case, Webhook, rng));
    }
}

mod datadog_played {
    use super::*;

    #[test]
    fn drained_at_once_amid_every_fault() {
        serve(OF_EVENTS, |case, rng| drained_amid(case, Datadog, rng));
    }

    #[test]
    fn drained_later_when_every_fault_has_passed() {
        serve_patiently(OF_EVENTS, |case, rng| drained_after(case, Datadog, rng));
    }

    #[test]
    fn aborted_amid_every_fault() {
        serve(OF_EVENTS, |case, rng| aborted_amid(case, Datadog, rng));
    }
}

mod elastic_played {
    use super::*;

    #[test]
    fn drained_at_once_amid_every_fault() {
        serve(OF_EVENTS, |case, rng| drained_amid(case, Elastic, rng));
    }

    #[test]
    fn drained_later_when_every_fault_has_passed() {
        serve_patiently(OF_EVENTS, |case, rng| drained_after(case, Elastic, rng));
    }

    #[test]
    fn aborted_amid_every_fault() {
        serve(OF_EVENTS, |case, rng| aborted_amid(case, Elastic, rng));
    }
}

/// A fault that nobody has in the menu would be one that nobody meets.
#[test]
fn every_kind_of_fault_is_on_the_menu() {
    let is_served = |kind: &str| {
        let mut cases = OF_EVENTS.iter().chain(OF_ACKS);
        cases.any(|case| case.amid.split(':').next() == Some(kind))
    };
    for (example, _) in siem_forward::receiver::Fault::known() {
        let kind = example.split(':').next().unwrap();
        assert!(is_served(kind), "{kind}");
    }
}

/// A fault of one event in the middle of each batch, by its number: it alone is refused, those before it are not sent
/// again.
#[test]
fn the_event_that_splunk_names_is_refused_alone() {
    let receiver = receiver(&["400:event=3,first=4"]);
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let (sent, _) = send_some(&forwarder, &mut Rng::with_seed(1));
    hec::wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.dead_lettered, 4, "{report}");
    assert!(ids(&[&receiver]).values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
}
