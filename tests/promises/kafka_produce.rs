//! Kafka as a destination: a record is delivered once the brokers report it, no failure of theirs loses one, and none is
//! given up for what its neighbours did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaRespErr as Response;
use siem_forward::siem::{Kafka, KafkaCompression, SaslMechanism};
use siem_forward::{AuditEvent, Builder, DeadLetterConfig, EventType, Severity, format};

use crate::kafka::{Brokers, PARTITIONS};
use crate::support::{
    self, NONE_DEAD, PATIENCE, assert_one_fate_each, dead_letter, drain_in_time, impatient, send, send_one, until,
    wait_until,
};

/// One sender, in batches of ten, so that a test says what it means by a batch.
fn builder(kafka: Kafka) -> Builder {
    support::builder(kafka)
        .senders(1)
        .batch_size(10)
        .batch_timeout(Duration::from_millis(5))
        .retry(impatient())
        .drain_timeout(Duration::from_secs(1))
}

#[test]
fn each_event_is_a_record_with_a_key_headers_and_our_own_layout() {
    let brokers = Brokers::with(&["audit-low", "audit-high"]);
    let kafka = brokers.kafka("audit-{severity}").key("user_id").unwrap().compression(KafkaCompression::Zstd);
    let forwarder = builder(kafka).start().unwrap();
    let mut sent = BTreeMap::new();
    for index in 0..200_u32 {
        let severity = if index % 2 == 0 { Severity::Low } else { Severity::High };
        let event = AuditEvent::builder(EventType::custom("paid \"é\"").unwrap(), severity);
        let event = event.user_id(format!("u-{}", index % 7)).detail("index", index).build();
        let mut value = Vec::new();
        format::json::write(&event, &mut value);
        sent.insert(event.id().to_string(), (event.clone(), String::from_utf8(value).unwrap()));
        forwarder.emitter().send_timeout(event, PATIENCE).unwrap();
    }
    let report = drain_in_time(&forwarder, PATIENCE);
    assert_eq!((report.ledger.delivered, report.ledger.accepted), (200, 200), "{report}");
    let mut partitions: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for (topic, severity) in [("audit-low", "low"), ("audit-high", "high")] {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for record in brokers.read(topic) {
            let (event, value) = sent.remove(&record.headers["event_id"]).expect("once, and one of ours");
            assert_eq!(record.value, value);
            let headers = ["event_type", "severity", "schema_version"].map(|name| record.headers[name].as_str());
            assert_eq!((headers, record.headers.len()), (["paid \"é\"", severity, "1"], 4));
            let key = record.key.unwrap();
            assert_eq!(event.user_id(), Some(&*key));
            partitions.entry(format!("{topic} {key}")).or_default().insert(record.partition);
            // Read partition by partition: within one they come in their order.
            let index =
                serde_json::from_str::<serde_json::Value>(&value).unwrap()["details"]["index"].as_u64().unwrap();
            assert!(last.insert(key, index).is_none_or(|before| before < index), "order within a key");
        }
    }
    assert!(sent.is_empty(), "{} never came", sent.len());
    assert!(partitions.values().all(|partitions| partitions.len() == 1), "a key has one partition: {partitions:?}");
}

#[test]
fn without_a_key_records_are_spread() {
    let brokers = Brokers::with(&["audit"]);
    let forwarder = builder(brokers.kafka("audit")).start().unwrap();
    for _ in 0..40 {
        send(&forwarder.emitter(), 10);
        // What is under way together may lie together.
        wait_until(&forwarder, |metrics| metrics.ledger.in_flight == 0);
    }
    assert_eq!(drain_in_time(&forwarder, PATIENCE).ledger.delivered, 400);
    let records = brokers.read("audit");
    let used: BTreeSet<i32> = records.iter().map(|record| record.partition).collect();
    // Which they are chance says: 40 times the same of four is none.
    assert!(records.len() == 400 && used.len() > 1, "{} in {used:?}", records.len());
    assert!(records.iter().all(|record| record.key.is_none()));
}

