//! An event as a document of the Elastic Common Schema.
//!
//! What the schema has a field for stands there, what is ours under `audit`, and the details there alone: a mapping must
//! never grow by what a service puts into them. Absent fields leave no trace.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::event::escape::write_text;
use crate::event::{AuditEvent, EventType, Field, Fields, Severity};
use crate::format::json::{self, write_field};

/// The schema's version, of which these fields are.
pub(super) const ECS_VERSION: &str = "9.0.0";

/// What is longer is no keyword to look for, and does not stand in a document twice.
const RELATED_BYTES_MAX: usize = 1024;

/// What was decided, as far as the schema knows decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allowed,
    Denied,
    /// In words of its own.
    Other,
}

/// Appends the document. `shared` are the members that all have in common, up to those of `event`, whose object they
/// leave open.
#[inline]
pub(super) fn write(event: &AuditEvent, shared: &[u8], out: &mut Vec<u8>) {
    let fields = event.fields();
    let decision = decision(event, &fields);
    out.extend_from_slice(b"{\"@timestamp\":\"");
    event.timestamp.write_rfc3339(out);
    out.extend_from_slice(b"\",");
    out.extend_from_slice(shared);
    out.extend_from_slice(b"\"id\":\"");
    event.id.write(out);
    out.extend_from_slice(b"\",\"action\":");
    json::write_type(event, &fields, out);
    out.extend_from_slice(class_of(event.event_type()).as_bytes());
    match decision {
        Some(Decision::Allowed) => out.extend_from_slice(b",\"allowed\"],\"outcome\":\"success\""),
        Some(Decision::Denied) => out.extend_from_slice(b",\"denied\"],\"outcome\":\"failure\""),
        Some(Decision::Other) => out.extend_from_slice(b"],\"outcome\":\"unknown\""),
        None => out.push(b']'),
    }
    out.extend_from_slice(level_of(event.severity).as_bytes());
    let users = write_user(&fields, out);
    if write_field(&fields, Field::ServerId, b",\"service\":{\"id\":\"", out) {
        out.push(b'}');
    }
    if write_field(&fields, Field::ToolName, b",\"gen_ai\":{\"tool\":{\"name\":\"", out) {
        out.extend_from_slice(b"}}");
    }
    if write_field(&fields, Field::PolicyId, b",\"rule\":{\"id\":\"", out) {
        out.push(b'}');
    }
    let address = fields.get(Field::IpAddress).map(|text| (text, ip_in(text)));
    if let Some((text, ip)) = address {
        write_source(text, ip, out);
    }
    if write_field(&fields, Field::UserAgent, b",\"user_agent\":{\"original\":\"", out) {
        out.push(b'}');
    }
    if write_field(&fields, Field::RequestId, b",\"http\":{\"request\":{\"id\":\"", out) {
        out.extend_from_slice(b"}}");
    }
    write_related(users, address.and_then(|(_, ip)| ip), out);
    out.extend_from_slice(b",\"audit\":{\"severity\":\"");
    out.extend_from_slice(event.severity.name().as_bytes());
    out.push(b'"');
    write_field(&fields, Field::Decision, b",\"decision\":\"", out);
    if !fields.details().is_empty() {
        out.extend_from_slice(b",\"details\":");
        fields.details().write(out);
    }
    out.extend_from_slice(b"}}");
}

/// The event's own decision; without one that of its type, where that is one.
fn decision(event: &AuditEvent, fields: &Fields<'_>) -> Option<Decision> {
    let is = |text: &[u8], word: &[u8]| text.eq_ignore_ascii_case(word);
    match (fields.get(Field::Decision), event.event_type()) {
        (Some(text), _) if is(text, b"allow") || is(text, b"allowed") => Some(Decision::Allowed),
        (Some(text), _) if is(text, b"deny") || is(text, b"denied") => Some(Decision::Denied),
        (Some(_), _) => Some(Decision::Other),
        (None, EventType::AuthorizationAllowed) => Some(Decision::Allowed),
        (None, EventType::AuthorizationDenied) => Some(Decision::Denied),
        (None, _) => None,
    }
}

