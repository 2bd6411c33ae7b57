//! What a call costs the service that has an event of thirteen fields to hand in, and what becomes of events that come faster
//! than they are taken away: ours beside the asynchronous loggers that a service would use instead.
//!
//! Each ends in a sink in memory that counts: what it takes to write them to a file or a network is no part of it. The time
//! is that of the caller's thread on a core, in bursts that every queue holds; between them it is waited for until all have
//! arrived. Then 300,000 events come flat out: what the caller was told of, and what never arrived without a word.
//!
//! Queues hold 20,000 events as ours does by default, those of tracing-appender its own 128,000 lines.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogBatch, LogExporter, SdkLogger, SdkLoggerProvider,
};
use rustix::time::{ClockId, clock_gettime};
use siem_forward::{Emitter, EventType, Forwarder, Severity, Verdict, siem};
use siem_forward_rivals::AUDIT;
use slog::Drain;
use tracing_appender::non_blocking::WorkerGuard;

const QUEUE: usize = 20_000;
/// As short as any of them can be set to.
const FLUSH_EVERY: Duration = Duration::from_millis(5);
const BURST: u64 = 1_000;
const FLAT_OUT: u64 = 300_000;

/// Counts what arrives.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<AtomicU64>);

impl Sink {
    fn arrived(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, events: usize) {
        self.0.fetch_add(events as u64, Ordering::Relaxed);
    }
}

/// A line is an event.
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.take(black_box(bytes).iter().filter(|byte| **byte == b'\n').count());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What an event is handed to.
trait Rival {
    /// Whether it says that it took it.
    fn emit(&self) -> bool;
    fn sink(&self) -> &Sink;
}

struct Ours {
    _forwarder: Forwarder,
    emitter: Emitter,
    sink: Sink,
}

impl Ours {
    fn new() -> Self {
        let sink = Sink::default();
        let counting = sink.clone();
        let accept = siem::from_fn("counting", move |batch| {
            counting.take(batch.len());
            Verdict::Accept
        });
        let builder = Forwarder::builder(accept).max_queue_size(QUEUE).batch_timeout(FLUSH_EVERY);
        let forwarder = builder.start().expect("a forwarder");
        Self { emitter: forwarder.emitter(), _forwarder: forwarder, sink }
    }
}

impl Rival for Ours {
    fn emit(&self) -> bool {
        let event = self.emitter.event(EventType::AuthorizationDenied, Severity::High);
        black_box(&AUDIT).fill(event).try_send().is_ok()
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }
}

/// tracing, its JSON layout, and tracing-appender's thread.
struct Tracing {
    _worker: WorkerGuard,
    sink: Sink,
}

impl Tracing {
    fn new() -> Self {
        let sink = Sink::default();
        let (writer, worker) = tracing_appender::non_blocking(sink.clone());
        let subscriber = tracing_subscriber::fmt().json().with_writer(writer).finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only one");
        Self { _worker: worker, sink }
    }
}

impl Rival for Tracing {
    fn emit(&self) -> bool {
        let audit = black_box(&AUDIT);
        tracing::info!(
            target: "audit",
            severity = "high",
            user_id = audit.user_id,
            user_email = audit.user_email,
            server_id = audit.server_id,
            tool_name = audit.tool_name,
            decision = audit.decision,
            policy_id = audit.policy_id,
            ip_address = audit.ip_address,
            user_agent = audit.user_agent,
            request_id = audit.request_id,
            amount = audit.details.amount,
            currency = audit.details.currency,
            reason = audit.details.reason,
            attempt = audit.details.attempt,
            "authorization_denied"
        );
        true
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }
}

/// OpenTelemetry's log records, by its batch processor, to an exporter that only counts.
struct Otel {
    _provider: SdkLoggerProvider,
    logger: SdkLogger,
    sink: Sink,
}

impl LogExporter for Sink {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.take(batch.iter().count());
        Ok(())
    }
}

impl Otel {
    fn new() -> Self {
        let sink = Sink::default();
        let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(FLUSH_EVERY).build();
        let processor = BatchLogProcessor::builder(sink.clone()).with_batch_config(config).build();
        let provider = SdkLoggerProvider::builder().with_log_processor(processor).build();
        Self { logger: provider.logger("audit"), _provider: provider, sink }
    }
}

