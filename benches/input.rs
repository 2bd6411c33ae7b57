//! What turning a line into an event costs, over the bare parse of the same line.
//!
//! `bare` is the base: simd-json's tape of each line, into the same buffers, from a padded copy. `events` is the whole
//! reader: it splits the lines, has simd-json parse them, and builds each event in a buffer of its own: of our own layout, and
//! `kubernetes` by the example's `[input.map]`, with the whole object as details.
//!
//! What is measured is the process's time on a core, that of the thread which reads ahead included: what other programs take
//! meanwhile is no cost of a line.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a bench that cannot run says so by a panic")]

use std::hint::black_box;
use std::io::Cursor;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use siem_forward::input::{InputMap, Reader, Source};
use simd_json::{Buffers, INPUT_PADDING, Tape};

/// So many that the start of the reader's thread is nothing.
const EVENTS: u32 = 5_000;
const MAP: &str = include_str!("../examples/kubernetes-audit.toml");

/// A line of our own layout, of 650 bytes.
fn own(number: u32) -> String {
    format!(
        "{{\"id\":\"01980000-0000-7000-8000-{number:012}\",\"timestamp\":\"2026-01-01T00:00:00.031983Z\",\
         \"event_type\":\"authorization_denied\",\"severity\":\"high\",\"user_id\":\"u-2f6c1d9e\",\
         \"user_email\":\"maria.gonzalez@example.com\",\"server_id\":\"srv-payments-eu-west-1a\",\
         \"tool_name\":\"payments.refund\",\"decision\":\"deny\",\"policy_id\":\"policy-refund-limit-v7\",\
         \"ip_address\":\"10.194.128.204\",\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/126.0 Safari/537.36\",\"request_id\":\"req-7d1f0a52-30c4-4b6e-9d53\",\
         \"details\":{{\"amount\":120,\"currency\":\"EUR\",\"reason\":\"limit exceeded for this merchant today\",\
         \"attempt\":{number}}}}}\n"
    )
}

/// An event of the Kubernetes API server at level Metadata, of 1.2 KB.
fn kubernetes(number: u32) -> String {
    format!(
        "{{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\
         \"auditID\":\"9c3d2a44-2f2a-4b0a-8b2c-{number:012}\",\"stage\":\"ResponseComplete\",\
         \"requestURI\":\"/apis/apps/v1/namespaces/prod/deployments/payments?fieldManager=kubectl-client-side-apply\",\
         \"verb\":\"patch\",\"user\":{{\"username\":\"maria.gonzalez@example.com\",\"uid\":\"u-2f6c1d9e\",\
         \"groups\":[\"ops\",\"system:authenticated\"],\"extra\":{{\"authentication.kubernetes.io/credential-id\":\
         [\"X509SHA256=1f0b6b1a5b8c4f3e9d7a2c6e8f0a1b3c5d7e9f1a3b5c7d9e1f3a5b7c9d1e3f5a\"]}}}},\
         \"sourceIPs\":[\"10.194.128.204\"],\"userAgent\":\"kubectl/v1.31.0 (linux/amd64) kubernetes/9edcffc\",\
         \"objectRef\":{{\"resource\":\"deployments\",\"namespace\":\"prod\",\"name\":\"payments\",\
         \"uid\":\"7f3a1c5e-9d41-4f7e-8c36-8f0e5c1b7b10\",\"apiGroup\":\"apps\",\"apiVersion\":\"v1\",\
         \"resourceVersion\":\"812345\"}},\"responseStatus\":{{\"metadata\":{{}},\"code\":200}},\
         \"requestReceivedTimestamp\":\"2026-01-05T12:00:00.000001Z\",\
         \"stageTimestamp\":\"2026-01-05T12:00:00.010000Z\",\"annotations\":{{\
         \"authorization.k8s.io/decision\":\"allow\",\"authorization.k8s.io/reason\":\
         \"RBAC: allowed by ClusterRoleBinding \\\"ops\\\" of ClusterRole \\\"deployer\\\" to Group \\\"ops\\\"\"}}}}\n"
    )
}

/// The base: what simd-json takes for these lines.
fn bare(text: &[u8], buffers: &mut Buffers, scratch: &mut Vec<u8>) -> usize {
    let mut nodes = 0;
    let mut spare = Tape::null();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        scratch.clear();
        scratch.extend_from_slice(line);
        scratch.resize(line.len() + INPUT_PADDING, b' ');
        let mut tape = spare.reset();
        simd_json::fill_tape_padded(scratch, line.len(), buffers, &mut tape).expect("it is JSON");
        nodes += black_box(&tape).0.len();
        spare = tape.reset();
    }
    nodes
}

fn read(text: &'static [u8], map: Option<&InputMap>) -> usize {
    let mut reader = Reader::open(vec![Source::reader("bench", Cursor::new(text))], 65_536).expect("it opens");
    if let Some(map) = map {
        reader = reader.with_map(map.clone());
    }
    reader.map(|event| black_box(event.expect("it is an event")).text_bytes()).sum()
}

/// The time on a core that all threads take together to do it so often.
fn time(iterations: u64, mut each: impl FnMut() -> usize) -> Duration {
    let clock = || -> Duration { clock_gettime(ClockId::ProcessCPUTime).try_into().expect("a time after its start") };
    let begun = clock();
    for _ in 0..iterations {
        black_box(each());
    }
    clock().saturating_sub(begun)
}

fn input(criterion: &mut Criterion) {
    let map = MAP.split_once("[input.map]\n").expect("it has a map").1.split_once("\n[siem").expect("it ends").0;
    let map = InputMap::from_toml(map).expect("it is a map");
    for (name, line, map) in [("own", own as fn(u32) -> String, None), ("kubernetes", kubernetes, Some(&map))] {
        let text: &'static [u8] = (0..EVENTS).map(line).collect::<String>().into_bytes().leak();
        let mut group = criterion.benchmark_group(format!("input/{name}"));
        group.throughput(Throughput::Elements(EVENTS.into()));
        group.sample_size(30);
        let (mut buffers, mut scratch) = (Buffers::with_max_depth(1024, 128), Vec::new());
        group.bench_function("bare", |bencher| {
            bencher.iter_custom(|times| time(times, || bare(text, &mut buffers, &mut scratch)));
        });
        group.bench_function("events", |bencher| bencher.iter_custom(|times| time(times, || read(text, map))));
        group.finish();
    }
}

criterion_group!(benches, input);
criterion_main!(benches);
