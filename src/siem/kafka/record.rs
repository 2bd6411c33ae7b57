//! The wire form of an event: a record as one line of JSON, which the sender takes apart again.
//!
//! ```text
//! {"topic":"audit","key":"u-17","event_type":"user_login","value":{…the event in our own layout…}}
//! ```
//!
//! The batcher knows the event and only writes bytes; the sender has only bytes and must know topic, key and type. As
//! JSON the dead letter shows all of it, and a replay sends what it says. Id and severity stand in the event's mark.

use std::borrow::Cow;

use super::topic::Topic;
use crate::event::escape::write_text;
use crate::event::{AuditEvent, Field};
use crate::format::json;

/// What decides on an event's partition: events of one key keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecordKey {
    /// None: records are spread over the partitions.
    None,
    Field(Field),
    /// A member of the details.
    Detail(String),
}

/// What `key` may name besides a detail.
const FIELDS: [(&str, RecordKey); 10] = [
    ("none", RecordKey::None),
    ("user_id", RecordKey::Field(Field::UserId)),
    ("user_email", RecordKey::Field(Field::UserEmail)),
    ("server_id", RecordKey::Field(Field::ServerId)),
    ("tool_name", RecordKey::Field(Field::ToolName)),
    ("decision", RecordKey::Field(Field::Decision)),
    ("policy_id", RecordKey::Field(Field::PolicyId)),
    ("ip_address", RecordKey::Field(Field::IpAddress)),
    ("user_agent", RecordKey::Field(Field::UserAgent)),
    ("request_id", RecordKey::Field(Field::RequestId)),
];

impl RecordKey {
    /// By the field's name, or `details.NAME`.
    pub(super) fn read(name: &str) -> Option<Self> {
        let detail = name.strip_prefix("details.").filter(|detail| !detail.is_empty());
        match detail {
            Some(detail) => Some(Self::Detail(detail.to_owned())),
            None => FIELDS.iter().find(|(known, _)| *known == name).map(|(_, key)| key.clone()),
        }
    }

    /// This event's; an event without the field has none.
    fn of<'e>(&self, event: &'e AuditEvent) -> Option<Cow<'e, [u8]>> {
        match self {
            Self::None => None,
            Self::Field(field) => event.text.field(*field).map(|text| Cow::Borrowed(text.as_bytes())),
            Self::Detail(name) => event.text.detail(name),
        }
    }
}

/// Appends the event's record.
pub(super) fn write(event: &AuditEvent, topic: &Topic, key: &RecordKey, out: &mut Vec<u8>) {
    // Nothing in a topic's name needs an escape.
    out.extend_from_slice(b"{\"topic\":\"");
    topic.write(event, out);
    out.push(b'"');
    if let Some(key) = key.of(event) {
        out.extend_from_slice(b",\"key\":");
        write_text(&key, out);
    }
    out.extend_from_slice(b",\"event_type\":");
    write_text(event.event_type().name().as_bytes(), out);
    out.extend_from_slice(b",\"value\":");
    json::write(event, out);
    out.push(b'}');
}

/// A record, as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) topic: Cow<'a, str>,
    pub(super) key: Option<Cow<'a, str>>,
    pub(super) event_type: Cow<'a, str>,
    pub(super) value: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads what [`write()`] wrote; `None` where somebody else did. The value is not looked at.
    pub(super) fn read(wire: &'a [u8]) -> Option<Self> {
        let (topic, rest) = text(wire.strip_prefix(b"{\"topic\":")?)?;
        let (key, rest) = match rest.strip_prefix(b",\"key\":") {
            Some(rest) => text(rest).map(|(key, rest)| (Some(key), rest))?,
            None => (None, rest),
        };
        let (event_type, rest) = text(rest.strip_prefix(b",\"event_type\":")?)?;
        let value = rest.strip_prefix(b",\"value\":")?.strip_suffix(b"}")?;
        Some(Self { topic, key, event_type, value })
    }
}

