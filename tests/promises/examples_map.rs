//! The examples for logs that others write: what an analyst sees of the samples, and that no shape of a record that is
//! seen in the field costs it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use std::path::PathBuf;

use serde_json::{Value, json};
use siem_forward::AuditEvent;
use siem_forward::input::{InputError, InputMap, Reader, RecordsPointer, Source};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

use crate::program::{PATIENCE, TOKEN, command};

const EXAMPLES: [(&str, &str); 5] = [
    ("kubernetes-audit", "kubernetes-audit.ndjson"),
    ("cloudtrail", "cloudtrail.json"),
    ("auditd", "auditd.ndjson"),
    ("okta", "okta.ndjson"),
    ("teleport", "teleport.ndjson"),
];

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn sample(example: &str) -> String {
    let (_, file) = EXAMPLES.iter().find(|(name, _)| *name == example).unwrap();
    std::fs::read_to_string(examples().join("samples").join(file)).unwrap()
}

fn config(example: &str) -> String {
    std::fs::read_to_string(examples().join(format!("{example}.toml"))).unwrap()
}

fn map(example: &str) -> InputMap {
    let config = config(example);
    let map = config.split_once("[input.map]\n").unwrap().1.split_once("\n[siem").unwrap().0;
    InputMap::from_toml(map).unwrap_or_else(|error| panic!("{example}: {error}"))
}

/// The records of a sample, each on a line.
fn records(example: &str) -> Vec<Value> {
    let text = sample(example);
    if example == "cloudtrail" {
        return serde_json::from_str::<Value>(&text).unwrap()["Records"].as_array().unwrap().clone();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What becomes of these lines by this map.
fn read(map: &InputMap, lines: &[String]) -> Vec<Result<AuditEvent, String>> {
    let source = Source::reader("lines", std::io::Cursor::new(lines.join("\n")));
    let reader = Reader::open(vec![source], 4_000_000).unwrap().with_map(map.clone());
    let read = reader.map(|item| match item {
        Ok(event) => Ok(event),
        Err(InputError::Rejected(line)) => Err(line.reason().to_string()),
        Err(error) => panic!("{error}"),
    });
    read.collect()
}

/// What an analyst looks at first.
fn summary(event: &AuditEvent) -> String {
    let text = |field: Option<&str>| field.unwrap_or("-").to_owned();
    [
        event.event_type().name().to_owned(),
        event.severity().name().to_owned(),
        text(event.user_id()),
        text(event.server_id()),
        text(event.tool_name()),
        text(event.decision()),
        text(event.ip_address()),
    ]
    .join(" ")
}

fn assert_sample(example: &str, expected: &[&str]) {
    let records = records(example);
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    let events: Vec<AuditEvent> = read(&map(example), &lines).into_iter().map(Result::unwrap).collect();
    let summaries: Vec<String> = events.iter().map(summary).collect();
    assert_eq!(summaries, expected);
    let again = read(&map(example), &lines);
    for ((event, again), record) in events.iter().zip(again).zip(&records) {
        assert_eq!(event.id(), again.unwrap().id(), "the same record, the same id");
        assert_eq!(&serde_json::from_str::<Value>(&event.details().unwrap()).unwrap(), record);
    }
    let mut ids: Vec<_> = events.iter().map(AuditEvent::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "no two records look like a duplicate");
}

#[test]
fn kubernetes_shows_who_was_refused_and_who_opened_a_shell() {
    assert_sample(
        "kubernetes-audit",
        &[
            "kubernetes_request high ada@example.com k8s delete unknown 192.0.2.7",
            "authorization_denied high ada@example.com k8s delete deny -",
            "authorization_allowed high bob@example.com k8s create allow 198.51.100.4",
            "authorization_allowed low system:anonymous k8s get allow 10.0.0.9",
        ],
    );
}

#[test]
fn cloudtrail_shows_root_and_whoever_stops_the_logging() {
    let root = "arn:aws:iam::111122223333:root";
    let role = "arn:aws:sts::111122223333:assumed-role/dev/ada";
    assert_sample(
        "cloudtrail",
        &[
            &format!("user_login high {root} signin.amazonaws.com ConsoleLogin allow 192.0.2.7"),
            "cloudtrail_event critical ada cloudtrail.amazonaws.com StopLogging allow -",
            "cloudtrail_event low autoscaling.amazonaws.com sts.amazonaws.com AssumeRole allow autoscaling.amazonaws.com",
            &format!("authorization_denied high {role} s3.amazonaws.com GetBucketAcl deny 192.0.2.7"),
        ],
    );
}

#[test]
fn auditd_shows_failed_logins_and_who_changes_the_rules() {
    assert_sample(
        "auditd",
        &[
            "tool_invoked low ada web1 /usr/bin/id allow -",
            "authorization_denied medium ada web1 /usr/sbin/sshd deny 192.0.2.7",
            "authorization_denied medium root web1 /usr/sbin/sshd deny 192.0.2.66",
            "configuration_changed high ada web1 /usr/sbin/auditctl allow -",
            "auditd_event low - web1 - unknown -",
        ],
    );
}

#[test]
fn okta_shows_refused_logins_and_new_administrators() {
    assert_sample(
        "okta",
        &[
            "authorization_denied medium 00u1 okta user.session.start deny 192.0.2.7",
            "okta_event high 00u2 okta user.account.privilege.grant allow -",
            "user_login low 00u1 okta user.session.start allow 192.0.2.7",
        ],
    );
}

#[test]
fn teleport_shows_refused_logins_and_root() {
    assert_sample(
        "teleport",
        &[
            "authorization_denied high ada teleport user.login deny 192.0.2.7:51122",
            "session_started high ada a1 session.start unknown -",
            "user_login low ada root user.login allow 192.0.2.7:51123",
            "policy_created high ada root role.created unknown -",
        ],
    );
}

/// Every place in a value, as pointers.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => return,
    };
    for (key, value) in inner {
        let place = format!("{here}/{key}");
        places(value, &place, all);
        all.push(place);
    }
}

