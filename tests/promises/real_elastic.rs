//! Servers that others wrote take what we send, by the whole engine, and every document is read back:
//! `tests/elastic/run.sh` obtains them and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and this one says what it compared"
)]

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use siem_forward::net::{Http, HttpConfig, Stop};
use siem_forward::siem::Elastic;
use siem_forward::{AuditEvent, EventId, EventType, Severity, Siem, Timestamp};

use crate::hec::{Letter, builder, free_address};
use crate::support::{PATIENCE, assert_one_fate_each, until};

/// A server that imitates one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Real {
    OpenSearch,
    Elasticsearch,
}

/// It runs until it is dropped.
struct Server {
    real: Real,
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(real: Real) -> Self {
        let folder = std::env::var_os("SIEM_FORWARD_ELASTIC");
        let programs = PathBuf::from(folder.expect("the folder with both servers: run tests/elastic/run.sh"));
        let (address, folder): (SocketAddr, _) = (free_address(), tempfile::tempdir().unwrap());
        let mut command = match real {
            Real::OpenSearch => Command::new(programs.join("osmem-server")),
            Real::Elasticsearch => Command::new(programs.join("noida-db")),
        };
        match real {
            Real::OpenSearch => command.args(["-addr", &address.to_string(), "-no-stdin-watch"]),
            Real::Elasticsearch => command
                .args(["start", "--only", "elasticsearch", "--host", &address.ip().to_string(), "--elasticsearch-port"])
                .args([&address.port().to_string(), "--data-dir"])
                .arg(folder.path()),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { real, child: command.spawn().unwrap(), url: format!("http://{address}"), _folder: folder };
        until(|| server.http().get("/_cluster/health", &[]).is_ok_and(|answer| answer.status == 200));
        server
    }

    fn http(&self) -> Http {
        let http = Http::new(&self.url.parse().unwrap(), &HttpConfig::default(), &Stop::new()).unwrap();
        http.keeping(1024 * 1024)
    }

    /// Puts this where it says, or asks it.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (mut http, body) = (self.http(), body.to_string());
        let headers = [("Content-Type", "application/json")];
        let answer = match method {
            "GET" => http.get(path, &[]),
            "PUT" => http.put(path, &headers, body.as_bytes()),
            _ => http.post_plain(path, &headers, body.as_bytes()),
        };
        let answer = answer.unwrap();
        let read = serde_json::from_slice(&answer.body);
        assert!(answer.status < 300, "{method} {path}: {} {read:?}", answer.status);
        read.unwrap()
    }

    /// The template of `examples/elastic`, as this server knows it: OpenSearch calls the type of details otherwise, and the one
    /// that plays it has no data streams.
    fn install_template(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/elastic/index-template.json");
        let mut template: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        if self.real == Real::OpenSearch {
            template["template"]["mappings"]["properties"]["audit"]["properties"]["details"] =
                json!({"type": "flat_object"});
            template.as_object_mut().unwrap().remove("data_stream");
        }
        self.ask("PUT", "/_index_template/logs-audit", &template);
    }

    /// The documents of an index with these ids, by id; those that it does not hold are not among them.
    fn documents(&self, index: &str, ids: &[String]) -> BTreeMap<String, Value> {
        let mut documents = BTreeMap::new();
        for ids in ids.chunks(200) {
            let answer = self.ask("POST", &format!("/{index}/_mget"), &json!({ "ids": ids }));
            for document in answer["docs"].as_array().unwrap().iter().filter(|document| document["found"] == true) {
                documents.insert(document["_id"].as_str().unwrap().to_owned(), document["_source"].clone());
            }
        }
        documents
    }

    /// How many documents an index, or a pattern of them, holds.
    fn count(&self, index: &str) -> u64 {
        self.ask("POST", "/_refresh", &json!({}));
        self.ask("GET", &format!("/{index}/_count"), &Value::Null)["count"].as_u64().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let killed = self.child.kill();
        assert!(killed.and_then(|()| self.child.wait()).is_ok() || std::thread::panicking());
    }
}

/// An event with everything in it, of one of three days; what is in the details has another type each time.
fn event(number: usize) -> AuditEvent {
    let known = EventType::KNOWN;
    let day = 1 + number % 3;
    let time: Timestamp = format!("2026-01-0{day}T00:00:00.{number:06}Z").parse().unwrap();
    let event = AuditEvent::builder(known[number % known.len()], Severity::ALL[number % 4])
        .timestamp(time)
        .user_id(format!("u-{number}"))
        .user_email("ada@example.com")
        .server_id("srv-3")
        .tool_name("create \"ticket\" é")
        .decision(["allow", "deny"][number % 2])
        .policy_id("p-9")
        .ip_address(["10.0.0.1", "2001:db8::1", "10.0.0.1:443", "gateway"][number % 4])
        .user_agent("curl/8.5")
        .request_id(format!("r-{number}"));
    match number % 3 {
        0 => event.detail("what", number).detail("a.b", true),
        1 => event.detail("what", "text\nof two lines").detail("a", 1.5),
        _ => event.detail("what", Option::<&str>::None),
    }
    .build()
}

