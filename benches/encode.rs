//! What encoding one event costs: our own layout, Splunk's envelope, Datadog's log and Elasticsearch's document, beside serde and a bare copy.
//!
//! `copy` is the base: the finished bytes into the reused buffer. `serde_json` is the event through its `Serialize`.

mod sample;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siem_forward::siem::{Datadog, Elastic, Splunk};
use siem_forward::{AuditEvent, EventType, Severity, Siem, format::json};

use sample::fields;

fn event() -> AuditEvent {
    fields(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High))
        .detail("currency", "EUR")
        .detail("reason", "amount exceeds the limit of the role \"clerk\"; a second approver is needed")
        .build()
}

fn encode(criterion: &mut Criterion) {
    let event = event();
    let mut body = Vec::new();
    json::write(&event, &mut body);
    let finished = body.clone();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("copy", |bencher| {
        bencher.iter(|| {
            body.clear();
            body.extend_from_slice(black_box(&finished));
        });
    });
    group.bench_function("json", |bencher| {
        bencher.iter(|| {
            body.clear();
            json::write(black_box(&event), &mut body);
        });
    });
    // A token is all it takes: nothing is sent.
    if let Ok(splunk) = Splunk::new("http://127.0.0.1:8088", "token") {
        group.bench_function("splunk", |bencher| {
            bencher.iter(|| {
                body.clear();
                splunk.format_event(black_box(&event), &mut body)
            });
        });
    }
    if let Ok(datadog) = Datadog::new("us1", "key") {
        group.bench_function("datadog", |bencher| {
            bencher.iter(|| {
                body.clear();
                datadog.format_event(black_box(&event), &mut body)
            });
        });
    }
    if let Ok(elastic) = Elastic::new("http://127.0.0.1:9200") {
        group.bench_function("elastic", |bencher| {
            bencher.iter(|| {
                body.clear();
                elastic.format_event(black_box(&event), &mut body)
            });
        });
    }
    group.bench_function("serde_json", |bencher| {
        bencher.iter(|| {
            body.clear();
            serde_json::to_writer(&mut body, black_box(&event))
        });
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