fn remove(record: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').unwrap();
    match record.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Value::Array(list) => drop(list.remove(key.parse().unwrap())),
        _ => panic!("{place}"),
    }
}

#[test]
fn only_a_record_without_its_time_is_rejected_whatever_else_is_absent_or_of_another_shape() {
    for (example, _) in EXAMPLES {
        let map = map(example);
        let mut lines = Vec::new();
        let mut changed = Vec::new();
        for record in records(example) {
            let mut all = Vec::new();
            places(&record, "", &mut all);
            for place in all {
                let mut absent = record.clone();
                remove(&mut absent, &place);
                lines.push(absent.to_string());
                changed.push(place.clone());
                let is = record.pointer(&place).unwrap().clone();
                let text = is.as_str().map_or_else(|| is.to_string(), str::to_owned);
                for other in [
                    Value::Null,
                    json!([[is]]),
                    json!({ "deep": { "er": [is] } }),
                    json!(text),
                    json!("x".repeat(60_000)),
                    json!(-1),
                    json!(18_446_744_073_709_551_615_u64),
                    json!(1.5),
                    json!(true),
                    json!(""),
                    json!([]),
                ] {
                    let mut record = record.clone();
                    *record.pointer_mut(&place).unwrap() = other;
                    lines.push(record.to_string());
                    changed.push(place.clone());
                }
                // What only the exact parser reads.
                for raw in ["\"\\ud800 half\"", "1e400", "123456789012345678901234567890"] {
                    let mut record = record.clone();
                    *record.pointer_mut(&place).unwrap() = json!("{raw}");
                    lines.push(record.to_string().replace("\"{raw}\"", raw));
                    changed.push(place.clone());
                }
            }
        }
        let times = ["/ID", "/timestamp", "/eventTime", "/published", "/time"];
        let read = read(&map, &lines);
        assert!(read.len() > 300 && read.len() == lines.len());
        for ((read, place), line) in read.into_iter().zip(changed).zip(lines) {
            if let Err(reason) = read {
                let is_time = times.contains(&place.as_str()) && reason.starts_with("timestamp");
                assert!(is_time, "{example}: {place}: {reason}: {}", line.get(..1_000).unwrap_or(&line));
            }
        }
    }
}

#[test]
fn each_example_is_a_complete_configuration_that_delivers_its_sample() {
    for (example, file) in EXAMPLES {
        let config = ReceiverConfig { token: Some(TOKEN.to_owned()), keep: Keep::Bodies, ..ReceiverConfig::default() };
        let receiver = Receiver::start(config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(&["run", "--json", "--config"]);
        command.arg(examples().join(format!("{example}.toml"))).current_dir(folder.path());
        command.args(["--set", &format!("siem.splunk.url=\"{}\"", receiver.url())]).env("SPLUNK_HEC_TOKEN", TOKEN);
        command.arg("--input").arg(examples().join("samples").join(file));
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{example}: {told}");
        let records = records(example);
        assert!(receiver.wait_until(PATIENCE, |counts| counts.events == records.len() as u64));
        let bodies: Vec<Value> = receiver.events().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        for record in records {
            assert!(bodies.iter().any(|body| body["event"]["details"] == record), "{example}: {record}");
        }
    }
}

#[test]
fn cloudtrail_is_read_out_of_its_documents() {
    let source = Source::reader("log", std::io::Cursor::new(sample("cloudtrail")));
    let reader = Reader::open(vec![source], 1_000_000).unwrap().with_map(map("cloudtrail"));
    let reader = reader.with_records(RecordsPointer::new("/Records").unwrap());
    assert_eq!(reader.flatten().count(), 4);
    assert!(config("cloudtrail").contains("records = \"/Records\""));
}
