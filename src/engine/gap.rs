//! What was refused is told in band: one event of type `audit_gap` for each episode, in the SIEM's own stream.
//!
//! Callers that are refused only count. The batchers look at the counts now and then, and whichever of them sees that an
//! episode is over appends the event to its own batch: it passes no ring, so there is always room for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::pipeline::Pipeline;
use crate::event::{AuditEvent, EventBuilder, EventType, Severity, TextBuffer, Timestamp, now};
use crate::ledger::RefusedCounts;

/// An episode is over when nothing was refused for so long.
const QUIET_NANOS: u64 = 100_000_000;
/// A gap is told at most this often, so that a ring that flaps does not flood the SIEM with them.
const TOLD_EVERY_NANOS: u64 = 1_000_000_000;
/// One that does not end is told this often: who looks at the SIEM must not wait for the end.
const EPISODE_NANOS_MAX: u64 = 60_000_000_000;

/// The look at what was refused, shared by the batchers of a pipeline.
#[derive(Debug)]
pub(crate) struct GapWatch {
    /// When the next look is due: it costs a batcher's turn one load to know.
    due: AtomicU64,
    watched: Mutex<Watched>,
}

impl GapWatch {
    pub(crate) fn new() -> Self {
        Self { due: AtomicU64::new(0), watched: Mutex::default() }
    }

    /// Whether it is time for a look.
    #[inline]
    pub(crate) fn is_due(&self, now: u64) -> bool {
        // Relaxed: a hint, the lock decides.
        now >= self.due.load(Ordering::Relaxed)
    }

    /// The gap that is to be told now, if any: of an episode that is over or has lasted long.
    pub(crate) fn look(&self, pipeline: &Pipeline, now: u64) -> Option<Gap> {
        // Where another batcher looks, it sees what there is to see.
        let mut watched = self.watched.try_lock()?;
        if !self.is_due(now) {
            return None;
        }
        self.due.store(now.saturating_add(QUIET_NANOS), Ordering::Relaxed);
        let counts = watched.look(now, &pipeline.books.gap_counts())?;
        Some(watched.gap(&counts, pipeline))
    }

    /// The gap that is left to be told at the end, if any.
    pub(crate) fn last_look(&self, pipeline: &Pipeline) -> Option<Gap> {
        let mut watched = self.watched.lock();
        let counts = watched.tell(0, &pipeline.books.gap_counts())?;
        Some(watched.gap(&counts, pipeline))
    }

    /// Logs what is refused at the moment: for a batcher that waits for a sender and cannot tell it in band.
    pub(crate) fn warn_meanwhile(&self, pipeline: &Pipeline) {
        let counts = pipeline.books.gap_counts();
        let untold = counts.since(&self.watched.lock().told);
        if untold.total() > 0 {
            pipeline.warn("refusing", || format!("no room, {} refused so far: {}", events(&untold), words(&untold)));
        }
    }
}

/// What the last look saw, and what is told already.
#[derive(Debug, Default)]
struct Watched {
    told: RefusedCounts,
    seen: RefusedCounts,
    /// When the episode was noticed.
    since: Option<u64>,
    told_at: Option<u64>,
    /// When the last gap ended: what races with a look began there at the earliest.
    ended: Option<Timestamp>,
}

impl Watched {
    /// What is to be told now. Called at least [`QUIET_NANOS`] apart.
    fn look(&mut self, now: u64, counts: &RefusedCounts) -> Option<RefusedCounts> {
        let is_quiet = *counts == self.seen;
        self.seen = *counts;
        if *counts == self.told {
            self.since = None;
            return None;
        }
        let lasts = now.saturating_sub(*self.since.get_or_insert(now));
        let just_told = self.told_at.is_some_and(|at| now.saturating_sub(at) < TOLD_EVERY_NANOS);
        if just_told || !is_quiet && lasts < EPISODE_NANOS_MAX {
            return None;
        }
        self.tell(now, counts)
    }

    /// What was not told yet, and is from now on.
    fn tell(&mut self, now: u64, counts: &RefusedCounts) -> Option<RefusedCounts> {
        let untold = counts.since(&self.told);
        self.told = *counts;
        self.since = None;
        self.told_at = Some(now);
        (untold.total() > 0).then_some(untold)
    }

    fn gap(&mut self, counts: &RefusedCounts, pipeline: &Pipeline) -> Gap {
        // A refusal can be counted here although its time was taken with the gap before, which had seen it coming.
        let (first, last) = pipeline.books.take_gap_times().unwrap_or_else(|| {
            let ended = self.ended.unwrap_or_else(Timestamp::now);
            (ended, ended)
        });
        self.ended = Some(last);
        Gap { first, last, counts: *counts, since_start: self.told.total() }
    }
}

/// Events that are missing in the stream, and how many of which kind.
#[derive(Debug)]
pub(crate) struct Gap {
    /// When the first of them was refused, and the last.
    first: Timestamp,
    last: Timestamp,
    counts: RefusedCounts,
    /// Refused since the start, these included.
    since_start: u64,
}

impl Gap {
    /// The event that tells it, as severe as the worst that is missing.
    pub(crate) fn event(&self, text: TextBuffer, pipeline: &str) -> AuditEvent {
        let missing = self.counts.iter().filter(|(_, _, count)| *count > 0);
        let mut refused: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        let mut worst = Severity::Low;
        for (reason, severity, count) in missing {
            refused.entry(reason.label()).or_default().insert(severity.name(), count);
            worst = worst.max(severity);
        }
        EventBuilder::begin((), text, EventType::AuditGap, worst, now())
            .detail("pipeline", pipeline)
            .detail("first", &self.first.to_string())
            .detail("last", &self.last.to_string())
            .detail("events", self.counts.total())
            .detail_json("refused", &refused)
            .build()
    }

