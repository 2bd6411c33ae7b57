//! The fields of events and spans, as a visitor meets them, and where each belongs in an audit event.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use tracing::Level;
use tracing::field::{Field as Named, Visit};

use crate::event::{DetailValue, EventId, EventType, Field, Severity, TextBuffer};

/// What a field holds.
#[derive(Debug)]
pub(super) enum Seen<'a> {
    Text(Cow<'a, str>),
    Number(DetailValue<'static>),
    /// An integer that 64 bits do not hold.
    Digits(String),
}

/// Calls `each` with every field that `wants` its name. Another is not even made text of.
pub(super) struct Each<W, F> {
    pub(super) wants: W,
    pub(super) each: F,
}

impl<W: Fn(&str) -> bool, F: FnMut(&'static str, Seen<'_>)> Each<W, F> {
    fn meet<'a>(&mut self, field: &Named, seen: impl FnOnce() -> Seen<'a>) {
        if (self.wants)(field.name()) {
            (self.each)(field.name(), seen());
        }
    }
}

impl<W: Fn(&str) -> bool, F: FnMut(&'static str, Seen<'_>)> Visit for Each<W, F> {
    fn record_debug(&mut self, field: &Named, value: &dyn fmt::Debug) {
        self.meet(field, || Seen::Text(format!("{value:?}").into()));
    }

    fn record_error(&mut self, field: &Named, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Named, value: &str) {
        self.meet(field, || Seen::Text(value.into()));
    }

    fn record_bool(&mut self, field: &Named, value: bool) {
        self.meet(field, || Seen::Number(value.into()));
    }

    fn record_i64(&mut self, field: &Named, value: i64) {
        self.meet(field, || Seen::Number(value.into()));
    }

    fn record_u64(&mut self, field: &Named, value: u64) {
        self.meet(field, || Seen::Number(value.into()));
    }

    fn record_f64(&mut self, field: &Named, value: f64) {
        self.meet(field, || Seen::Number(value.into()));
    }

    fn record_i128(&mut self, field: &Named, value: i128) {
        self.meet(field, || Seen::Digits(value.to_string()));
    }

    fn record_u128(&mut self, field: &Named, value: u128) {
        self.meet(field, || Seen::Digits(value.to_string()));
    }
}

impl Seen<'_> {
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Digits(digits) => Cow::Borrowed(digits),
            Self::Number(DetailValue::Bool(value)) => value.to_string().into(),
            Self::Number(DetailValue::Signed(value)) => value.to_string().into(),
            Self::Number(DetailValue::Unsigned(value)) => value.to_string().into(),
            Self::Number(DetailValue::Float(value)) => value.to_string().into(),
            Self::Number(DetailValue::Null | DetailValue::Text(_)) => Cow::Borrowed(""),
        }
    }

    fn into_owned(self) -> Seen<'static> {
        match self {
            Self::Text(text) => Seen::Text(text.into_owned().into()),
            Self::Number(value) => Seen::Number(value),
            Self::Digits(digits) => Seen::Digits(digits),
        }
    }

    pub(super) fn write_detail(&self, name: &str, text: &mut TextBuffer) {
        match self {
            Self::Text(value) => text.push_detail(name, DetailValue::Text(value)),
            Self::Number(value) => text.push_detail(name, *value),
            Self::Digits(digits) => {
                let start = text.open_detail(name);
                text.tail().extend_from_slice(digits.as_bytes());
                text.close_record(start);
            }
        }
    }
}

/// What stands above an event and not in its text, as far as the fields say it.
#[derive(Debug, Default)]
pub(super) struct Heading {
    event_type: Option<String>,
    severity: Option<String>,
    event_id: Option<String>,
    /// Whose message it is, where it came over from `log`.
    pub(super) log_target: Option<String>,
}

/// The same, understood. What was not understood stays in the event, as a detail.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) event_type: EventType<'a>,
    pub(super) severity: Severity,
    pub(super) id: Option<EventId>,
    understood: [(&'static str, bool); 3],
}

impl Heading {
    pub(super) fn visitor(&mut self) -> impl Visit + '_ {
        let wants = |name: &str| matches!(name, "event_type" | "severity" | "event_id" | "log.target");
        let each = |name: &'static str, seen: Seen<'_>| {
            let text = Some(seen.text().into_owned());
            match name {
                "event_type" => self.event_type = text,
                "severity" => self.severity = text,
                "event_id" => self.event_id = text,
                _ => self.log_target = text,
            }
        };
        Each { wants, each }
    }

    pub(super) fn read(&self, level: Level) -> Head<'_> {
        let event_type = self.event_type.as_deref().and_then(|name| EventType::custom(name).ok());
        let severity = self.severity.as_deref().and_then(|name| name.parse().ok());
        let id = self.event_id.as_deref().and_then(|text| EventId::parse(text).ok());
        Head {
            understood: [
                ("event_type", event_type.is_some()),
                ("severity", severity.is_some()),
                ("event_id", id.is_some()),
            ],
            event_type: event_type.unwrap_or(EventType::OF_TRACING),
            severity: severity.unwrap_or_else(|| severity_of(level)),
            id,
        }
    }
}

impl Head<'_> {
    /// Writes all other fields where they belong.
    pub(super) fn visitor<'a>(&'a self, text: &'a mut TextBuffer) -> impl Visit + 'a {
        let wants = |name: &str| !self.understood.contains(&(name, true));
        let each = |name: &'static str, seen: Seen<'_>| match field_of(name) {
            Some(field) => text.push(field, &seen.text()),
            None => seen.write_detail(name, text),
        };
        Each { wants, each }
    }
}

/// `critical` is only for who says so.
fn severity_of(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::High,
        Level::WARN => Severity::Medium,
        _ => Severity::Low,
    }
}

fn field_of(name: &str) -> Option<Field> {
    match name {
        "user_id" => Some(Field::UserId),
        "user_email" => Some(Field::UserEmail),
        "server_id" => Some(Field::ServerId),
        "tool_name" => Some(Field::ToolName),
        "decision" => Some(Field::Decision),
        "policy_id" => Some(Field::PolicyId),
        "ip_address" => Some(Field::IpAddress),
        "user_agent" => Some(Field::UserAgent),
        "request_id" => Some(Field::RequestId),
        _ => None,
    }
}

/// What a span's fields held last, each name once: however often a field is recorded, it takes no more room.
#[derive(Debug, Default)]
pub(super) struct SpanFields(Vec<(&'static str, Seen<'static>)>);

impl SpanFields {
    pub(super) fn visitor(&mut self) -> impl Visit + '_ {
        Each { wants: |_: &str| true, each: |name, seen: Seen<'_>| self.set(name, seen.into_owned()) }
    }

    /// Takes over what was recorded since.
    pub(super) fn update(&mut self, later: Self) {
        later.0.into_iter().for_each(|(name, seen)| self.set(name, seen));
    }

    fn set(&mut self, name: &'static str, seen: Seen<'static>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, seen));
    }

    pub(super) fn write_details(&self, text: &mut TextBuffer) {
        self.0.iter().for_each(|(name, seen)| seen.write_detail(name, text));
    }
}
