//! What is asked of an event besides room, where anything is: the filter, sampling, and the limits of shedding.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;

use super::ring::Ring;
use super::settings::SiemConfig;
use crate::event::{AuditEvent, Severity};
use crate::ledger::RefusedReason;
use crate::policy::{Filter, Overflow, Sampler, Shed};

/// One event in so many of a thread looks for the others; a prime, and more than a fan-out has destinations, whose events count
/// as several.
const LOOKS_EVERY: u32 = 37;
/// So many events of one thread come into a ring without a look at most: in a fan-out of 28; alone 37.
const UNSEEN_MAX: usize = 72;
/// Where the lowest limit of a ring is no more events than this, every event looks how full it is: half of it come unseen from 68
/// threads of such a fan-out, or from 132 that have one destination.
const ALWAYS_ASKED_TO: usize = 2 * 68 * UNSEEN_MAX;

type EventRing = Ring<ArrayQueue<Option<AuditEvent>>>;

/// What is asked of an event, in the order in which it is.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `None` where every event passes.
    filter: Option<Filter>,
    sampler: Sampler,
    shed: Option<Shed>,
    /// By severity: as many events in the ring leave no room for one. The largest number where all of it is theirs.
    slots: [usize; Severity::ALL.len()],
    /// From so many events in the ring on every event is asked, since it looks at the ring then, which costs 6 ns: half of the
    /// lowest limit. None where the filter or sampling asks every event.
    asked_from: usize,
    /// Whether there were so many when one of a thread's events looked last. Relaxed everywhere: what comes unseen is less
    /// than the other half.
    is_asked: AtomicBool,
}

impl Admission {
    /// `None` where nothing is asked, so that the usual path has one branch, and nothing to do on it.
    pub(crate) fn new(config: &SiemConfig, slots: usize) -> Option<Self> {
        let SiemConfig { overflow, sampling, filter, .. } = config;
        let shed = if let Overflow::ShedBySeverity(shed) = overflow { Some(*shed) } else { None };
        let wants_all = sampling.keeps_all() && filter.takes_all();
        if shed.is_none() && wants_all {
            return None;
        }
        let filter = Some(filter.clone()).filter(|filter| !filter.takes_all());
        let limit = |severity| shed.and_then(|shed| shed.limit(severity, slots)).unwrap_or(usize::MAX);
        let slots = Severity::ALL.map(limit);
        let lowest = slots.into_iter().min().unwrap_or(usize::MAX);
        let asked_from = if wants_all && lowest > ALWAYS_ASKED_TO { lowest / 2 } else { 0 };
        let is_asked = AtomicBool::new(asked_from == 0);
        Some(Self { filter, sampler: Sampler::new(*sampling), shed, slots, asked_from, is_asked })
    }

    /// Whether this event is asked; `countdown` is the thread's own.
    #[inline]
    pub(super) fn asks(&self, countdown: u32) -> bool {
        self.is_asked.load(Ordering::Relaxed) || countdown.is_multiple_of(LOOKS_EVERY)
    }

    /// Why it is not asked for, if it is not: by the filter, or by sampling what the filter lets pass.
    #[inline]
    pub(super) fn unwanted(&self, event: &AuditEvent) -> Option<RefusedReason> {
        if self.filter.as_ref().is_some_and(|filter| !filter.takes(event)) {
            return Some(RefusedReason::Filtered);
        }
        (!self.sampler.keeps(event.id, event.severity)).then_some(RefusedReason::Sampled)
    }

    /// Why it is not taken, where it is not.
    ///
    /// Not inlined: to look into the event on the usual path takes it apart there, into registers, and to put it together
    /// again for the ring costs every event 5 ns, where no policy is set as well.
    #[inline(never)]
    pub(super) fn turns_away(&self, event: &AuditEvent, ring: &EventRing) -> Option<RefusedReason> {
        self.unwanted(event).or_else(|| self.sheds(event.severity, ring).then_some(RefusedReason::Shed))
    }

    /// Whether any severity has less than the whole ring.
    pub(super) fn sheds_any(&self) -> bool {
        self.shed.is_some()
    }

