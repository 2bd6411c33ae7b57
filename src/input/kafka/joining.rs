//! Whether we are joining the group, anew or for the first time: then it takes no commit.
//!
//! A commit that is sent behind our request to join reaches the coordinator once the join is answered, with the generation of
//! before, and is refused: librdkafka then takes all partitions for lost, and what is in flight is delivered twice. Of its calls
//! none says when we join, and with cooperative rebalancing nothing is taken from us before; its log says it, at level debug. That
//! is read where the consumer is polled, so that it is late by as much as is polled late; but a partition that was given up is
//! always followed by a join, and is the sign of it.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the log is to tell; little more than this, the heartbeats and the commits.
pub(super) const LOGGED: &str = "cgrp";
/// The kind of the line about it.
const FACILITY: &str = "CGRPJOINSTATE";

#[derive(Debug, Default)]
pub(super) struct Joining(AtomicBool);

impl Joining {
    /// Takes note of a line of the log.
    pub(super) fn read(&self, facility: &str, message: &str) {
        if facility != FACILITY {
            return;
        }
        // `Group "g" changed join state steady -> wait-join (state up)`
        if let Some((_, state)) = message.rsplit_once(" -> ") {
            // Whoever is called to take partitions, or to give them up, knows the generation.
            let is_joined =
                ["steady", "wait-assign-call", "wait-unassign-call"].iter().any(|joined| state.starts_with(joined));
            self.set(!is_joined);
        }
    }

    /// Partitions were given up.
    pub(super) fn follows(&self) {
        self.set(true);
    }

    fn set(&self, is_joining: bool) {
        // Relaxed, as is the load: whoever waits looks again.
        self.0.store(is_joining, Ordering::Relaxed);
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_being_joined_from_the_request_until_who_reads_what_is_known() {
        let joining = Joining::default();
        assert!(!joining.is_under_way());
        for (state, is_under_way) in [
            ("wait-metadata", true),
            ("wait-join", true),
            ("wait-sync", true),
            ("wait-assign-call", false),
            ("steady", false),
            ("init", true),
            ("wait-unassign-call", false),
            ("wait-incr-unassign-to-complete", true),
            ("steady", false),
        ] {
            let line = format!("[thrd:main]: Group \"of -> wait-join\" changed join state init -> {state} (state up)");
            joining.read(FACILITY, &line);
            for other in ["wait-join (state up)", "steady (state up)"] {
                joining.read("HEARTBEAT", &format!("Group \"g\" -> {other}"));
            }
            assert_eq!(joining.is_under_way(), is_under_way, "{line}");
        }
        joining.follows();
        assert!(joining.is_under_way());
    }
}
