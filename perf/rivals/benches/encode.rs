//! What encoding one event costs: ours beside serde's encoders, of the same thirteen fields, into a buffer that is used again.
//!
//! `copy` is the base: the finished bytes. The others are spared what ours do: their fields lie in a struct of slices, id and
//! time are texts already. `siem_forward_json` is our own layout, the same as theirs, `siem_forward_splunk` what is sent to
//! Splunk.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Serialize;
use siem_forward::siem::Splunk;
use siem_forward::{Siem, format::json};
use siem_forward_rivals::{AUDIT, Details};

#[derive(Serialize)]
struct Event {
    id: &'static str,
    timestamp: &'static str,
    event_type: &'static str,
    severity: &'static str,
    user_id: &'static str,
    user_email: &'static str,
    server_id: &'static str,
    tool_name: &'static str,
    decision: &'static str,
    policy_id: &'static str,
    ip_address: &'static str,
    user_agent: &'static str,
    request_id: &'static str,
    details: Details,
}

const EVENT: Event = Event {
    id: "0199d6a7-8e0e-7c33-9d0a-3f5b1e2c4d6f",
    timestamp: "2026-01-05T12:34:56.123456Z",
    event_type: "authorization_denied",
    severity: "high",
    user_id: AUDIT.user_id,
    user_email: AUDIT.user_email,
    server_id: AUDIT.server_id,
    tool_name: AUDIT.tool_name,
    decision: AUDIT.decision,
    policy_id: AUDIT.policy_id,
    ip_address: AUDIT.ip_address,
    user_agent: AUDIT.user_agent,
    request_id: AUDIT.request_id,
    details: AUDIT.details,
};

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let ours = AUDIT.event();
    let splunk = Splunk::new("http://127.0.0.1:8088", "token").expect("a destination");
    let mut finished = Vec::new();
    json::write(&ours, &mut finished);
    let theirs = serde_json::to_vec(&EVENT).expect("its form");
    assert!(finished.len().abs_diff(theirs.len()) < 8, "all write the same");
    let mut body = Vec::with_capacity(4096);
    let mut each = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                body.clear();
                write(black_box(&mut body));
            });
        });
    };
    each("copy", &|body| body.extend_from_slice(black_box(&finished)));
    each("siem_forward_json", &|body| json::write(black_box(&ours), body));
    each("siem_forward_splunk", &|body| splunk.format_event(black_box(&ours), body).expect("its form"));
    each("serde_json", &|body| serde_json::to_writer(body, black_box(&EVENT)).expect("its form"));
    each("sonic_rs", &|body| sonic_rs::to_writer(body, black_box(&EVENT)).expect("its form"));
    each("simd_json", &|body| simd_json::to_writer(body, black_box(&EVENT)).expect("its form"));
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
