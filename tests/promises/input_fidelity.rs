//! What comes in goes out with the same value, whatever JSON can say; or it is rejected, with a reason.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test stops at what it did not expect"
)]

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use siem_forward::input::{InputError, InputMap, Reader, Source};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

use crate::hec::{Letter, builder, splunk};
use crate::support::PATIENCE;

const HEAD: &str = r#""timestamp":"2026-01-01T00:00:00Z","event_type":"user_login","severity":"low""#;
const MAP: &str =
    "timestamp = \"/timestamp\"\nevent_type = { value = \"x\" }\nseverity = { value = \"low\" }\ndetails = \"\"";

/// JSON as it is written.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    /// Whether an object in it has a key twice.
    is_repeated: bool,
}

impl Written {
    fn leaf(text: String) -> Self {
        Self { text, is_repeated: false }
    }

    fn object(members: Vec<((&str, &str), Self)>) -> Self {
        let mut keys: Vec<&str> = members.iter().map(|((_, key), _)| *key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        let is_repeated = keys.len() < count || members.iter().any(|(_, value)| value.is_repeated);
        let members: Vec<String> =
            members.iter().map(|((written, _), value)| format!("\"{written}\" : {}", value.text)).collect();
        Self { text: format!("{{{}}}", members.join(" ,")), is_repeated }
    }

    fn array(elements: &[Self]) -> Self {
        let is_repeated = elements.iter().any(|value| value.is_repeated);
        let texts: Vec<&str> = elements.iter().map(|value| value.text.as_str()).collect();
        Self { text: format!("[{} ]", texts.join(",")), is_repeated }
    }
}

/// Keys as they are written and as they are read.
const KEYS: [(&str, &str); 9] = [
    ("a", "a"),
    ("\\u0061", "a"),
    ("b", "b"),
    ("é", "é"),
    ("\\ud83d\\ude00", "😀"),
    ("\\ud800", "\u{fffd}"),
    ("", ""),
    ("a\\\"\\\\", "a\"\\"),
    ("long key, longer than any vector register of any machine that we know", "long"),
];
const RARE: [&str; 18] = [
    "1e300",
    "-1E+300",
    "-0",
    "-0.0",
    "1e-400",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890.5",
    "0.1e1",
    "1E5",
    "4.35",
    "2.2250738585072014e-308",
    "\"\\ud800\"",
    "\"x\\udc00\\ud83d\\ude00\\ud83d\"",
    "\"\\u0000\\/\\b\"",
    "\"\u{2028}\u{feff}\"",
];

fn value() -> impl Strategy<Value = Written> {
    let leaf = prop_oneof![
        select(vec!["null", "true", "false", "{}", "[]"]).prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        any::<f64>()
            .prop_filter("JSON has no other", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        select(RARE.to_vec()).prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_map(Written::leaf).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| Written::array(&elements)),
            prop::collection::vec((select(KEYS.to_vec()), inner), 0..4).prop_map(Written::object),
        ]
    })
}

fn object() -> impl Strategy<Value = Written> {
    prop::collection::vec((select(KEYS.to_vec()), value()), 0..5).prop_map(Written::object)
}

/// The same value; a zero has no sign that anybody asks for, and an integer is not rounded.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64() && !left.is_u64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| is_same(left, right)))
        }
        _ => left == right,
    }
}

/// The details of the events that arrive of these lines, or why there is none, in the order of the lines.
fn forwarded(lines: &[String], map: Option<&str>) -> Vec<Result<String, String>> {
    let config = ReceiverConfig { keep: Keep::Bodies, ..ReceiverConfig::default() };
    let receiver = Receiver::start(config).unwrap();
    let letter = Letter::new();
    let forwarder = builder(splunk(receiver.url()), &letter).start().unwrap();
    let source = Source::reader("lines", std::io::Cursor::new(lines.join("\n")));
    let mut reader = Reader::open(vec![source], 1_000_000).unwrap();
    if let Some(map) = map {
        reader = reader.with_map(InputMap::from_toml(map).unwrap());
    }
    let mut read = Vec::new();
    for item in reader {
        read.push(match item {
            Ok(event) => {
                let id = event.id().to_string();
                forwarder.emitter().send_timeout(event, PATIENCE).unwrap();
                Ok(id)
            }
            Err(InputError::Rejected(line)) => Err(line.reason().to_string()),
            Err(error) => panic!("{error}"),
        });
    }
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    let mut bodies: HashMap<String, String> = HashMap::new();
    for body in receiver.events() {
        let envelope: HashMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&body).unwrap();
        let event: HashMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_str(envelope["event"].get()).unwrap();
        let id: String = serde_json::from_str(event["id"].get()).unwrap();
        bodies.insert(id, event.get("details").map_or("{}", |details| details.get()).to_owned());
    }
    read.into_iter().map(|read| read.map(|id| bodies[&id].clone())).collect()
}

