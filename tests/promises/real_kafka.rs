//! A real broker as a process: 200,000 events in, workers that are killed, started again and added, a broker that is
//! restarted, ids compared; and two workers of one name. `tests/kafka/run.sh` obtains the broker and runs this.
//!
//! This broker never gives up on a member that is dead, so that the killed one comes back under its own name, as under a
//! supervisor; that others take over is shown in `worker.rs`, with brokers that librdkafka plays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test, and the figures are printed"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::{Pid, Signal, kill_process};
use siem_forward::receiver::Receiver;
use siem_forward::siem::Kafka;
use siem_forward::{AuditEvent, EventType, Forwarder, Severity};

use crate::kafka::committed;
use crate::program::{Running, Scene, assert_received, id, wait_until};
use crate::support::PATIENCE;
use crate::worker::{end, receiver, start, wait_for};

const EVENTS: u32 = 200_000;
const PARTITIONS: i32 = 6;
const GROUP: &str = "siem-forward-splunk";

/// The broker, on a port and a folder that it keeps through a restart.
struct Broker {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Broker {
    /// With the topic `audit`.
    fn start() -> Self {
        let program = std::env::var_os("SIEM_FORWARD_KAFKA").expect("tests/kafka/run.sh says where the broker is");
        let program = PathBuf::from(program);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(&program, folder.path(), port);
        let broker = Self { program, folder, port, child };
        broker.wait();
        broker.create("audit");
        broker
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn wait(&self) {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        wait_until(|| consumer.fetch_metadata(None, Duration::from_secs(1)).is_ok());
    }

    fn restart(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.program, self.folder.path(), self.port);
        self.wait();
    }

    fn create(&self, topic: &str) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.address()).create().unwrap();
        let topic = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
        let (topics, options) = ([topic], AdminOptions::new());
        let created = admin.create_topics(&topics, &options);
        // The one future of this house; librdkafka fulfils it on a thread of its own.
        let mut created = std::pin::pin!(created);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let deadline = Instant::now() + PATIENCE;
        while std::future::Future::poll(created.as_mut(), &mut context).is_pending() {
            assert!(Instant::now() < deadline, "no topic was made");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn(program: &Path, folder: &Path, port: u16) -> Child {
    let mut command = Command::new(program);
    command
        .args(["start", "--only", "kafka", "--kafka-port", &port.to_string(), "--data-dir"])
        .arg(folder.join("data"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What the four workers may have in their requests: two of 500 events each.
const ON_THE_WAY: i64 = 4 * 2 * 500;

/// Through our own destination, which says what it has delivered.
fn produce(broker: &Broker, numbers: std::ops::Range<u32>) {
    let kafka = Kafka::new([broker.address()], "audit").unwrap().key("user_id").unwrap();
    let forwarder = Forwarder::builder(kafka).start().unwrap();
    let emitter = forwarder.emitter();
    let (count, text) = (u64::from(numbers.end - numbers.start), "x".repeat(400));
    for number in numbers {
        let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low).id(id(number));
        let event = event.user_id(format!("u-{}", number % 1_000)).detail("text", &text).build();
        emitter.send_timeout(event, PATIENCE).unwrap();
    }
    let report = forwarder.drain(PATIENCE);
    assert_eq!(report.ledger.delivered, count, "{report}");
}

#[test]
#[ignore = "needs a broker: tests/kafka/run.sh"]
fn every_event_arrives_though_a_worker_is_killed_another_is_added_and_the_broker_is_restarted() {
    let (mut broker, receiver) = (Broker::start(), receiver(&[]));
    let scenes: Vec<Scene> = (0..4).map(|number| scene(&broker, &receiver, number)).collect();
    let mut workers: Vec<Running> = scenes[..3].iter().map(start).collect();
    // What was delivered, or on its way, and not committed when something happened: at most so much is delivered again.
    let mut uncommitted = 0;
    let mut happens = |broker: &mut Broker, what: &mut dyn FnMut(&mut Broker)| {
        let committed = committed(&broker.address(), GROUP, "audit");
        what(broker);
        uncommitted += receiver.counts().unique.cast_signed() + ON_THE_WAY - committed;
    };
    let reached = |events: u32| wait_until(|| receiver.counts().unique >= u64::from(events));
    produce(&broker, 0..EVENTS / 4);
    reached(EVENTS / 8);
    happens(&mut broker, &mut |_| {
        workers[0].signal(Signal::KILL);
        drop(workers.remove(0).wait());
    });
    produce(&broker, EVENTS / 4..EVENTS / 2);
    // As a supervisor would: under its own name it gets its partitions back.
    workers.push(start(&scenes[0]));
    happens(&mut broker, &mut |_| workers.push(start(&scenes[3])));
    produce(&broker, EVENTS / 2..EVENTS * 3 / 4);
    reached(EVENTS / 2);
    happens(&mut broker, &mut Broker::restart);
    produce(&broker, EVENTS * 3 / 4..EVENTS);
    reached(EVENTS);
    wait_until(|| committed(&broker.address(), GROUP, "audit") == i64::from(EVENTS));
    for worker in workers {
        let ran = end(worker);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let counts = receiver.counts();
    assert_eq!(receiver.missing((0..EVENTS).map(|number| id(number).as_u128())), 0, "{counts:?}");
    println!("{EVENTS} events, {counts:?}, {uncommitted} were uncommitted when something happened");
    assert!(counts.duplicated.cast_signed() <= uncommitted, "{counts:?}, {uncommitted} uncommitted");
}

/// As when a supervisor has started it twice: which of them lives on is the group's to say, and it is not both.
#[test]
#[ignore = "needs a broker: tests/kafka/run.sh"]
fn of_two_workers_with_one_instance_id_the_first_is_refused_and_the_second_reads_on() {
    let (broker, receiver) = (Broker::start(), receiver(&[]));
    let scenes = [0, 1].map(|_| scene(&broker, &receiver, 0));
    let first = start(&scenes[0]);
    produce(&broker, 0..1_000);
    wait_for(&receiver, 1_000);
    wait_until(|| committed(&broker.address(), GROUP, "audit") == 1_000);
    let second = start(&scenes[1]);
    let refused = first.wait();
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("error: the group refuses us: FencedInstanceId"), "{refused:?}");
    assert!(refused.json()["error"].as_str().is_some_and(|words| words.contains("FencedInstanceId")), "{refused:?}");
    produce(&broker, 1_000..2_000);
    wait_for(&receiver, 2_000);
    wait_until(|| committed(&broker.address(), GROUP, "audit") == 2_000);
    let ran = end(second);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..2_000);
    assert_eq!(receiver.counts().duplicated, 0, "{refused:?} {ran:?}");
}

fn scene(broker: &Broker, receiver: &Receiver, number: usize) -> Scene {
    let scene = Scene::new(&receiver.url(), "");
    let input = format!(
        "[input.kafka]\nbrokers = [\"{}\"]\ntopics = [\"audit\"]\nsession_timeout_seconds = 6\n\
         instance_id = \"worker-{number}\"\n\n{}",
        broker.address(),
        scene.read("siem.toml")
    );
    scene.write("siem.toml", input);
    scene
}