/// Kind, categories and types of an event, in the schema's words; the list of types stays open.
#[rustfmt::skip]
fn class_of(event_type: EventType<'_>) -> &'static str {
    match event_type {
        EventType::ServerRegistered =>
            r#","kind":"event","category":["configuration"],"type":["creation""#,
        EventType::ServerUpdated | EventType::ConfigurationChanged =>
            r#","kind":"event","category":["configuration"],"type":["change""#,
        EventType::ServerDecommissioned =>
            r#","kind":"event","category":["configuration"],"type":["deletion""#,
        EventType::ToolInvoked =>
            r#","kind":"event","category":["api"],"type":["access""#,
        EventType::AuthorizationAllowed | EventType::AuthorizationDenied =>
            r#","kind":"event","category":["api","iam"],"type":["access""#,
        EventType::PolicyCreated =>
            r#","kind":"event","category":["configuration","iam"],"type":["creation""#,
        EventType::PolicyUpdated | EventType::PolicyActivated =>
            r#","kind":"event","category":["configuration","iam"],"type":["change""#,
        EventType::UserLogin =>
            r#","kind":"event","category":["authentication","session"],"type":["start""#,
        EventType::UserLogout =>
            r#","kind":"event","category":["authentication","session"],"type":["end""#,
        EventType::SessionStarted =>
            r#","kind":"event","category":["session"],"type":["start""#,
        EventType::SessionEnded =>
            r#","kind":"event","category":["session"],"type":["end""#,
        EventType::SecurityViolation =>
            r#","kind":"alert","category":["intrusion_detection"],"type":["info""#,
        // Events are missing before this one: what the schema calls an error of the pipeline.
        EventType::AuditGap =>
            r#","kind":"pipeline_error","type":["error""#,
        EventType::Custom(_) =>
            r#","kind":"event","type":["info""#,
    }
}

/// The severity as a number, which ends `event`, and as the level of a log. The numbers are those of Elastic's own rules.
fn level_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => r#","severity":21},"log":{"level":"info"}"#,
        Severity::Medium => r#","severity":47},"log":{"level":"warning"}"#,
        Severity::High => r#","severity":73},"log":{"level":"error"}"#,
        Severity::Critical => r#","severity":99},"log":{"level":"critical"}"#,
    }
}

/// Writes the user; returns where the id and the address now stand, as far as somebody may look for them.
#[inline]
fn write_user(fields: &Fields<'_>, out: &mut Vec<u8>) -> [Option<Range<usize>>; 2] {
    let id = write_user_field(fields, Field::UserId, b",\"user\":{\"id\":\"", out);
    let email = if id.is_some() {
        write_user_field(fields, Field::UserEmail, b",\"email\":\"", out)
    } else {
        write_user_field(fields, Field::UserEmail, b",\"user\":{\"email\":\"", out)
    };
    if id.is_some() || email.is_some() {
        out.push(b'}');
    }
    let is_keyword = |field| fields.get(field).is_some_and(|text| text.len() <= RELATED_BYTES_MAX);
    [id.filter(|_| is_keyword(Field::UserId)), email.filter(|_| is_keyword(Field::UserEmail))]
}

/// Writes one of them; where its text now stands, with its quotes.
#[inline]
fn write_user_field<const N: usize>(
    fields: &Fields<'_>,
    field: Field,
    begin: &[u8; N],
    out: &mut Vec<u8>,
) -> Option<Range<usize>> {
    let quote = out.len() + N - 1;
    write_field(fields, field, begin, out).then_some(quote..out.len())
}

/// The address as it is, where it is more or less than an IP address: a field of that type refuses the whole document.
fn write_source(text: &[u8], ip: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"source\":{");
    if ip != Some(text) {
        out.extend_from_slice(b"\"address\":");
        write_text(text, out);
        out.extend_from_slice(if ip.is_some() { b"," } else { b"" });
    }
    if let Some(ip) = ip {
        out.extend_from_slice(b"\"ip\":\"");
        out.extend_from_slice(ip);
        out.push(b'"');
    }
    out.push(b'}');
}

