//! Whether we are joining the group, anew or for the first time: then it takes no commit.
//!
//! A commit that is sent behind our request to join reaches the coordinator once the join is answered, with the generation of
//! before, and is refused: librdkafka then takes all partitions for lost, and what is in flight is delivered twice. Of its calls
//! none says when we join, and with cooperative rebalancing nothing is taken from us before; its log says it, at level debug.

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
            let is_joining =
                ["wait-join", "wait-metadata", "wait-sync"].iter().any(|joining| state.starts_with(joining));
            // Relaxed, as is the load: whoever waits looks again.
            self.0.store(is_joining, Ordering::Relaxed);
        }
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
            ("wait-join", true),
            ("wait-unassign-call", false),
        ] {
            let line = format!("[thrd:main]: Group \"of -> wait-join\" changed join state init -> {state} (state up)");
            joining.read("HEARTBEAT", "Group \"g\" -> wait-join");
            joining.read(FACILITY, &line);
            assert_eq!(joining.is_under_way(), is_under_way, "{line}");
        }
    }
}