#[test]
fn nothing_is_delivered_before_the_report_and_a_slow_one_holds_up_nobody() {
    const ROUND_TRIP: Duration = Duration::from_millis(400);
    let brokers = Brokers::with(&["audit"]);
    let forwarder = builder(brokers.kafka("audit")).start().unwrap();
    let first = send(&forwarder.emitter(), 10);
    wait_until(&forwarder, |metrics| metrics.ledger.delivered == 10);
    brokers.0.broker_round_trip_time(-1, ROUND_TRIP).unwrap();
    let begun = Instant::now();
    let more = send(&forwarder.emitter(), 1_000);
    wait_until(&forwarder, |metrics| {
        let early = begun.elapsed() < ROUND_TRIP && metrics.ledger.delivered > 10;
        assert!(!early, "{:?} after {:?}", metrics.ledger, begun.elapsed());
        metrics.ledger.delivered == 1_010
    });
    // A hundred batches of one sender, one after the other, would have taken a hundred round trips.
    assert!(begun.elapsed() < 20 * ROUND_TRIP, "{:?}", begun.elapsed());
    brokers.heal();
    let report = drain_in_time(&forwarder, PATIENCE);
    assert_one_fate_each(&[first, more].concat(), &brokers.ids("audit"), &NONE_DEAD, &report);
}

#[test]
fn brokers_that_go_away_cost_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("dead.ndjson");
    let brokers = Brokers::with(&["audit"]);
    let kafka = brokers.kafka("audit").message_timeout(Duration::from_secs(1)).timeout(Duration::from_secs(1));
    let forwarder = builder(kafka).dead_letter(DeadLetterConfig::new(&letter)).start().unwrap();
    let mut sent = send(&forwarder.emitter(), 100);
    wait_until(&forwarder, |metrics| metrics.ledger.delivered == 100);
    brokers.0.broker_down(-1).unwrap();
    sent.extend(send(&forwarder.emitter(), 100));
    // What was handed to librdkafka before it noticed times out there, and waits here from then on.
    wait_until(&forwarder, |metrics| metrics.retry_count > 0);
    until(|| forwarder.health().error_message.is_some());
    let ledger = forwarder.metrics().ledger;
    assert_eq!((ledger.delivered, ledger.in_flight + ledger.queued, ledger.dead_lettered), (100, 100, 0), "{ledger:?}");
    brokers.heal();
    wait_until(&forwarder, |metrics| metrics.ledger.delivered == 200);
    let report = drain_in_time(&forwarder, PATIENCE);
    assert_one_fate_each(&sent, &brokers.ids("audit"), &dead_letter(&letter), &report);
    assert_eq!(report.ledger.delivered, 200);
}

#[test]
fn brokers_that_are_not_there_yet_are_waited_for() {
    let brokers = Brokers::with(&["audit"]);
    brokers.0.broker_down(-1).unwrap();
    let forwarder = builder(brokers.kafka("audit").timeout(Duration::from_secs(1))).start().unwrap();
    let sent = send(&forwarder.emitter(), 30);
    wait_until(&forwarder, |metrics| metrics.batches_failed > 0);
    let said = forwarder.metrics().error_counts;
    assert!(said.contains_key("unreachable"), "{said:?}");
    brokers.heal();
    wait_until(&forwarder, |metrics| metrics.ledger.delivered == 30);
    let report = drain_in_time(&forwarder, PATIENCE);
    let held = brokers.ids("audit");
    assert_one_fate_each(&sent, &held, &NONE_DEAD, &report);
    assert!(held.values().all(|times| *times == 1), "nothing was sent before: {held:?}");
}

/// Those that the broker refuses with their neighbours are sent alone, and only what is refused then is given up.
#[test]
fn what_is_too_large_goes_to_the_dead_letter_and_its_neighbours_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("dead.ndjson");
    let brokers = Brokers::with(&["audit"]);
    let kafka = brokers.kafka("audit").message_bytes_max(2_000);
    let forwarder = builder(kafka).dead_letter(DeadLetterConfig::new(&letter)).start().unwrap();
    let mut sent = send(&forwarder.emitter(), 5);
    let large = send_one(&forwarder.emitter(), &"x".repeat(4_000), 0);
    sent.push(large);
    sent.extend(send(&forwarder.emitter(), 5));
    wait_until(&forwarder, |metrics| metrics.ledger.in_flight == 0 && metrics.ledger.accepted == 11);
    brokers.fail_produce(Response::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    sent.extend(send(&forwarder.emitter(), 10));
    wait_until(&forwarder, |metrics| metrics.ledger.delivered == 20);
    let report = drain_in_time(&forwarder, PATIENCE);
    let dead = dead_letter(&letter);
    assert_one_fate_each(&sent, &brokers.ids("audit"), &dead, &report);
    assert_eq!(dead.keys().collect::<Vec<_>>(), [&large.to_string()]);
    let record = &dead[&large.to_string()];
    assert_eq!((record["cause"].as_str(), record["wire"]["topic"].as_str()), (Some("too_large"), Some("audit")));
}

