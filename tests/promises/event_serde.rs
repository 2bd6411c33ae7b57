//! The event as data: what is written reads back as itself, whatever the format, and nothing is smuggled through.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use proptest::prelude::*;
use siem_forward::format::json;
use siem_forward::{AuditEvent, EventId, EventType, Severity, Timestamp};

const HEAD: &str = r#""timestamp":"2026-01-01T00:00:00.031983Z","event_type":"tool_invoked","severity":"low""#;

/// Reads one text through `serde_json` and simd-json, which must agree.
fn read(text: &str) -> Result<AuditEvent, String> {
    let by_serde = serde_json::from_str::<AuditEvent>(text).map_err(|error| error.to_string());
    #[cfg(feature = "cli")]
    {
        let mut bytes = text.as_bytes().to_vec();
        let by_simd = simd_json::from_slice::<AuditEvent>(&mut bytes);
        assert_eq!(by_serde.is_ok(), by_simd.is_ok(), "{text}: {by_serde:?} {by_simd:?}");
        if let (Ok(left), Ok(right)) = (&by_serde, &by_simd) {
            assert_eq!(left.details(), right.details());
            assert_eq!(without_id(left), without_id(right));
        }
    }
    by_serde
}

fn line(event: &AuditEvent) -> String {
    let mut out = Vec::new();
    json::write(event, &mut out);
    String::from_utf8(out).unwrap()
}

fn without_id(event: &AuditEvent) -> String {
    line(event).get(45..).unwrap().to_owned()
}

fn with(members: &str) -> Result<AuditEvent, String> {
    read(&format!("{{{HEAD}{members}}}"))
}

/// The error without the place that `serde_json` appends.
fn reason(members: &str) -> String {
    let error = with(members).unwrap_err();
    error.split(" at line ").next().unwrap().to_owned()
}

#[test]
fn the_documented_layout_reads_back_byte_for_byte() {
    let text = concat!(
        r#"{"id":"2dc1005f-0d6c-4d0d-8e0e-5f0f3c0f9b11","timestamp":"2026-01-01T00:00:00.031983Z","#,
        r#""event_type":"tool_invoked","severity":"low","user_id":"u-17","user_email":"a@b.example","#,
        r#""server_id":"s-1","tool_name":"create_ticket","decision":"allow","policy_id":"p-1","#,
        r#""ip_address":"10.194.128.204","user_agent":"curl/8.5","request_id":"r-1","#,
        r#""details":{"attempt":2,"nested":{"list":[1,[],{}],"x":null},"ok":true,"text":"ä\n"}}"#,
    );
    let event = read(text).unwrap();
    assert_eq!(line(&event), text);
    assert_eq!(serde_json::to_string(&event).unwrap(), text);
    assert_eq!(event.user_agent(), Some("curl/8.5"));
    assert_eq!(event.event_type(), EventType::ToolInvoked);
}

#[test]
fn an_event_goes_through_serializers_that_know_nothing_of_json() {
    let event = AuditEvent::builder(EventType::custom("own").unwrap(), Severity::High)
        .user_id("u")
        .detail("big", u64::MAX)
        .detail_json("list", &[1.5, 2.0])
        .build();
    let value = serde_json::to_value(&event).unwrap();
    assert_eq!(value.get("event_type").unwrap(), "own");
    assert_eq!(value.get("details").unwrap(), &serde_json::json!({"big": u64::MAX, "list": [1.5, 2.0]}));
    let again: AuditEvent = serde_json::from_value(value).unwrap();
    assert_eq!(line(&again), line(&event));
}

