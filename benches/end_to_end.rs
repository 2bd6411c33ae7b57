//! Events a second from the emitter to the embedded receiver, over loopback HTTP, the receiver's share included.
//!
//! `to_nothing` is the base: the same events into a destination that accepts without looking, so that what is left is
//! building, ring and encoding. Each iteration is one event.
//!
//! `file/…` is the file destination: an iteration is a batch of 500 finished events that is given to it, and `bare_write` the
//! same bytes in one write to a file of one's own. Without waiting for the disk, which is a matter of the disk alone.

#![allow(clippy::expect_used, reason = "a bench that cannot run says so by a panic")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::bounded;
use siem_forward::net::{Compression, Stop};
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::{File, Fsync, Splunk, from_fn};
use siem_forward::{Batch, Builder, Emitter, EventType, Forwarder, Severity, Siem, Verdict};

/// Of a file, before it is removed: some 20 MB.
const BATCHES_MAX: u64 = 64;

fn emit(emitter: &Emitter, events: u64) {
    for number in 0..events {
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
}

/// From the first event to the end of the drain, which waits for the last.
fn time(iterations: u64, builder: Builder) -> Duration {
    let forwarder = builder.start().expect("a forwarder");
    let begun = Instant::now();
    emit(&forwarder.emitter(), iterations);
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

/// How long `work` takes with a batch of 500 events, which a forwarder makes for it.
fn with_a_batch(work: impl Fn(&Batch) -> Duration + Send + Sync + 'static) -> Duration {
    let (tell, told) = bounded(1);
    let destination = from_fn("timed", move |batch| {
        tell.send(work(batch)).expect("who waits for it");
        Verdict::Accept
    });
    let forwarder = Forwarder::builder(destination).batch_size(500).start().expect("a forwarder");
    emit(&forwarder.emitter(), 500);
    let took = told.recv().expect("a time");
    assert_eq!(forwarder.drain(Duration::from_secs(60)).ledger.delivered, 500);
    took
}

/// Times `write` in runs of a bounded file each, which is gone before the next.
fn written(iterations: u64, path: &Path, mut write: impl FnMut(u64)) -> Duration {
    let (mut left, mut took) = (iterations, Duration::ZERO);
    while left > 0 {
        let run = left.min(BATCHES_MAX);
        left -= run;
        let begun = Instant::now();
        write(run);
        took += begun.elapsed();
        fs::remove_file(path).expect("what was written");
    }
    took
}

fn file(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.ndjson");
    let mut group = criterion.benchmark_group("file");
    group.throughput(Throughput::Elements(500));
    group.bench_function("bare_write", |bencher| {
        bencher.iter_custom(|iterations| {
            let path = path.clone();
            with_a_batch(move |batch| {
                written(iterations, &path, |run| {
                    let file = OpenOptions::new().create(true).append(true).open(&path);
                    let mut file = file.expect("a file");
                    (0..run).for_each(|_| file.write_all(batch.body()).expect("room on the disk"));
                })
            })
        });
    });
    group.bench_function("batch_of_500", |bencher| {
        bencher.iter_custom(|iterations| {
            let path = path.clone();
            with_a_batch(move |batch| {
                let file = File::new(&path).rotate_bytes(0).fsync(Fsync::Never);
                let mut connection = file.connect(&Stop::new()).expect("a connection");
                written(iterations, &path, |run| {
                    (0..run).for_each(|_| assert_eq!(file.send_batch(&mut connection, batch), Verdict::Accept));
                })
            })
        });
    });
    group.finish();
}

criterion_group!(benches, end_to_end, file);
criterion_main!(benches);
