//! An event reads back as it was built, field by field, whatever text it is made of; its `Debug` shows none of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};
use siem_forward::{AuditEvent, EventBuilder, EventId, EventType, Severity, Timestamp, format};

use crate::support;

/// What has hurt others: ends of lines and strings, control characters, other alphabets, and what only looks like ours.
const HOSTILE: &[&str] = &[
    "",
    "\0",
    "a\nb\r\n\tc",
    "\"},{\"id\":\"forged\",\"event_type\":\"user_login\"}\n{\"",
    "\\u0000\\",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{202e}txt.exe\u{2028}\u{2029}\u{feff}",
    "ｆｕｌｌ ｗｉｄｔｈ, 日本語, ру́сский, 👩‍👩‍👧‍👦",
    "%s%n${jndi:ldap://x}<script>'; DROP TABLE events; --",
];

fn written(event: &AuditEvent) -> Value {
    let mut line = Vec::new();
    format::json::write(event, &mut line);
    assert!(!line.contains(&b'\n'), "an event is one line");
    serde_json::from_slice(&line).unwrap()
}

type Getter = fn(&AuditEvent) -> Option<&str>;
type Setter = fn(EventBuilder, &str) -> EventBuilder;

const FIELDS: [(&str, Setter, Getter); 9] = [
    ("user_id", |event, text| event.user_id(text), AuditEvent::user_id),
    ("user_email", |event, text| event.user_email(text), AuditEvent::user_email),
    ("server_id", |event, text| event.server_id(text), AuditEvent::server_id),
    ("tool_name", |event, text| event.tool_name(text), AuditEvent::tool_name),
    ("decision", |event, text| event.decision(text), AuditEvent::decision),
    ("policy_id", |event, text| event.policy_id(text), AuditEvent::policy_id),
    ("ip_address", |event, text| event.ip_address(text), AuditEvent::ip_address),
    ("user_agent", |event, text| event.user_agent(text), AuditEvent::user_agent),
    ("request_id", |event, text| event.request_id(text), AuditEvent::request_id),
];

#[test]
fn every_field_reads_back_and_an_absent_one_is_absent() {
    for severity in Severity::ALL {
        for known in EventType::KNOWN {
            let event = AuditEvent::builder(*known, severity).build();
            assert_eq!((event.event_type(), event.severity()), (*known, severity));
            assert!(FIELDS.iter().all(|(_, _, get)| get(&event).is_none()));
            assert_eq!(event.details(), None);
            let expected = json!({
                "id": event.id().to_string(), "timestamp": event.timestamp().to_string(),
                "event_type": known.name(), "severity": severity.name(),
            });
            assert_eq!(written(&event), expected);
        }
    }
}

#[test]
fn hostile_text_is_text_in_every_field() {
    for hostile in HOSTILE {
        for (name, set, get) in FIELDS {
            let event = set(AuditEvent::builder(EventType::SecurityViolation, Severity::Critical), hostile).build();
            assert_eq!(get(&event), Some(*hostile));
            assert_eq!(written(&event)[name], *hostile);
        }
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).detail(hostile, *hostile).build();
        assert_eq!(written(&event)["details"], json!({ *hostile: hostile }));
        if let Ok(custom) = EventType::custom(hostile) {
            let event = AuditEvent::builder(custom, Severity::Low).build();
            assert_eq!(event.event_type().name(), *hostile);
            assert_eq!(written(&event)["event_type"], *hostile);
        }
    }
}

