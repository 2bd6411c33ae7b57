//! The program and a webhook: what the original's example sends, by a configuration alone; in all forms of a body, ids
//! compared.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::path::Path;

use serde_json::{Value, json};
use siem_forward::receiver::{Keep, Play, Receiver, ReceiverConfig};

use crate::program::{Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, command, lines, run};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let (play, token, keep) = (Play::Webhook, Some(TOKEN.to_owned()), Keep::Bodies);
    Receiver::start(ReceiverConfig { play, token, faults, keep, ..ReceiverConfig::default() }).unwrap()
}

fn scene(receiver: &Receiver, keys: &str) -> Scene {
    let (scene, url) = (Scene::new("http://unused", ""), receiver.url());
    let dead = scene.path("dead.ndjson").display().to_string();
    let text = format!(
        "[siem.webhook]\ntype = \"webhook\"\nurl = \"{url}\"\ntoken = {{ env = \"{TOKEN_VARIABLE}\" }}\n\
         retry_backoff_max = 0.02\nbatch_timeout_seconds = 0.1\ndead_letter = {{ path = {dead:?} }}\n{keys}\n",
    );
    scene.write("siem.toml", text);
    scene
}

#[test]
fn the_originals_example_is_a_configuration() {
    let receiver = receiver(&[]);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/webhook.toml");
    let folder = tempfile::tempdir().unwrap();
    let event = json!({
        "id": "01980000-0000-7000-8000-000000000001", "timestamp": "2026-01-01T00:00:00.031983Z",
        "event_type": "tool_invoked", "severity": "high", "user_id": "u-17", "user_email": "ada@example.com",
        "server_id": "srv-3", "tool_name": "create_ticket", "decision": "allow", "policy_id": "p-9",
        "ip_address": "10.0.0.1", "user_agent": "curl/8.5", "request_id": "r-1", "details": {"attempt": 2},
    });
    let mut command = command(&["run", "--config", example.to_str().unwrap()]);
    command.args(["--set", &format!("siem.webhook.url=\"{}\"", receiver.url())]);
    command.env("CUSTOM_SIEM_KEY", TOKEN).current_dir(folder.path());
    let mut running = Running::start(command);
    running.feed(format!("{event}\n"));
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let sent: Vec<Value> = receiver.events().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(
        sent,
        [json!({
            "id": "01980000-0000-7000-8000-000000000001", "timestamp": "2026-01-01T00:00:00.031983Z",
            "event_type": "tool_invoked", "severity": "high",
            "user": {"id": "u-17", "email": "ada@example.com"},
            "resource": {"server_id": "srv-3", "tool_name": "create_ticket"},
            "decision": "allow",
            "context": {"ip_address": "10.0.0.1", "user_agent": "curl/8.5", "request_id": "r-1"},
            "details": {"attempt": 2},
        })]
    );
}

#[test]
fn every_form_of_a_body_arrives() {
    for keys in ["", "body = \"array\"\nmethod = \"PUT\"\npath = \"/a/b\"", "body_key = \"events\"\nbatch_size = 7"] {
        let receiver = receiver(&["503:every=5", "413:bytes=3000"]);
        let scene = scene(&receiver, keys);
        let ran = scene.run(&[], lines(0..100));
        assert_eq!(ran.code, 0, "{keys}: {ran:?}");
        assert_received(&receiver, 0..100);
        assert_eq!(receiver.counts().duplicated, 0);
    }
}

#[test]
fn an_id_is_counted_wherever_the_mapping_puts_it() {
    let id_field = "event.id".to_owned();
    let config = ReceiverConfig { play: Play::Webhook, id_field, ..ReceiverConfig::default() };
    let receiver = Receiver::start(config).unwrap();
    let scene = scene(&receiver, "[siem.webhook.fields]\nid = \"event.id\"\nuser_id = \"event.user\"");
    let ran = scene.run(&[], lines(0..100));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..100);
    assert_eq!(receiver.counts().without_id, 0);
    let ran = run(&["receive", "--as", "elastic", "--id-field", "event.id"]);
    assert!(ran.code == 2 && ran.stderr.contains("leave --id-field out"), "{ran:?}");
}

#[test]
fn one_bad_event_is_found_by_halving_and_replayed() {
    let receiver = receiver(&["400:contains=u-77"]);
    let scene = scene(&receiver, "batch_size = 50");
    let ran = scene.run(&[], lines(0..100));
    assert_eq!(ran.code, 1, "{ran:?}");
    let dead = scene.dead_letter();
    assert_eq!((dead.len(), &dead.values().next().unwrap()["siem_type"]), (1, &"webhook".into()));
    receiver.set_faults(Vec::new());
    let mut command = command(&["replay", scene.path("dead.ndjson").to_str().unwrap(), "--config"]);
    command.arg(scene.path("siem.toml"));
    let ran = Running::start(command).end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..100);
}

#[test]
fn check_asks_its_health_and_a_wrong_token_is_told() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver, "health_path = \"/health\"");
    let check = || {
        let mut command = command(&["check", "--send", "--config"]);
        command.arg(scene.path("siem.toml"));
        Running::start(command).end()
    };
    let ran = check();
    assert!(ran.code == 0 && ran.stdout.contains("webhook took the test event"), "{ran:?}");
    scene.write("siem.toml", scene.read("siem.toml").replace("health_path = \"/health\"\n", ""));
    let ran = check();
    assert!(ran.code == 0 && ran.stdout.contains("not asked: nobody said where"), "{ran:?}");
    scene.write("siem.toml", scene.read("siem.toml") + "health_path = \"/health\"\n");
    receiver.set_token(Some("another".to_owned()));
    let ran = check();
    assert!(ran.code == 1 && ran.stdout.contains("the webhook refuses the token"), "{ran:?}");
}

#[test]
fn mistakes_in_its_keys_are_told_where_they_stand() {
    let receiver = receiver(&[]);
    let keys = "body = \"ndjson\"\nbody_key = \"events\"\nheaders = [\"Authorization: hunter2\"]\naccepted = [404]\n\
                path = \"events\"\n[siem.webhook.fields]\nuser_id = \"user\"\nuser_email = \"user.email\"\nuser = \"u\"";
    let scene = scene(&receiver, keys);
    let ran = scene.run(&[], "");
    assert_eq!(ran.code, 2);
    for told in [
        "body_key: stands beside body = \"ndjson\"",
        "headers: requests have this header already",
        "siem.webhook.accepted",
        "path: is no path",
        "fields.user_email: `user.email` is the place of another field too",
        "fields.user: unknown key",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn a_demo_against_a_webhook_misses_nothing() {
    let ran = run(&["demo", "--as", "webhook", "--events", "5000", "--json"]);
    assert_eq!((ran.code, &ran.json()["receiver"]["unique"]), (0, &5_000.into()), "{ran:?}");
}
