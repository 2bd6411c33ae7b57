//! What was seen in the last minute: rates are differences.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cli::figures::rate;
use crate::cli::watched::{Observed, Partition, Pipeline};

/// As many looks as there are seconds in what is drawn.
const LOOKS_MAX: usize = 60;

#[derive(Debug, Default)]
pub(super) struct History {
    /// When it was looked, and what was seen; the newest last.
    looks: VecDeque<(Duration, Observed)>,
    /// Delivered in a second by all pipelines, between each two looks.
    delivered: VecDeque<u64>,
    /// Why nothing is seen now, and since when.
    unseen: Option<(String, Duration)>,
    now: Duration,
}

impl History {
    /// Adds a look at this moment.
    pub(super) fn add(&mut self, now: Duration, look: Result<Observed, String>) {
        self.now = now;
        let observed = match look {
            Ok(observed) => observed,
            Err(why) => {
                let since = self.unseen.as_ref().map_or(now, |(_, since)| *since);
                self.unseen = Some((why, since));
                return;
            }
        };
        self.unseen = None;
        self.looks.push_back((now, observed));
        if self.looks.len() > 1 {
            let sum = self.latest().iter().filter_map(|pipeline| self.rate(pipeline, |one| one.delivered)).sum();
            self.delivered.push_back(sum);
        }
        while self.looks.len() > LOOKS_MAX {
            self.looks.pop_front();
        }
        while self.delivered.len() > LOOKS_MAX {
            self.delivered.pop_front();
        }
    }

    pub(super) fn latest(&self) -> &[Pipeline] {
        self.looks.back().map_or(&[], |(_, observed)| &observed.pipelines)
    }

    pub(super) fn partitions(&self) -> &[Partition] {
        self.looks.back().map_or(&[], |(_, observed)| &observed.partitions)
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.looks.back().and_then(|(_, observed)| observed.version.as_deref())
    }

    /// Why nothing is seen now, and for how long.
    pub(super) fn unseen(&self) -> Option<(&str, Duration)> {
        self.unseen.as_ref().map(|(why, since)| (why.as_str(), self.now.saturating_sub(*since)))
    }

    pub(super) fn delivered(&self) -> Vec<u64> {
        self.delivered.iter().copied().collect()
    }

    /// How many a second of what `counter` reads, since the look before; `None` at the first one, and where the program
    /// was started anew in between.
    pub(super) fn rate(&self, pipeline: &Pipeline, counter: fn(&Pipeline) -> u64) -> Option<u64> {
        let mut looks = self.looks.iter().rev();
        let ((now, _), (before, observed)) = (looks.next()?, looks.next()?);
        let earlier = observed.pipelines.iter().find(|earlier| earlier.name == pipeline.name)?;
        Some(rate(counter(pipeline).checked_sub(counter(earlier))?, now.saturating_sub(*before)))
    }
}
