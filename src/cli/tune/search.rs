//! The search: from the configuration's own setting one key at a time, as long as a step pays; then each changed key is put
//! back, to see whether it was needed; then what is left is compared with the configuration, in turns.
//!
//! Coordinate descent along the ladders, and backward elimination. It knows no clock and runs no load: both are behind
//! [`Measure`], so that a test can search a landscape that it knows.

use super::ladder::{Change, Direction, Knob, Ladders, Setting};
use super::measured::{Figures, Tried};
use super::noise::{Comparison, REPEATS_MIN, Repeats};
use super::target::Target;
use crate::cli::failure::Failure;

/// How often the configuration is measured before anything else: how far these are apart is what a step must exceed.
const BASE_REPEATS: usize = 3;
/// What a step must bring at least. It is measured once, and what it brings is confirmed later.
const STEP_MIN: f64 = 0.05;
/// Noise above this would hide everything; the comparison at the end tells.
const STEP_MAX: f64 = 0.25;
/// As often the configuration and the best setting are measured in turns at the end, where there is time.
const ROUNDS_MAX: usize = 5;

/// How far the work is: each stage has a share of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Search,
    Weed,
    Confirm,
}

/// What measures a setting.
pub(super) trait Measure {
    /// One trial; `None` once the stage's time is over.
    fn measure(&mut self, setting: &Setting, stage: Stage) -> Result<Option<Figures>, Failure>;

    /// Whether this setting may be tried at all.
    fn allows(&self, setting: &Setting) -> bool;
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) base: Setting,
    /// What is recommended: the configuration's own setting, unless another one is better for certain.
    pub(super) best: Setting,
    /// What the search had found, when it was compared with the configuration.
    pub(super) candidate: Setting,
    pub(super) tried: Vec<Tried>,
    pub(super) verdict: Verdict,
    /// What each changed key of the candidate brings: the figures without it, where that was measured.
    pub(super) without: Without,
}

/// Changed keys, each with what was measured without it.
pub(super) type Without = Vec<(Change, Option<Figures>)>;

/// How the candidate compares with the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// There is none: no step paid.
    Nothing,
    /// None was searched for: a curve was drawn.
    Curve(Knob),
    Compared(Comparison),
}

/// Searches from `base`; keys in `kept` stay.
pub(super) fn find(
    measure: &mut impl Measure,
    target: Target,
    ladders: &Ladders,
    base: &Setting,
    kept: &[Knob],
) -> Result<Found, Failure> {
    let mut search = Search { measure, target, ladders, base, kept, tried: Vec::new() };
    let step = search.measure_base()?;
    let found = search.descend(step)?;
    let (candidate, without) = search.weed(found)?;
    let verdict = search.confirm(&candidate)?;
    let is_better = matches!(verdict, Verdict::Compared(Comparison::Better(_)));
    let best = if is_better { candidate.clone() } else { base.clone() };
    Ok(Found { base: base.clone(), best, candidate, tried: search.tried, verdict, without })
}

/// Measures every value of one key, in turns, as often as there is time.
pub(super) fn curve(
    measure: &mut impl Measure,
    target: Target,
    ladders: &Ladders,
    base: &Setting,
    knob: Knob,
) -> Result<Found, Failure> {
    let mut search = Search { measure, target, ladders, base, kept: &[], tried: Vec::new() };
    let mut settings = ladders.all(base, knob);
    settings.retain(|setting| search.measure.allows(setting));
    'rounds: for _ in 0..ROUNDS_MAX {
        for setting in &settings {
            if search.take(setting, Stage::Confirm)?.is_none() {
                break 'rounds;
            }
        }
    }
    let (base, tried) = (base.clone(), search.tried);
    let (best, candidate) = (base.clone(), base.clone());
    Ok(Found { base, best, candidate, tried, verdict: Verdict::Curve(knob), without: Vec::new() })
}

