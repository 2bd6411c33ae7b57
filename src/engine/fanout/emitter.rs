//! The caller's side of a fan-out: a copy for each destination but the last, each in a buffer of its own pool. As an emitter,
//! it takes no lock, makes no system call, allocates nothing while the pools last, logs nothing and does not panic.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destinations::Destinations;
use super::not_taken::{NotTaken, Reasons};
use super::places::Places;
use crate::engine::emitter::{Emitter, Gate, Pause};
#[cfg(feature = "cli")]
use crate::event::TextBuffer;
use crate::event::{AuditEvent, EventBuilder, EventType, Severity, now};
use crate::ledger::RefusedReason;

/// Where a service hands in its events, for all destinations of a [`Fanout`](crate::Fanout).
///
/// `Send`, `Sync` and cheap to clone; better one from [`Fanout::emitter`](crate::Fanout::emitter) for each thread where a destination has several
/// batchers. It outlives its fan-out as an [`Emitter`] does its forwarder.
#[derive(Clone)]
pub struct FanoutEmitter {
    pub(super) to: Arc<Destinations>,
}

impl FanoutEmitter {
    /// Hands in an event. Never locks, logs or panics, allocates nothing while the pools last, and never blocks, unless a
    /// forwarder was told to by [`Overflow::Block`](crate::policy::Overflow::Block): by then the others have the event.
    ///
    /// `Ok` where all have taken it that want it. What `filter`, `sampling` or `enabled` keep away from a destination is
    /// counted there, and no refusal here.
    ///
    /// # Errors
    /// Who has not taken it, and why. The event comes back with that, whether others have taken it or not.
    #[inline]
    pub fn try_send(&self, event: AuditEvent) -> Result<(), NotTaken> {
        let mut refused = Reasons::NONE;
        match self.offer(event, Places::ALL, &mut refused) {
            (_, None) => Ok(()),
            (_, Some(event)) => self.turned_away(event, refused),
        }
    }

    #[cold]
    fn turned_away(&self, event: AuditEvent, refused: Reasons) -> Result<(), NotTaken> {
        if !self.to.any_blocks && !refused.places.is_empty() {
            return Err(NotTaken { to: Arc::clone(&self.to), refused, event }.counted());
        }
        // Asked for only where somebody waits.
        let begun = OnceCell::new();
        let may_wait = |gate: &Gate, reason| {
            let has_time = |timeout| begun.get_or_init(Instant::now).elapsed() < timeout;
            reason == RefusedReason::Full && gate.block.is_some_and(has_time)
        };
        self.wait(event, Places::NONE, refused, may_wait).1.map_err(NotTaken::counted)
    }

    /// Hands in an event, and waits for room as long as `timeout`, whatever the forwarders' own policies say. Who has room
    /// gets it at once.
    ///
    /// # Errors
    /// As [`FanoutEmitter::try_send`]; only room is waited for.
    pub fn send_timeout(&self, event: AuditEvent, timeout: Duration) -> Result<(), NotTaken> {
        self.send_until(event, Places::ALL, Instant::now().checked_add(timeout))
    }

    /// Hands in an event again where it was not taken, and there alone; waits for room as long as `timeout`, which may be
    /// zero.
    ///
    /// # Errors
    /// As [`FanoutEmitter::try_send`]; only room is waited for.
    pub fn resend_timeout(&self, not_taken: NotTaken, timeout: Duration) -> Result<(), NotTaken> {
        let places = not_taken.refused.places;
        self.send_until(not_taken.into_event(), places, Instant::now().checked_add(timeout))
    }

    /// Without a deadline that the clock can hold there is none.
    fn send_until(&self, event: AuditEvent, to: Places, deadline: Option<Instant>) -> Result<(), NotTaken> {
        let mut refused = Reasons::NONE;
        let (taken, left) = self.offer(event, to, &mut refused);
        let Some(event) = left else { return Ok(()) };
        let has_time = |_: &Gate, _| deadline.is_none_or(|deadline| Instant::now() < deadline);
        self.wait(event, taken, refused, has_time).1.map_err(NotTaken::counted)
    }

    /// Hands in an event, and waits for room while the caller wishes; who has taken it. Of what is refused only what the
    /// configuration keeps away is counted: the caller writes down what is left.
    #[cfg(feature = "cli")]
    pub(crate) fn send_while(&self, event: AuditEvent, wait: impl Fn() -> bool) -> (Places, Result<(), NotTaken>) {
        let mut refused = Reasons::NONE;
        match self.offer(event, Places::ALL, &mut refused) {
            (taken, None) => (taken, Ok(())),
            (taken, Some(event)) => self.wait(event, taken, refused, |_, _| wait()),
        }
    }