    #[inline]
    pub(super) fn sheds(&self, severity: Severity, ring: &EventRing) -> bool {
        if !self.sheds_any() {
            return false;
        }
        let queued = ring.len();
        let is_near = queued >= self.asked_from;
        // Written where it changes, so that all cores keep it meanwhile.
        if self.is_asked.load(Ordering::Relaxed) != is_near {
            self.is_asked.store(is_near, Ordering::Relaxed);
        }
        queued >= self.slots.get(severity as usize).copied().unwrap_or(usize::MAX)
    }

    pub(super) fn bytes_limit(&self, severity: Severity, max: usize) -> Option<usize> {
        self.shed.and_then(|shed| shed.limit(severity, max))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fanout::DESTINATIONS_MAX;
    use super::super::timing::{EVERY, Timings, count_down};
    use super::*;
    use crate::event::EventType;

    fn shedding(slots: usize) -> (Admission, EventRing) {
        let config = SiemConfig { overflow: Overflow::ShedBySeverity(Shed::default()), ..SiemConfig::default() };
        (Admission::new(&config, slots).unwrap(), Ring::new(ArrayQueue::new(slots)))
    }

    /// As a gate asks.
    fn turns_away(event: &AuditEvent, admission: &Admission, ring: &EventRing) -> bool {
        let asked = || admission.turns_away(event, ring).is_some();
        match count_down() {
            0 => Timings::default().measure(asked),
            left => admission.asks(left) && asked(),
        }
    }

    /// Emits until one is shed, or the ring is full; how many were taken.
    fn fill(severity: Severity, admission: &Admission, ring: &EventRing) -> usize {
        let event = || AuditEvent::builder(EventType::UserLogin, severity).build();
        let emit = || !turns_away(&event(), admission, ring) && ring.try_push(event()).is_ok();
        std::iter::repeat_with(emit).take_while(|is_taken| *is_taken).count()
    }

    #[test]
    fn one_thread_fills_each_severitys_part_to_the_event_in_a_small_ring_and_a_large_one() {
        for slots in [20, 200, 20_000, 100_000] {
            let (admission, ring) = shedding(slots);
            let severities = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
            let taken = severities.map(|severity| fill(severity, &admission, &ring));
            assert_eq!(taken.map(|events| events * 20 / slots), [10, 5, 3, 2], "{slots} slots: {taken:?}");
            assert_eq!(taken.iter().sum::<usize>(), slots);
            // Room is noticed as soon as it is there.
            while ring.pop::<AuditEvent>().is_some() {}
            assert_eq!(fill(Severity::Low, &admission, &ring), slots / 2);
        }
    }

    /// Reckoned: each event of a fan-out counts down once for each of its rings.
    #[test]
    fn no_ring_of_a_fan_out_goes_unseen_for_longer_than_that() {
        let longest = |rings: usize| {
            let mut unseen = vec![0; rings];
            // Twice what it takes until all begins anew.
            let countdowns = (0..EVERY).rev().cycle().take(EVERY as usize * rings * 2);
            let runs = (0..rings).cycle().zip(countdowns).map(|(ring, countdown)| {
                unseen[ring] = if countdown.is_multiple_of(LOOKS_EVERY) { 0 } else { unseen[ring] + 1 };
                unseen[ring] + 1
            });
            runs.max().unwrap()
        };
        let all: Vec<usize> = (1..=DESTINATIONS_MAX).map(longest).collect();
        assert_eq!((all[0], all.iter().max()), (37, Some(&UNSEEN_MAX)), "{all:?}");
    }

    #[test]
    fn each_ring_of_a_fan_out_keeps_its_limit() {
        for rings in [2, 28, 32] {
            let all: Vec<_> = (0..rings).map(|_| shedding(20_000)).collect();
            for event in 0..10_050 {
                for (ring_at, (admission, ring)) in all.iter().enumerate() {
                    let event_of = || AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
                    let is_taken = !turns_away(&event_of(), admission, ring);
                    assert_eq!(is_taken, event < 10_000, "event {event} at ring {ring_at} of {rings}");
                    if is_taken {
                        ring.try_push(event_of()).unwrap();
                    }
                }
            }
        }
    }
}