struct Search<'a, M> {
    measure: &'a mut M,
    target: Target,
    ladders: &'a Ladders,
    base: &'a Setting,
    kept: &'a [Knob],
    tried: Vec<Tried>,
}

impl<M: Measure> Search<'_, M> {
    /// Measures the configuration, and returns what a step must bring to be more than noise.
    fn measure_base(&mut self) -> Result<f64, Failure> {
        // Once at any rate: without it there is nothing to compare with.
        for stage in std::iter::once(Stage::Confirm).chain([Stage::Search; BASE_REPEATS - 1]) {
            if self.take(&self.base.clone(), stage)?.is_none() {
                break;
            }
        }
        let within = Repeats::of(&self.worths(self.base)).within;
        Ok((2.0 * within).clamp(STEP_MIN, STEP_MAX))
    }

    /// Steps along each ladder in turn, as long as that pays, until a round over all of them brings nothing.
    fn descend(&mut self, step: f64) -> Result<Setting, Failure> {
        let Some(base) = self.figures(self.base) else { return Ok(self.base.clone()) };
        let (mut at, mut worth) = (self.base.clone(), self.target.worth(&base));
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for (knob, first) in self.target.order() {
                if self.kept.contains(knob) {
                    continue;
                }
                for direction in [*first, first.reversed()] {
                    let Some((climbed, found)) = self.climb(&at, worth, (*knob, direction), step)? else {
                        return Ok(at);
                    };
                    if climbed != at {
                        // Where it came from was worse: the other way is not tried.
                        (at, worth, moved) = (climbed, found, true);
                        break;
                    }
                }
            }
        }
        Ok(at)
    }

    /// Climbs one ladder one way, as long as each step brings so much. `None` once time is over with nothing gained.
    fn climb(
        &mut self,
        from: &Setting,
        worth: f64,
        (knob, direction): (Knob, Direction),
        step: f64,
    ) -> Result<Option<(Setting, f64)>, Failure> {
        let (mut best, mut worth, mut at, mut patience) = (from.clone(), worth, from.clone(), knob.patience());
        while let Some(next) = self.ladders.step(&at, knob, direction) {
            if !self.measure.allows(&next) {
                break;
            }
            let Some(figures) = self.once(&next)? else {
                return Ok(Some((best, worth)).filter(|(best, _)| best != from));
            };
            let found = self.target.worth(&figures);
            if self.admits(&figures) && found > worth * (1.0 + step) {
                (best, worth, patience) = (next.clone(), found, knob.patience());
            } else if patience == 0 {
                break;
            } else {
                patience -= 1;
            }
            at = next;
        }
        Ok(Some((best, worth)))
    }

    /// Puts each changed key back, the least important first. What is no worse without it does without it.
    fn weed(&mut self, found: Setting) -> Result<(Setting, Without), Failure> {
        let (mut at, mut measured) = (found, Vec::new());
        let importance = |change: &Change| self.target.order().iter().position(|(knob, _)| *knob == change.knob);
        let mut changes = at.changes(self.base);
        changes.sort_by_key(|change| std::cmp::Reverse(importance(change)));
        for change in changes {
            let without = at.with(change.knob, change.before);
            // Of the only change that is left the comparison at the end tells.
            if without != *self.base {
                if !self.repeat(&without, &at)? {
                    break;
                }
                match (self.compare(&at, &without), self.figures(&without)) {
                    (Comparison::Better(_), figures) => measured.push((change.knob, figures)),
                    // What the setting without it does not do, such as taking every event, the key brings.
                    (_, Some(figures)) if !self.admits(&figures) => measured.push((change.knob, Some(figures))),
                    _ => {
                        at = without;
                        continue;
                    }
                }
            }
            let Some(nearer) = self.step_back(&at, change)? else { break };
            at = nearer;
        }
        let mut changes: Vec<_> = at.changes(self.base).into_iter().map(|change| (change, None)).collect();
        for (change, figures) in &mut changes {
            *figures = measured.iter().find(|(knob, _)| *knob == change.knob).and_then(|(_, figures)| *figures);
        }
        Ok((at, changes))
    }

    /// Goes back towards the configuration's value as long as that costs nothing: what a step brought once may have been
    /// luck, and fewer threads and less memory are worth as much. `None` once time is over.
    fn step_back(&mut self, from: &Setting, change: Change) -> Result<Option<Setting>, Failure> {
        let back = if change.now > change.before { Direction::Down } else { Direction::Up };
        let mut at = from.clone();
        while let Some(nearer) = self.ladders.step(&at, change.knob, back) {
            if nearer.get(change.knob) == Some(change.before) {
                break;
            }
            if !self.repeat(&nearer, &at)? {
                return Ok(None);
            }
            let is_worse = matches!(self.compare(&at, &nearer), Comparison::Better(_));
            if is_worse || self.figures(&nearer).is_none_or(|figures| !self.admits(&figures)) {
                break;
            }
            at = nearer;
        }
        Ok(Some(at))
    }

    fn compare(&self, one: &Setting, other: &Setting) -> Comparison {
        Repeats::of(&self.worths(one)).compared_to(Repeats::of(&self.worths(other)))
    }

    /// Both settings until each was measured so often that noise can be told; false once time is over.
    fn repeat(&mut self, one: &Setting, other: &Setting) -> Result<bool, Failure> {
        for _ in 0..REPEATS_MIN {
            for setting in [one, other] {
                if self.worths(setting).len() <= REPEATS_MIN && self.take(setting, Stage::Weed)?.is_none() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Compares by repeats that are taken in turns, so that both see the same weather.
    fn confirm(&mut self, candidate: &Setting) -> Result<Verdict, Failure> {
        if candidate == self.base {
            return Ok(Verdict::Nothing);
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS_MAX {
            let Some(base) = self.take(&self.base.clone(), Stage::Confirm)? else { break };
            let Some(figures) = self.take(candidate, Stage::Confirm)? else { break };
            theirs.push(base);
            ours.push(figures);
        }
        if !ours.is_empty() && !Target::admits(&Figures::median(&ours), &Figures::median(&theirs)) {
            return Ok(Verdict::Nothing);
        }
        let repeats = |all: &[Figures]| Repeats::of(&all.iter().map(|one| self.target.worth(one)).collect::<Vec<_>>());
        Ok(Verdict::Compared(repeats(&ours).compared_to(repeats(&theirs))))
    }

    fn admits(&self, figures: &Figures) -> bool {
        self.figures(self.base).is_some_and(|base| Target::admits(figures, &base))
    }

    /// What is known of a setting, measured where nothing is.
    fn once(&mut self, setting: &Setting) -> Result<Option<Figures>, Failure> {
        match self.figures(setting) {
            Some(figures) => Ok(Some(figures)),
            None => self.take(setting, Stage::Search),
        }
    }

    fn take(&mut self, setting: &Setting, stage: Stage) -> Result<Option<Figures>, Failure> {
        let Some(figures) = self.measure.measure(setting, stage)? else { return Ok(None) };
        match self.tried.iter_mut().find(|tried| tried.setting == *setting) {
            Some(tried) => tried.repeats.push(figures),
            None => self.tried.push(Tried { setting: setting.clone(), repeats: vec![figures] }),
        }
        Ok(Some(figures))
    }

    fn repeats(&self, setting: &Setting) -> &[Figures] {
        self.tried.iter().find(|tried| tried.setting == *setting).map_or(&[], |tried| tried.repeats.as_slice())
    }

    fn figures(&self, setting: &Setting) -> Option<Figures> {
        Some(self.repeats(setting)).filter(|repeats| !repeats.is_empty()).map(Figures::median)
    }

    fn worths(&self, setting: &Setting) -> Vec<f64> {
        self.repeats(setting).iter().map(|figures| self.target.worth(figures)).collect()
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
