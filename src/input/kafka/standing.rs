//! How a membership stands: whether a broker answers, and whether the group has us. librdkafka's statistics say it every five
//! seconds, as long as we poll.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::Statistics;

use crate::siem::Health;

/// A group settles anew in a matter of seconds, and may take as long as its slowest member gives a partition up.
const SETTLE_MIN: Duration = Duration::from_secs(30);
/// From what lasts so long on somebody is told of it, and who hears nothing for so long is well no more.
const LASTING: Duration = Duration::from_secs(30);

/// How it stands.
#[derive(Debug)]
pub(super) struct Standing {
    state: Mutex<State>,
    settle_max: Duration,
}

#[derive(Debug)]
struct State {
    was_member: bool,
    /// What is missing, and since when; `None` where nothing is.
    missing: Option<(Missing, Instant)>,
    /// When it was told last.
    heard: Instant,
    /// The last thing that went wrong.
    said: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Broker,
    Coordinator,
    Member,
}

impl Standing {
    /// Of a group whose members give a partition up within `give_up_max`.
    pub(super) fn new(give_up_max: Duration) -> Self {
        let now = Instant::now();
        let missing = Some((Missing::Member, now));
        let state = Mutex::new(State { was_member: false, missing, heard: now, said: None });
        Self { state, settle_max: SETTLE_MIN.max(give_up_max + LASTING) }
    }

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
        self.heard(missing, Instant::now());
    }

    fn heard(&self, missing: Option<Missing>, now: Instant) {
        let state = &mut *self.state.lock();
        state.heard = now;
        match missing {
            None => (state.was_member, state.missing, state.said) = (true, None, None),
            Some(what) if state.missing.is_none_or(|(known, _)| known != what) => state.missing = Some((what, now)),
            Some(_) => {}
        }
    }

    /// Something went wrong with a broker; it is the reason if it lasts.
    pub(super) fn said(&self, words: &str) {
        self.state.lock().said = Some(words.to_owned());
    }

    /// Healthy as a member, and while the group settles anew.
    pub(super) fn health(&self, now: Instant) -> Health {
        let State { was_member, missing, heard, said } = &*self.state.lock();
        let since = |then| now.saturating_duration_since(then);
        // While partitions are given up nobody polls.
        if since(*heard) >= self.settle_max {
            return Health::unhealthy(format!("nothing was heard of the brokers for {} s", since(*heard).as_secs()));
        }
        let Some((missing, then)) = *missing else { return Health::healthy() };
        if missing == Missing::Member && *was_member && since(then) < self.settle_max {
            return Health::healthy();
        }
        let what = match missing {
            Missing::Broker => "no broker answers",
            Missing::Coordinator => "no broker coordinates the group",
            Missing::Member if *was_member => "the group does not settle",
            Missing::Member => "the group has not been joined yet",
        };
        let words = said.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
        Health::unhealthy(format!("{what}, for {} s{words}", since(then).as_secs()))
    }

    /// What is missing for so long that somebody should look at it.
    pub(super) fn complaint(&self, now: Instant) -> Option<String> {
        let (_, since) = self.state.lock().missing?;
        let lasts = now.saturating_duration_since(since) >= LASTING;
        lasts.then(|| self.health(now).error_message).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_well_while_its_group_settles_anew_and_one_that_never_was_is_not() {
        let standing = Standing::new(Duration::from_secs(20));
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let reason = |seconds| standing.health(after(seconds)).error_message;
        assert_eq!(reason(4).unwrap(), "the group has not been joined yet, for 4 s");
        assert_eq!(standing.complaint(after(29)), None);
        standing.heard(Some(Missing::Broker), after(5));
        standing.said("Connection refused");
        let told = "no broker answers, for 31 s: Connection refused";
        assert_eq!((reason(36).as_deref(), standing.complaint(after(36)).as_deref()), (Some(told), Some(told)));
        standing.heard(None, after(40));
        assert!(standing.health(after(41)).healthy && standing.complaint(after(80)).is_none());
        standing.heard(Some(Missing::Broker), after(50));
        assert_eq!(reason(50).unwrap(), "no broker answers, for 0 s", "what was said before is over");
        standing.heard(Some(Missing::Member), after(60));
        standing.heard(Some(Missing::Member), after(100));
        assert!(standing.health(after(109)).healthy, "20 s of the slowest member and 30 more: it settles");
        assert_eq!(reason(110).unwrap(), "the group does not settle, for 50 s");
    }

    #[test]
    fn who_hears_nothing_any_more_is_well_no_longer() {
        let standing = Standing::new(Duration::from_secs(20));
        let begun = Instant::now();
        standing.heard(None, begun);
        assert!(standing.health(begun + Duration::from_secs(49)).healthy);
        let health = standing.health(begun + Duration::from_secs(50));
        assert_eq!(health.error_message.unwrap(), "nothing was heard of the brokers for 50 s");
    }
}