#[test]
fn the_last_of_a_field_wins_and_details_keep_their_numbers() {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Medium)
        .user_id("first")
        .detail("key", "first")
        .detail("max", u64::MAX)
        .detail("min", i64::MIN)
        .detail("tenth", 0.1)
        .detail("infinite", f64::INFINITY)
        .detail("absent", None::<&str>)
        .detail("true", true)
        .detail_json("list", &[1, 2])
        .detail_json("unserializable", &BTreeMap::from([(vec![1], 1)]))
        .detail("key", "last")
        .user_id("last")
        .build();
    assert_eq!(event.user_id(), Some("last"));
    let details: Value = serde_json::from_str(&event.details().unwrap()).unwrap();
    let expected = json!({
        "max": u64::MAX, "min": i64::MIN, "tenth": 0.1, "infinite": null, "absent": null, "true": true, "list": [1, 2],
        "unserializable": "not serializable: key must be a string", "key": "last",
    });
    assert_eq!(details, expected);
    assert_eq!(written(&event)["details"], expected);
}

#[test]
fn id_and_time_are_drawn_at_creation_and_may_be_replaced() {
    let before = SystemTime::now();
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
    let timestamp = event.timestamp();
    assert!(timestamp >= Timestamp::from(before - Duration::from_millis(50)));
    assert!(timestamp <= Timestamp::from(SystemTime::now() + Duration::from_millis(50)));
    let id = EventId::parse("2dc1005f-1a2b-4c3d-8e9f-000000000001").unwrap();
    let at: Timestamp = "2026-01-01T00:00:00.031983Z".parse().unwrap();
    let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).id(id).timestamp(at).build();
    assert_eq!((event.id(), event.timestamp()), (id, at));
    assert_eq!(written(&event)["timestamp"], "2026-01-01T00:00:00.031983Z");
}

#[test]
fn a_clone_is_the_same_event_also_of_a_pooled_buffer() {
    let event = AuditEvent::builder(EventType::UserLogin, Severity::High).user_id("u").detail("k", 1).build();
    assert_eq!(written(&event.clone()), written(&event));
    assert_eq!(event.clone().id(), event.id());
    // An event taken back from a refusal holds no reference to the forwarder, and outlives it.
    let forwarder = support::builder(support::Played::new(&support::Received::default())).enabled(false);
    let forwarder = forwarder.start().unwrap();
    let refused = forwarder.emitter().event(EventType::UserLogin, Severity::High).user_id("kept").try_send();
    let event = refused.unwrap_err().into_event();
    drop(forwarder);
    assert_eq!(event.clone().user_id(), Some("kept"));
}

#[test]
fn debug_is_short_and_shows_no_text() {
    let custom = EventType::custom("custom_type").unwrap();
    let secret = "hunter2".repeat(10_000);
    let builder = AuditEvent::builder(custom, Severity::High).user_id(&secret).detail("hunter2", &secret);
    let shown = format!("{builder:?}");
    assert!(shown.len() < 400 && !shown.contains("hunter2"), "{shown}");
    let event = builder.build();
    for shown in [format!("{event:?}"), format!("{event:#?}")] {
        assert!(shown.len() < 400 && !shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(&event.id().to_string()) && shown.contains("custom_type") && shown.contains("high"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any texts in any order, repeated or not: what is read and what is written agree with a plain map.
    #[test]
    fn any_text_reads_back(
        fields in prop::collection::vec((0..FIELDS.len(), any::<String>()), 0..20),
        details in prop::collection::vec((any::<String>(), any::<String>()), 0..40),
    ) {
        let mut builder = AuditEvent::builder(EventType::ToolInvoked, Severity::Low);
        let mut expected = BTreeMap::new();
        for (field, text) in &fields {
            let (name, set, _) = FIELDS.get(*field).unwrap();
            builder = set(builder, text);
            expected.insert(*name, text.as_str());
        }
        for (key, value) in &details {
            builder = builder.detail(key, value);
        }
        let event = builder.build();
        let line = written(&event);
        for (name, _, get) in FIELDS {
            prop_assert_eq!(get(&event), expected.get(name).copied());
            prop_assert_eq!(line.get(name).and_then(Value::as_str), expected.get(name).copied());
        }
        let members: BTreeMap<_, _> = details.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let written = line.get("details").and_then(Value::as_object).cloned().unwrap_or_default();
        prop_assert_eq!(written.into_iter().collect::<BTreeMap<_, _>>(), members);
    }
}
