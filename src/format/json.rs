//! The event's own layout: one JSON object, without a line end.
//!
//! Used as it is by NDJSON destinations and the dead letter, and inside the envelopes of others. Absent fields are
//! omitted. For a destination of your own, append a line of it in `format_event`.

use crate::event::escape::{write_known, write_text};
use crate::event::{AuditEvent, Field, Fields};

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
    write_with(event, &event.id.characters(), b",\"ip_address\":\"", out);
}

/// The same with another name for the address, since Splunk's data models look for `src_ip`, and with an id whose characters
/// are there already.
#[inline]
pub(crate) fn write_with_src_ip(event: &AuditEvent, id: &[u8; 36], out: &mut Vec<u8>) {
    write_with(event, id, b",\"src_ip\":\"", out);
}

#[inline]
fn write_with<const N: usize>(event: &AuditEvent, id: &[u8; 36], address: &[u8; N], out: &mut Vec<u8>) {
    let fields = event.fields();
    out.reserve(256 + event.text.len());
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(id);
    out.extend_from_slice(b"\",\"timestamp\":\"");
    event.timestamp.write_rfc3339(out);
    out.extend_from_slice(b"\",\"event_type\":");
    write_type(event, &fields, out);
    out.extend_from_slice(b",\"severity\":\"");
    out.extend_from_slice(event.severity.name().as_bytes());
    out.push(b'"');
    write_field(&fields, Field::UserId, b",\"user_id\":\"", out);
    write_field(&fields, Field::UserEmail, b",\"user_email\":\"", out);
    write_field(&fields, Field::ServerId, b",\"server_id\":\"", out);
    write_field(&fields, Field::ToolName, b",\"tool_name\":\"", out);
    write_field(&fields, Field::Decision, b",\"decision\":\"", out);
    write_field(&fields, Field::PolicyId, b",\"policy_id\":\"", out);
    write_field(&fields, Field::IpAddress, address, out);
    write_field(&fields, Field::UserAgent, b",\"user_agent\":\"", out);
    write_field(&fields, Field::RequestId, b",\"request_id\":\"", out);
    if !fields.details().is_empty() {
        out.extend_from_slice(b",\"details\":");
        fields.details().write(out);
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

/// Writes an object of two members, as far as their fields are there, and nothing where none is. Each is opened as in
/// [`write_field`], the object with it; the second, behind the first, by `next` instead.
#[inline]
pub(crate) fn write_two<const F: usize, const S: usize, const N: usize>(
    fields: &Fields<'_>,
    (first, open_first): (Field, &[u8; F]),
    (second, open_second, next): (Field, &[u8; S], &[u8; N]),
    out: &mut Vec<u8>,
) {
    let is_open = write_field(fields, first, open_first, out);
    let has_second =
        if is_open { write_field(fields, second, next, out) } else { write_field(fields, second, open_second, out) };
    if is_open || has_second {
        out.push(b'}');
    }
}

/// Writes a member where the field is there, and says so. `begin` opens it, up to the first quote of its text: a literal,
/// since one of known length is copied by a store or two.
#[inline]
pub(crate) fn write_field<const N: usize>(
    fields: &Fields<'_>,
    field: Field,
    begin: &[u8; N],
    out: &mut Vec<u8>,
) -> bool {
    let Some(text) = fields.get(field) else { return false };
    out.extend_from_slice(begin);
    write_known(text, fields.is_plain(), out);
    out.push(b'"');
    true
}
