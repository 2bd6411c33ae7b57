//! Events a second from the emitter to the embedded receiver, over loopback HTTP, the receiver's share included.
//!
//! `to_nothing` is the base: the same events into a destination that accepts without looking, so that what is left is
//! building, ring and encoding. Each iteration is one event.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siem_forward::net::Compression;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::{Splunk, from_fn};
use siem_forward::{Builder, EventType, Forwarder, Severity, Verdict};

/// From the first event to the end of the drain, which waits for the last.
fn time(iterations: u64, builder: Builder) -> Duration {
    let forwarder = builder.start().expect("a forwarder");
    let emitter = forwarder.emitter();
    let begun = Instant::now();
    for number in 0..iterations {
        emitter
            .event(EventType::AuthorizationDenied, Severity::High)
            .user_id("u-2f6c1d9e")
            .user_email("maria.gonzalez@example.com")
            .server_id("srv-payments-eu-west-1a")
            .tool_name("payments.refund")
            .decision("deny")
            .policy_id("policy-refund-limit-v7")
            .ip_address("10.194.128.204")
            .user_agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0")
            .request_id("req-7d1f0a52-30c4-4b6e-9d53")
            .detail("amount", number)
            .detail("reason", "amount exceeds the limit of the role \"clerk\"; a second approver is needed")
            .send_timeout(Duration::from_secs(60))
            .expect("room");
    }
    let report = forwarder.drain(Duration::from_secs(60));
    assert_eq!(report.ledger.delivered, iterations, "{report}");
    begun.elapsed()
}

fn end_to_end(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end_to_end");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("to_nothing", |bencher| {
        bencher.iter_custom(|iterations| time(iterations, Forwarder::builder(from_fn("nothing", |_| Verdict::Accept))));
    });
    for (name, compression) in [("no_compression", Compression::None), ("gzip", Compression::Gzip)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let receiver = Receiver::start(ReceiverConfig::default()).expect("a loopback port");
                let splunk = Splunk::new(receiver.url(), "token").expect("a destination").compression(compression);
                time(iterations, Forwarder::builder(splunk))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, end_to_end);
criterion_main!(benches);
