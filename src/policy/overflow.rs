//! What happens to an event for which there is no room. Nothing is ever taken out of a ring to make some: an accepted
//! audit event stays accepted.

use std::time::Duration;

use crate::event::Severity;

/// What happens to an event for which there is no room in the ring. Default [`Overflow::Refuse`].
///
/// Whatever it is, [`Emitter::send_timeout`](crate::Emitter::send_timeout) waits for room as long as its caller says,
/// and so does `siem-forward run`, whose input can wait.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// It comes back at once.
    #[default]
    Refuse,
    /// Its caller waits for room, up to `timeout`, more than 0 and up to an hour; then it comes back. On a thread of the
    /// forwarder itself and in a forked child nobody waits.
    Block {
        /// How long.
        timeout: Duration,
    },
    /// It comes back at once, and the less severe do so while there is still room for the more severe.
    ShedBySeverity(Shed),
}

/// Up to which part of the ring events of a severity are taken, each 0.01 to 1 and none above the next; critical ones
/// are taken until it is full. The same parts of `queue_bytes_max` hold for events above 1 KB.
///
/// The ring is looked at without a lock: threads that emit at the same moment can pass a limit by one event each; where more
/// than 132 threads fill a large ring at the same moment, or more than 68 those of a fan-out, by up to 72 each.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Shed {
    /// For low. Default 0.5.
    pub low: f64,
    /// For medium. Default 0.75.
    pub medium: f64,
    /// For high. Default 0.9.
    pub high: f64,
}

impl Default for Shed {
    fn default() -> Self {
        Self { low: 0.5, medium: 0.75, high: 0.9 }
    }
}

impl Shed {
    /// How much of `room` events of this severity may fill; `None` where all of it. At least one: a limit of none would
    /// refuse them for ever.
    pub(crate) fn limit(&self, severity: Severity, room: usize) -> Option<usize> {
        let part = match severity {
            Severity::Low => self.low,
            Severity::Medium => self.medium,
            Severity::High => self.high,
            Severity::Critical => return None,
        };
        #[expect(clippy::cast_precision_loss, reason = "no room of ours reaches 2^53")]
        // A part such as 0.29 is a little less than it says, and its product with 100 should be 29 all the same.
        let limit = (part * room as f64 + 1e-6).floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
        let limit = (limit as usize).max(1);
        (limit < room).then_some(limit)
    }

    /// Whether each part is in its range, and none above the next.
    pub(crate) fn is_in_range(&self) -> bool {
        let parts = [self.low, self.medium, self.high];
        parts.iter().all(|part| (0.01..=1.0).contains(part)) && parts.is_sorted()
    }
}

#[cfg(feature = "cli")]
mod keys {
    use std::ops::RangeInclusive;
    use std::time::Duration;

    use super::{Overflow, Shed};
    use crate::table::{Key, Problems, Section, Table};

    /// How long a caller waits for room unless the configuration says.
    const BLOCK_TIMEOUT: Duration = Duration::from_secs(1);
    const PART: RangeInclusive<f64> = 0.01..=1.0;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Policy {
        Refuse,
        Block,
        Shed,
    }

    impl Overflow {
        pub(crate) const KEYS: Section = Section {
            title: "When there is no room",
            keys: &[
                Key::default("overflow", "\"refuse\"").range("\"refuse\", \"block\" or \"shed_by_severity\"").meaning(
                    "what happens to an event without room: it is handed back at once; or first its caller waits; or \
                         the less severe are handed back early, to keep room for the more severe. `run` waits for room \
                         whatever it is",
                ),
                Key::default("block_timeout_seconds", "1")
                    .unit("seconds")
                    .range("0.001 to 3600")
                    .beside("overflow = \"block\"")
                    .meaning(
                        "how long the caller waits: longer bridges a longer burst, and stalls the service as long",
                    ),
                Key::default("shed.low", "0.5").range("0.01 to 1").beside("overflow = \"shed_by_severity\"").meaning(
                    "the part of the queue up to which low events are taken: less keeps more room for the others",
                ),
                Key::default("shed.medium", "0.75")
                    .range("0.01 to 1")
                    .beside("overflow = \"shed_by_severity\"")
                    .meaning("the same of medium ones"),
                Key::default("shed.high", "0.9")
                    .range("0.01 to 1")
                    .beside("overflow = \"shed_by_severity\"")
                    .meaning("the same of high ones; critical ones are taken up to all of it"),
            ],
        };

