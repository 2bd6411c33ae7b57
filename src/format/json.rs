//! The event's own layout: one JSON object, without a line end.
//!
//! Used as it is by NDJSON destinations and the dead letter, and inside the envelopes of others. Absent fields are
//! omitted. For a destination of your own, append a line of it in `format_event`.

use crate::event::escape::write_text;
use crate::event::{AuditEvent, Field, Fields, write_members};

/// Appends the event as one JSON object.
///
/// ```
/// use siem_forward::{AuditEvent, EventType, Severity, format::json};
///
/// let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).user_id("u-17").build();
/// let mut line = Vec::new();
/// json::write(&event, &mut line);
/// assert!(line.ends_with(br#""event_type":"user_login","severity":"low","user_id":"u-17"}"#));
/// ```
pub fn write(event: &AuditEvent, out: &mut Vec<u8>) {
    write_named(event, "ip_address", out);
}

/// The same with another name for the address, since Splunk's data models look for `src_ip`.
#[inline]
pub(crate) fn write_named(event: &AuditEvent, ip_address: &'static str, out: &mut Vec<u8>) {
    let fields = event.text.fields();
    out.reserve(256 + event.text.len());
    out.extend_from_slice(b"{\"id\":\"");
    event.id.write(out);
    out.extend_from_slice(b"\",\"timestamp\":\"");
    event.timestamp.write_rfc3339(out);
    out.extend_from_slice(b"\",\"event_type\":");
    write_type(event, &fields, out);
    out.extend_from_slice(b",\"severity\":\"");
    out.extend_from_slice(event.severity.name().as_bytes());
    out.push(b'"');
    for (field, name) in [
        (Field::UserId, "user_id"),
        (Field::UserEmail, "user_email"),
        (Field::ServerId, "server_id"),
        (Field::ToolName, "tool_name"),
        (Field::Decision, "decision"),
        (Field::PolicyId, "policy_id"),
        (Field::IpAddress, ip_address),
        (Field::UserAgent, "user_agent"),
        (Field::RequestId, "request_id"),
    ] {
        if let Some(text) = fields.get(field) {
            write_name(name, out);
            write_text(text, out);
        }
    }
    if fields.details() > 0 {
        write_name("details", out);
        write_members(&event.text, fields.details(), out);
    }
    out.push(b'}');
}

/// Writes the event's type as a JSON string.
#[inline]
pub(crate) fn write_type(event: &AuditEvent, fields: &Fields<'_>, out: &mut Vec<u8>) {
    match event.event_type.known_name() {
        // A known name needs no escape.
        Some(known) => {
            out.push(b'"');
            out.extend_from_slice(known.as_bytes());
            out.push(b'"');
        }
        None => write_text(fields.get(Field::CustomType).unwrap_or_default(), out),
    }
}

/// Writes the members whose fields are there, between `open` and `close`; nothing where there are none. A member's name comes
/// as it is written, with its quotes and colon.
pub(crate) fn write_group(
    fields: &Fields<'_>,
    open: &[u8],
    members: &[(Field, &str)],
    close: &[u8],
    out: &mut Vec<u8>,
) {
    let mut is_open = false;
    for (field, name) in members {
        if let Some(text) = fields.get(*field) {
            out.extend_from_slice(if is_open { b"," } else { open });
            out.extend_from_slice(name.as_bytes());
            write_text(text, out);
            is_open = true;
        }
    }
    if is_open {
        out.extend_from_slice(close);
    }
}

#[inline]
fn write_name(name: &'static str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
