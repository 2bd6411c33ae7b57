//! What was received: counters, ids, bodies, acknowledgements that are due, and the CPU time that receiving took.
//!
//! Written once a request, not once an event, so that one lock for the counters is enough.
//!
//! Written by [`super::connection`], read through [`super::Receiver`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::time::{ClockId, clock_gettime};

use super::acks::{Acks, Batch};
use super::config::Keep;
use super::envelope::{Envelope, Judgement};
use super::ids::{Added, Flag, Ids, Register, Sorted};
use super::runs::Runs;

/// Counters of a receiver, since its start. Requests are those to the events endpoint, unless it is said otherwise.
///
/// Without indexer acknowledgement everything that is taken is indexed at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Different ids that were taken.
    pub unique: u64,
    /// Receptions of an id beyond its first.
    pub duplicated: u64,
    /// Events that were taken, every reception counted.
    pub events: u64,
    /// Documents that were not taken, since their id is held already: Elasticsearch alone says so, with 409.
    pub conflicts: u64,
    /// Events among them that carry no id: they are in neither `unique` nor `duplicated`.
    pub without_id: u64,
    /// Objects that a success passed off as indexed and that were not: those with `fields` and no `event`, and all from
    /// the first unknown key on. Splunk loses them without a word; a sender must never cause any.
    pub unindexed: u64,
    /// Different ids that were indexed.
    pub indexed: u64,
    /// Different ids whose acknowledgement was told.
    pub acknowledged: u64,
    /// Receptions of an id that a restart lost before they were indexed.
    pub lost: u64,
    /// Requests that arrived, in full or in part.
    pub requests: u64,
    /// Requests among them that were not answered with success.
    pub requests_failed: u64,
    /// Requests for acknowledgements.
    pub ack_requests: u64,
    /// Requests among them that were not answered with success.
    pub ack_requests_failed: u64,
    /// Bytes of the bodies that brought events, as they came.
    pub bytes: u64,
    /// Bytes of these bodies once inflated.
    pub bytes_inflated: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were closed at once, because too many were open.
    pub connections_refused: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.unique += other.unique;
        self.duplicated += other.duplicated;
        self.events += other.events;
        self.conflicts += other.conflicts;
        self.without_id += other.without_id;
        self.unindexed += other.unindexed;
        self.indexed += other.indexed;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.requests += other.requests;
        self.requests_failed += other.requests_failed;
        self.ack_requests += other.ack_requests;
        self.ack_requests_failed += other.ack_requests_failed;
        self.bytes += other.bytes;
        self.bytes_inflated += other.bytes_inflated;
        self.connections += other.connections;
        self.connections_refused += other.connections_refused;
    }
}

#[derive(Debug)]
pub(super) struct Books {
    counts: Mutex<Counts>,
    changed: Condvar,
    ids: Box<dyn Register>,
    /// Only with indexer acknowledgement. Locked before `ids` and `counts`.
    acks: Option<Mutex<Acks>>,
    /// Only where bodies are kept.
    bodies: Option<Mutex<Vec<String>>>,
    /// Nanoseconds. Relaxed: a sum of what threads add of their own, it orders nothing.
    cpu: AtomicU64,
}

impl Books {
    pub(super) fn new(keep: Keep, ack: Option<Duration>) -> Self {
        let ids: Box<dyn Register> = match keep {
            Keep::Ids | Keep::Bodies => Box::new(Ids::default()),
            Keep::Runs => Box::new(Runs::default()),
        };
        let bodies = (keep == Keep::Bodies).then(Mutex::default);
        let acks = ack.map(|delay| Mutex::new(Acks::new(delay)));
        let (counts, changed, cpu) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        Self { counts, changed, ids, acks, bodies, cpu }
    }

    pub(super) fn acknowledges(&self) -> bool {
        self.acks.is_some()
    }

    /// Takes `taken` of `body`, and tells what that adds to the counters. With a channel it tells too under which number
    /// that can be asked for. `sorted` is scratch space.
    pub(super) fn take(
        &self,
        body: &[u8],
        taken: &[Envelope],
        channel: Option<u128>,
        sorted: &mut Sorted,
    ) -> (Counts, Option<u64>) {
        let mut counts = Counts::default();
        let indexed = || taken.iter().filter(|envelope| envelope.judgement == Judgement::Index);
        for envelope in indexed() {
            counts.events += 1;
            match envelope.id {
                Some(id) => sorted.push(id),
                None => counts.without_id += 1,
            }
        }
        self.keep(body, taken);
        let Some(acks) = &self.acks else {
            let Added { unique, duplicated } = self.ids.add(sorted, Some(Flag::Indexed));
            return (Counts { unique, duplicated, indexed: unique, ..counts }, None);
        };
        let Added { unique, duplicated } = self.ids.add(sorted, None);
        let counts = Counts { unique, duplicated, ..counts };
        let ids: Batch = indexed().filter_map(|envelope| envelope.id).collect();
        if ids.is_empty() && channel.is_none() {
            return (counts, None);
        }
        (counts, acks.lock().enter(channel, ids, Instant::now()))
    }

