//! How a membership stands: whether a broker answers, and whether the group has us. librdkafka's statistics say it, every five
//! seconds.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::Statistics;

use crate::siem::Health;

/// A member whose group settles anew is well for so long, as it mostly is a matter of seconds.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// How it stands.
#[derive(Debug)]
pub(super) struct Standing(Mutex<State>);

#[derive(Debug)]
struct State {
    was_member: bool,
    /// What is missing, and since when; `None` where nothing is.
    missing: Option<(Missing, Instant)>,
    /// The last thing that went wrong.
    said: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Broker,
    Coordinator,
    Member,
}

impl Default for Standing {
    fn default() -> Self {
        let missing = Some((Missing::Member, Instant::now()));
        Self(Mutex::new(State { was_member: false, missing, said: None }))
    }
}

impl Standing {
    pub(super) fn told(&self, statistics: &Statistics) {
        let is_there = statistics.brokers.values().any(|broker| broker.state == "UP");
        let group = statistics.cgrp.as_ref();
        let missing = if !is_there {
            Some(Missing::Broker)
        } else if group.is_none_or(|group| group.state != "up") {
            Some(Missing::Coordinator)
        } else if group.is_none_or(|group| group.join_state != "steady") {
            Some(Missing::Member)
        } else {
            None
        };
        self.is_missing(missing, Instant::now());
    }

    fn is_missing(&self, missing: Option<Missing>, now: Instant) {
        let state = &mut *self.0.lock();
        match missing {
            None => (state.was_member, state.missing, state.said) = (true, None, None),
            Some(what) => {
                let since = state.missing.map_or(now, |(_, since)| since);
                state.missing = Some((what, since));
            }
        }
    }

    /// Something went wrong with a broker; it is the reason if it lasts.
    pub(super) fn said(&self, words: &str) {
        self.0.lock().said = Some(words.to_owned());
    }

    /// Healthy as a member, and while the group settles anew.
    pub(super) fn health(&self, now: Instant) -> Health {
        let State { was_member, missing, said } = &*self.0.lock();
        let Some((missing, since)) = *missing else { return Health::healthy() };
        let lasts = now.saturating_duration_since(since);
        if missing == Missing::Member && *was_member && lasts < SETTLE_MAX {
            return Health::healthy();
        }
        let what = match missing {
            Missing::Broker => "no broker answers",
            Missing::Coordinator => "no broker coordinates the group",
            Missing::Member => "the group has not been joined yet",
        };
        let words = said.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
        Health::unhealthy(format!("{what}, for {} s{words}", lasts.as_secs()))
    }

    /// What is missing for so long that somebody should look at it.
    pub(super) fn complaint(&self, now: Instant) -> Option<String> {
        let since = self.0.lock().missing.map(|(_, since)| since)?;
        let lasts = now.saturating_duration_since(since) >= SETTLE_MAX;
        lasts.then(|| self.health(now).error_message).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_well_while_its_group_settles_anew_and_one_that_never_was_is_not() {
        let standing = Standing::default();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let reason = |seconds| standing.health(after(seconds)).error_message;
        assert_eq!(reason(4).unwrap(), "the group has not been joined yet, for 4 s");
        assert_eq!(standing.complaint(after(29)), None);
        standing.is_missing(Some(Missing::Broker), after(5));
        standing.said("Connection refused");
        let told = "no broker answers, for 31 s: Connection refused";
        assert_eq!((reason(31).as_deref(), standing.complaint(after(31)).as_deref()), (Some(told), Some(told)));
        standing.is_missing(None, after(32));
        assert!(standing.health(after(32)).healthy && standing.complaint(after(90)).is_none());
        standing.is_missing(Some(Missing::Member), after(40));
        standing.is_missing(Some(Missing::Member), after(60));
        assert!(standing.health(after(69)).healthy, "settling");
        assert_eq!(reason(71).unwrap(), "the group has not been joined yet, for 31 s");
        standing.is_missing(None, after(72));
        standing.is_missing(Some(Missing::Broker), after(73));
        assert_eq!(reason(73).unwrap(), "no broker answers, for 0 s", "what was said before is over");
    }
}