        /// Takes the keys of overflow out of a pipeline's table; an absent key is its default, and one that belongs to
        /// another policy than the chosen one is a mistake.
        pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
            let policies = [("refuse", Policy::Refuse), ("block", Policy::Block), ("shed_by_severity", Policy::Shed)];
            let policy = table.take_choice("overflow", &policies, problems);
            let timeout = table.take_seconds("block_timeout_seconds", 0.001..=3600.0, problems);
            let shed = Shed::read(table, problems);
            if policy.is_none() && table.has("overflow") {
                // Which keys belong to a policy that nobody knows, nobody knows either.
                return Self::Refuse;
            }
            let policy = policy.unwrap_or(Policy::Refuse);
            for (key, owner, name) in
                [("block_timeout_seconds", Policy::Block, "block"), ("shed", Policy::Shed, "shed_by_severity")]
            {
                if policy != owner && table.has(key) {
                    let what = format!("belongs to overflow = \"{name}\"");
                    table.blame(key, &what, &format!("set overflow = \"{name}\", or remove it"), problems);
                }
            }
            match policy {
                Policy::Refuse => Self::Refuse,
                Policy::Block => Self::Block { timeout: timeout.unwrap_or(BLOCK_TIMEOUT) },
                Policy::Shed => Self::ShedBySeverity(shed),
            }
        }
    }

    impl Shed {
        fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
            let default = Self::default();
            let Some(mut shed) = table.take_table("shed", problems) else { return default };
            let mut part = |key, default| shed.take_float(key, PART, problems).unwrap_or(default);
            let read = Self {
                low: part("low", default.low),
                medium: part("medium", default.medium),
                high: part("high", default.high),
            };
            blame_critical(&mut shed, "critical events are never shed", problems);
            let pairs = [("low", read.low, "medium", read.medium), ("medium", read.medium, "high", read.high)];
            for (lower, below, upper, above) in pairs {
                if below > above {
                    let what = format!("{lower} = {below} is above {upper} = {above}");
                    let help =
                        "the less severe are shed first, such as shed = { low = 0.5, medium = 0.75, high = 0.9 }";
                    table.blame("shed", &what, help, problems);
                }
            }
            shed.finish(problems);
            read
        }
    }

    /// Records the problem of a key that nobody may set, and takes it out.
    pub(in crate::policy) fn blame_critical(table: &mut Table<'_>, what: &str, problems: &mut Problems) {
        if table.has("critical") {
            table.blame("critical", what, "remove it", problems);
            table.take_float("critical", f64::MIN..=f64::MAX, problems);
        }
    }
}

#[cfg(feature = "cli")]
pub(super) use keys::blame_critical;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_defaults_are_a_half_three_quarters_and_nine_tenths() {
        let limits = Severity::ALL.map(|severity| Shed::default().limit(severity, 20_000));
        assert_eq!(limits, [Some(10_000), Some(15_000), Some(18_000), None]);
    }

    #[test]
    fn a_part_that_a_float_cannot_hold_is_what_it_says() {
        let shed = Shed { low: 0.29, medium: 0.57, high: 0.58 };
        let limits = Severity::ALL.map(|severity| shed.limit(severity, 100));
        assert_eq!(limits, [Some(29), Some(57), Some(58), None]);
    }

    proptest! {
        /// The less severe are shed first; nobody is shed for ever, and critical never.
        #[test]
        fn limits_rise_with_the_severity(mut parts in [0.01..=1.0f64, 0.01..=1.0, 0.01..=1.0], room in 1usize..1 << 24) {
            parts.sort_by(f64::total_cmp);
            let [low, medium, high] = parts;
            let shed = Shed { low, medium, high };
            prop_assert!(shed.is_in_range());
            let limits = Severity::ALL.map(|severity| shed.limit(severity, room).unwrap_or(room));
            prop_assert!(limits.is_sorted() && limits[0] >= 1, "{limits:?}");
            prop_assert_eq!(shed.limit(Severity::Critical, room), None);
        }
    }
}
