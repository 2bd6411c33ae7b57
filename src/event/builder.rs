//! The builder: setters that never fail, each appending a record.

use std::fmt;

use serde::Serialize;

use super::kind::TypeCode;
use super::{AuditEvent, DetailValue, EventId, EventType, Field, Reading, Severity, TextBuffer, Timestamp};

/// Builds an [`AuditEvent`], field by field.
///
/// Setters never fail; setting a field again replaces it. `To` is where the event goes when it is done: nowhere for
/// [`AuditEvent::builder`], an emitter for [`Emitter::event`](crate::Emitter::event).
#[must_use = "an event that is not built or sent is forgotten"]
pub struct EventBuilder<To = ()> {
    pub(crate) event: AuditEvent,
    pub(crate) to: To,
}

macro_rules! text_setters {
    ($($(#[$doc:meta])* $name:ident = $field:ident,)+) => {
        $(
            $(#[$doc])*
            #[inline]
            pub fn $name(mut self, $name: impl AsRef<str>) -> Self {
                self.event.text.push(Field::$field, $name.as_ref());
                self
            }
        )+
    };
}

impl<To> EventBuilder<To> {
    #[inline]
    pub(crate) fn begin(to: To, text: TextBuffer, event_type: EventType<'_>, severity: Severity, at: Reading) -> Self {
        let mut event = AuditEvent {
            id: EventId::generate(at.wall),
            timestamp: at.wall,
            created: at.monotonic,
            text,
            event_type: TypeCode::of(event_type),
            severity,
            is_plain: false,
        };
        if let EventType::Custom(_) = event_type {
            event.text.push(Field::CustomType, event_type.name());
        }
        Self { event, to }
    }

    /// Replaces the generated id, for events that already have one.
    #[inline]
    pub fn id(mut self, id: EventId) -> Self {
        self.event.id = id;
        self
    }

    /// Replaces the time of creation with the time at which it happened.
    #[inline]
    pub fn timestamp(mut self, timestamp: impl Into<Timestamp>) -> Self {
        self.event.timestamp = timestamp.into();
        self
    }

    text_setters! {
        /// The acting user's id.
        user_id = UserId,
        /// The acting user's e-mail address.
        user_email = UserEmail,
        /// The server acted upon.
        server_id = ServerId,
        /// The tool that was invoked.
        tool_name = ToolName,
        /// What was decided, usually `allow` or `deny`.
        decision = Decision,
        /// The policy that decided.
        policy_id = PolicyId,
        /// Where the request came from.
        ip_address = IpAddress,
        /// The client's own description of itself.
        user_agent = UserAgent,
        /// The request that caused the event.
        request_id = RequestId,
    }

    /// Adds a detail: a key and a text, number, bool or `None`.
    #[expect(single_use_lifetimes, reason = "an anonymous lifetime in an `impl Trait` is not stable")]
    #[inline]
    pub fn detail<'v>(mut self, key: impl AsRef<str>, value: impl Into<DetailValue<'v>>) -> Self {
        self.event.text.push_detail(key.as_ref(), value.into());
        self
    }

    /// Adds a detail of any serializable value, such as a list or a struct.
    ///
    /// A value that cannot be serialized becomes the text of its error: a setter never fails, and an audit trail that
    /// says so beats one that is silent.
    pub fn detail_json(mut self, key: impl AsRef<str>, value: &(impl Serialize + ?Sized)) -> Self {
        let (key, text) = (key.as_ref(), &mut self.event.text);
        let start = text.open_detail(key);
        match serde_json::to_writer(text.tail(), value) {
            Ok(()) => text.close_record(start),
            Err(error) => {
                text.cut(start);
                text.push_detail(key, DetailValue::Text(&format!("not serializable: {error}")));
            }
        }
        self
    }
}

impl EventBuilder {
    /// The finished event.
    pub fn build(self) -> AuditEvent {
        self.event
    }
}

/// Shows the event, which shows no text.
impl<To> fmt::Debug for EventBuilder<To> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBuilder").field("event", &self.event).finish_non_exhaustive()
    }
}
