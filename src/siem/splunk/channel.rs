//! A connection's channel, and the batches that wait in it for their acknowledgement.
//!
//! An indexer numbers what it takes on a channel: 0, 1, 2, …. The numbers live in its memory alone: once restarted it
//! counts from 0 again, and where a load balancer changes its mind another indexer does. Then one number means two
//! batches, and the acknowledgement of the one must never be taken for that of the other. Two rules see to it:
//!
//! 1. A number that is not above all earlier ones of its channel is from a new count. The channel is given up, with all
//!    that waits in it, and with the batch that the number was given for.
//! 2. A request whose answer never came may have been given a number that we do not know. As many of the lowest numbers
//!    as there are such requests in the channel name nothing any more.
//!
//! Together they suffice. If two batches share the number n, each number from 0 to n was given twice. Of each such pair
//! one answer at most has come, since two would have broken the first rule: so n + 1 answers or more never came, and the
//! second rule has taken n out. A lost answer therefore costs at most one batch that is sent again, and a restart those
//! that wait.
//!
//! Tickets are numbers of our own, never used twice, so that one of a connection that is gone is nobody else's. One that
//! is asked for and does not wait is forgotten. Without I/O; used by [`super::ack`] and by the connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{EventId, Timestamp};
use crate::siem::Ticket;

/// A channel, the numbers given in it, and what waits.
#[derive(Debug)]
pub(super) struct Channel {
    /// What the indexer knows it by.
    guid: String,
    /// The highest number that was given in it.
    highest: Option<u64>,
    /// Requests in it that may have been taken and given a number, although no answer says so. Never more than
    /// `highest` + 1: beyond that a number to come could be one of theirs.
    unanswered: u64,
    /// The number that each ticket waits for.
    waiting: BTreeMap<Ticket, u64>,
}

/// The next ticket's number, of all connections. Relaxed: it only has to be another one each time.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Channel {
    pub(super) fn new() -> Self {
        Self { guid: guid(), highest: None, unanswered: 0, waiting: BTreeMap::new() }
    }

    pub(super) fn guid(&self) -> &str {
        &self.guid
    }

    /// A batch was taken and given this number; the ticket that it waits under, or that is forgotten already.
    pub(super) fn taken(&mut self, number: u64) -> Ticket {
        let ticket = Ticket::new(NEXT.fetch_add(1, Ordering::Relaxed));
        if self.highest.is_some_and(|highest| number <= highest) {
            *self = Self::new();
        } else {
            debug_assert!(self.unanswered <= number, "rule 2 must hold for new numbers too");
            self.highest = Some(number);
            self.waiting.insert(ticket, number);
        }
        ticket
    }

    /// A batch may have been taken, and no answer told its number.
    pub(super) fn unanswered(&mut self) {
        self.unanswered += 1;
        let below = self.unanswered;
        self.waiting.retain(|_, number| *number >= below);
        if self.highest.map_or(0, |highest| highest.saturating_add(1)) < below {
            *self = Self::new();
        }
    }

    /// Gives up the tickets that are not asked for any more, and returns what the others wait for; those that are
    /// forgotten are not among them.
    pub(super) fn keep(&mut self, asked: &[Ticket]) -> Vec<(Ticket, u64)> {
        let kept = asked.iter().filter_map(|ticket| Some((*ticket, *self.waiting.get(ticket)?)));
        self.waiting = kept.collect();
        self.waiting.iter().map(|(ticket, number)| (*ticket, *number)).collect()
    }

    /// The ticket has its verdict.
    pub(super) fn settled(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }
}