#[cfg(feature = "cli")]
#[test]
fn an_event_goes_through_toml() {
    let text = "timestamp = '2026-01-01T00:00:00Z'\nevent_type = 'user_login'\nseverity = 'low'\n[details]\na = [1]\n";
    let event: AuditEvent = toml::from_str(text).unwrap();
    assert_eq!(event.details().as_deref(), Some(r#"{"a":[1]}"#));
}

#[test]
fn numbers_keep_their_64_bits() {
    let details =
        r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":1e-300,"d":0.1,"e":[18446744073709551615,1.5]}"#;
    let event = with(&format!(",\"details\":{details}")).unwrap();
    assert_eq!(event.details().as_deref(), Some(details));
    assert_eq!(serde_json::to_string(&event).unwrap(), line(&event));
}

#[test]
fn a_key_that_is_none_of_ours_is_kept_as_a_detail() {
    let event = with(r#","team":"red","details":{"a":1},"trace":{"span":[1]},"gone":null"#).unwrap();
    assert_eq!(event.details().as_deref(), Some(r#"{"team":"red","a":1,"trace":{"span":[1]},"gone":null}"#));
}

#[test]
fn a_repeated_key_is_an_error_at_any_depth() {
    for (members, key) in [
        (r#","user_id":"a","user_id":"b""#, "user_id"),
        (r#","user_id":null,"user_id":"b""#, "user_id"),
        (r#","severity":"high""#, "severity"),
        (r#","id":"x","id":"x""#, "id"),
        (r#","details":{},"details":{}"#, "details"),
        (r#","x":1,"x":1"#, "x"),
        (r#","x":1,"details":{"x":1}"#, "x"),
        (r#","details":{"x":1},"x":1"#, "x"),
        (r#","details":{"x":1,"y":2,"x":1}"#, "x"),
        (r#","details":{"x":1,"\u0078":1}"#, "x"),
        (r#","details":{"a":{"x":1,"x":1}}"#, "x"),
        (r#","details":{"a":[{"b":{"":1,"":1}}]}"#, ""),
        (r#","details":{"a":{"\n":1,"\u000a":1}}"#, r"\n"),
    ] {
        assert_eq!(reason(members), format!("the key \"{key}\" is repeated"), "{members}");
    }
    // A key is not one that begins alike.
    assert!(with(r#","request_id2":1,"details":{"request_id_of_one":1,"request_id_of_two":1,"request_":1}"#).is_ok());
    for count in [15, 16, 17, 18, 400] {
        let members: Vec<String> = (0..count).map(|index| format!("\"k{index}\":0")).collect();
        let members = members.join(",");
        assert!(with(&format!(",\"details\":{{{members}}}")).is_ok());
        assert!(with(&format!(",\"details\":{{\"in\":{{{members}}}}}")).is_ok());
        for repeated in [0, count / 2, count - 1] {
            let members = format!("{members},\"k{repeated}\":0");
            let expected = format!("the key \"k{repeated}\" is repeated");
            assert_eq!(reason(&format!(",\"details\":{{{members}}}")), expected);
            assert_eq!(reason(&format!(",\"details\":{{\"in\":{{{members}}}}}")), expected);
        }
    }
}

#[test]
fn each_mistake_names_its_key() {
    for (text, expected) in [
        (r#"{"event_type":"x","severity":"low"}"#, "timestamp is missing"),
        (r#"{"timestamp":null,"event_type":"x","severity":"low"}"#, "timestamp is missing"),
        (r#"{"timestamp":"2026-01-01T00:00:00Z","severity":"low"}"#, "event_type is missing"),
        (r#"{"timestamp":"2026-01-01T00:00:00Z","event_type":"x"}"#, "severity is missing"),
        (r#"{"timestamp":"yesterday"}"#, "timestamp: not a time in RFC 3339 with an offset"),
        (r#"{"timestamp":1763958400}"#, "timestamp: not a time in RFC 3339 with an offset"),
        (r#"{"event_type":""}"#, "event_type: the name of an event type has 1 to 64 bytes, this one has 0"),
        (r#"{"severity":"worst"}"#, "severity: unknown severity: it is low, medium, high or critical"),
        (r#"{"user_id":["a"]}"#, "user_id must be a text, not a list"),
        (r#"{"request_id":{}}"#, "request_id must be a text, not an object"),
        (r#"{"details":[]}"#, "details must be an object"),
        (r#"{"details":"{}"}"#, "details must be an object"),
        (r#"{"details":1}"#, "details must be an object"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    assert!(read("[]").is_err());
    assert!(read("\"text\"").is_err());
}

#[test]
fn details_may_be_64_deep() {
    let nested = |depth: usize| format!(",\"details\":{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(with(&nested(64)).is_ok());
    assert_eq!(reason(&nested(65)), "details are nested deeper than 64");
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(with(&format!(",\"details\":{}", objects(64))).is_ok());
    assert_eq!(reason(&format!(",\"details\":{}", objects(65))), "details are nested deeper than 64");
    assert_eq!(reason(&format!(",\"other\":{}", objects(64))), "details are nested deeper than 64");
}

#[test]
fn null_reads_as_absent_and_plain_values_as_their_text() {
    let event =
        with(r#","id":null,"user_id":null,"details":null,"server_id":17,"tool_name":true,"policy_id":1.5"#).unwrap();
    assert_eq!(event.user_id(), None);
    assert_eq!(event.details(), None);
    assert_eq!(event.server_id(), Some("17"));
    assert_eq!(event.tool_name(), Some("true"));
    assert_eq!(event.policy_id(), Some("1.5"));
    assert_eq!(event.id().as_u128() >> 76 & 0xf, 7);
}

#[test]
fn a_foreign_id_is_hashed_and_kept() {
    let event = with(r#","id":"order-17""#).unwrap();
    assert_eq!(event.id(), EventId::from_foreign("order-17"));
    assert_eq!(event.details().as_deref(), Some(r#"{"original_id":"order-17"}"#));
    assert_eq!(with(r#","id":4711"#).unwrap().id(), EventId::from_foreign("4711"));
    assert_ne!(with(r#","id":"""#).unwrap().id(), EventId::from_foreign(""));
    // Read again it is a UUID, and nothing is added.
    let again = read(&line(&event)).unwrap();
    assert_eq!(line(&again), line(&event));
    let both = r#","id":"order-17","details":{"original_id":"x"}"#;
    assert_eq!(reason(both), "the key \"original_id\" is repeated");
}

fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\x00-\\x1f\"\\\\a]{0,20}",
        Just("\0\n\r\t\"\\\u{2028}\u{2029}\u{7f}🦀".to_owned()),
        Just(String::new()),
    ]
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        Just(1.0e-300.into()),
        hostile_text().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(hostile_text(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_event_reads_back_as_itself(
        user in proptest::option::of(hostile_text()),
        agent in proptest::option::of(hostile_text()),
        details in prop::collection::hash_map(hostile_text(), json_value(), 0..24),
        bits: u128,
        nanos: i64,
        name in "[a-z_]{1,64}|.{1,16}",
    ) {
        let mut builder = AuditEvent::builder(EventType::custom(&name).unwrap(), Severity::Critical)
            .id(EventId::from_u128(bits))
            .timestamp(Timestamp::from_unix_nanos(nanos));
        if let Some(user) = &user {
            builder = builder.user_id(user);
        }
        if let Some(agent) = &agent {
            builder = builder.user_agent(agent);
        }
        for (key, value) in &details {
            builder = builder.detail_json(key, value);
        }
        let event = builder.build();
        let written = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(&written, &line(&event));
        let again = read(&written).unwrap();
        prop_assert_eq!(line(&again), written);
        prop_assert_eq!(again.user_id(), user.as_deref());
    }

    #[test]
    fn arbitrary_members_never_panic(members in "(,\"[a-z]?\":(1|\"x\"|\\[|\\]|\\{|\\}|null|-?[0-9]{1,25}(\\.5)?(e[0-9]{1,3})?)){0,6}") {
        // Numbers that both cannot hold are read differently; nothing else may be.
        drop(serde_json::from_str::<AuditEvent>(&format!("{{{HEAD}{members}}}")));
    }
}
