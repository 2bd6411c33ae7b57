//! What is carried: an audit event, its parts, and how it is built.
//!
//! An event is a small head (64 bytes, moved through the ring by value) and one text buffer that holds every field as
//! a record. Ten owned strings would cost the caller ten allocations and the batcher ten frees on another thread; one
//! pooled buffer costs neither. Everything else in the house carries, encodes or reports what this room defines.

mod builder;
mod clock;
mod details;
pub(crate) mod escape;
mod fields;
mod fork;
mod id;
mod kind;
mod pool;
mod serde;
mod text;
mod timestamp;

use std::fmt;

pub use builder::EventBuilder;
pub use details::DetailValue;
pub use id::{EventId, InvalidEventId};
pub use kind::{EventType, InvalidEventType, Severity, UnknownSeverity};
pub use timestamp::{InvalidTimestamp, Timestamp};

pub(crate) use clock::{Reading, monotonic, now};
#[cfg(feature = "cli")]
pub(crate) use escape::{write_float, write_text};
pub(crate) use fields::Fields;
pub(crate) use fork::ForkGuard;
pub(crate) use id::random_unit;
pub(crate) use kind::TypeSet;
pub(crate) use pool::Pool;
#[cfg(feature = "cli")]
pub(crate) use serde::{DETAILS_DEPTH_MAX, EventSeed, repeated, too_deep};
pub(crate) use text::{Field, TextBuffer};

/// The largest event that can exist, in bytes of text: 16 MiB. `event_bytes_max` is at most this.
///
/// Text beyond it is not copied, so that a runaway field costs the caller a bounded time; such an event is refused as
/// too large.
pub const EVENT_BYTES_LIMIT: usize = 16 * 1024 * 1024;

/// One audit event: who did what, when, how severe, and what was decided.
///
/// Build one with [`AuditEvent::builder`], or in place in a pooled buffer with
/// [`Emitter::event`](crate::Emitter::event). Reading is by the accessors; `serde` reads and writes the same layout as
/// the NDJSON that `siem-forward run` takes.
///
/// ```
/// use siem_forward::{AuditEvent, EventType, Severity};
///
/// let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low)
///     .user_id("u-17")
///     .tool_name("create_ticket")
///     .detail("attempt", 2)
///     .build();
/// assert_eq!(event.user_id(), Some("u-17"));
/// assert_eq!(event.details().as_deref(), Some(r#"{"attempt":2}"#));
/// ```
#[derive(Clone)]
pub struct AuditEvent {
    pub(crate) id: EventId,
    pub(crate) timestamp: Timestamp,
    /// Monotonic nanoseconds at creation; latency and age count from here, whatever the wall clock does.
    pub(crate) created: u64,
    pub(crate) text: TextBuffer,
    pub(crate) event_type: kind::TypeCode,
    pub(crate) severity: Severity,
    /// Whether it is known that no text in it, key or value, needs an escape in JSON.
    pub(crate) is_plain: bool,
}

// The slot of the ring is the head plus its stamp: what is moved on the emit path must stay within two cache lines.
const _: () = assert!(size_of::<AuditEvent>() <= 120);
const _: () = assert!(size_of::<Option<AuditEvent>>() == size_of::<AuditEvent>());

impl AuditEvent {
    /// Begins an event that owns its buffer, created now, with a fresh id.
    pub fn builder(event_type: EventType<'_>, severity: Severity) -> EventBuilder {
        EventBuilder::begin((), TextBuffer::with_capacity(256), event_type, severity, now())
    }

    /// The table of fields, in one pass.
    #[inline]
    pub(crate) fn fields(&self) -> Fields<'_> {
        self.text.fields(self.is_plain)
    }

    /// The event's identity: the same through every retry and copy.
    pub fn id(&self) -> EventId {
        self.id
    }

    /// When it happened, by the wall clock.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// What happened.
    pub fn event_type(&self) -> EventType<'_> {
        self.event_type.with_name(|| self.text.field(Field::CustomType))
    }

    /// How severe it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The acting user's id.
    pub fn user_id(&self) -> Option<&str> {
        self.text.field(Field::UserId)
    }

    /// The acting user's e-mail address.
    pub fn user_email(&self) -> Option<&str> {
        self.text.field(Field::UserEmail)
    }

    /// The server acted upon.
    pub fn server_id(&self) -> Option<&str> {
        self.text.field(Field::ServerId)
    }

    /// The tool that was invoked.
    pub fn tool_name(&self) -> Option<&str> {
        self.text.field(Field::ToolName)
    }

    /// What was decided, usually `allow` or `deny`.
    pub fn decision(&self) -> Option<&str> {
        self.text.field(Field::Decision)
    }

    /// The policy that decided.
    pub fn policy_id(&self) -> Option<&str> {
        self.text.field(Field::PolicyId)
    }

    /// Where the request came from.
    pub fn ip_address(&self) -> Option<&str> {
        self.text.field(Field::IpAddress)
    }

    /// The client's own description of itself.
    pub fn user_agent(&self) -> Option<&str> {
        self.text.field(Field::UserAgent)
    }

    /// The request that caused the event.
    pub fn request_id(&self) -> Option<&str> {
        self.text.field(Field::RequestId)
    }

    /// The details as the text of one JSON object, or `None` where there are none.
    pub fn details(&self) -> Option<String> {
        let (fields, mut out) = (self.fields(), Vec::new());
        if fields.details().is_empty() {
            return None;
        }
        fields.details().write(&mut out);
        String::from_utf8(out).ok()
    }

    /// The same event with this text, a copy of its own.
    pub(crate) fn with_text(&self, text: TextBuffer) -> Self {
        let Self { id, timestamp, created, event_type, severity, is_plain, .. } = *self;
        Self { id, timestamp, created, text, event_type, severity, is_plain }
    }

    /// The size of the event's text in bytes: what `event_bytes_max` limits.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }
}

/// Short on purpose: who and when, never the text, which may hold what no log should.
impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEvent")
            .field("id", &format_args!("{}", self.id))
            .field("timestamp", &format_args!("{}", self.timestamp))
            .field("event_type", &format_args!("{}", self.event_type()))
            .field("severity", &format_args!("{}", self.severity))
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}