    /// Begins an event in a pooled buffer, created now; [`EventBuilder::try_send`] hands it in.
    #[inline]
    pub fn event(&self, event_type: EventType<'_>, severity: Severity) -> EventBuilder<&Self> {
        EventBuilder::begin(self, self.to.buffer(), event_type, severity, now())
    }

    /// An empty buffer with room for so many bytes, from a pool where it has such, for an event that is built elsewhere.
    #[cfg(feature = "cli")]
    pub(crate) fn buffer_of(&self, bytes: usize) -> TextBuffer {
        self.to.buffer_of(bytes)
    }

    /// Offers an event to those of `to` that want it: who has taken it, and the event, unless somebody has taken it itself.
    /// Where anybody refuses it now or has before, it comes back: then all have got a copy.
    #[inline]
    fn offer(&self, mut event: AuditEvent, to: Places, refused: &mut Reasons) -> (Places, Option<AuditEvent>) {
        let mut wanting = Places::NONE;
        for (place, Emitter { gate }) in self.to.emitters.iter().enumerate().filter(|(place, _)| to.holds(*place)) {
            match gate.unwanted(&event) {
                None => wanting.add(Places::at(place)),
                Some(reason) => gate.count(reason, event.severity),
            }
        }
        let (mut taken, home) = (Places::NONE, Places::at(self.to.home));
        while let Some(place) = wanting.take_first_but(home) {
            let Some(gate) = self.to.gate(place) else { continue };
            if wanting.is_empty() && refused.places.is_empty() {
                match gate.push(event) {
                    Ok(()) => {
                        taken.add(Places::at(place));
                        return (taken, None);
                    }
                    Err(back) => {
                        refused.note(place, back.reason());
                        event = back.into_event();
                    }
                }
                continue;
            }
            if event.text.len() > gate.event_bytes_max {
                // Known without a copy, which could be one of 16 MiB.
                refused.note(place, RefusedReason::TooLarge);
                continue;
            }
            if gate.is_still_full() {
                refused.note(place, RefusedReason::Full);
                continue;
            }
            match gate.push(event.with_text(gate.pool.copy_of(&event.text))) {
                Ok(()) => taken.add(Places::at(place)),
                Err(back) => {
                    gate.note_refusal(back.reason());
                    refused.note(place, back.reason());
                    gate.pool.give_back(back.into_event().text);
                }
            }
        }
        (taken, Some(event))
    }

    /// Offers an event again where there was no room, as long as `may_wait` says so of anybody.
    fn wait(
        &self,
        mut event: AuditEvent,
        mut taken: Places,
        mut refused: Reasons,
        may_wait: impl Fn(&Gate, RefusedReason) -> bool,
    ) -> (Places, Result<(), NotTaken>) {
        let mut pause = Pause::new();
        loop {
            if refused.places.is_empty() {
                // What was handed in is not wanted anywhere, or copies of it are held by all.
                self.to.give_back(event.text);
                return (taken, Ok(()));
            }
            let again = refused.places_where(|place, reason| {
                // Last, since it asks the system: a child waits in vain for what its parent empties.
                let may_wait = |gate: &Gate| may_wait(gate, reason) && !gate.started_in.is_elsewhere();
                reason.passes() && self.to.gate(place).is_some_and(may_wait)
            });
            if again.is_empty() {
                return (taken, Err(NotTaken { to: Arc::clone(&self.to), refused, event }));
            }
            pause.take();
            refused.forget(again);
            let (more, left) = self.offer(event, again, &mut refused);
            taken.add(more);
            match left {
                Some(back) => event = back,
                None => return (taken, Ok(())),
            }
        }
    }
}

impl EventBuilder<&FanoutEmitter> {
    /// Hands the event in, as [`FanoutEmitter::try_send`] does.
    ///
    /// # Errors
    /// As [`FanoutEmitter::try_send`].
    #[inline]
    pub fn try_send(self) -> Result<(), NotTaken> {
        self.to.try_send(self.event)
    }

    /// Hands the event in, and waits for room as long as `timeout`.
    ///
    /// # Errors
    /// As [`FanoutEmitter::try_send`].
    pub fn send_timeout(self, timeout: Duration) -> Result<(), NotTaken> {
        self.to.send_timeout(self.event, timeout)
    }
}

impl fmt::Debug for FanoutEmitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.to.emitters.iter()).finish()
    }
}
