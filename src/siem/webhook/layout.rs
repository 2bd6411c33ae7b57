//! Where in a webhook's JSON each field of an event stands.

use super::super::IntakeError;
use crate::event::escape::write_text;
use crate::event::{AuditEvent, Field, Fields};
use crate::format::json;

/// The fields of an event by the names that they have everywhere, in the order of our own layout.
pub(super) const FIELDS: [(&str, Source); 14] = [
    ("id", Source::Id),
    ("timestamp", Source::Timestamp),
    ("event_type", Source::Type),
    ("severity", Source::Severity),
    ("user_id", Source::Text(Field::UserId)),
    ("user_email", Source::Text(Field::UserEmail)),
    ("server_id", Source::Text(Field::ServerId)),
    ("tool_name", Source::Text(Field::ToolName)),
    ("decision", Source::Text(Field::Decision)),
    ("policy_id", Source::Text(Field::PolicyId)),
    ("ip_address", Source::Text(Field::IpAddress)),
    ("user_agent", Source::Text(Field::UserAgent)),
    ("request_id", Source::Text(Field::RequestId)),
    ("details", Source::Details),
];

#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Id,
    Timestamp,
    Type,
    Severity,
    Text(Field),
    Details,
}

/// The members of an object, in order.
#[derive(Debug, Default)]
pub(super) struct Layout(Vec<Member>);

#[derive(Debug)]
struct Member {
    name: String,
    /// The name as JSON, with its colon.
    written: Vec<u8>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Field(Source),
    Object(Layout),
}

impl Layout {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a field at a path of names with dots between them, such as `user.id`.
    ///
    /// # Errors
    /// When a name is empty, or something else stands there.
    pub(super) fn put(&mut self, path: &str, source: Source) -> Result<(), IntakeError> {
        let taken = || IntakeError::Place(format!("`{path}` is the place of another field too, or a part of it is"));
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        if name.is_empty() {
            return Err(IntakeError::Place(
                "is no path of names with dots between them, such as \"user.id\"".to_owned(),
            ));
        }
        let known = self.0.iter_mut().find(|member| member.name == name);
        match (known.map(|member| &mut member.value), rest) {
            (Some(Value::Object(inner)), Some(rest)) => inner.put(rest, source).map_err(|error| match error {
                IntakeError::Place(words) if words.starts_with('`') => taken(),
                error => error,
            }),
            (Some(_), _) => Err(taken()),
            (None, rest) => {
                let value = match rest {
                    None => Value::Field(source),
                    Some(rest) => {
                        let mut inner = Self::default();
                        inner.put(rest, source)?;
                        Value::Object(inner)
                    }
                };
                let mut written = Vec::new();
                write_text(name.as_bytes(), &mut written);
                written.push(b':');
                self.0.push(Member { name: name.to_owned(), written, value });
                Ok(())
            }
        }
    }

    /// Appends the event's object; false where none of its members is there.
    pub(super) fn write(&self, event: &AuditEvent, fields: &Fields<'_>, out: &mut Vec<u8>) -> bool {
        let mut is_any = false;
        out.push(b'{');
        for Member { written, value, .. } in &self.0 {
            let before = out.len();
            if is_any {
                out.push(b',');
            }
            out.extend_from_slice(written);
            let is_there = match value {
                Value::Field(source) => source.write(event, fields, out),
                Value::Object(inner) => inner.write(event, fields, out),
            };
            if is_there {
                is_any = true;
            } else {
                out.truncate(before);
            }
        }
        out.push(b'}');
        is_any
    }
}

impl Source {
    /// Appends the field's value; false where the event has none.
    fn write(self, event: &AuditEvent, fields: &Fields<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Id => write_text(event.id.to_string().as_bytes(), out),
            Self::Timestamp => write_text(event.timestamp.to_string().as_bytes(), out),
            Self::Type => json::write_type(event, fields, out),
            Self::Severity => write_text(event.severity.name().as_bytes(), out),
            Self::Text(field) => match fields.get(field) {
                Some(text) => write_text(text, out),
                None => return false,
            },
            Self::Details if fields.details().is_empty() => return false,
            Self::Details => fields.details().write(out),
        }
        true
    }
}
