//! How much of a sender's time goes into requests, the one under way included.

use parking_lot::Mutex;

/// A sender that is busy all the time is what limits the pipeline.
#[derive(Debug, Default)]
pub(crate) struct Busy(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    nanos: u64,
    /// When the request under way began.
    since: Option<u64>,
}

impl Busy {
    /// A request begins, in monotonic nanoseconds.
    pub(crate) fn begin(&self, now: u64) {
        self.0.lock().since = Some(now);
    }

    /// It has ended, if any had begun.
    pub(crate) fn end(&self, now: u64) {
        let spent = &mut *self.0.lock();
        if let Some(since) = spent.since.take() {
            spent.nanos = spent.nanos.saturating_add(now.saturating_sub(since));
        }
    }

    /// How long it was busy until now.
    pub(super) fn nanos(&self, now: u64) -> u64 {
        let spent = self.0.lock();
        spent.nanos.saturating_add(spent.since.map_or(0, |since| now.saturating_sub(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_while_it_lasts_and_once_it_has_ended() {
        let busy = Busy::default();
        busy.end(5);
        assert_eq!(busy.nanos(5), 0);
        busy.begin(10);
        assert_eq!(busy.nanos(17), 7);
        busy.end(20);
        busy.end(30);
        assert_eq!(busy.nanos(40), 10);
        busy.begin(100);
        assert_eq!(busy.nanos(101), 11);
    }
}
