//! Which events a destination is meant to get: decided by what an event says of itself, before the ring.

use crate::event::{AuditEvent, EventType, Field, Severity, TypeSet};

/// Which events a forwarder takes. Default: every one.
///
/// An event passes that satisfies all that is set. What does not pass comes back as
/// [`Refused::Filtered`](crate::Refused::Filtered) and is counted; it is no gap, since somebody wanted it so. The
/// forwarder's own `audit_gap` events, which tell what is missing at this destination, pass every filter.
///
/// ```
/// use siem_forward::policy::Filter;
/// use siem_forward::{AuditEvent, EventType, Severity};
///
/// let filter = Filter::default().severity_min(Severity::High).decisions(["deny"]);
/// let denied = AuditEvent::builder(EventType::AuthorizationDenied, Severity::High);
/// assert!(filter.takes(&denied.decision("deny").build()));
/// assert!(!filter.takes(&AuditEvent::builder(EventType::AuthorizationDenied, Severity::High).build()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    severity_min: Severity,
    /// `None` where any will do.
    event_types: Option<TypeSet>,
    decisions: Option<Vec<Box<str>>>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { severity_min: Severity::Low, event_types: None, decisions: None }
    }
}

impl Filter {
    /// Only events that are at least so severe. Default: low, which is all.
    #[must_use]
    pub fn severity_min(mut self, severity: Severity) -> Self {
        self.severity_min = severity;
        self
    }

    /// Only events of one of these types, known or custom. Default: any. At least one, or the forwarder does not start.
    #[must_use]
    #[expect(single_use_lifetimes, reason = "an anonymous lifetime in an `impl Trait` is not stable")]
    pub fn event_types<'a>(mut self, types: impl IntoIterator<Item = EventType<'a>>) -> Self {
        self.event_types = Some(types.into_iter().collect());
        self
    }

    /// Only events with one of these decisions, written exactly so; one without a decision does not pass. Default: any,
    /// and none. At least one, or the forwarder does not start.
    #[must_use]
    pub fn decisions(mut self, decisions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.decisions = Some(decisions.into_iter().map(|decision| decision.into().into_boxed_str()).collect());
        self
    }

    /// Whether this event passes.
    #[inline]
    pub fn takes(&self, event: &AuditEvent) -> bool {
        // What costs least is asked first: of a decision the whole text has to be looked through.
        event.severity >= self.severity_min
            && self.event_types.as_ref().is_none_or(|types| types.holds(event))
            && self.decisions.as_ref().is_none_or(|decisions| is_among(decisions, event))
    }

    /// Whether every event passes.
    pub(crate) fn takes_all(&self) -> bool {
        self.severity_min == Severity::Low && self.event_types.is_none() && self.decisions.is_none()
    }

    /// Whether any event can pass, as far as the lists go.
    pub(crate) fn is_in_range(&self) -> bool {
        !self.event_types.as_ref().is_some_and(TypeSet::is_empty) && !self.decisions.as_ref().is_some_and(Vec::is_empty)
    }
}

fn is_among(decisions: &[Box<str>], event: &AuditEvent) -> bool {
    event.text.field(Field::Decision).is_some_and(|made| decisions.iter().any(|decision| **decision == *made))
}

#[cfg(feature = "cli")]
mod keys {
    use super::Filter;
    use crate::event::{EventType, Severity};
    use crate::table::{Key, Problems, Section, Table};

    const SEVERITIES: [(&str, Severity); 4] = [
        ("low", Severity::Low),
        ("medium", Severity::Medium),
        ("high", Severity::High),
        ("critical", Severity::Critical),
    ];

    impl Filter {
        pub(crate) const KEYS: Section = Section {
            title: "Which events are meant for it",
            keys: &[
                Key::default("filter.severity_min", "\"low\"")
                    .range("\"low\", \"medium\", \"high\" or \"critical\"")
                    .meaning(
                        "less severe events are not forwarded here; what a filter leaves out is counted, and is no gap",
                    ),
                Key::optional("filter.event_types", "any", "[\"user_login\", \"security_violation\"]")
                    .range("a list of texts")
                    .meaning("only events of these types, known or custom"),
                Key::optional("filter.decisions", "any, and none", "[\"deny\"]")
                    .range("a list of texts")
                    .meaning("only events with one of these decisions, written exactly so"),
            ],
        };