/// Users and addresses once more, where all that the schema calls related are looked for: a copy of what stands in `out`
/// already.
#[inline]
fn write_related(users: [Option<Range<usize>>; 2], ip: Option<&[u8]>, out: &mut Vec<u8>) {
    let mut before: &[u8] = b",\"related\":{\"user\":[";
    for user in users.into_iter().flatten() {
        out.extend_from_slice(before);
        out.extend_from_within(user);
        before = b",";
    }
    let is_user = before == b",";
    if let Some(ip) = ip {
        out.extend_from_slice(if is_user { b"],\"ip\":[\"".as_slice() } else { b",\"related\":{\"ip\":[\"" });
        out.extend_from_slice(ip);
        out.extend_from_slice(b"\"]}");
    } else if is_user {
        out.extend_from_slice(b"]}");
    }
}

/// The one IP address in a text: alone, with a port or a zone behind it, or the first of those that a request was
/// forwarded for.
#[inline]
fn ip_in(text: &[u8]) -> Option<&[u8]> {
    if is_ipv4(text) { Some(text) } else { ip_among(text) }
}

/// Whether it is an IPv4 address and nothing else, as nearly all are: four numbers without leading zeros.
#[inline]
fn is_ipv4(text: &[u8]) -> bool {
    let mut numbers = 0;
    text.split(|byte| *byte == b'.').all(|number| {
        numbers += 1;
        matches!(
            number,
            [b'0'..=b'9']
                | [b'1'..=b'9', b'0'..=b'9']
                | [b'1', b'0'..=b'9', b'0'..=b'9']
                | [b'2', b'0'..=b'4', b'0'..=b'9']
                | [b'2', b'5', b'0'..=b'5']
        )
    }) && numbers == 4
}

fn ip_among(text: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(text).ok()?;
    let first = text.split(',').next().unwrap_or_default().trim();
    let bare = match first.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').map_or("", |(ip, _)| ip),
        None if first.parse::<SocketAddr>().is_ok() => first.rsplit_once(':').map_or(first, |(ip, _)| ip),
        None => first,
    };
    let bare = bare.split('%').next().unwrap_or_default();
    bare.parse::<IpAddr>().is_ok().then_some(bare.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_address_is_found_in_what_may_be_more() {
        for (text, ip) in [
            ("10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("10.0.0.1:8080", "10.0.0.1"),
            ("[2001:db8::1]:8080", "2001:db8::1"),
            ("[::1]", "::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("10.0.0.1, 192.168.0.1", "10.0.0.1"),
            (" 10.0.0.1 ", "10.0.0.1"),
        ] {
            assert_eq!(ip_in(text.as_bytes()), Some(ip.as_bytes()), "{text}");
        }
        for text in ["", "localhost", "10.0.0", "010.0.0.1", "10.0.0.1:x", "[10.0.0.1", "unix:", "::1::2", ",10.0.0.1"]
        {
            assert_eq!(ip_in(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_an_ipv4_address_is_known_without_parsing_it(
            text in "[0-9]{1,4}(\\.[0-9]{1,4}){2,4}|[0-2]?[0-9]?[0-9](\\.[0-2]?[0-9]?[0-9]){3}|[0-9.:x]{0,16}",
            number: u32,
        ) {
            for text in [text, Ipv4Addr::from(number).to_string()] {
                prop_assert_eq!(is_ipv4(text.as_bytes()), text.parse::<Ipv4Addr>().is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn every_event_has_a_class_in_the_schemas_words() {
        const KINDS: [&str; 3] = ["alert", "event", "pipeline_error"];
        const CATEGORIES: [&str; 6] =
            ["api", "authentication", "configuration", "iam", "intrusion_detection", "session"];
        const TYPES: [&str; 7] = ["access", "change", "creation", "deletion", "end", "error", "info"];
        let types: Vec<&str> = TYPES.into_iter().chain(["start"]).collect();
        for known in EventType::KNOWN.iter().chain([&EventType::custom("mine").unwrap()]) {
            let class: serde_json::Value = serde_json::from_str(&format!("{{\"a\":0{}]}}", class_of(*known))).unwrap();
            let words = |key: &str| class[key].as_array().cloned().unwrap_or_default();
            assert!(KINDS.contains(&class["kind"].as_str().unwrap()), "{known}");
            assert!(words("category").iter().all(|word| CATEGORIES.contains(&word.as_str().unwrap())), "{known}");
            assert!(words("type").iter().all(|word| types.contains(&word.as_str().unwrap())), "{known}");
        }
    }
}
