use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{debug, error, info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;

use super::fields::Seen;
use super::*;
use crate::engine::Forwarder;
use crate::siem::{Verdict, from_fn};

const PATIENCE: Duration = Duration::from_secs(30);

/// What reached the destination, without id and time, while `act` ran below a layer that was made so.
fn audited(layer: impl Fn(AuditLayer) -> AuditLayer, act: impl FnOnce()) -> Vec<Value> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&seen);
    let siem = from_fn("seeing", move |batch| {
        let read = |event: &[u8]| serde_json::from_slice::<Value>(event).unwrap();
        theirs.lock().unwrap().extend(batch.events().map(read));
        Verdict::Accept
    });
    let forwarder = Forwarder::builder(siem).start().unwrap();
    let layer = layer(AuditLayer::new(forwarder.emitter()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
    let report = forwarder.drain(PATIENCE);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(report.ledger.delivered, seen.len() as u64);
    for event in &mut seen {
        let event = event.as_object_mut().unwrap();
        assert!(event.remove("id").is_some() && event.remove("timestamp").is_some(), "{event:?}");
    }
    seen
}

fn one(act: impl FnOnce()) -> Value {
    let mut seen = audited(|layer| layer, act);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

#[test]
fn fields_go_by_their_names_and_all_others_are_details() {
    let address = std::net::Ipv4Addr::LOCALHOST;
    let event = one(|| {
        info!(
            target: "audit",
            event_type = "authorization_denied", severity = "critical", user_id = 17, user_email = "a@b.c",
            server_id = "s", tool_name = "t", decision = "deny", policy_id = "p", ip_address = %address, user_agent = "ua",
            request_id = ?"r", amount = 120, negative = -1_i8, large = u64::MAX, larger = u128::MAX, share = 0.5,
            infinite = f64::INFINITY, dry_run = true, nothing = Option::<u64>::None, path = ?["a", "b"], "refund {}", 7
        );
    });
    let expected = json!({
        "event_type": "authorization_denied", "severity": "critical", "user_id": "17", "user_email": "a@b.c",
        "server_id": "s", "tool_name": "t", "decision": "deny", "policy_id": "p", "ip_address": "127.0.0.1",
        "user_agent": "ua", "request_id": "\"r\"",
        "details": {
            "amount": 120, "negative": -1, "large": u64::MAX, "share": 0.5, "infinite": null, "dry_run": true,
            "path": "[\"a\", \"b\"]", "message": "refund 7",
        },
    });
    // Beyond what a reader that knows 64 bits keeps; the digits themselves are looked at below.
    let mut event = event;
    let larger = event["details"].as_object_mut().unwrap().remove("larger").unwrap();
    assert!(larger.as_f64().unwrap() > 3.4e38, "{larger}");
    assert_eq!(event, expected);
}

#[test]
fn an_integer_beyond_64_bits_keeps_its_digits() {
    let mut text = crate::event::TextBuffer::with_capacity(0);
    Seen::Digits(u128::MAX.to_string()).write_detail("n", &mut text);
    let mut out = Vec::new();
    text.fields(false).details().write(&mut out);
    assert_eq!(out, format!("{{\"n\":{}}}", u128::MAX).into_bytes());
}

#[test]
fn without_a_severity_the_level_says_it_and_without_a_type_it_is_a_tracing_event() {
    let seen = audited(
        |layer| layer,
        || {
            error!(target: "audit", "");
            warn!(target: "audit", "");
            info!(target: "audit", "");
            debug!(target: "audit", "");
        },
    );
    let of = |key| seen.iter().map(|event| event[key].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("severity"), ["high", "medium", "low", "low"]);
    assert_eq!(of("event_type"), ["tracing_event"; 4]);
}

#[test]
fn what_is_no_type_severity_or_uuid_is_kept_as_a_detail() {
    let long = "x".repeat(65);
    let event = one(|| warn!(target: "audit", event_type = long, severity = "dire", event_id = "7", timestamp = 5));
    let details = json!({ "event_type": long, "severity": "dire", "event_id": "7", "timestamp": 5 });
    assert_eq!(event, json!({ "event_type": "tracing_event", "severity": "medium", "details": details }));
}

#[test]
fn the_fields_of_the_spans_around_it_are_details_and_the_innermost_wins() {
    let event = one(|| {
        let outer = info_span!("outer", a = 1, b = 1, c = 1, later = tracing::field::Empty, user_id = "of the span");
        let _outer = outer.enter();
        let beside = info_span!("beside", d = "not around it");
        drop(beside.enter());
        let _inner = info_span!("inner", b = 2, c = 2).entered();
        outer.record("later", "recorded");
        outer.record("a", 9);
        info!(target: "audit", c = 3);
    });
    let details = json!({ "a": 9, "b": 2, "c": 3, "later": "recorded", "user_id": "of the span" });
    assert_eq!(event, json!({ "event_type": "tracing_event", "severity": "low", "details": details }));
}

#[test]
fn only_the_chosen_target_and_what_is_below_it_is_audited() {
    let act = || {
        info!(target: "audit", n = 1);
        info!(target: "audit::payments", n = 2);
        info!(target: "auditor", n = 3);
        info!(target: "trail", n = 4);
        info!(n = 5);
    };
    let numbers = |seen: Vec<Value>| seen.iter().map(|event| event["details"]["n"].clone()).collect::<Vec<_>>();
    assert_eq!(numbers(audited(|layer| layer, act)), [1, 2]);
    assert_eq!(numbers(audited(|layer| layer.target("trail"), act)), [4]);
}

/// Whatever target is chosen: a warning of ours that became an event of ours would go round.
#[test]
fn our_own_diagnostics_are_not_audited_whatever_way_they_come() {
    let ours = || {
        warn!(target: "siem_forward", "a request failed");
        warn!(target: "siem_forward::engine::outcome", "a request failed");
        // As `tracing-log` hands on what comes from `log`.
        warn!(target: "log", { log.target = "siem_forward::engine::outcome" }, "a request failed");
        warn!(target: "log", { log.target = "siem_forwarder" }, "somebody else's");
    };
    for target in ["siem_forward", "siem_forward::engine"] {
        assert!(audited(|layer| layer.target(target), ours).is_empty());
    }
    let seen = audited(|layer| layer.target("log"), ours);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0]["details"]["message"], "somebody else's");
}

#[test]
fn two_layers_see_the_same_spans() {
    let received = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&received);
    let siem = from_fn("second", move |batch| {
        theirs.lock().unwrap().extend(batch.events().map(<[u8]>::to_vec));
        Verdict::Accept
    });
    let second = Forwarder::builder(siem).start().unwrap();
    let first = Forwarder::builder(from_fn("first", |_| Verdict::Accept)).start().unwrap();
    let layers = [&first, &second].map(|forwarder| AuditLayer::new(forwarder.emitter()));
    let [one, other] = layers;
    tracing::subscriber::with_default(tracing_subscriber::registry().with(one).with(other), || {
        let _span = info_span!("request", path = "/").entered();
        info!(target: "audit", "");
    });
    assert_eq!(first.drain(PATIENCE).ledger.delivered, 1);
    assert_eq!(second.drain(PATIENCE).ledger.delivered, 1);
    let event: Value = serde_json::from_slice(&received.lock().unwrap()[0]).unwrap();
    assert_eq!(event["details"]["path"], "/");
}
