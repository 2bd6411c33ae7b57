//! What a run came to: the ledger beside what the receiver holds, by id.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use siem_forward::Report;
use siem_forward::receiver::Counts;

use crate::weather::Spell;

/// How much the peak of memory may grow after the first tenth of the events, once each fault was in force.
const GROWTH_MAX: u64 = 10_000_000;

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// How many events were to be offered, and how many were answered with `Ok`.
    pub(crate) events: u64,
    pub(crate) offered: u64,
    /// Why no more were offered, if that was not meant.
    pub(crate) refusal: Option<String>,
    pub(crate) elapsed: Duration,
    pub(crate) faults: BTreeMap<&'static str, Spell>,
    pub(crate) report: Report,
    pub(crate) received: Counts,
    /// Ids in the dead letter.
    pub(crate) dead: u64,
    /// Records there, by cause: `undelivered` is what the drain had no time for.
    pub(crate) dead_causes: BTreeMap<String, u64>,
    /// Offered, and neither indexed by the receiver nor in the dead letter.
    pub(crate) missing: u64,
    /// Peak of resident memory when a tenth of the events was delivered and each fault shown, and how many were delivered
    /// by then; bytes.
    pub(crate) memory_early: Option<(u64, u64)>,
    /// The same at the end.
    pub(crate) memory_end: Option<u64>,
}

impl Outcome {
    pub(crate) fn balances(&self) -> bool {
        let ledger = &self.report.ledger;
        ledger.balances(self.offered) && ledger.lost_total() == 0 && ledger.in_flight == 0
    }

    /// Unknown where the system does not tell, or where the run ended before there was anything to compare with.
    fn is_flat(&self) -> Option<bool> {
        Some(self.memory_end?.saturating_sub(self.memory_early?.0) <= GROWTH_MAX)
    }

    /// No fault of the menu blames an event, so that none may be given up.
    pub(crate) fn passes(&self) -> bool {
        (self.missing, self.dead) == (0, 0)
            && self.balances()
            && self.refusal.is_none()
            && self.is_flat() != Some(false)
    }

    fn rate(&self) -> u64 {
        let millis = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        self.offered.saturating_mul(1000) / millis.max(1)
    }

    pub(crate) fn to_json(&self) -> Value {
        let ledger = &self.report.ledger;
        let faults = self.faults.iter().map(|(name, spell)| {
            json!({
                "fault": name,
                "times": spell.times,
                "seconds": spell.lasted.as_secs_f64(),
                "requests": spell.requests,
                "requests_failed": spell.requests_failed,
            })
        });
        json!({
            "seed": self.seed,
            "events": self.events,
            "offered": self.offered,
            "refusal": self.refusal,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "events_per_second": self.rate(),
            "faults": faults.collect::<Vec<_>>(),
            "accepted": ledger.accepted,
            "delivered": ledger.delivered,
            "dead_lettered": ledger.dead_lettered,
            "lost": ledger.lost,
            "in_flight": ledger.in_flight,
            "refused": ledger.refused,
            "balances": self.balances(),
            "receiver": {
                "unique": self.received.unique,
                "duplicated": self.received.duplicated,
                "missing": self.missing,
                "unindexed": self.received.unindexed,
                "requests": self.received.requests,
                "requests_failed": self.received.requests_failed,
            },
            "dead_letter_ids": self.dead,
            "dead_letter_causes": self.dead_causes,
            "peak_rss_bytes": {
                "early": self.memory_early.map(|(bytes, _)| bytes),
                "early_delivered": self.memory_early.map(|(_, delivered)| delivered),
                "at_end": self.memory_end,
            },
            "memory_flat": self.is_flat(),
            "passes": self.passes(),
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("seed {}\n\n", self.seed);
        self.faults_to(&mut text);
        self.books_to(&mut text);
        for (cause, records) in &self.dead_causes {
            line(&mut text, &format!("  in the dead letter for {cause}: {}", count(*records)));
        }
        self.memory_to(&mut text);
        let seconds = self.elapsed.as_secs_f64();
        line(&mut text, &format!("  {} events a second, in {seconds:.1} s\n", count(self.rate())));
        if let Some(refusal) = &self.refusal {
            line(&mut text, &format!("STOPPED EARLY: {refusal}"));
        }
        let balance = if self.balances() { "The books balance." } else { "THE BOOKS DO NOT BALANCE." };
        let missing = match self.missing {
            0 => "Nothing is missing.".to_owned(),
            1 => "ONE EVENT IS MISSING.".to_owned(),
            missing => format!("{} EVENTS ARE MISSING.", count(missing)),
        };
        line(&mut text, &format!("{} {missing} {balance}", self.report));
        text
    }

    fn faults_to(&self, text: &mut String) {
        line(text, &format!("  {:<22}{:>7}{:>10}{:>12}{:>12}", "fault", "times", "seconds", "requests", "failed"));
        for (name, Spell { times, lasted, requests, requests_failed }) in &self.faults {
            let (seconds, requests, failed) = (lasted.as_secs_f64(), count(*requests), count(*requests_failed));
            line(text, &format!("  {name:<22}{times:>7}{seconds:>10.1}{requests:>12}{failed:>12}"));
        }
    }

    fn memory_to(&self, text: &mut String) {
        let early = self.memory_early.map_or_else(
            || "unknown early".to_owned(),
            |(bytes, delivered)| format!("{} after {} events", megabytes(bytes), count(delivered)),
        );
        let end = self.memory_end.map_or_else(|| "unknown".to_owned(), megabytes);
        let flat = match self.is_flat() {
            Some(true) => "flat",
            Some(false) => "NOT FLAT",
            None => "nothing to compare",
        };
        line(text, &format!("\n  peak memory {early}, {end} at the end: {flat}"));
    }

    fn books_to(&self, text: &mut String) {
        let ledger = &self.report.ledger;
        let left = [
            ("accepted", ledger.accepted),
            ("delivered", ledger.delivered),
            ("dead-lettered", ledger.dead_lettered),
            ("lost", ledger.lost_total()),
            ("in flight", ledger.in_flight),
        ];
        let right = [
            ("unique", self.received.unique),
            ("duplicated", self.received.duplicated),
            ("missing", self.missing),
            ("dead letter", self.dead),
            ("offered", self.offered),
        ];
        line(text, &format!("\n  {:<34}receiver and dead letter, by event id", "ledger"));
        for ((name, value), (other, second)) in left.into_iter().zip(right) {
            line(text, &format!("    {name:<14}{:>15}   {other:<14}{:>15}", count(value), count(second)));
        }
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a String does not fail.
    let written = writeln!(text, "{line}");
    debug_assert!(written.is_ok());
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