#[test]
fn a_topic_that_is_not_there_is_the_dead_letters_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("dead.ndjson");
    let brokers = Brokers::with(&["audit-low", "audit-high"]);
    brokers.0.topic_error("audit-high", Response::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let kafka = brokers.kafka("audit-{severity}");
    let forwarder = builder(kafka).dead_letter(DeadLetterConfig::new(&letter)).start().unwrap();
    let sent = send(&forwarder.emitter(), 15);
    let event = AuditEvent::builder(EventType::UserLogin, Severity::High).build();
    let lost = event.id();
    forwarder.emitter().send_timeout(event, PATIENCE).unwrap();
    wait_until(&forwarder, |metrics| metrics.ledger.dead_lettered == 1 && metrics.ledger.delivered == 15);
    let report = drain_in_time(&forwarder, PATIENCE);
    let dead = dead_letter(&letter);
    assert_one_fate_each(&[sent, vec![lost]].concat(), &brokers.ids("audit-low"), &dead, &report);
    assert_eq!(dead[&lost.to_string()]["cause"], "unknown_topic");
}

/// Whoever may not write there today may tomorrow: a wrong permission is no wrong event.
#[test]
fn a_refusal_of_us_keeps_the_data() {
    let brokers = Brokers::with(&["audit"]);
    brokers.fail_produce(Response::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 3);
    let mut retry = impatient();
    retry.retry_attempts = 1;
    let forwarder = builder(brokers.kafka("audit")).retry(retry).start().unwrap();
    let sent = send(&forwarder.emitter(), 10);
    wait_until(&forwarder, |metrics| metrics.error_counts.get("not_authorized").is_some_and(|count| *count >= 1));
    wait_until(&forwarder, |metrics| metrics.ledger.delivered == 10);
    let report = drain_in_time(&forwarder, PATIENCE);
    assert_one_fate_each(&sent, &brokers.ids("audit"), &NONE_DEAD, &report);
}

/// While others are delivered, what a topic of theirs refuses would hold them up for as long as that lasts.
#[test]
fn what_may_not_be_written_to_its_topic_goes_to_the_dead_letter_once_others_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("dead.ndjson");
    let brokers = Brokers::with(&["audit-low", "audit-high"]);
    brokers.0.topic_error("audit-high", Response::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let kafka = brokers.kafka("audit-{severity}");
    let forwarder = builder(kafka).dead_letter(DeadLetterConfig::new(&letter)).start().unwrap();
    let event = AuditEvent::builder(EventType::UserLogin, Severity::High).build();
    let mut sent = vec![event.id()];
    forwarder.emitter().send_timeout(event, PATIENCE).unwrap();
    wait_until(&forwarder, |metrics| {
        assert_eq!(metrics.ledger.dead_lettered, 0, "nothing is delivered yet");
        metrics.error_counts.get("not_authorized").is_some_and(|count| *count >= 3)
    });
    wait_until(&forwarder, |metrics| {
        sent.extend(send(&forwarder.emitter(), 1));
        metrics.ledger.dead_lettered == 1
    });
    let report = drain_in_time(&forwarder, PATIENCE);
    let dead = dead_letter(&letter);
    assert_one_fate_each(&sent, &brokers.ids("audit-low"), &dead, &report);
    assert_eq!(dead[&sent[0].to_string()]["cause"], "not_authorized");
}

/// What a broker may do to a request that produces.
const FAULTS: [(&str, Response); 6] = [
    ("hangs up", Response::RD_KAFKA_RESP_ERR__TRANSPORT),
    ("is no leader", Response::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
    ("has too few replicas", Response::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS),
    ("has too few replicas afterwards", Response::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND),
    ("waits in vain", Response::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT),
    ("cannot write", Response::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR),
];

/// When the forwarder ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Drained,
    DrainedOverdue,
    Aborted,
}

