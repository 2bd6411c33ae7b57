//! A service that writes its audit events to Kafka, as fast as it can: so many events of about 600 bytes.
//!
//! ```sh
//! cargo run --release --features kafka --example kafka_produce -- 127.0.0.1:9092 audit 1000000
//! ```
//!
//! It says how many the brokers have reported, how fast, and what that cost this process. A last argument, `none`, is for records
//! that are not compressed.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::time::{Duration, Instant};

use siem_forward::siem::{Kafka, KafkaCompression};
use siem_forward::{EventType, Forwarder, Severity};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (broker, topic) = (arguments.next().ok_or("a broker")?, arguments.next().ok_or("a topic")?);
    let events: u32 = arguments.next().unwrap_or_else(|| "1000000".to_owned()).parse()?;
    let compression = match arguments.next().as_deref() {
        Some("none") => KafkaCompression::None,
        _ => KafkaCompression::default(),
    };
    let kafka = Kafka::new(broker.split(','), topic)?.key("user_id")?.compression(compression);
    let forwarder = Forwarder::builder(kafka).batch_size(1_000).max_queue_size(100_000).start()?;
    let emitter = forwarder.emitter();
    let padding = "x".repeat(300);
    let began = Instant::now();
    for number in 0..events {
        let event = emitter
            .event(EventType::ToolInvoked, Severity::Low)
            .user_id(format!("u-{}", number % 10_000))
            .server_id("srv-payments-eu-west-1a")
            .tool_name("create_ticket")
            .decision("allow")
            .detail("amount", number)
            .detail("reason", padding.as_str());
        // A service would not wait; this one has nothing else to do.
        event.send_timeout(Duration::from_secs(60)).map_err(|refused| refused.to_string())?;
    }
    let report = forwarder.drain(Duration::from_secs(60));
    let seconds = began.elapsed().as_secs_f64();
    println!("{report}");
    println!(
        "{:.0} events a second, CPU of the forwarder's threads {:?}",
        f64::from(events) / seconds,
        report.metrics.worker_cpu_time
    );
    if report.all_delivered() { Ok(()) } else { Err("not all were delivered".into()) }
}