    /// Takes those of `found` whose ids are not held yet, and refuses the others with 409.
    pub(super) fn create(&self, body: &[u8], found: &mut [Envelope]) -> Counts {
        let mut counts = Counts::default();
        for envelope in found.iter_mut().filter(|envelope| envelope.judgement == Judgement::Index) {
            match envelope.id {
                Some(id) if self.ids.create(id) => counts.unique += 1,
                Some(_) => {
                    counts.conflicts += 1;
                    envelope.judgement = Judgement::Refuse(409);
                }
                None => counts.without_id += 1,
            }
        }
        self.keep(body, found);
        Counts { events: counts.unique + counts.without_id, indexed: counts.unique, ..counts }
    }

    /// Keeps the text of those that are indexed, where texts are kept.
    fn keep(&self, body: &[u8], taken: &[Envelope]) {
        if let Some(bodies) = &self.bodies {
            let indexed = taken.iter().filter(|envelope| envelope.judgement == Judgement::Index);
            let texts = indexed.filter_map(|envelope| body.get(envelope.start..envelope.end));
            bodies.lock().extend(texts.map(|text| String::from_utf8_lossy(text).into_owned()));
        }
    }

    /// Indexes what is due by now. Gives the counters, and when the next is due: as of one moment, so that whoever waits
    /// for the counters with that in mind misses nothing.
    fn settle(&self) -> (MutexGuard<'_, Counts>, Option<Instant>) {
        let Some(acks) = &self.acks else { return (self.counts.lock(), None) };
        let mut acks = acks.lock();
        let mut indexed = 0;
        acks.settle(Instant::now(), |ids| indexed += self.ids.set(ids, Flag::Indexed));
        let mut counts = self.counts.lock();
        if indexed > 0 {
            counts.indexed += indexed;
            self.changed.notify_all();
        }
        (counts, acks.next_due())
    }

    /// Which of these numbers are indexed: each is told once.
    pub(super) fn acknowledge(&self, channel: u128, numbers: &[u64]) -> BTreeMap<u64, bool> {
        drop(self.settle());
        let mut told: BTreeMap<u64, bool> = numbers.iter().map(|number| (*number, false)).collect();
        let Some(acks) = &self.acks else { return told };
        let (mut acks, now) = (acks.lock(), Instant::now());
        let mut acknowledged = 0;
        for (number, given) in &mut told {
            if let Some(ids) = acks.claim(channel, *number, now) {
                acknowledged += self.ids.set(&ids, Flag::Acknowledged);
                *given = true;
            }
        }
        self.count(&Counts { acknowledged, ..Counts::default() });
        told
    }

    /// What was taken and is not indexed by now is lost, as are all acknowledgements.
    pub(super) fn restart(&self) {
        drop(self.settle());
        if let Some(acks) = &self.acks {
            let lost = acks.lock().restart();
            self.count(&Counts { lost, ..Counts::default() });
        }
    }

    /// Adds to the counters and wakes whoever waits for them.
    pub(super) fn count(&self, counts: &Counts) {
        self.counts.lock().add(counts);
        self.changed.notify_all();
    }

    pub(super) fn counts(&self) -> Counts {
        *self.settle().0
    }

    pub(super) fn ids(&self) -> Vec<(u128, u32)> {
        self.ids.all()
    }

    pub(super) fn count_without(&self, ids: impl IntoIterator<Item = u128>, flag: Flag) -> u64 {
        drop(self.settle());
        ids.into_iter().filter(|id| !self.ids.has(*id, flag)).count() as u64
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.bodies.as_ref().map_or_else(Vec::new, |bodies| bodies.lock().clone())
    }

    /// Waits until the counters satisfy `predicate`; false if that takes longer than `timeout`.
    pub(super) fn wait_until(&self, timeout: Duration, predicate: impl Fn(&Counts) -> bool) -> bool {
        let until = Instant::now().checked_add(timeout);
        loop {
            // Nobody announces what time alone brings about, so the wait ends with it.
            let (mut counts, due) = self.settle();
            if predicate(&counts) {
                return true;
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return false;
            }
            match [due, until].into_iter().flatten().min() {
                None => self.changed.wait(&mut counts),
                Some(next) => drop(self.changed.wait_until(&mut counts, next)),
            }
        }
    }

    pub(super) fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }
}

/// The CPU time of the thread that made it, added to the books from time to time.
#[derive(Debug, Default)]
pub(super) struct ThreadClock {
    published: u64,
}

impl ThreadClock {
    /// Adds what the calling thread, always the same one, has used since the last call.
    pub(super) fn publish(&mut self, books: &Books) {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let now = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0);
        books.cpu.fetch_add(now.saturating_sub(self.published), Ordering::Relaxed);
        self.published = now;
    }
}
