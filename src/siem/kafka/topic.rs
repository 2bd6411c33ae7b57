//! Which topic an event goes to: a name, or a pattern that an event fills in.

use super::KafkaError;
use crate::event::AuditEvent;

/// The longest name that Kafka takes, in bytes.
const NAME_BYTES_MAX: usize = 249;
/// `YYYY-MM-DD`, the first characters of a time in RFC 3339.
const DATE_BYTES: usize = 10;

/// A topic's name in parts. What it writes is always a name that Kafka takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    EventType,
    Severity,
    /// The day on which the event happened, UTC.
    Date,
}

/// By the names between braces.
const PLACES: [(&str, Part); 3] = [("event_type", Part::EventType), ("severity", Part::Severity), ("date", Part::Date)];

impl Topic {
    /// Reads a name such as `audit`, or a pattern such as `audit-{severity}-{date}`.
    pub(super) fn read(pattern: &str) -> Result<Self, KafkaError> {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while !rest.is_empty() {
            let (text, behind) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
            if !text.bytes().all(is_of_a_name) {
                return Err(KafkaError::Topic);
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            rest = behind;
            if let Some(place) = behind.strip_prefix('{') {
                let (name, behind) = place.split_once('}').ok_or(KafkaError::Topic)?;
                let place = PLACES.iter().find(|(known, _)| *known == name).ok_or(KafkaError::Topic)?;
                parts.push(place.1.clone());
                rest = behind;
            } else if !behind.is_empty() {
                return Err(KafkaError::Topic);
            }
        }
        let is_dots = matches!(&parts[..], [Part::Text(name)] if name == "." || name == "..");
        let is_too_long = parts.iter().map(Part::bytes_min).sum::<usize>() > NAME_BYTES_MAX;
        if parts.is_empty() || is_dots || is_too_long { Err(KafkaError::Topic) } else { Ok(Self(parts)) }
    }

    /// The name, where all events have the same.
    pub(super) fn as_name(&self) -> Option<&str> {
        match &self.0[..] {
            [Part::Text(name)] => Some(name),
            _ => None,
        }
    }

    /// Appends the name of this event's topic.
    pub(super) fn write(&self, event: &AuditEvent, out: &mut Vec<u8>) {
        let start = out.len();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                // Whoever names a type is free in it; a topic is not.
                Part::EventType => {
                    let name = event.event_type();
                    out.extend(name.name().bytes().map(|byte| if is_of_a_name(byte) { byte } else { b'_' }));
                }
                Part::Severity => out.extend_from_slice(event.severity.name().as_bytes()),
                Part::Date => {
                    let date = out.len();
                    event.timestamp.write_rfc3339(out);
                    out.truncate(date + DATE_BYTES);
                }
            }
        }
        out.truncate(start + NAME_BYTES_MAX);
    }
}

impl Part {
    fn bytes_min(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::EventType | Self::Severity => 1,
            Self::Date => DATE_BYTES,
        }
    }
}

/// As it was written.
impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            place => {
                let name = PLACES.iter().find(|(_, known)| known == place).map_or("", |(name, _)| name);
                write!(f, "{{{name}}}")
            }
        })
    }
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{EventType, Severity, Timestamp};

    fn topic_of(pattern: &str, event_type: &str) -> String {
        let event_type = EventType::custom(event_type).unwrap();
        // The last second of a day.
        let event =
            AuditEvent::builder(event_type, Severity::High).timestamp(Timestamp::from_unix_nanos(86_399_000_000_000));
        let mut out = b"before".to_vec();
        Topic::read(pattern).unwrap().write(&event.build(), &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn an_event_fills_in_the_pattern() {
        assert_eq!(topic_of("audit", "x"), "audit");
        assert_eq!(topic_of("audit-{severity}.{date}", "x"), "audit-high.1970-01-01");
        assert_eq!(topic_of("{event_type}", "payment refunded/é"), "payment_refunded___");
    }

    #[test]
    fn what_is_no_topic_is_told_before_the_first_event() {
        for pattern in ["", ".", "..", "a b", "é", "{", "}", "{day}", "{severity", "a}b", "{{date}}", &"x".repeat(250)]
        {
            assert!(Topic::read(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn whatever_an_event_says_its_topic_is_a_name_and_a_pattern_is_shown_as_it_was_written(
            before in "[a-z.]{0,240}", event_type in "[^\\x00-\\x1f]{1,16}",
        ) {
            let pattern = format!("{before}x{{event_type}}{{date}}");
            prop_assume!(Topic::read(&pattern).is_ok());
            prop_assert_eq!(Topic::read(&pattern).unwrap().to_string(), pattern.clone());
            let name = topic_of(&pattern, &event_type);
            prop_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_of_a_name), "{}", name);
        }
    }
}