fn check(objects: &[Written], lines: &[String], wanted: impl Fn(usize) -> String, map: Option<&str>) {
    let arrived = forwarded(lines, map);
    assert_eq!(arrived.len(), lines.len());
    for (index, (arrived, object)) in arrived.iter().zip(objects).enumerate() {
        match arrived {
            Err(reason) => assert!(object.is_repeated && reason.ends_with("is repeated"), "{}: {reason}", object.text),
            Ok(_) if object.is_repeated => panic!("a repeated key got through: {}", object.text),
            Ok(details) => {
                // One that serde_json does not read is compared below, as it is written.
                if let Ok(wanted) = serde_json::from_str::<Value>(&wanted(index)) {
                    let details: Value = serde_json::from_str(details).unwrap();
                    assert!(is_same(&wanted, &details), "{wanted} became {details}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_object_arrives_with_the_same_value_or_is_rejected_with_a_reason(
        objects in prop::collection::vec(object(), 50),
    ) {
        let own: Vec<String> = objects.iter().map(|object| format!("{{{HEAD},\"details\":{}}}", object.text)).collect();
        check(&objects, &own, |index| objects[index].text.clone(), None);
        let foreign: Vec<String> =
            objects.iter().map(|object| format!("{{{HEAD},\"o\":{}}}", object.text)).collect();
        check(&objects, &foreign, |index| foreign[index].clone(), Some(MAP));
    }
}

#[test]
fn what_no_machine_number_holds_arrives_as_it_was_written() {
    let (object, expected) = (
        r#"{"b":[-18446744073709551616,0.10,1E2],"c":"x\ud800y","\udc00":{"d":123456789012345678901234567890.5}}"#,
        "{\"b\":[-18446744073709551616,0.10,1E2],\"c\":\"x\u{fffd}y\",\"\u{fffd}\":{\"d\":123456789012345678901234567890.5}}",
    );
    let own = format!("{{{HEAD},\"details\":{object}}}");
    assert_eq!(forwarded(&[own], None), [Ok(expected.to_owned())]);
    let foreign = format!("{{{HEAD},\"o\":{object}}}");
    assert_eq!(forwarded(&[foreign], Some(MAP)), [Ok(format!("{{{HEAD},\"o\":{expected}}}"))]);
}

/// A destination may refuse such a number; what we hand it is what was written.
#[test]
fn a_number_beyond_every_float_is_in_the_details_as_it_was_written() {
    for map in [None, Some(InputMap::from_toml(MAP).unwrap())] {
        let line = format!("{{{HEAD},\"a\":[1e400,-1E+999]}}");
        let mut reader = Reader::open(vec![Source::reader("line", std::io::Cursor::new(line.clone()))], 1_000).unwrap();
        let wanted = if map.is_some() { line } else { "{\"a\":[1e400,-1E+999]}".to_owned() };
        if let Some(map) = map {
            reader = reader.with_map(map);
        }
        assert_eq!(reader.next().unwrap().unwrap().details(), Some(wanted));
    }
}

#[test]
fn nesting_up_to_64_arrives_and_beyond_it_is_rejected() {
    for depth in [63, 64, 65, 130, 5_000] {
        let value = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        for (line, map) in [
            (format!("{{{HEAD},\"details\":{{\"a\":{value}}}}}"), None),
            (format!("{{{HEAD},\"a\":{value}}}"), Some(MAP)),
            (format!("{{{HEAD},\"a\":{value}}}"), Some(&MAP[..MAP.len() - 13])),
            (format!("{{{HEAD},\"n\":18446744073709551616,\"a\":{value}}}"), Some(MAP)),
        ] {
            let arrived = forwarded(&[line], map);
            let is_told = arrived[0].as_ref().is_err_and(|reason| reason.contains("nested"));
            assert_eq!(arrived[0].is_ok(), depth <= 64, "{depth} {map:?}");
            assert!(arrived[0].is_ok() || is_told, "{arrived:?}");
        }
    }
}
