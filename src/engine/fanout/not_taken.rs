//! An event that comes back from a fan-out: who lacks it, and why.

use std::fmt;
use std::sync::Arc;

use super::destinations::Destinations;
use super::places::{DESTINATIONS_MAX, Places};
use crate::event::{AuditEvent, TextBuffer};
use crate::ledger::RefusedReason;

/// Why destinations have not taken an event, by their places.
#[derive(Clone, Copy)]
pub(super) struct Reasons {
    pub(super) places: Places,
    by_place: [Option<RefusedReason>; DESTINATIONS_MAX],
}

impl Reasons {
    pub(super) const NONE: Self = Self { places: Places::NONE, by_place: [None; DESTINATIONS_MAX] };

    #[cold]
    pub(super) fn note(&mut self, place: usize, reason: RefusedReason) {
        if let Some(of_place) = self.by_place.get_mut(place) {
            *of_place = Some(reason);
            self.places.add(Places::at(place));
        }
    }

    /// Those of `places` will say it anew.
    pub(super) fn forget(&mut self, places: Places) {
        self.places.remove(places);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, RefusedReason)> {
        self.places.iter().filter_map(|place| Some((place, (*self.by_place.get(place)?)?)))
    }

    pub(super) fn places_where(&self, is_so: impl Fn(usize, RefusedReason) -> bool) -> Places {
        let mut places = Places::NONE;
        self.iter()
            .filter(|(place, reason)| is_so(*place, *reason))
            .for_each(|(place, _)| places.add(Places::at(place)));
        places
    }
}

/// An event that was not taken everywhere, with who has not taken it and why.
///
/// To make one allocates nothing, and a dropped one gives the event's buffer back to the pool: a destination that is away for
/// long costs the caller no memory.
#[must_use = "somebody lacks the event"]
pub struct NotTaken {
    pub(super) to: Arc<Destinations>,
    pub(super) refused: Reasons,
    pub(super) event: AuditEvent,
}

const _: () = assert!(size_of::<NotTaken>() <= 120);

impl NotTaken {
    /// The names of the destinations that have not taken it, each with its reason; one at least.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, RefusedReason)> {
        self.places().map(|(place, reason)| (self.name(place), reason))
    }

    /// The event.
    pub fn event(&self) -> &AuditEvent {
        &self.event
    }

    /// The event, to be kept elsewhere. Handed in again, it would arrive twice at those that have taken it, under the same
    /// id: see [`FanoutEmitter::resend_timeout`](crate::fanout::FanoutEmitter::resend_timeout).
    pub fn into_event(mut self) -> AuditEvent {
        let text = std::mem::replace(&mut self.event.text, TextBuffer::empty());
        self.event.with_text(text)
    }

    /// The same by the places of the destinations, in the order in which they were given.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, RefusedReason)> {
        self.refused.iter()
    }

    fn name(&self, place: usize) -> &str {
        self.to.gate(place).map_or("", |gate| &gate.pipeline.origin.pipeline)
    }

    /// Counts each refusal in its destination's books, and finds the true reason.
    pub(super) fn counted(mut self) -> Self {
        for place in self.refused.places.iter() {
            if let (Some(Some(reason)), Some(gate)) = (self.refused.by_place.get_mut(place), self.to.gate(place)) {
                *reason = gate.book(*reason, self.event.severity);
            }
        }
        self
    }
}

impl Drop for NotTaken {
    fn drop(&mut self) {
        self.to.give_back(std::mem::replace(&mut self.event.text, TextBuffer::empty()));
    }
}

/// Who lacks it and why: an event stands in no log.
impl fmt::Debug for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NotTaken({self})")
    }
}

/// `splunk: full, datadog: closed`.
impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, reason)) in self.reasons().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{name}: {}", reason.label())?;
        }
        Ok(())
    }
}

impl std::error::Error for NotTaken {}
