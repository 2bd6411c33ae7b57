//! Acknowledgements that are due: what was taken and is not yet indexed, and what is indexed and was not yet asked for.
//!
//! As Splunk does it: numbers count from 0 in each channel; what was told as true is forgotten, and false afterwards, as
//! is all that nobody knows. All is in memory, so that a restart of the indexer loses what waits and begins the numbers
//! at 0 again.
//!
//! Time is an argument. Kept by [`super::books`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A channel that nobody has used for so long is forgotten, as Splunk does it.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Indexed and not asked for, in one channel; beyond that the oldest are forgotten, as Splunk does it.
const UNCLAIMED_MAX: usize = if cfg!(test) { 10_000 } else { 1_000_000 };

/// The ids of one request.
pub(super) type Batch = Box<[u128]>;

/// The line before the index, and the channels behind it.
#[derive(Debug)]
pub(super) struct Acks {
    delay: Duration,
    line: VecDeque<Waiting>,
    channels: HashMap<u128, Channel>,
    /// When channels were last looked through for idle ones.
    swept: Option<Instant>,
}

/// Taken, and not yet indexed.
#[derive(Debug)]
struct Waiting {
    due: Instant,
    /// Channel and number, where an answer promised them.
    ticket: Option<(u128, u64)>,
    ids: Batch,
}

#[derive(Debug)]
struct Channel {
    next: u64,
    used: Instant,
    /// Indexed and not asked for.
    unclaimed: BTreeMap<u64, Batch>,
}

impl Acks {
    /// Everything is indexed so long after it was taken.
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, line: VecDeque::new(), channels: HashMap::new(), swept: None }
    }

    /// Puts a request in the line; with a channel, its number is given.
    pub(super) fn enter(&mut self, channel: Option<u128>, ids: Batch, now: Instant) -> Option<u64> {
        let ticket = channel.map(|channel| {
            let state = self.channels.entry(channel).or_insert_with(|| Channel {
                next: 0,
                used: now,
                unclaimed: BTreeMap::new(),
            });
            state.used = now;
            let number = state.next;
            state.next += 1;
            (channel, number)
        });
        let due = now.checked_add(self.delay);
        // Beyond what a clock can tell: never.
        if let Some(due) = due {
            self.line.push_back(Waiting { due, ticket, ids });
        }
        ticket.map(|(_, number)| number)
    }

    /// Indexes what is due, and hands it to `indexed`.
    pub(super) fn settle(&mut self, now: Instant, mut indexed: impl FnMut(&[u128])) {
        while self.next_due().is_some_and(|due| due <= now)
            && let Some(waiting) = self.line.pop_front()
        {
            indexed(&waiting.ids);
            let channel = waiting.ticket.and_then(|(channel, number)| Some((self.channels.get_mut(&channel)?, number)));
            if let Some((channel, number)) = channel {
                channel.unclaimed.insert(number, waiting.ids);
                if channel.unclaimed.len() > UNCLAIMED_MAX {
                    drop(channel.unclaimed.pop_first());
                }
            }
        }
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) > IDLE_MAX / 10) {
            self.swept = Some(now);
            self.channels.retain(|_, channel| now.saturating_duration_since(channel.used) <= IDLE_MAX);
        }
    }

    /// Takes out what is indexed under this number; `None` where that is not known, for whatever reason.
    pub(super) fn claim(&mut self, channel: u128, number: u64, now: Instant) -> Option<Batch> {
        let channel = self.channels.get_mut(&channel)?;
        channel.used = now;
        channel.unclaimed.remove(&number)
    }

    /// When the next in the line is indexed.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.line.front().map(|waiting| waiting.due)
    }

    /// Forgets everything, and tells how many events with an id were not yet indexed.
    pub(super) fn restart(&mut self) -> u64 {
        self.channels.clear();
        std::mem::take(&mut self.line).iter().map(|waiting| waiting.ids.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn batch(ids: &[u128]) -> Batch {
        ids.into()
    }

    fn settled(acks: &mut Acks, now: Instant) -> Vec<u128> {
        let mut all = Vec::new();
        acks.settle(now, |ids| all.extend_from_slice(ids));
        all
    }

    #[test]
    fn numbers_count_from_zero_in_each_channel() {
        let mut acks = Acks::new(SECOND);
        let now = Instant::now();
        let numbers = [7, 7, 8, 7, 8].map(|channel| acks.enter(Some(channel), batch(&[]), now));
        assert_eq!(numbers, [0, 1, 0, 2, 1].map(Some));
        assert_eq!(acks.enter(None, batch(&[1]), now), None);
    }

    #[test]
    fn a_number_is_true_once_after_the_delay() {
        let mut acks = Acks::new(SECOND);
        let now = Instant::now();
        acks.enter(Some(7), batch(&[1, 2]), now);
        acks.enter(None, batch(&[3]), now);
        assert_eq!(settled(&mut acks, now + SECOND / 2), [0; 0]);
        assert_eq!((acks.claim(7, 0, now), acks.next_due()), (None, Some(now + SECOND)));
        assert_eq!(settled(&mut acks, now + SECOND), [1, 2, 3]);
        assert_eq!(acks.claim(8, 0, now), None, "another channel");
        assert_eq!(acks.claim(7, 1, now), None, "never given");
        assert_eq!(acks.claim(7, 0, now), Some(batch(&[1, 2])));
        assert_eq!((acks.claim(7, 0, now), acks.next_due()), (None, None));
    }

    #[test]
    fn a_restart_loses_the_line_and_begins_anew() {
        let mut acks = Acks::new(SECOND);
        let now = Instant::now();
        acks.enter(Some(7), batch(&[1]), now);
        assert_eq!(settled(&mut acks, now + SECOND), [1]);
        acks.enter(Some(7), batch(&[2, 3]), now + SECOND);
        acks.enter(None, batch(&[4]), now + SECOND);
        assert_eq!(acks.restart(), 3);
        assert_eq!(settled(&mut acks, now + 9 * SECOND), [0; 0]);
        assert_eq!(acks.claim(7, 0, now), None);
        assert_eq!(acks.enter(Some(7), batch(&[5]), now), Some(0), "the number is used a second time");
    }

    #[test]
    fn an_idle_channel_is_forgotten() {
        let mut acks = Acks::new(Duration::ZERO);
        let now = Instant::now();
        acks.enter(Some(7), batch(&[1]), now);
        acks.enter(Some(8), batch(&[2]), now + IDLE_MAX);
        assert_eq!(settled(&mut acks, now + IDLE_MAX + SECOND), [1, 2]);
        assert_eq!(acks.channels.keys().copied().collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn what_nobody_asks_for_is_bounded() {
        let mut acks = Acks::new(Duration::ZERO);
        let now = Instant::now();
        for _ in 0..=UNCLAIMED_MAX {
            acks.enter(Some(7), batch(&[]), now);
        }
        acks.settle(now, |_| {});
        assert_eq!(acks.claim(7, 0, now), None);
        assert!(acks.claim(7, 1, now).is_some());
    }
}
