//! Where a field comes from: one of several places, or from no place at all.

use std::borrow::Cow;

use super::meanings::Meanings;
use super::places::Found;
use super::pointer::Pointer;
use super::time::TimeFormat;
use super::value::text_of;
use crate::event::{EventId, Timestamp};
use crate::input::tape::Item;

/// One way to come by a value; of several the first that gives one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// What stands there.
    Pointer(Pointer),
    /// This.
    Constant(Box<str>),
    /// What the value that stands there means.
    Table { from: Vec<Pointer>, values: Meanings, default: Option<Box<str>> },
    /// The time that stands there.
    Time { from: Vec<Pointer>, format: TimeFormat },
    /// One id of several values.
    Hash(Vec<Pointer>),
}

impl Choice {
    /// The text that it gives.
    pub(super) fn text<'t, N: Item>(&'t self, record: &Found<'t, N>) -> Option<Cow<'t, str>> {
        match self {
            Self::Pointer(pointer) => text_of(record.get(pointer)?),
            Self::Constant(text) => Some(Cow::Borrowed(text)),
            Self::Table { from, values, default } => {
                let meant = record.first(from).and_then(|(_, nodes)| values.of(nodes));
                meant.or(default.as_deref()).map(Cow::Borrowed)
            }
            Self::Time { .. } | Self::Hash(_) => None,
        }
    }

    /// The time that it gives; an error where what stands there is none.
    pub(super) fn time<N: Item>(&self, record: &Found<'_, N>) -> Option<Result<Timestamp, String>> {
        let Self::Time { from, format } = self else { return None };
        let (pointer, nodes) = record.first(from)?;
        let time = text_of(nodes).and_then(|text| format.read(&text));
        Some(time.ok_or_else(|| format!("what is at {pointer} is no {}", format.name())))
    }

    /// The id that it gives, and its text where it is a foreign one.
    pub(super) fn id<'t, N: Item>(&'t self, record: &Found<'t, N>) -> Option<(EventId, Option<Cow<'t, str>>)> {
        let Self::Hash(parts) = self else {
            // An empty one identifies nothing.
            let text = self.text(record).filter(|text| !text.is_empty())?;
            return Some(match EventId::parse(&text) {
                Ok(id) => (id, None),
                Err(_) => (EventId::from_foreign(&text), Some(text)),
            });
        };
        let mut parts = parts.iter().map(|pointer| record.get(pointer));
        // Without the first, the others are the same in many records.
        let first = parts.next().flatten()?;
        // An id and a few words, as a rule.
        let mut hashed = String::with_capacity(128);
        for part in std::iter::once(Some(first)).chain(parts) {
            // Its length keeps two values apart from others whose texts only add up to the same.
            match part.and_then(text_of) {
                Some(text) => hashed.extend([itoa::Buffer::new().format(text.len()), ":", &text, ","]),
                None => hashed.push_str("-,"),
            }
        }
        Some((EventId::from_foreign(&hashed), None))
    }

    /// All places that it looks at.
    pub(super) fn places(&self) -> &[Pointer] {
        match self {
            Self::Pointer(pointer) => std::slice::from_ref(pointer),
            Self::Constant(_) => &[],
            Self::Table { from, .. } | Self::Time { from, .. } | Self::Hash(from) => from,
        }
    }

    /// The same, to be numbered.
    pub(super) fn places_mut(&mut self) -> &mut [Pointer] {
        match self {
            Self::Pointer(pointer) => std::slice::from_mut(pointer),
            Self::Constant(_) => &mut [],
            Self::Table { from, .. } | Self::Time { from, .. } | Self::Hash(from) => from,
        }
    }
}
