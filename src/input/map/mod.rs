//! Any JSON object into an event: where each field comes from.
//!
//! `[input.map]` is read once into lists of choices; each record is parsed once, and the choices follow its tape. What
//! would make an event untrue (no time, a time that is none) rejects the record; what an analyst can do without is left
//! out.

mod choice;
mod pointer;
mod read;
mod time;
mod value;

use ::serde::de::{DeserializeSeed, Error};

use super::tape::{Item, Kind};
use super::walk::{Reason, Walk};
use crate::event::{
    AuditEvent, Detail, DetailValue, Details, EventBuilder, EventType, Field, JsonValue, Severity, TextBuffer,
    Timestamp, now, repeated, repeated_detail,
};

use choice::{Choice, present};
use pointer::Pointer;
pub use read::InvalidInputMap;

/// Where the text of an id goes that is no UUID, as in our own layout.
const ORIGINAL_ID: &str = "original_id";

/// How records of any layout become events: what `[input.map]` says.
///
/// ```
/// use siem_forward::input::{InputMap, Reader, Source};
///
/// let map = InputMap::from_toml(
///     r#"
///     timestamp = { from = "/at", format = "seconds" }
///     event_type = { value = "request" }
///     severity = { from = "/verb", values = { delete = "high" }, default = "low" }
///     details = ""
///     "#,
/// )?;
/// let log = r#"{"at":1767614400,"verb":"delete"}"#;
/// let mut reader = Reader::open(vec![Source::reader("log", log.as_bytes())], 65_536)?.with_map(map);
/// let event = reader.next().unwrap()?;
/// assert_eq!(event.severity().name(), "high");
/// assert_eq!(event.details().as_deref(), Some(log));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputMap {
    id: Vec<Choice>,
    timestamp: Vec<Choice>,
    event_type: Vec<Choice>,
    severity: Vec<Choice>,
    texts: Vec<(Field, Vec<Choice>)>,
    details: Parts,
}

/// What becomes the details.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    None,
    /// The object there; the whole record at the empty pointer.
    Object(Pointer),
    Named(Vec<(Box<str>, Vec<Choice>)>),
}

impl InputMap {
    /// The event of a record, in this buffer.
    pub(super) fn event<N: Item>(&self, record: &[N], buffer: TextBuffer) -> Result<AuditEvent, Reason> {
        let timestamp = self.timestamp(record)?;
        let severity = self.severity(record)?;
        // The one name is looked at twice: as a known type, and as text.
        let name = self.first_text(&self.event_type, record, |text| EventType::custom(text).is_ok());
        let name = name.ok_or_else(|| missing("event_type", &self.event_type))?;
        let event_type = EventType::custom(&name).map_err(Reason::custom)?;
        let mut builder = EventBuilder::begin((), buffer, event_type, severity, now()).timestamp(timestamp);
        let mut original_id = None;
        if let Some((id, foreign)) = self.id.iter().find_map(|choice| choice.id(record)) {
            builder = builder.id(id);
            original_id = foreign;
        }
        let mut event = builder.build();
        for (field, choices) in &self.texts {
            if let Some(text) = choices.iter().find_map(|choice| choice.text(record)) {
                event.text.push(*field, &text);
            }
        }
        self.push_details(record, original_id.as_deref(), &mut event.text)?;
        Ok(event)
    }

    fn timestamp<N: Item>(&self, record: &[N]) -> Result<Timestamp, Reason> {
        match self.timestamp.iter().find_map(|choice| choice.time(record)) {
            Some(Ok(timestamp)) => Ok(timestamp),
            Some(Err(reason)) => Err(Reason(format!("timestamp: {reason}"))),
            None => Err(missing("timestamp", &self.timestamp)),
        }
    }

    /// A word that is no severity gives none, so that the next choice is asked.
    fn severity<N: Item>(&self, record: &[N]) -> Result<Severity, Reason> {
        let severity = self.severity.iter().find_map(|choice| choice.text(record)?.parse().ok());
        severity.ok_or_else(|| missing("severity", &self.severity))
    }

    fn first_text<'t, N: Item>(
        &self,
        choices: &'t [Choice],
        record: &'t [N],
        is_fit: impl Fn(&str) -> bool,
    ) -> Option<std::borrow::Cow<'t, str>> {
        choices.iter().find_map(|choice| choice.text(record).filter(|text| is_fit(text)))
    }

    /// Whatever becomes of it, all of the record is looked at: nothing may hide behind a repeated key.
    fn push_details<N: Item>(
        &self,
        record: &[N],
        original_id: Option<&str>,
        text: &mut TextBuffer,
    ) -> Result<(), Reason> {
        let mut count = 0;
        let is_whole = matches!(&self.details, Parts::Object(pointer) if pointer.is_whole());
        if !is_whole {
            JsonValue::new(&mut Vec::new()).deserialize(&mut Walk::new(record))?;
            if let Some(id) = original_id {
                text.push_detail(ORIGINAL_ID, DetailValue::Text(id));
                count += 1;
            }
        }
        match &self.details {
            Parts::None => {}
            Parts::Object(pointer) => {
                let Some((_, nodes)) = present(std::slice::from_ref(pointer), record) else { return Ok(()) };
                let walk = &mut Walk::new(nodes);
                if matches!(nodes.first().map(Item::kind), Some(Kind::Object { .. })) {
                    count += Details(text).deserialize(walk)?;
                } else {
                    Detail { text, key: pointer.name() }.deserialize(walk)?;
                    count += 1;
                }
            }
            Parts::Named(parts) => {
                for (key, choices) in parts {
                    count += usize::from(push_part(key, choices, record, text)?);
                }
            }
        }
        match repeated_detail(text, count) {
            Some(key) => Err(repeated(&key)),
            None => Ok(()),
        }
    }
}

/// A value keeps its kind where it comes from a pointer. Answers whether there is one.
fn push_part<N: Item>(key: &str, choices: &[Choice], record: &[N], text: &mut TextBuffer) -> Result<bool, Reason> {
    for choice in choices {
        if let Choice::Pointer(pointer) = choice {
            if let Some((_, nodes)) = present(std::slice::from_ref(pointer), record) {
                Detail { text, key }.deserialize(&mut Walk::new(nodes))?;
                return Ok(true);
            }
        } else if let Some(value) = choice.text(record) {
            text.push_detail(key, DetailValue::Text(&value));
            return Ok(true);
        }
    }
    Ok(false)
}

/// That no choice gave a value, and where they looked.
#[cold]
fn missing(field: &str, choices: &[Choice]) -> Reason {
    let mut places: Vec<String> = Vec::new();
    for place in choices.iter().flat_map(Choice::places).map(ToString::to_string) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Reason(format!("{field} is missing: nothing that gives one at {}", places.join(", ")))
}

#[cfg(test)]
mod tests;
