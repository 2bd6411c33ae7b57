//! What happened and how severe it is: event types and severities.

use std::fmt;
use std::str::FromStr;

use super::AuditEvent;

/// The longest name of a custom event type, in bytes.
const CUSTOM_BYTES_MAX: usize = 64;

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What happened.
        ///
        /// The framework's own types, and [`EventType::custom`] for any other name of 1 to 64 bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventType<'a> {
            $($(#[$doc])* $variant,)+
            /// A type of the service's own; made by [`EventType::custom`].
            Custom(CustomType<'a>),
        }

        impl<'a> EventType<'a> {
            /// Every type that has a name of its own, in the order of the documentation.
            pub const KNOWN: &'static [EventType<'static>] = &[$(EventType::$variant,)+];

            /// The name on the wire, such as `tool_invoked`.
            pub fn name(&self) -> &'a str {
                match self {
                    $(EventType::$variant => $name,)+
                    EventType::Custom(custom) => custom.0,
                }
            }

            /// Reads a name: a known type where there is one, else a custom one.
            ///
            /// # Errors
            /// When the name is empty or longer than 64 bytes.
            pub fn custom(name: &'a str) -> Result<Self, InvalidEventType> {
                match name {
                    $($name => Ok(EventType::$variant),)+
                    _ if name.is_empty() || name.len() > CUSTOM_BYTES_MAX => Err(InvalidEventType { bytes: name.len() }),
                    _ => Ok(EventType::Custom(CustomType(name))),
                }
            }
        }
    };
}

event_types! {
    /// A server joined.
    ServerRegistered = "server_registered",
    /// A server's registration changed.
    ServerUpdated = "server_updated",
    /// A server left.
    ServerDecommissioned = "server_decommissioned",
    /// A tool ran.
    ToolInvoked = "tool_invoked",
    /// A request was allowed.
    AuthorizationAllowed = "authorization_allowed",
    /// A request was denied.
    AuthorizationDenied = "authorization_denied",
    /// A policy was written.
    PolicyCreated = "policy_created",
    /// A policy changed.
    PolicyUpdated = "policy_updated",
    /// A policy took effect.
    PolicyActivated = "policy_activated",
    /// A user signed in.
    UserLogin = "user_login",
    /// A user signed out.
    UserLogout = "user_logout",
    /// A session began.
    SessionStarted = "session_started",
    /// A session ended.
    SessionEnded = "session_ended",
    /// A rule of security was broken.
    SecurityViolation = "security_violation",
    /// A configuration changed.
    ConfigurationChanged = "configuration_changed",
    /// Events are missing before this one: what the forwarder itself reports.
    AuditGap = "audit_gap",
}

#[cfg(feature = "tracing-layer")]
impl EventType<'static> {
    /// Of an event of `tracing` that names no type.
    pub(crate) const OF_TRACING: Self = Self::Custom(CustomType("tracing_event"));
}

impl fmt::Display for EventType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A type of the service's own: 1 to 64 bytes, and none of the known names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomType<'a>(&'a str);

/// The name of an event type is empty or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name of an event type has 1 to 64 bytes, this one has {bytes}")]
pub struct InvalidEventType {
    bytes: usize,
}

/// An event type in one byte: the index into [`EventType::KNOWN`], or "custom", whose name lies in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TypeCode(u8);

impl TypeCode {
    const CUSTOM: Self = Self(u8::MAX);

    pub(super) fn of(event_type: EventType<'_>) -> Self {
        if let EventType::Custom(_) = event_type {
            return Self::CUSTOM;
        }
        let index = EventType::KNOWN.iter().position(|known| *known == event_type);
        index.and_then(|index| u8::try_from(index).ok()).map_or(Self::CUSTOM, Self)
    }

    pub(super) fn with_name<'a>(self, custom: impl FnOnce() -> Option<&'a str>) -> EventType<'a> {
        match EventType::KNOWN.get(usize::from(self.0)) {
            Some(known) => *known,
            None => EventType::Custom(CustomType(custom().unwrap_or_default())),
        }
    }

    /// The name of a known type; `None` for a custom one.
    pub(crate) fn known_name(self) -> Option<&'static str> {
        EventType::KNOWN.get(usize::from(self.0)).map(EventType::name)
    }
}

/// Names of event types, known and custom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TypeSet {
    /// A bit for each known type, by its code.
    known: u32,
    custom: Vec<Box<str>>,
}

const _: () = assert!(EventType::KNOWN.len() <= u32::BITS as usize);

impl TypeSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.known == 0 && self.custom.is_empty()
    }

    /// Whether the event's type is among them.
    #[inline]
    pub(crate) fn holds(&self, event: &AuditEvent) -> bool {
        match 1u32.checked_shl(u32::from(event.event_type.0)) {
            Some(bit) => self.known & bit != 0,
            None => !self.custom.is_empty() && self.custom.iter().any(|name| **name == *event.event_type().name()),
        }
    }
}

impl<'a> FromIterator<EventType<'a>> for TypeSet {
    fn from_iter<T: IntoIterator<Item = EventType<'a>>>(types: T) -> Self {
        let mut set = Self::default();
        for event_type in types {
            match 1u32.checked_shl(u32::from(TypeCode::of(event_type).0)) {
                Some(bit) => set.known |= bit,
                None => set.custom.push(event_type.name().into()),
            }
        }
        set
    }
}

/// How severe an event is, from the least to the most.
#[expect(clippy::exhaustive_enums, reason = "the four severities are the wire's; a fifth must not compile unhandled")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Routine.
    Low,
    /// Worth a look.
    Medium,
    /// Needs attention.
    High,
    /// Needs attention now; never sampled, never shed.
    Critical,
}

impl Severity {
    /// All four, from the least to the most severe.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|severity| severity.name() == name).ok_or(UnknownSeverity)
    }
}

/// The text names no severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown severity: it is low, medium, high or critical")]
pub struct UnknownSeverity;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_type_survives_its_code_and_its_name() {
        for known in EventType::KNOWN {
            assert_eq!(TypeCode::of(*known).with_name(|| None), *known);
            assert_eq!(EventType::custom(known.name()), Ok(*known));
        }
        assert_eq!(EventType::KNOWN.len(), 16);
    }

    #[test]
    fn a_custom_name_has_1_to_64_bytes() {
        assert!(EventType::custom("").is_err());
        assert!(EventType::custom(&"x".repeat(65)).is_err());
        let longest = "x".repeat(64);
        let custom = EventType::custom(&longest).expect("64 bytes are allowed");
        assert_eq!(TypeCode::of(custom).with_name(|| Some(&longest)), custom);
    }
}
