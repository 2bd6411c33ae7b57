//! What the SIEM is made to do: other faults each second, chosen by the seed, and a record of which, how often, for how
//! long, and how many requests failed meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use siem_forward::receiver::{Counts, Fault, FaultError, Receiver};

use crate::dice::Dice;

/// Faults after which nothing is to be lost. None of them blames an event, so what lies in the dead letter afterwards was
/// taken for guilty without being so: that is told by cause.
const OF_EVENTS: &[&str] = &[
    "503",
    "503:event=7",
    "503:taken",
    "500",
    "500:taken",
    "502",
    "502:taken",
    "504:taken",
    "429:retry_after=none",
    "401",
    "403",
    "413:bytes=100000",
    "200:code=24",
    "delay:ms=50",
    "drip:ms=1",
    "drip:ms=20",
    "reset_before",
    "reset",
    "reset_after",
    "garbage",
    "garbage:body",
    "hang",
    "hang:taken",
    "close",
];
/// The same of acknowledgements, where they are asked for.
const OF_ACKS: &[&str] = &[
    "ack_400",
    "ack_404",
    "ack_503",
    "ack_503:taken",
    "ack_garbage",
    "ack_garbage:body",
    "ack_hang",
    "ack_hang:taken",
    "ack_reset",
    "ack_reset_after",
    "ack_never",
    "restart",
];
/// Last, since they hold back whoever would meet the next one.
const OF_PATIENCE: &[&str] = &["503:retry_after=1", "429:retry_after=1"];
/// What is in force before anything else: whatever can fill has filled when it passes.
const FIRST: &str = "hang";
/// How long each fault of the menu is shown at least after that, before the dice choose: memory that a fault needs once is not to
/// be mistaken for memory that is lost.
const SHOWN: Duration = Duration::from_millis(200);
const CHOSEN: Duration = Duration::from_secs(1);
const CALM: &str = "none";

/// What one fault has done.
#[derive(Debug, Default)]
pub(crate) struct Spell {
    pub(crate) times: u64,
    pub(crate) lasted: Duration,
    pub(crate) requests: u64,
    pub(crate) requests_failed: u64,
}

/// The faults in force, and those that were.
#[derive(Debug)]
pub(crate) struct Weather<'r> {
    receiver: &'r Receiver,
    dice: Dice,
    menu: Vec<&'static str>,
    /// How many of the menu were shown.
    shown: usize,
    now: Vec<&'static str>,
    since: Instant,
    /// At that time.
    counts: Counts,
    pub(crate) past: BTreeMap<&'static str, Spell>,
}

impl<'r> Weather<'r> {
    /// With the faults of acknowledgements where the receiver gives them.
    pub(crate) fn begin(receiver: &'r Receiver, seed: u64, acknowledges: bool) -> Result<Self, FaultError> {
        let dice = Dice::new(seed);
        let of_acks = if acknowledges { OF_ACKS } else { &[] };
        let menu = [OF_EVENTS, of_acks, OF_PATIENCE].concat();
        receiver.set_faults(vec![FIRST.parse()?]);
        let (now, since, counts, past) = (vec![FIRST], Instant::now(), receiver.counts(), BTreeMap::new());
        Ok(Self { receiver, dice, menu, shown: 0, now, since, counts, past })
    }

    /// Whether it has lasted for its time: one of the menu, until a request has met it, if any comes.
    pub(crate) fn is_over(&self) -> bool {
        let lasted = self.since.elapsed();
        let is_of_menu = self.shown > 0 && !self.is_menu_shown();
        // Every second request is hit.
        let is_met = || self.receiver.counts().requests >= self.counts.requests + 2;
        lasted >= CHOSEN || (is_of_menu && lasted >= SHOWN && is_met())
    }

    /// Whether every fault was in force at least once.
    pub(crate) fn is_menu_shown(&self) -> bool {
        self.shown == self.menu.len()
    }

    /// The menu in its order; from then on none, one, or two faults, each for all requests or for some.
    pub(crate) fn change(&mut self) -> Result<(), FaultError> {
        if let Some(&name) = self.menu.get(self.shown) {
            self.shown += 1;
            let sign = if name.contains(':') { ',' } else { ':' };
            let fault = format!("{name}{sign}every=2").parse()?;
            self.set(vec![name], vec![fault]);
            return Ok(());
        }
        let count = match self.dice.below(8) {
            0 => 0,
            1..6 => 1,
            _ => 2,
        };
        let mut names = Vec::new();
        let mut faults = Vec::new();
        for _ in 0..count {
            let name = self.dice.pick(&self.menu);
            let sign = if name.contains(':') { ',' } else { ':' };
            let which = match self.dice.below(3) {
                0 => String::new(),
                1 => format!("{sign}every={}", 2 + self.dice.below(9)),
                _ => format!("{sign}share=0.{:02}", 1 + self.dice.below(60)),
            };
            names.push(name);
            faults.push(format!("{name}{which}").parse()?);
        }
        self.set(names, faults);
        Ok(())
    }

    pub(crate) fn calm(&mut self) {
        if !self.now.is_empty() {
            self.set(Vec::new(), Vec::new());
        }
    }

    /// What is in force, in words.
    pub(crate) fn describe(&self) -> String {
        in_words(&self.now).join(" and ")
    }

    /// Enters what is in force as past.
    pub(crate) fn end(&mut self) {
        let (lasted, counts) = (self.since.elapsed(), self.receiver.counts());
        for name in in_words(&self.now) {
            let spell = self.past.entry(name).or_default();
            spell.times += 1;
            spell.lasted += lasted;
            spell.requests += counts.requests - self.counts.requests;
            spell.requests_failed += counts.requests_failed - self.counts.requests_failed;
        }
        (self.since, self.counts) = (Instant::now(), counts);
    }

    fn set(&mut self, names: Vec<&'static str>, faults: Vec<Fault>) {
        self.receiver.set_faults(faults);
        self.end();
        self.now = names;
    }
}

fn in_words<'n>(names: &'n [&'static str]) -> &'n [&'static str] {
    if names.is_empty() { &[CALM] } else { names }
}