/// The document that was sent for an event, and the index that its action names.
fn wire_of(elastic: &Elastic, event: &AuditEvent) -> (Option<String>, Value) {
    let mut wire = Vec::new();
    elastic.format_event(event, &mut wire).unwrap();
    let lines: Vec<Value> =
        wire.split(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
    (lines[0]["create"]["_index"].as_str().map(str::to_owned), lines[1].clone())
}

/// Sends these, some of them again, by the whole engine; compares what the server holds with what was sent, event by event, and
/// with the ledger. Gives the records of the dead letter by id.
fn forward(server: &Server, index: &str, events: &[AuditEvent], again: &[AuditEvent]) -> BTreeMap<String, Value> {
    let elastic = || Elastic::new(&server.url).unwrap().index(index).unwrap();
    let letter = Letter::new();
    let forwarder = builder(elastic(), &letter).batch_size(100).senders(2).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent: Vec<EventId> = Vec::new();
    for event in events.iter().chain(again) {
        emitter.send_timeout(event.clone(), PATIENCE).unwrap();
        sent.push(event.id());
    }
    let report = forwarder.drain(PATIENCE);
    let dead = letter.records();

    let mut by_index: HashMap<String, BTreeMap<String, Value>> = HashMap::new();
    for event in events {
        let (own, document) = wire_of(&elastic(), event);
        by_index.entry(own.unwrap_or(index.to_owned())).or_default().insert(event.id().to_string(), document);
    }
    let mut received = HashMap::new();
    for (index, expected) in &by_index {
        let held = server.documents(index, &expected.keys().cloned().collect::<Vec<_>>());
        for (id, document) in expected {
            assert_eq!(held.get(id), (!dead.contains_key(id)).then_some(document), "{id} in {index}");
        }
        // Each is there once, and nothing besides.
        assert_eq!(server.count(index), held.len() as u64, "{index}");
        received.extend(held.keys().map(|id| (EventId::parse(id).unwrap(), 1)));
    }
    println!(
        "{:?} {index}: {} sent, {} of them again, {} held in {} indices, {} refused",
        server.real,
        sent.len(),
        again.len(),
        received.len(),
        by_index.len(),
        dead.len()
    );
    assert_one_fate_each(&sent, &received, &dead, &report);
    dead
}

fn a_server_holds_what_was_delivered(real: Real) {
    let server = Server::start(real);
    let elastic = Elastic::new(&server.url).unwrap();
    let health = elastic.health_check(&mut elastic.connect(&Stop::new()).unwrap());
    assert!(health.healthy, "{health:?}");
    server.install_template();
    let events: Vec<AuditEvent> = (0..1_000).map(event).collect();
    for index in ["logs-audit-default", "logs-audit-%Y.%m.%d"] {
        if index.contains('%') && real == Real::Elasticsearch {
            // That would be a data stream a day: the template is one of data streams.
            continue;
        }
        let dead = forward(&server, index, &events, &events[500..550]);
        assert!(dead.is_empty(), "{:?}", dead.values().next());
    }
    let dead = forward(&server, "by-day-%Y.%m.%d", &events[..3], &[]);
    assert!(dead.is_empty(), "{:?}", dead.values().next());

    // A mapping that some events do not fit: they alone are refused, with the server's words.
    let mapping = json!({"mappings": {"properties": {"rule": {"properties": {"id": {"type": "long"}}}}}});
    server.ask("PUT", "/strict", &mapping);
    let of_policy = |number: usize| {
        let policy = if number % 20 == 7 { "p-9".to_owned() } else { number.to_string() };
        AuditEvent::builder(EventType::UserLogin, Severity::Low).policy_id(policy).build()
    };
    let events: Vec<AuditEvent> = (0..200).map(of_policy).collect();
    let dead = forward(&server, "strict", &events, &[]);
    let misfits: Vec<String> = events.iter().skip(7).step_by(20).map(|event| event.id().to_string()).collect();
    let mut expected = misfits.clone();
    expected.sort();
    assert_eq!(dead.keys().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    for record in dead.values() {
        let words = record["words"].as_str().unwrap();
        assert!(words.contains("failed to parse field [rule.id] of type [long]"), "{words}");
        assert_eq!((&record["cause"], &record["possible_duplicate"]), (&"http_400".into(), &false.into()));
    }
}

#[test]
#[ignore = "needs osmem-server: tests/elastic/run.sh"]
fn opensearch_holds_what_was_delivered() {
    a_server_holds_what_was_delivered(Real::OpenSearch);
}

#[test]
#[ignore = "needs noida-db: tests/elastic/run.sh"]
fn elasticsearch_holds_what_was_delivered() {
    a_server_holds_what_was_delivered(Real::Elasticsearch);
}