#[test]
fn every_fault_and_every_end_leave_each_event_with_one_fate() {
    std::thread::scope(|scope| {
        for (name, fault) in FAULTS {
            scope.spawn(move || {
                for end in [End::Drained, End::DrainedOverdue, End::Aborted] {
                    one_fault(name, fault, end);
                }
            });
        }
    });
}

fn one_fault(name: &str, fault: Response, end: End) {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("dead.ndjson");
    let brokers = Brokers::with(&["audit"]);
    let kafka = brokers.kafka("audit").message_timeout(Duration::from_secs(20));
    let forwarder = builder(kafka).senders(2).dead_letter(DeadLetterConfig::new(&letter)).start().unwrap();
    let mut sent = send(&forwarder.emitter(), 95);
    brokers.fail_produce(fault, if matches!(end, End::Drained) { 3 } else { 100_000 });
    sent.extend(send(&forwarder.emitter(), 95));
    let report = match end {
        End::Drained => drain_in_time(&forwarder, PATIENCE),
        End::DrainedOverdue => drain_in_time(&forwarder, Duration::from_millis(500)),
        End::Aborted => forwarder.abort(),
    };
    drop(forwarder);
    brokers.heal();
    let (held, dead) = (brokers.ids("audit"), dead_letter(&letter));
    assert_one_fate_each(&sent, &held, &dead, &report);
    if matches!(end, End::Drained) {
        assert_eq!((report.ledger.delivered, dead.len()), (190, 0), "{name}, {end:?}: {report}");
    }
}

#[test]
fn health_says_how_many_brokers_there_are_and_what_is_wrong() {
    let brokers = Brokers::with(&["audit"]);
    let ask = |kafka: Kafka| builder(kafka.timeout(Duration::from_secs(1))).start().unwrap().health_check();
    let well = ask(brokers.kafka("audit"));
    assert!(well.healthy, "{well:?}");
    assert_eq!((&*well.details["brokers"], &*well.details["partitions"]), ("3", &*PARTITIONS.to_string()));
    brokers.0.topic_error("audit", Response::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let absent = ask(brokers.kafka("audit"));
    assert!(absent.error_message.as_deref().is_some_and(|words| words.contains("audit is not there")), "{absent:?}");
    let nobody = ask(Kafka::new(["127.0.0.1:1"], "audit").unwrap());
    assert!(!nobody.healthy, "{nobody:?}");
}

#[test]
fn what_is_no_cluster_is_told_and_the_password_is_not() {
    for broker in
        ["", "kafka", "kafka:", ":9092", "kafka:0", "kafka:99999", "a:1,b:2", "http://kafka:9092", "u@kafka:1"]
    {
        assert!(Kafka::new([broker], "audit").is_err(), "{broker}");
    }
    assert!(Kafka::new(Vec::<String>::new(), "audit").is_err());
    let kafka = Kafka::new(["kafka:9092"], "audit").unwrap();
    let kafka = kafka.login(SaslMechanism::Plain, "ada", "hunter2").unwrap();
    let shown = format!("{kafka:?}");
    assert!(shown.contains("ada") && !shown.contains("hunter2"), "{shown}");
    let error =
        Kafka::new(["kafka:9092"], "audit").unwrap().login(SaslMechanism::Plain, "ada", "hunter 2").unwrap_err();
    assert!(!error.to_string().contains("hunter"), "{error}");
    if !cfg!(feature = "kafka-tls") {
        let kafka = || Kafka::new(["kafka:9092"], "audit").unwrap();
        let error = kafka().login(SaslMechanism::ScramSha512, "ada", "hunter2").unwrap_err();
        assert!(error.to_string().contains("--features kafka-tls"), "{error}");
        assert!(kafka().tls(Default::default()).unwrap_err().to_string().contains("--features kafka-tls"));
    }
}

/// To librdkafka, none at all is without an end: what a broker lost would be waited for forever.
#[test]
fn a_timeout_is_a_second_at_least_and_a_day_at_most() {
    for (asked, held) in [(Duration::ZERO, "1s"), (Duration::from_secs(7), "7s"), (Duration::MAX, "86400s")] {
        let kafka = Kafka::new(["kafka:9092"], "audit").unwrap().timeout(asked).message_timeout(asked);
        let shown = format!("{kafka:?}");
        for key in ["timeout", "message_timeout"] {
            assert!(shown.contains(&format!(" {key}: {held}")), "{key}: {shown}");
        }
    }
}