/// A channel's name: Splunk takes any GUID.
pub(super) fn guid() -> String {
    EventId::generate(Timestamp::now()).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn waits(channel: &mut Channel, asked: &[Ticket]) -> Vec<u64> {
        channel.keep(asked).into_iter().map(|(_, number)| number).collect()
    }

    #[test]
    fn a_number_that_comes_again_gives_up_the_channel_and_all_that_waits_in_it() {
        let mut channel = Channel::new();
        let first = channel.guid().to_owned();
        let mut tickets: Vec<Ticket> = (0..3).map(|number| channel.taken(number)).collect();
        assert_eq!((waits(&mut channel, &tickets), channel.guid()), (vec![0, 1, 2], first.as_str()));
        // The indexer was restarted: this may be its batch number 1, or the one that waits.
        tickets.push(channel.taken(1));
        assert_ne!(channel.guid(), first);
        assert_eq!(waits(&mut channel, &tickets), [0; 0]);
        tickets.push(channel.taken(0));
        assert_eq!(waits(&mut channel, &tickets), [0]);
        let different: std::collections::BTreeSet<_> = tickets.iter().collect();
        assert_eq!(different.len(), tickets.len(), "no ticket is used twice");
    }

    #[test]
    fn an_answer_that_never_came_costs_the_lowest_number_alone() {
        let mut channel = Channel::new();
        let first = channel.guid().to_owned();
        let tickets: Vec<Ticket> = (0..4).map(|number| channel.taken(number)).collect();
        for left in [vec![1, 2, 3], vec![2, 3], vec![3], vec![]] {
            channel.unanswered();
            assert_eq!((waits(&mut channel, &tickets), channel.guid()), (left, first.as_str()));
        }
        // The next number, 4, could be that of one without an answer, had there been a fifth.
        channel.unanswered();
        assert_ne!(channel.guid(), first);
        let second = channel.guid().to_owned();
        channel.unanswered();
        assert_ne!(channel.guid(), second, "in a new channel the first number could be");
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_given_up() {
        let mut channel = Channel::new();
        let tickets: Vec<Ticket> = (0..1_000).map(|number| channel.taken(number)).collect();
        assert_eq!(waits(&mut channel, &tickets[990..]).len(), 10);
        assert_eq!(channel.waiting.len(), 10);
        channel.settled(tickets[995]);
        assert_eq!(waits(&mut channel, &tickets), [990, 991, 992, 993, 994, 996, 997, 998, 999]);
        assert_eq!(waits(&mut channel, &[]), [0; 0]);
        assert!(channel.waiting.is_empty());
    }

    /// What an indexer remembers of one batch.
    #[derive(Debug, Clone, Copy)]
    struct Taken {
        batch: usize,
        indexed: bool,
        told: bool,
    }

    /// An indexer as Splunk's: numbers by channel, in memory alone, and each acknowledgement told once.
    #[derive(Debug, Default)]
    struct Indexer(HashMap<String, Vec<Taken>>);

    impl Indexer {
        fn take(&mut self, guid: &str, batch: usize) -> u64 {
            let taken = self.0.entry(guid.to_owned()).or_default();
            taken.push(Taken { batch, indexed: false, told: false });
            taken.len() as u64 - 1
        }

        fn ask(&mut self, guid: &str, number: u64) -> bool {
            let taken = self.0.get_mut(guid).and_then(|taken| taken.get_mut(usize::try_from(number).unwrap()));
            taken.is_some_and(|taken| taken.indexed && !std::mem::replace(&mut taken.told, true))
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Send,
        SendAndLoseTheAnswer,
        LoseTheRequest,
        Settle,
        /// Of what is not indexed yet, the batch at this place.
        Index(usize),
        Restart,
        /// The load balancer takes the other indexer.
        Switch,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => Just(Act::Send),
            3 => Just(Act::SendAndLoseTheAnswer),
            1 => Just(Act::LoseTheRequest),
            4 => Just(Act::Settle),
            5 => (0usize..4).prop_map(Act::Index),
            1 => Just(Act::Restart),
            2 => Just(Act::Switch),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        /// Restarts and load balancers come as they like: what is acknowledged was indexed, and nothing waits for ever.
        #[test]
        fn no_batch_is_acknowledged_for_another(acts in prop::collection::vec(act(), 1..60)) {
            let mut indexers = [Indexer::default(), Indexer::default()];
            let mut here = 0;
            let mut channel = Channel::new();
            let mut indexed = Vec::new();
            let mut pending: Vec<(Ticket, usize)> = Vec::new();
            for (batch, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Send => {
                        let number = indexers[here].take(channel.guid(), batch);
                        pending.push((channel.taken(number), batch));
                    }
                    Act::SendAndLoseTheAnswer => {
                        indexers[here].take(channel.guid(), batch);
                        channel.unanswered();
                    }
                    Act::LoseTheRequest => channel.unanswered(),
                    Act::Index(place) => {
                        let all = indexers[here].0.values_mut().flatten();
                        if let Some(taken) = all.filter(|taken| !taken.indexed).nth(place) {
                            taken.indexed = true;
                            indexed.push(taken.batch);
                        }
                    }
                    Act::Restart => indexers[here].0.clear(),
                    Act::Switch => here = 1 - here,
                    Act::Settle => {
                        let asked: Vec<Ticket> = pending.iter().map(|(ticket, _)| *ticket).collect();
                        let waiting = channel.keep(&asked);
                        pending.retain(|(ticket, _)| waiting.iter().any(|(kept, _)| kept == ticket));
                        for (ticket, number) in waiting {
                            if indexers[here].ask(channel.guid(), number) {
                                channel.settled(ticket);
                                let place = pending.iter().position(|(asked, _)| *asked == ticket).unwrap();
                                let (_, batch) = pending.swap_remove(place);
                                prop_assert!(indexed.contains(&batch), "batch {} is acknowledged for another", batch);
                            }
                        }
                        prop_assert_eq!(channel.waiting.len(), pending.len());
                    }
                }
            }
        }
    }
}