impl Rival for Otel {
    fn emit(&self) -> bool {
        let audit = black_box(&AUDIT);
        let mut record = self.logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(opentelemetry::logs::Severity::Warn);
        record.set_body(AnyValue::from("authorization_denied"));
        // A record owns what it holds.
        for (key, value) in [
            ("user_id", audit.user_id),
            ("user_email", audit.user_email),
            ("server_id", audit.server_id),
            ("tool_name", audit.tool_name),
            ("decision", audit.decision),
            ("policy_id", audit.policy_id),
            ("ip_address", audit.ip_address),
            ("user_agent", audit.user_agent),
            ("request_id", audit.request_id),
            ("currency", audit.details.currency),
            ("reason", audit.details.reason),
        ] {
            record.add_attribute(key, value.to_owned());
        }
        record.add_attribute("amount", audit.details.amount);
        record.add_attribute("attempt", audit.details.attempt);
        self.logger.emit(record);
        true
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }
}

/// slog, its JSON layout, and slog-async's thread.
struct Slog {
    logger: slog::Logger,
    sink: Sink,
}

impl Slog {
    fn new() -> Self {
        let sink = Sink::default();
        let json = slog_json::Json::default(sink.clone()).fuse();
        let drain = slog_async::Async::new(json).chan_size(QUEUE).build().fuse();
        Self { logger: slog::Logger::root(drain, slog::o!()), sink }
    }
}

impl Rival for Slog {
    fn emit(&self) -> bool {
        let audit = black_box(&AUDIT);
        slog::info!(
            self.logger, "authorization_denied";
            "severity" => "high",
            "user_id" => audit.user_id,
            "user_email" => audit.user_email,
            "server_id" => audit.server_id,
            "tool_name" => audit.tool_name,
            "decision" => audit.decision,
            "policy_id" => audit.policy_id,
            "ip_address" => audit.ip_address,
            "user_agent" => audit.user_agent,
            "request_id" => audit.request_id,
            "amount" => audit.details.amount,
            "currency" => audit.details.currency,
            "reason" => audit.details.reason,
            "attempt" => audit.details.attempt,
        );
        true
    }

    fn sink(&self) -> &Sink {
        &self.sink
    }
}

/// The time of this thread on a core.
fn on_core() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the thread's start")
}

/// Waits until so many have arrived, or none has for a second.
fn settle(sink: &Sink, events: u64) {
    let (mut arrived, mut since) = (sink.arrived(), Instant::now());
    while arrived < events && since.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_micros(200));
        if sink.arrived() > arrived {
            (arrived, since) = (sink.arrived(), Instant::now());
        }
    }
}

fn time(iterations: u64, rival: &dyn Rival) -> Duration {
    let (mut spent, mut left) = (Duration::ZERO, iterations);
    while left > 0 {
        let burst = left.min(BURST);
        left -= burst;
        let expected = rival.sink().arrived() + burst;
        let begun = on_core();
        for _ in 0..burst {
            assert!(rival.emit(), "room for a burst");
        }
        spent += on_core().saturating_sub(begun);
        settle(rival.sink(), expected);
    }
    spent
}

fn flat_out(name: &str, rival: &dyn Rival) {
    let before = rival.sink().arrived();
    let taken = (0..FLAT_OUT).filter(|_| rival.emit()).count() as u64;
    settle(rival.sink(), before + taken);
    let dropped = taken.saturating_sub(rival.sink().arrived() - before);
    println!("flat_out: caller/{name} refused {} dropped {dropped} of {FLAT_OUT}", FLAT_OUT - taken);
}

fn caller(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("caller");
    group.throughput(Throughput::Elements(1));
    let mut each = |name: &str, rival: &dyn Rival| {
        group.bench_function(name, |bencher| bencher.iter_custom(|iterations| time(iterations, rival)));
        flat_out(name, rival);
    };
    each("siem_forward", &Ours::new());
    each("tracing_appender_json", &Tracing::new());
    each("opentelemetry_batch", &Otel::new());
    each("slog_async_json", &Slog::new());
    group.finish();
}

criterion_group!(benches, caller);
criterion_main!(benches);
