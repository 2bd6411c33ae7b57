//! `check` goes the whole way to a SIEM, tells each step in a line, and writes nothing there unless it is asked to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

use crate::program::{Ran, Running, Scene, TOKEN, command, lines};
use crate::tls::{Authority, BOTH, Front, Kind, Pems, server};

fn receiver(ack: Option<Duration>) -> Receiver {
    let token = Some(TOKEN.to_owned());
    Receiver::start(ReceiverConfig { token, ack, keep: Keep::Bodies, ..ReceiverConfig::default() }).unwrap()
}

fn check(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut command = command(&["check", "--config", "siem.toml"]);
    command.args(arguments).current_dir(scene.path("siem.toml").parent().unwrap());
    Running::start(command).end()
}

/// The words of each step, by its name, and how it ended.
fn steps(ran: &Ran) -> Vec<(String, String, String)> {
    let json = ran.json();
    let text = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
    let steps = json["pipelines"][0]["steps"].as_array().unwrap().iter();
    steps.map(|step| (text(step, "step"), text(step, "status"), text(step, "says"))).collect()
}

fn statuses(ran: &Ran) -> Vec<String> {
    steps(ran).into_iter().map(|(step, status, _)| format!("{step} {status}")).collect()
}

#[test]
fn every_step_is_told_and_nothing_is_sent_unless_asked_for() {
    let (receiver, authority, pems) = (receiver(None), Authority::new("CA"), Pems::new());
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
    let ca = pems.write("ca.pem", authority.pem());
    let scene = Scene::new(&front.url(), &format!("tls = {{ ca = \"{}\" }}", ca.display()));

    let ran = check(&scene, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let told: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(told[0], "siem.toml: no mistakes");
    assert_eq!(told[2], format!("siem.splunk to splunk {}", front.url()));
    let words = |name: &str| told.iter().find(|line| line.starts_with(&format!("  {name:<7}"))).unwrap().to_string();
    assert!(words("DNS").contains("ok") && words("DNS").contains("localhost: ") && words("DNS").contains("127.0.0.1"));
    assert!(words("TCP").ends_with(&format!("  127.0.0.1:{}", front.address.port())), "{ran:?}");
    assert!(words("TLS").contains("ok") && words("TLS").contains("TLS 1.3, CN=siem issued by CN=CA, expires in "));
    assert!(words("health").ends_with("  splunk takes events with this token"), "{ran:?}");
    assert!(words("event").contains("skipped") && words("event").contains("not sent"), "{ran:?}");
    assert!(ran.stdout.contains("\nmemory at most ") && ran.stdout.contains("max_queue_size = 20,000 x"), "{ran:?}");
    // What a step has to say begins in the same column in every line.
    let columns: Vec<usize> = ["DNS", "TCP", "TLS", "health"]
        .map(|name| words(name).split_once("s  ").unwrap().0.chars().count())
        .into_iter()
        .collect();
    assert!(columns.windows(2).all(|pair| pair[0] == pair[1]), "{columns:?}: {}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}'), "no terminal, no colours");

    check(&scene, &["--json"]);
    check(&scene, &["--offline"]);
    assert_eq!(receiver.events().len(), 0, "nobody asked for it");
    assert_eq!((scene.read("dead.ndjson"), scene.path("rejected.ndjson").exists()), (String::new(), false));
}

#[test]
fn the_one_event_that_is_asked_for_is_marked_and_arrives_once() {
    let receiver = receiver(None);
    let scene = Scene::new(&receiver.url(), "");
    let ran = check(&scene, &["--send", "--json"]);
    assert_eq!((ran.code, ran.json()["ok"].as_bool()), (0, Some(true)), "{ran:?}");
    let events = receiver.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let sent: Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(sent["event"]["event_type"], "siem_forward_check");
    assert_eq!(sent["event"]["details"]["test"], true);
    let json = ran.json();
    let step = json["pipelines"][0]["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&step["step"], &step["status"], &step["id"]), (&"event".into(), &"ok".into(), &sent["event"]["id"]));
    let ran = check(&scene, &["--send"]);
    assert!(ran.stdout.contains("  splunk took the test event "), "{ran:?}");
    assert_eq!(receiver.events().len(), 2);
}

#[test]
fn where_only_an_acknowledgement_counts_it_is_waited_for() {
    let receiver = receiver(Some(Duration::from_millis(300)));
    let scene = Scene::new(&receiver.url(), "ack = true\nack_timeout_seconds = 30");
    let ran = check(&scene, &["--send"]);
    assert!(ran.code == 0 && ran.stdout.contains("splunk acknowledged the test event "), "{ran:?}");
    assert!(ran.took >= Duration::from_millis(300), "{ran:?}");
    assert!(ran.stdout.contains("unacknowledged"), "and its memory: {ran:?}");

    let slow = self::receiver(Some(Duration::from_secs(60)));
    let scene = Scene::new(&slow.url(), "ack = true\nack_timeout_seconds = 0.1");
    let ran = check(&scene, &["--send"]);
    assert!(ran.code == 1 && ran.stdout.contains("acknowledged it not within ack_timeout_seconds"), "{ran:?}");
}

#[test]
fn offline_opens_no_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let scene = Scene::new(&format!("http://{}", listener.local_addr().unwrap()), "timeout_seconds = 0.2");
    let ran = check(&scene, &["--offline"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.starts_with("siem.toml: no mistakes\n") && !ran.stdout.contains("DNS"), "{ran:?}");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(check(&scene, &[]).code, 1);
    assert!(listener.accept().is_ok(), "online it is connected to");
    // Nor is a name looked up.
    let scene = Scene::new("https://no-such-host.invalid", "");
    assert_eq!((check(&scene, &["--offline"]).code, check(&scene, &[]).code), (0, 1));
    assert_eq!(check(&scene, &["--offline", "--send"]).code, 2, "one or the other");
}

#[test]
fn all_mistakes_are_told_at_once_with_place_and_fix() {
    let scene = Scene::new("http://127.0.0.1:1", "");
    scene.write(
        "siem.toml",
        format!(
            "[siem.splunk]\ntype = \"splunk\"\nurl = \"ftp://x\"\ntoken = \"{TOKEN}\"\nbatch_sise = 500\nsenders = 0\n"
        ),
    );
    let ran = check(&scene, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (2, ""), "{ran:?}");
    for expected in [
        "siem.toml:1:7: siem.splunk.dead_letter: missing\n    1 | [siem.splunk]\n      |       ^^^^^^ add dead_letter = ",
        "siem.toml:3:7: siem.splunk.url: the URL must begin with https:// or http://\n",
        "siem.toml:4:9: siem.splunk.token: a secret is never written into this file\n",
        "siem.toml:5:1: siem.splunk.batch_sise: unknown key\n    5 | batch_sise = 500\n      | ^^^^^^^^^^ did you mean `batch_size`?\n",
        "siem.toml:6:11: siem.splunk.senders: out of range\n    6 | senders = 0\n      |           ^ must be 1 to 256\n",
        "\n\nsiem.toml: 5 mistakes\n",
    ] {
        assert!(ran.stdout.contains(expected), "{expected}\n\nin\n\n{}", ran.stdout);
    }
    let ran = check(&scene, &["--json"]);
    assert_eq!(ran.code, 2);
    let json = ran.json();
    assert_eq!((json["ok"].as_bool(), json["mistakes"].as_array().unwrap().len()), (Some(false), 5), "{json}");
    assert_eq!(
        json["mistakes"][3],
        serde_json::json!({"argument": false, "line": 5, "column": 1, "key": "siem.splunk.batch_sise", "what": "unknown key",
            "fix": "did you mean `batch_size`?"})
    );
    // A file that is not there is no mistake in it, and is told all the same.
    std::fs::remove_file(scene.path("siem.toml")).unwrap();
    let ran = check(&scene, &["--json"]);
    assert!(ran.code == 2 && ran.json()["error"].as_str().unwrap().contains("siem.toml cannot be read: No such file"));
    let ran = check(&scene, &[]);
    assert!(ran.code == 2 && ran.stderr.contains("siem.toml cannot be read: No such file"), "{ran:?}");
}

/// What is reckoned is a bound: a forwarder that is kept full stays below it.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_kept_full_stays_below_the_memory_that_was_reckoned() {
    const PROGRAM: u64 = 40_000_000;
    let receiver = receiver(None);
    receiver.set_faults(vec!["delay:ms=20".parse().unwrap()]);
    let scene = Scene::new(&receiver.url(), "max_queue_size = 2000\nqueue_bytes_max = \"1 MB\"\nbatch_size = 100");
    let ran = check(&scene, &["--offline", "--json"]);
    let at_most = ran.json()["pipelines"][0]["memory_bytes_max"].as_u64().unwrap();
    let shares = ran.json()["pipelines"][0]["memory"].as_array().unwrap().clone();
    assert_eq!(shares.iter().map(|share| share["bytes"].as_u64().unwrap()).sum::<u64>(), at_most);
    let ran = scene.run(&["--json"], lines(0..20_000));
    assert_eq!((ran.code, receiver.events().len()), (0, 20_000), "{}", ran.stderr);
    let peak = ran.json()["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < at_most + PROGRAM, "{peak} of {at_most}");
}

#[test]
fn a_pipeline_that_is_switched_off_is_looked_at_all_the_same() {
    let receiver = receiver(None);
    let scene = Scene::new(&receiver.url(), "enabled = false");
    let ran = check(&scene, &[]);
    assert!(ran.code == 0 && ran.stdout.contains("(enabled = false: nothing is forwarded)"), "{ran:?}");
    let expected = ["dns ok", "tcp ok", "tls ok", "health ok", "event skipped"];
    assert_eq!(statuses(&check(&scene, &["--json"])), expected);
}
