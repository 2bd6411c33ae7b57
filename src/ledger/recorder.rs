//! A recorder of latencies: an HDR histogram since the start, and what came in the last minute.
//!
//! It belongs to one thread, which locks it once a batch; who looks merges those of all threads, off the path. A latency
//! is recorded once, into the window of its time; a window that is over is added to the rest.

use hdrhistogram::Histogram;

/// The longest latency that is told apart: an hour. Longer ones count as an hour.
const NANOS_MAX: u64 = 3_600_000_000_000;
/// Two digits: 1 % of the value, in 37 KB for a histogram.
const DIGITS: u8 = 2;
/// How long a window lasts.
const WINDOW_NANOS: u64 = 10_000_000_000;
/// The present window and the six before it: what is called the last minute is that, and up to ten seconds more.
const WINDOWS: usize = 7;

/// An empty histogram of nanoseconds; none should it not be made.
pub(super) fn histogram() -> Option<Histogram<u64>> {
    // The bounds are constants that the crate accepts: a test holds them to it.
    Histogram::new_with_bounds(1, NANOS_MAX, DIGITS).ok()
}

/// Adds one histogram to another, both of [`histogram`].
pub(super) fn merge(into: &mut Option<Histogram<u64>>, from: Option<&Histogram<u64>>) {
    if let (Some(into), Some(from)) = (into.as_mut(), from) {
        // Both have the same bounds, so that adding cannot fail.
        let added = into.add(from);
        debug_assert!(added.is_ok());
    }
}

/// Latencies of one kind and one thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// All windows that are over.
    over: Option<Histogram<u64>>,
    /// A window stands at the place of its number, and stays until that place is needed.
    windows: [Window; WINDOWS],
    /// The present window's number: how many such times fit between the clock's beginning and now.
    number: u64,
}

#[derive(Debug, Default)]
struct Window {
    number: u64,
    /// Made when it is needed: most recorders of a quiet pipeline never fill all.
    histogram: Option<Histogram<u64>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { over: histogram(), windows: Default::default(), number: 0 }
    }

    /// Records these, all of which ended at `now` in monotonic nanoseconds.
    pub(crate) fn record(&mut self, now: u64, latencies: impl Iterator<Item = u64>) {
        let Some(histogram) = self.present(now) else { return };
        // The events of a batch took almost the same time: those that the histogram does not tell apart are added together.
        let mut alike = 0..0;
        let mut times = 0;
        for nanos in latencies {
            let nanos = nanos.clamp(1, NANOS_MAX);
            if !alike.contains(&nanos) {
                histogram.saturating_record_n(alike.start, times);
                alike = histogram.lowest_equivalent(nanos)..histogram.next_non_equivalent(nanos);
                times = 0;
            }
            times += 1;
        }
        histogram.saturating_record_n(alike.start, times);
    }

    /// The window of this moment. A moment before the present window counts as in it: threads read the clock each for
    /// itself.
    fn present(&mut self, now: u64) -> Option<&mut Histogram<u64>> {
        let number = (now / WINDOW_NANOS).max(self.number);
        if number > self.number {
            let ended = self.windows.get(place(self.number)).and_then(|window| window.histogram.as_ref());
            merge(&mut self.over, ended);
            self.number = number;
            if let Some(window) = self.windows.get_mut(place(number)) {
                window.number = number;
                window.histogram.as_mut().map(Histogram::reset);
            }
        }
        let window = self.windows.get_mut(place(number))?;
        if window.histogram.is_none() {
            window.histogram = histogram();
        }
        window.histogram.as_mut()
    }

    /// Adds all that was recorded.
    pub(super) fn add_all(&self, into: &mut Option<Histogram<u64>>) {
        merge(into, self.over.as_ref());
        merge(into, self.windows.get(place(self.number)).and_then(|window| window.histogram.as_ref()));
    }

    /// Adds what was recorded in the last minute before `now`.
    pub(super) fn add_last_minute(&self, now: u64, into: &mut Option<Histogram<u64>>) {
        let oldest = (now / WINDOW_NANOS).saturating_sub(WINDOWS as u64 - 1);
        for window in self.windows.iter().filter(|window| window.number >= oldest) {
            merge(into, window.histogram.as_ref());
        }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % WINDOWS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn all(recorder: &Recorder) -> (u64, u64) {
        let mut all = histogram();
        recorder.add_all(&mut all);
        let all = all.unwrap();
        (all.len(), all.max() / SECOND)
    }

    fn last_minute(recorder: &Recorder, now: u64) -> u64 {
        let mut minute = histogram();
        recorder.add_last_minute(now, &mut minute);
        minute.unwrap().len()
    }

    #[test]
    fn all_of_it_is_kept_and_the_last_minute_passes() {
        let mut recorder = Recorder::new();
        for second in 0..200 {
            recorder.record(second * SECOND, [SECOND, 2 * SECOND].into_iter());
            let (recorded, _) = all(&recorder);
            assert_eq!(recorded, 2 * (second + 1), "at {second} s");
            let minute = last_minute(&recorder, second * SECOND);
            let expected = 2 * (second + 1).min(61 + second % 10);
            assert_eq!(minute, expected, "at {second} s");
        }
        assert_eq!(last_minute(&recorder, 259 * SECOND), 20);
        assert_eq!(last_minute(&recorder, 260 * SECOND), 0);
        assert_eq!(last_minute(&recorder, 2_000 * SECOND), 0);
        assert_eq!(all(&recorder).0, 400);
        // After a rest of any length, and by a clock that was read a moment before.
        recorder.record(2_000 * SECOND, [SECOND].into_iter());
        recorder.record(1_995 * SECOND, [SECOND].into_iter());
        assert_eq!((last_minute(&recorder, 2_000 * SECOND), all(&recorder).0), (2, 402));
    }

    #[test]
    fn latencies_that_are_added_together_are_those_that_were_recorded() {
        let latencies: Vec<u64> = (0..5_000).map(|index| 1_000_000 + index * 331 % 90_000 + index / 1_000).collect();
        let (mut recorder, mut one_by_one) = (Recorder::new(), histogram().unwrap());
        recorder.record(0, latencies.iter().copied());
        for nanos in &latencies {
            one_by_one.record(*nanos).unwrap();
        }
        recorder.record(0, std::iter::empty());
        let mut together = histogram();
        recorder.add_all(&mut together);
        assert_eq!(together.unwrap(), one_by_one);
    }

    #[test]
    fn a_latency_beyond_the_bounds_counts_as_the_longest() {
        let mut recorder = Recorder::new();
        recorder.record(0, [u64::MAX, 0].into_iter());
        let (recorded, max) = all(&recorder);
        assert!(recorded == 2 && (3_600..3_700).contains(&max), "{recorded} {max}");
    }
}
