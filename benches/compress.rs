//! What compressing a body of 500 events costs: by level, and by how the compressor is used.
//!
//! `copy` is the base. `whole/LEVEL` is one write of the whole body into a compressor and a buffer that are used again, as
//! senders do it, at level 1. `fresh` makes both anew for each body, `by_event` writes event by event. The sizes are printed
//! once. Rivals of zlib-rs are in `perf/rivals`.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot run says so by a panic, and tells sizes"
)]

use std::hint::black_box;
use std::io::Write;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, FlushCompress, Status, write::GzEncoder};
use siem_forward::siem::Splunk;
use siem_forward::{AuditEvent, EventType, Severity, Siem};

const EVENTS: u32 = 500;
const LEVELS: [u32; 3] = [1, 3, 6];
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";

/// Five hundred events of Splunk's form, each with what differs from one to the next in a service.
fn events() -> Vec<Vec<u8>> {
    let splunk = Splunk::new("http://127.0.0.1:8088", "token").expect("a destination");
    let tools = ["payments.refund", "tickets.create", "users.search", "reports.export", "keys.rotate"];
    let each = |number: u32| {
        let mixed = number.wrapping_mul(2_654_435_761);
        let tool = tools.iter().cycle().nth((mixed >> 7) as usize % tools.len()).expect("a cycle has no end");
        let event = AuditEvent::builder(EventType::AuthorizationDenied, Severity::High)
            .user_id(format!("u-{mixed:08x}"))
            .user_email(format!("user{}@example.com", mixed % 2_000))
            .server_id(format!("srv-payments-eu-west-{}a", mixed % 3))
            .tool_name(tool)
            .decision(if mixed & 64 == 0 { "deny" } else { "allow" })
            .policy_id(format!("policy-refund-limit-v{}", mixed % 9))
            .ip_address(format!("10.{}.{}.{}", mixed >> 8 & 255, mixed >> 16 & 255, mixed >> 24))
            .user_agent(AGENT)
            .request_id(format!("req-{:08x}-{:08x}", mixed.rotate_left(9), mixed.rotate_left(17)))
            .detail("amount", mixed % 10_000)
            .detail("currency", "EUR")
            .detail("reason", "amount exceeds the limit of the role \"clerk\"; a second approver is needed")
            .build();
        let mut wire = Vec::new();
        splunk.format_event(&event, &mut wire).expect("its form");
        wire
    };
    (0..EVENTS).map(each).collect()
}

fn gzip(level: u32) -> Compress {
    Compress::new_gzip(Compression::new(level), 15)
}

/// As `src/net/gzip.rs` does.
fn compress_whole(compress: &mut Compress, body: &[u8], out: &mut Vec<u8>) {
    compress.reset();
    out.clear();
    out.reserve(body.len() / 4 + 256);
    loop {
        let taken = usize::try_from(compress.total_in()).expect("it fits");
        let rest = body.get(taken..).expect("no more than there is");
        match compress.compress_vec(rest, out, FlushCompress::Finish).expect("memory") {
            Status::StreamEnd => return,
            Status::Ok | Status::BufError => out.reserve(out.capacity().max(256)),
        }
    }
}

fn compress(criterion: &mut Criterion) {
    let events = events();
    let body = events.concat();
    let mut out = Vec::with_capacity(body.len());
    let mut group = criterion.benchmark_group("compress");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("copy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&body));
        });
    });
    for level in LEVELS {
        let mut compressor = gzip(level);
        compress_whole(&mut compressor, &body, &mut out);
        println!("compress: {EVENTS} events, {} bytes, at level {level} {} bytes", body.len(), out.len());
        group.bench_function(BenchmarkId::new("whole", level), |bencher| {
            bencher.iter(|| compress_whole(&mut compressor, black_box(&body), &mut out));
        });
    }
    group.bench_function("fresh", |bencher| {
        bencher.iter(|| {
            let mut out = Vec::new();
            compress_whole(&mut gzip(1), black_box(&body), &mut out);
            out
        });
    });
    group.bench_function("by_event", |bencher| {
        bencher.iter(|| {
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len()), Compression::new(1));
            for event in black_box(&events) {
                encoder.write_all(event).expect("memory");
            }
            encoder.finish().expect("memory")
        });
    });
    group.finish();
}

criterion_group!(benches, compress);
criterion_main!(benches);
