//! Three brokers that librdkafka plays, in this process and in memory, to try `siem-forward run` and `siem-forward worker`
//! where there is no Kafka. They keep the last 5 MB of a partition, as it was sent, and nothing beyond their own end.
//!
//! ```sh
//! cargo run --features kafka --example kafka_brokers -- audit 12
//! ```
//!
//! Makes the topic with so many partitions (4 where none are named), prints the addresses, and stays until it is killed.
#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::thread;

use rdkafka::mocking::MockCluster;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let topic = arguments.next().ok_or("a topic")?;
    let partitions: i32 = arguments.next().map_or(Ok(4), |partitions| partitions.parse())?;
    let brokers = MockCluster::new(3)?;
    brokers.create_topic(&topic, partitions, 3)?;
    println!("{}", brokers.bootstrap_servers());
    loop {
        thread::park();
    }
}