/// A JSON string at the beginning, and what stands behind it.
fn text(json: &[u8]) -> Option<(Cow<'_, str>, &[u8])> {
    let inside = json.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', inside)?;
    if let (text, [b'"', rest @ ..]) = inside.split_at_checked(end)? {
        return Some((Cow::Borrowed(std::str::from_utf8(text).ok()?), rest));
    }
    // An escape: seldom, so by those who know all of them.
    let mut texts = serde_json::Deserializer::from_slice(json).into_iter::<String>();
    let text = texts.next()?.ok()?;
    Some((Cow::Owned(text), json.get(texts.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{EventType, Severity};

    fn written(event: &AuditEvent, key: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write(event, &Topic::read("audit").unwrap(), &RecordKey::read(key).unwrap(), &mut out);
        out
    }

    fn key_of(event: &AuditEvent, key: &str) -> Option<String> {
        Record::read(&written(event, key)).unwrap().key.map(Cow::into_owned)
    }

    #[test]
    fn a_key_is_a_field_or_a_detail_and_what_an_event_has_not_is_no_key() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low)
            .user_id("u-17")
            .detail("session_id", "s-0")
            .detail("attempt", 2)
            .detail("nobody", None::<&str>)
            .detail_json("quoted", "a\"b")
            .detail("session_id", "s-1")
            .build();
        for (key, value) in [
            ("none", None),
            ("user_id", Some("u-17")),
            ("tool_name", None),
            ("details.session_id", Some("s-1")),
            ("details.attempt", Some("2")),
            ("details.nobody", None),
            ("details.quoted", Some("a\"b")),
            ("details.absent", None),
        ] {
            assert_eq!(key_of(&event, key).as_deref(), value, "{key}");
        }
        for name in ["", "user", "id", "details", "details."] {
            assert_eq!(RecordKey::read(name), None, "{name}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_detail_of_an_event_that_was_read_is_a_key_as_well() {
        let mut event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
        event.text.push_details(br#"{"a":{"session":1},"session":"s","n":1.50,"nobody":null}"#);
        let keys = ["session", "a", "n", "nobody", "absent"].map(|key| key_of(&event, &format!("details.{key}")));
        assert_eq!(keys.map(|key| key.unwrap_or("none".into())), ["s", r#"{"session":1}"#, "1.5", "none", "none"]);
    }

    #[test]
    fn what_is_no_record_is_told_from_one() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).user_id("u").build();
        let whole = written(&event, "user_id");
        assert!(Record::read(&whole).is_some());
        for wire in [&b""[..], b"{}", b"{\"id\":1}", b"{\"topic\":1}", b"{\"topic\":\"a\"}", &whole[1..], &whole[..40]]
        {
            assert_eq!(Record::read(wire), None, "{}", String::from_utf8_lossy(wire));
        }
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(user in ".*", event_type in "[^\\x00-\\x1f]{1,16}", detail in ".*") {
            let event_type = EventType::custom(&event_type);
            prop_assume!(event_type.is_ok());
            let event = AuditEvent::builder(event_type.unwrap(), Severity::Low).user_id(&user).detail("d", &detail).build();
            let (wire, mut value) = (written(&event, "user_id"), Vec::new());
            json::write(&event, &mut value);
            let record = Record::read(&wire).unwrap();
            prop_assert_eq!(record.key.as_deref(), Some(user.as_str()));
            prop_assert_eq!(&record.event_type, event.event_type().name());
            prop_assert_eq!(record.value, &value[..]);
            // The dead letter holds it as JSON.
            let json: serde_json::Value = serde_json::from_slice(&wire).unwrap();
            prop_assert_eq!(json["key"].as_str(), Some(user.as_str()));
        }

        #[test]
        fn no_bytes_panic(wire in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(Record::read(&wire));
            drop(Record::read(&[b"{\"topic\":\"", &wire[..]].concat()));
        }
    }
}
