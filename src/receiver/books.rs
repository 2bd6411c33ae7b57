//! What was received: counters, ids, bodies, and the CPU time that receiving took.
//!
//! Written once a request, not once an event, so that one lock for the counters is enough.
//!
//! Written by [`super::connection`], read through [`super::Receiver`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, clock_gettime};

use super::config::Keep;
use super::envelope::{Envelope, Judgement};
use super::ids::{Ids, Sorted};

/// Counters of a receiver, since its start. Requests are those to the events endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Different ids that were indexed.
    pub unique: u64,
    /// Receptions of an id beyond its first.
    pub duplicated: u64,
    /// Events that were indexed, every reception counted.
    pub events: u64,
    /// Events among them that carry no id: they are in neither `unique` nor `duplicated`.
    pub without_id: u64,
    /// Objects that a success passed off as indexed and that were not: those with `fields` and no `event`, and all from
    /// the first unknown key on. Splunk loses them without a word; a sender must never cause any.
    pub unindexed: u64,
    /// Requests that arrived, in full or in part.
    pub requests: u64,
    /// Requests among them that were not answered with success.
    pub requests_failed: u64,
    /// Bytes of their bodies as they came.
    pub bytes: u64,
    /// Bytes of their bodies once inflated.
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
        self.without_id += other.without_id;
        self.unindexed += other.unindexed;
        self.requests += other.requests;
        self.requests_failed += other.requests_failed;
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
    ids: Ids,
    /// Only where bodies are kept.
    bodies: Option<Mutex<Vec<String>>>,
    /// Nanoseconds. Relaxed: a sum of what threads add of their own, it orders nothing.
    cpu: AtomicU64,
}

impl Books {
    pub(super) fn new(keep: Keep) -> Self {
        let bodies = match keep {
            Keep::Ids => None,
            Keep::Bodies => Some(Mutex::default()),
        };
        Self { counts: Mutex::default(), changed: Condvar::new(), ids: Ids::default(), bodies, cpu: AtomicU64::new(0) }
    }

    /// Indexes `taken` of `body`, and tells what that adds to the counters. `sorted` is scratch space.
    pub(super) fn index(&self, body: &[u8], taken: &[Envelope], sorted: &mut Sorted) -> Counts {
        let mut counts = Counts::default();
        let indexed = || taken.iter().filter(|envelope| envelope.judgement == Judgement::Index);
        for envelope in indexed() {
            counts.events += 1;
            match envelope.id {
                Some(id) => sorted.push(id),
                None => counts.without_id += 1,
            }
        }
        let added = self.ids.add(sorted);
        if let Some(bodies) = &self.bodies {
            let texts = indexed().filter_map(|envelope| body.get(envelope.start..envelope.end));
            bodies.lock().extend(texts.map(|text| String::from_utf8_lossy(text).into_owned()));
        }
        Counts { unique: added.unique, duplicated: added.duplicated, ..counts }
    }

    /// Adds to the counters and wakes whoever waits for them.
    pub(super) fn count(&self, counts: &Counts) {
        self.counts.lock().add(counts);
        self.changed.notify_all();
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    pub(super) fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.bodies.as_ref().map_or_else(Vec::new, |bodies| bodies.lock().clone())
    }

    /// Waits until the counters satisfy `predicate`; false if that takes longer than `timeout`.
    pub(super) fn wait_until(&self, timeout: Duration, predicate: impl Fn(&Counts) -> bool) -> bool {
        let until = Instant::now().checked_add(timeout);
        let mut counts = self.counts.lock();
        while !predicate(&counts) {
            match until {
                None => self.changed.wait(&mut counts),
                Some(until) => {
                    if self.changed.wait_until(&mut counts, until).timed_out() {
                        return predicate(&counts);
                    }
                }
            }
        }
        true
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
