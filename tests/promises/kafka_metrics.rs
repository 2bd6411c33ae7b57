//! What a worker shows of its partitions is what the brokers hold, family by family.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::cli_metrics::{address, get};
use crate::cli_status::status;
use crate::exposition::Scrape;
use crate::kafka::{Brokers, PARTITIONS, committed, committed_by_partition, write};
use crate::program::{assert_received, wait_until};
use crate::worker::{GROUP, end, receiver, scene, start, values, wait_for};

const ALL: usize = PARTITIONS.unsigned_abs() as usize;

pub(crate) fn scrape(address: SocketAddr) -> Scrape {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Scrape::parse(answer.split_once("\r\n\r\n").unwrap().1)
}

fn of_partition(scrape: &Scrape, family: &str, partition: i32) -> Option<String> {
    let partition = partition.to_string();
    let mut all =
        scrape.of(family).filter(|(labels, _)| labels["topic"] == "audit" && labels["partition"] == partition);
    all.next().map(|(_, value)| value.to_string())
}

/// librdkafka tells how far it is behind every five seconds.
fn wait_for_lag(address: SocketAddr, records: u64) {
    wait_until(|| {
        let scrape = scrape(address);
        let is_told = scrape.of("siem_kafka_lag_records").count() == ALL;
        is_told && scrape.count("siem_kafka_lag_records", &[]) == records
    });
}

/// Where the SIEM is down for longer than the ring holds out, partitions are paused, and nothing comes of them that would tell
/// how far they go.
#[test]
fn the_lag_of_a_paused_partition_grows() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&["503"]));
    write(&brokers.addresses(), "audit", values(0..2_000));
    let keys = "max_queue_size = 100\nbatch_size = 50\nbreaker.recovery_timeout_seconds = 0.1";
    let metrics = "\n[metrics]\nlisten = \"127.0.0.1:0\"\n";
    let scene = scene(&brokers.addresses(), &receiver, keys, metrics);
    let worker = start(&scene);
    let address = address(&worker);
    wait_for_lag(address, 2_000);
    write(&brokers.addresses(), "audit", values(2_000..2_500));
    wait_for_lag(address, 2_500);
    receiver.set_faults(Vec::new());
    wait_for(&receiver, 2_500);
    wait_for_lag(address, 0);
    assert_eq!(end(worker).code, 0);
    assert_received(&receiver, 0..2_500);
}

/// `status` looks from outside, and says the same.
#[test]
fn a_worker_is_ready_once_the_group_has_it_and_as_long_as_a_broker_answers() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    let scene = scene(&brokers.addresses(), &receiver, "", "\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let worker = start(&scene);
    let address = address(&worker);
    let is_unready = |why: &str| {
        let (code, body) = get(address, "/readyz");
        code == 503 && body.contains("\"input.kafka\"") && body.contains(why)
    };
    assert!(is_unready("the group has not been joined yet, for "), "{}", worker.stderr());
    wait_until(|| get(address, "/readyz").0 == 200);
    let seen = status(address, &[]);
    assert!(seen.code == 0 && !seen.stdout.contains("input.kafka"), "{seen:?}");
    brokers.0.broker_down(-1).unwrap();
    wait_until(|| is_unready("no broker answers, for "));
    let seen = status(address, &[]);
    assert!(seen.code == 1 && seen.stdout.contains("input.kafka: no broker answers, for "), "{seen:?}");
    let seen = status(address, &["--json"]).json();
    let reason = seen["pipelines"][0]["reason"].as_str().unwrap();
    assert!(seen["red"] == true && reason.starts_with("input.kafka: no broker answers, for "), "{seen}");
    worker.signal(rustix::process::Signal::KILL);
}

#[test]
fn lag_and_commits_are_those_of_the_brokers_and_partitions_those_of_the_group() {
    let (brokers, receiver) = (Brokers::with(&["audit"]), receiver(&[]));
    write(&brokers.addresses(), "audit", values(0..500));
    let metrics = "\n[metrics]\nlisten = \"127.0.0.1:0\"\n";
    let scene = scene(&brokers.addresses(), &receiver, "breaker.recovery_timeout_seconds = 0.1", metrics);
    let worker = start(&scene);
    let address = address(&worker);
    wait_for(&receiver, 500);
    wait_until(|| committed(&brokers.addresses(), GROUP, "audit") == 500);
    wait_for_lag(address, 0);
    let first = scrape(address);
    let all: BTreeSet<String> = (0..PARTITIONS).map(|partition| partition.to_string()).collect();
    for family in ["siem_kafka_partitions_owned", "siem_kafka_lag_records", "siem_kafka_committed_offset"] {
        let kafka: Vec<_> = first.samples.iter().filter(|((name, _), _)| name.contains("kafka")).collect();
        assert_eq!(first.kinds.get(family).map(String::as_str), Some("gauge"), "{family}: {kafka:?}");
        assert_eq!(first.values(family, "partition"), all, "{family}");
    }
    assert_eq!(first.count("siem_kafka_partitions_owned", &[("topic", "audit")]), ALL as u64);
    for (partition, offset) in committed_by_partition(&brokers.addresses(), GROUP, "audit") {
        let shown = of_partition(&first, "siem_kafka_committed_offset", partition);
        assert_eq!(shown, Some(offset.to_string()), "of partition {partition}");
    }
    let count = |scrape: &Scrape, family: &str, label, value| scrape.count(family, &[(label, value)]);
    assert_eq!(count(&first, "siem_kafka_rebalances_total", "change", "assigned"), ALL as u64);
    assert_eq!(count(&first, "siem_kafka_rebalances_total", "change", "revoked"), 0);
    let commits = count(&first, "siem_kafka_commits_total", "result", "ok");
    assert!(commits >= 1 && count(&first, "siem_kafka_commits_total", "result", "failed") == 0, "{commits}");
    assert_eq!(first.kinds["siem_kafka_commits_total"], "counter");
    assert_eq!(first.kinds["siem_kafka_rebalances_total"], "counter");

    // What comes while the SIEM is down is behind, and nothing more is committed.
    receiver.set_faults(vec!["503".parse().unwrap()]);
    write(&brokers.addresses(), "audit", values(500..620));
    wait_for_lag(address, 120);
    let behind = scrape(address);
    assert_eq!(count(&behind, "siem_kafka_commits_total", "result", "ok"), commits);
    receiver.set_faults(Vec::new());
    wait_for(&receiver, 620);
    wait_for_lag(address, 0);
    assert!(count(&scrape(address), "siem_kafka_commits_total", "result", "ok") > commits);
    let ran = end(worker);
    let report = ran.json();
    assert_eq!((ran.code, &report["partitions"]["assigned"]), (0, &PARTITIONS.into()), "{ran:?}");
    assert_received(&receiver, 0..620);
}