    pub(crate) fn warn(&self, pipeline: &Pipeline) {
        let Self { first, last, counts, since_start } = self;
        pipeline.warn("audit_gap", || {
            let events = events(counts);
            format!("{events} refused from {first} to {last}, {since_start} since the start: {}", words(counts))
        });
    }
}

fn events(counts: &RefusedCounts) -> String {
    match counts.total() {
        1 => "1 event was".to_owned(),
        total => format!("{total} events were"),
    }
}

/// Such as `full 3 low 1 critical, shed 7 low`.
fn words(counts: &RefusedCounts) -> String {
    let mut words = String::new();
    let mut last = None;
    for (reason, severity, count) in counts.iter().filter(|(_, _, count)| *count > 0) {
        if last != Some(reason) {
            words.push_str(if last.is_some() { ", " } else { "" });
            words.push_str(reason.label());
            last = Some(reason);
        }
        // Writing to a String does not fail.
        let written = write!(words, " {count} {severity}");
        debug_assert!(written.is_ok());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::RefusedReason;
    use proptest::prelude::*;

    const TENTH: u64 = QUIET_NANOS;

    fn full(events: u64) -> RefusedCounts {
        let mut counts = RefusedCounts::default();
        counts.add(RefusedReason::Full, Severity::Low, events);
        counts
    }

    fn totals(looks: &[(u64, u64)]) -> Vec<Option<u64>> {
        let mut watched = Watched::default();
        looks.iter().map(|(now, count)| watched.look(*now, &full(*count)).map(|told| told.total())).collect()
    }

    #[test]
    fn an_episode_is_told_once_when_a_look_sees_that_nothing_was_added() {
        let looks = [(0, 0), (TENTH, 5), (2 * TENTH, 9), (3 * TENTH, 9), (4 * TENTH, 9)];
        assert_eq!(totals(&looks), [None, None, None, Some(9), None]);
    }

    #[test]
    fn episodes_within_a_second_of_the_last_telling_are_told_together() {
        let looks =
            [(0, 1), (TENTH, 1), (2 * TENTH, 2), (3 * TENTH, 2), (5 * TENTH, 3), (10 * TENTH, 3), (11 * TENTH, 3)];
        assert_eq!(totals(&looks), [None, Some(1), None, None, None, None, Some(2)]);
    }

    #[test]
    fn an_episode_that_does_not_end_is_told_every_minute() {
        let looks: Vec<(u64, u64)> = (1..=1500).map(|tenth| (tenth * TENTH, tenth)).collect();
        let told: Vec<u64> = totals(&looks).into_iter().flatten().collect();
        assert_eq!(told, [601, 601]);
    }

    #[test]
    fn a_gap_says_what_is_missing_and_is_as_severe_as_the_worst_of_it() {
        let mut counts = full(3);
        counts.add(RefusedReason::Full, Severity::High, 1);
        counts.add(RefusedReason::Shed, Severity::Low, 7);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (first, last) = (at("2026-11-24T10:00:00Z"), at("2026-11-24T10:00:01.5Z"));
        let gap = Gap { first, last, counts, since_start: 11 };
        let event = gap.event(TextBuffer::with_capacity(16), "splunk \"eu\"");
        assert_eq!((event.event_type(), event.severity()), (EventType::AuditGap, Severity::High));
        let details: serde_json::Value = serde_json::from_str(&event.details().unwrap()).unwrap();
        let expected = serde_json::json!({
            "pipeline": "splunk \"eu\"",
            "first": first.to_string(),
            "last": last.to_string(),
            "events": 11,
            "refused": { "full": { "low": 3, "high": 1 }, "shed": { "low": 7 } },
        });
        assert_eq!(details, expected);
        assert_eq!(words(&counts), "full 3 low 1 high, shed 7 low");
    }

    proptest! {
        /// However refusals and looks fall, each refusal is told exactly once, and nothing is told twice a second.
        #[test]
        fn every_refusal_is_told_once_and_at_most_once_a_second(
            steps in proptest::collection::vec((TENTH..40 * TENTH, prop_oneof![Just(0u64), 0u64..5], 0usize..3), 0..200),
        ) {
            let mut watched = Watched::default();
            let (mut now, mut counts) = (0, RefusedCounts::default());
            let (mut told, mut told_at) = (RefusedCounts::default(), None);
            for (pause, refused, severity) in steps {
                now += pause;
                let severity = Severity::ALL[severity];
                counts.add(RefusedReason::Shed, severity, refused);
                if let Some(more) = watched.look(now, &counts) {
                    prop_assert!(told_at.is_none_or(|at| now - at >= TOLD_EVERY_NANOS));
                    prop_assert!(more.total() > 0);
                    more.iter().for_each(|(reason, severity, count)| told.add(reason, severity, count));
                    told_at = Some(now);
                }
            }
            if let Some(more) = watched.tell(now, &counts) {
                more.iter().for_each(|(reason, severity, count)| told.add(reason, severity, count));
            }
            prop_assert_eq!(told, counts);
            prop_assert!(watched.tell(now, &counts).is_none());
        }
    }
}