        /// Takes `filter` out of a pipeline's table; an absent key lets everything pass.
        pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
            let Some(mut filter) = table.take_table("filter", problems) else { return Self::default() };
            let mut read = Self::default();
            if let Some(severity) = filter.take_choice("severity_min", &SEVERITIES, problems) {
                read = read.severity_min(severity);
            }
            if let Some(names) = texts(&mut filter, "event_types", "[\"user_login\"]", problems, |name| {
                EventType::custom(name).map(|_| name.to_owned()).map_err(|error| error.to_string())
            }) {
                // Each was looked at above.
                read = read.event_types(names.iter().filter_map(|name| EventType::custom(name).ok()));
            }
            if let Some(decisions) = texts(&mut filter, "decisions", "[\"deny\"]", problems, |decision| {
                if decision.is_empty() { Err("a decision is empty".to_owned()) } else { Ok(decision.to_owned()) }
            }) {
                read = read.decisions(decisions);
            }
            filter.finish(problems);
            read
        }
    }

    /// A list that holds something: an empty one would keep everything away.
    fn texts(
        filter: &mut Table<'_>,
        key: &'static str,
        example: &str,
        problems: &mut Problems,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Option<Vec<String>> {
        let list = filter.take_list_of_texts(key, example, problems, read)?;
        if list.is_empty() {
            let help = format!("list at least one, such as {key} = {example}, or remove the key to let all pass");
            filter.blame(key, "is empty, so that nothing would pass", &help, problems);
            return None;
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(severity: Severity, event_type: &str, decision: Option<&str>) -> AuditEvent {
        let event = AuditEvent::builder(EventType::custom(event_type).unwrap(), severity).user_id("u-17");
        decision.map_or_else(
            || AuditEvent::builder(EventType::custom(event_type).unwrap(), severity).build(),
            |decision| event.decision(decision).build(),
        )
    }

    #[test]
    fn every_event_passes_where_nothing_is_set() {
        let filter = Filter::default();
        assert!(filter.takes_all() && filter.is_in_range());
        for severity in Severity::ALL {
            assert!(filter.takes(&event(severity, "user_login", None)));
        }
    }

    #[test]
    fn a_list_without_entries_is_out_of_range_since_nothing_passes() {
        for filter in [Filter::default().event_types([]), Filter::default().decisions([""; 0])] {
            assert!(!filter.is_in_range() && !filter.takes_all());
            assert!(!filter.takes(&event(Severity::Critical, "user_login", Some("deny"))));
        }
    }

    #[test]
    fn the_last_decision_that_was_set_is_the_one_that_counts() {
        let filter = Filter::default().decisions(["deny"]);
        let twice = AuditEvent::builder(EventType::UserLogin, Severity::Low).decision("deny").decision("allow").build();
        assert!(!filter.takes(&twice));
        assert!(!filter.takes(&event(Severity::Low, "user_login", Some("DENY"))), "written exactly so");
    }

    const TYPES: [&str; 5] = ["user_login", "user_logout", "tool_invoked", "payment_made", "payment_undone"];
    const DECISIONS: [&str; 3] = ["allow", "deny", "defer"];

    proptest! {
        /// What passes is what satisfies each condition that is set, for itself.
        #[test]
        fn an_event_passes_that_satisfies_all_that_is_set(
            severity in 0usize..4, event_type in 0usize..5, decision in proptest::option::of(0usize..3),
            severity_min in 0usize..4,
            types in proptest::option::of(proptest::collection::vec(0usize..5, 1..4)),
            decisions in proptest::option::of(proptest::collection::vec(0usize..3, 1..3)),
        ) {
            let mut filter = Filter::default().severity_min(Severity::ALL[severity_min]);
            if let Some(types) = &types {
                filter = filter.event_types(types.iter().map(|of| EventType::custom(TYPES[*of]).unwrap()));
            }
            if let Some(decisions) = &decisions {
                filter = filter.decisions(decisions.iter().map(|of| DECISIONS[*of]));
            }
            let expected = severity >= severity_min
                && types.is_none_or(|types| types.contains(&event_type))
                && decisions.is_none_or(|decisions| decision.is_some_and(|made| decisions.contains(&made)));
            let event = event(Severity::ALL[severity], TYPES[event_type], decision.map(|made| DECISIONS[made]));
            prop_assert_eq!(filter.takes(&event), expected);
        }
    }
}
