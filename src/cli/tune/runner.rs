//! Runs trials within the time that there is.

use std::time::{Duration, Instant};

use super::bench::Bench;
use super::ladder::{Knob, Ladders, Setting};
use super::measured::{Figures, Tried};
use super::memory::memory_max;
use super::search::{Found, Measure, Stage, curve, find};
use super::target::Target;
use crate::cli::failure::Failure;
use crate::cli::figures::duration;
use crate::cli::progress::Progress;

/// So many trials fit: those of a search over all keys, of putting each back, and five rounds of comparing.
const TRIALS: u32 = 46;
const TRIAL_MIN: Duration = Duration::from_millis(300);
/// Longer ones would only measure the same again.
const TRIAL_MAX: Duration = Duration::from_secs(5);
/// What a trial takes besides: starting and ending its threads.
const AROUND: Duration = Duration::from_millis(50);
/// The load at which latency is measured, as a part of what the configuration carries.
const LOAD: f64 = 0.1;

pub(super) struct Runner<'a> {
    bench: Bench<'a>,
    target: Target,
    begun: Instant,
    time: Duration,
    /// How long one trial is.
    trial: Duration,
    /// How long the last one took, with all around it.
    took: Duration,
    trials: u64,
    memory_max: Option<u64>,
    /// Until the search is over.
    progress: Option<Progress>,
    best: Option<(f64, String)>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(bench: Bench<'a>, target: Target, begun: Instant, time: Duration) -> Self {
        let trial = (time / TRIALS).clamp(TRIAL_MIN, TRIAL_MAX);
        let memory_max = memory_max(bench.memory(bench.base));
        let progress = Some(Progress::of_time(time));
        Self { bench, target, begun, time, trial, took: trial + AROUND, trials: 0, memory_max, progress, best: None }
    }

    /// Searches, comparing all settings at one load; or measures all values of one key.
    pub(super) fn find(&mut self, ladders: &Ladders, kept: &[Knob], of: Option<Knob>) -> Result<Found, Failure> {
        if self.bench.rate == 0 {
            self.bench.rate = self.load()?;
        }
        let base = self.bench.base.clone();
        let target = self.target;
        let found = match of {
            Some(knob) => curve(self, target, ladders, &base, knob),
            None => find(self, target, ladders, &base, kept),
        };
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        let found = found?;
        let own = found.tried.iter().find(|tried| tried.setting == base);
        let figures = own.map(Tried::figures).unwrap_or_default();
        if figures.failed_requests > 0 {
            let words = format!("{} requests failed with the setting of the configuration", figures.failed_requests);
            return Err(Failure::TuneUnmeasured { words });
        }
        if figures.events_per_second <= 0.0 && !self.bench.ended.is_asked() {
            let words = format!("nothing was delivered in trials of {}", duration(self.trial));
            return Err(Failure::TuneUnmeasured { words });
        }
        Ok(found)
    }

    pub(super) fn rate(&self) -> u64 {
        self.bench.rate
    }

    pub(super) fn memory(&self, setting: &Setting) -> Option<u64> {
        self.bench.memory(setting)
    }

    /// A tenth of what the configuration carries, in a round number: two runs have the same load. Of a destination in use
    /// a tenth of what it may be sent.
    fn load(&self) -> Result<u64, Failure> {
        match self.bench.per_second_max() {
            Some(most) => Ok((most / 10).max(1)),
            None => Ok(rounded(self.bench.capacity(self.bench.base, self.trial)? * LOAD)),
        }
    }

    /// Whether a stage's part of the time, or of the events that may be sent, is used up.
    fn is_over(&self, stage: Stage) -> bool {
        let part = match stage {
            Stage::Search => 0.45,
            Stage::Weed => 0.8,
            Stage::Confirm => 1.0,
        };
        let is_late = self.begun.elapsed() + self.took + AROUND > self.time.mul_f64(part);
        is_late || !self.bench.affords(self.trial, part)
    }

    fn show(&mut self, stage: Stage) {
        let doing = match stage {
            Stage::Search => "searching",
            Stage::Weed => "putting keys back",
            Stage::Confirm => "comparing with the configuration",
        };
        let best = self.best.as_ref().map_or(String::new(), |(_, words)| format!(", {words} so far"));
        let note = format!("{doing}, {} trials{best}", self.trials);
        if let Some(progress) = &mut self.progress {
            progress.set_time(self.begun.elapsed(), &note);
        }
    }
}

impl Measure for Runner<'_> {
    fn measure(&mut self, setting: &Setting, stage: Stage) -> Result<Option<Figures>, Failure> {
        let ended = self.bench.ended;
        if ended.is_asked() || self.is_over(stage) {
            return Ok(None);
        }
        self.show(stage);
        let begun = Instant::now();
        let figures = self.bench.trial(setting, self.trial)?;
        self.took = begun.elapsed().max(self.trial + AROUND);
        self.trials += 1;
        if ended.is_asked() {
            // It was cut off.
            return Ok(None);
        }
        let worth = self.target.worth(&figures);
        if figures.failed_requests == 0 && self.best.as_ref().is_none_or(|(best, _)| worth > *best) {
            self.best = Some((worth, self.target.words(&figures)));
        }
        self.show(stage);
        Ok(Some(figures))
    }

    fn allows(&self, setting: &Setting) -> bool {
        match (self.bench.memory(setting), self.memory_max) {
            (Some(memory), Some(most)) => memory <= most,
            (memory, _) => memory.is_some(),
        }
    }
}

/// The largest of 1, 2, 5, 10, 20, … that is not above; 10 at least.
fn rounded(per_second: f64) -> u64 {
    let steps = (1..10).flat_map(|power| [1, 2, 5].map(|step: u64| step * 10_u64.pow(power)));
    #[expect(clippy::cast_precision_loss, reason = "round numbers")]
    steps.take_while(|step| *step as f64 <= per_second).last().unwrap_or(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_round_number() {
        let rates = [0.0, 9.0, 49.9, 50.0, 4_512.0, 71_000.0, 1e18].map(rounded);
        assert_eq!(rates, [10, 10, 20, 50, 2_000, 50_000, 5_000_000_000]);
    }
}
