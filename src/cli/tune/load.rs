//! The load of a trial: events at a pace, whose latency counts from the moment at which each was due, or as fast as they
//! are taken.
//!
//! A producer that comes late, since the machine or the forwarder held it up, makes up for it at once, and what it was late
//! counts as latency: none is left out because another one was slow (no coordinated omission).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::measured::Latency;
use crate::cli::failure::Failure;
use crate::cli::sample::Sample;
use crate::cli::signals::Ended;
use crate::engine::{Emitter, Forwarder};
use crate::event::{AuditEvent, EventId, EventType, Severity, monotonic};

/// By this an event of a trial is known.
pub(super) const EVENT_TYPE: &str = "siem_forward_tune";
/// Between two looks at what was delivered, and at whether to end.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The longest sleep of a producer: it has to see that it is to end.
const NAP: u64 = 5_000_000;
/// A setting that has delivered nothing is given this many times as long.
const PATIENCE: u32 = 4;
/// The part of a trial flat out in which all fills up, and that does not count.
const WARM_UP: u32 = 4;

/// What hands in events, and to whom.
pub(super) struct Load<'a> {
    pub(super) forwarder: &'a Forwarder,
    /// Each producer feeds every ring in turn: a service has threads enough for that.
    pub(super) rings: usize,
    pub(super) producers: usize,
    pub(super) ids: Ids,
    /// How many events may still be handed in; any number where there is none.
    pub(super) allowance: Option<&'a AtomicU64>,
    pub(super) ended: &'a Ended,
    /// When all time is over, however little was seen.
    pub(super) until: Instant,
}

/// What an event is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// Counting up, which costs a receiver least; the same in every trial.
    Counted,
    /// As a service has them.
    Generated,
}

/// Events a second.
#[derive(Debug, Clone, Copy)]
struct Pace {
    begun: u64,
    /// Nanoseconds from an event to the next.
    interval: f64,
}

/// What came of a time flat out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Speed {
    pub(super) events_per_second: f64,
    pub(super) cpu_seconds_per_million: f64,
}

#[derive(Debug, Default)]
struct Handed {
    taken: AtomicU64,
    refused: AtomicU64,
}

/// What a producer does where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Refuse,
    Wait,
}

impl Load<'_> {
    /// Hands in so many events a second; returns how long they took, and how many found no room.
    pub(super) fn paced(&self, per_second: u64, length: Duration) -> Result<(Latency, u64), Failure> {
        let pace = Pace::new(per_second);
        let handed = Handed::default();
        let watch = || {
            self.wait(length, || {});
            // Before anything is stopped: what is on its way must not be hurried by an end.
            let books = &self.forwarder.pipeline.books;
            let delivered = books.deliveries();
            let (now, taken) = (monotonic(), handed.taken.load(Ordering::Relaxed));
            let on_the_way = taken.saturating_sub(delivered.as_ref().map_or(0, Histogram::len));
            delivered.map_or(Latency::default(), |delivered| latency(delivered, pace.ages(now, on_the_way)))
        };
        let latency = self.offer(Some(pace), Full::Refuse, &handed, watch)?;
        Ok((latency, handed.refused.load(Ordering::Relaxed)))
    }

    /// Hands in as many events as are taken, or so many a second at most.
    pub(super) fn flat_out(&self, per_second_max: Option<u64>, length: Duration) -> Result<Speed, Failure> {
        let books = &self.forwarder.pipeline.books;
        let cpu = || self.forwarder.metrics().worker_cpu_time;
        let watch = || {
            self.wait(length / WARM_UP, || {});
            // From one delivery to another: a batch that is on its way at either end is not cut in two.
            let mut last = books.delivered();
            let mut seen: Vec<(Instant, u64)> = Vec::new();
            let mut cpu_before = Duration::ZERO;
            let mut look = || {
                let delivered = books.delivered();
                if delivered != last {
                    last = delivered;
                    if seen.is_empty() {
                        cpu_before = cpu();
                    }
                    seen.push((Instant::now(), delivered));
                }
                seen.len()
            };
            let length = length.saturating_sub(length / WARM_UP);
            let mut times = 0;
            self.wait(length, || times = look());
            for _ in 1..PATIENCE {
                if times < 2 && Instant::now() + length < self.until {
                    self.wait(length, || times = look());
                }
            }
            let used = cpu().saturating_sub(cpu_before);
            match (seen.first(), seen.last()) {
                (Some((begun, before)), Some((ended, after))) if after > before => {
                    Speed::of(after - before, ended.duration_since(*begun), used)
                }
                _ => Speed::default(),
            }
        };
        self.offer(per_second_max.map(Pace::new), Full::Wait, &Handed::default(), watch)
    }

    /// Runs the producers as long as `watch` does.
    fn offer<T>(
        &self,
        pace: Option<Pace>,
        full: Full,
        handed: &Handed,
        watch: impl FnOnce() -> T,
    ) -> Result<T, Failure> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stop = &stop;
            for number in 0..self.producers {
                let emitters: Vec<Emitter> = (0..self.rings).map(|_| self.forwarder.emitter()).collect();
                let producer = Producer { load: self, number: number as u64, emitters, pace, full, stop };
                let thread = thread::Builder::new().name(format!("producer-{number}"));
                if let Err(error) = thread.spawn_scoped(scope, move || producer.run(handed)) {
                    stop.store(true, Ordering::Relaxed);
                    return Err(Failure::Thread(error));
                }
            }
            let seen = watch();
            stop.store(true, Ordering::Relaxed);
            Ok(seen)
        })
    }

    /// Waits, looking every now and then; not on once somebody wants the end.
    fn wait(&self, length: Duration, mut look: impl FnMut()) {
        let begun = Instant::now();
        while begun.elapsed() < length && !self.ended.is_asked() {
            thread::sleep(LOOK_EVERY.min(length.saturating_sub(begun.elapsed())));
            look();
        }
    }
}

struct Producer<'a> {
    load: &'a Load<'a>,
    number: u64,
    emitters: Vec<Emitter>,
    pace: Option<Pace>,
    full: Full,
    stop: &'a AtomicBool,
}

impl Producer<'_> {
    fn run(&self, handed: &Handed) {
        let mut sample = Sample::new(self.number);
        let producers = self.load.producers as u64;
        let mut numbers = (self.number..).step_by(self.load.producers.max(1));
        let go_on = || !self.stop.load(Ordering::Relaxed);
        for (own, emitter) in (0_u64..).zip(self.emitters.iter().cycle()) {
            let due = numbers.next().and_then(|number| self.pace.map(|pace| pace.due(number)));
            if !self.is_time(due) || !self.is_allowed() {
                return;
            }
            let mut event = self.event(&mut sample, emitter, own * producers + self.number);
            event.created = due.unwrap_or(event.created);
            let sent = match self.full {
                // Not counted by the forwarder, which would tell of a gap in the SIEM's own stream.
                Full::Refuse => emitter.send_while(event, || false),
                Full::Wait => emitter.send_while(event, go_on),
            };
            let counter = if sent.is_ok() { &handed.taken } else { &handed.refused };
            if self.full == Full::Refuse {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Sleeps until an event is due; false where the end comes first.
    fn is_time(&self, due: Option<u64>) -> bool {
        while !self.stop.load(Ordering::Relaxed) {
            let now = monotonic();
            match due.filter(|due| *due > now) {
                None => return true,
                Some(due) => thread::sleep(Duration::from_nanos((due - now).min(NAP))),
            }
        }
        false
    }

    fn is_allowed(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        self.load.allowance.is_none_or(|allowance| allowance.fetch_update(relaxed, relaxed, take).is_ok())
    }

    /// As large and as varied as a service's, and marked.
    fn event(&self, sample: &mut Sample, emitter: &Emitter, number: u64) -> AuditEvent {
        let event_type = EventType::custom(EVENT_TYPE).unwrap_or(EventType::ConfigurationChanged);
        let mut event = emitter.event(event_type, Severity::Low).detail("test", true);
        if self.load.ids == Ids::Counted {
            // A UUID of version 8; paced or not, they count anew.
            let time = u128::from(self.full == Full::Wait);
            event = event.id(EventId::from_u128(time << 80 | 0x8 << 76 | 0b10 << 62 | u128::from(number)));
        }
        sample.fill(event).event
    }
}

impl Pace {
    #[expect(clippy::cast_precision_loss, reason = "a rate, far below what a float holds exactly")]
    fn new(per_second: u64) -> Self {
        Self { begun: monotonic(), interval: 1e9 / per_second.max(1) as f64 }
    }

    /// When the event with this number is due.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a trial"
    )]
    fn due(self, number: u64) -> u64 {
        self.begun + (number as f64 * self.interval) as u64
    }

    /// How long ago the last `count` events up to now were due.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of a trial"
    )]
    fn ages(self, now: u64, count: u64) -> impl Iterator<Item = u64> {
        let next = (now.saturating_sub(self.begun) as f64 / self.interval) as u64 + 1;
        (next.saturating_sub(count)..next).map(move |number| now.saturating_sub(self.due(number)))
    }
}

impl Speed {
    #[expect(clippy::cast_precision_loss, reason = "counts of a trial")]
    fn of(events: u64, elapsed: Duration, cpu: Duration) -> Self {
        if events == 0 || elapsed.is_zero() {
            return Self::default();
        }
        let events = events as f64;
        Self {
            events_per_second: events / elapsed.as_secs_f64(),
            cpu_seconds_per_million: cpu.as_secs_f64() * 1e6 / events,
        }
    }
}

/// The quantiles of what was delivered, and of what was not: it took as long as it has waited, at least.
fn latency(mut delivered: Histogram<u64>, on_the_way: impl Iterator<Item = u64>) -> Latency {
    let mut oldest = 0;
    for age in on_the_way {
        delivered.saturating_record(age.max(1));
        oldest = oldest.max(age);
    }
    if delivered.is_empty() {
        return Latency::default();
    }
    let at = |quantile| Duration::from_nanos(delivered.value_at_quantile(quantile)).as_secs_f64();
    let p99 = delivered.value_at_quantile(0.99);
    Latency {
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: Duration::from_nanos(delivered.max()).as_secs_f64(),
        is_at_least: delivered.highest_equivalent(oldest) >= p99,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn of(delivered: &[u64], on_the_way: &[u64]) -> Latency {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        for millis in delivered {
            histogram.record(millis * MILLI).unwrap();
        }
        latency(histogram, on_the_way.iter().map(|millis| millis * MILLI))
    }

    /// Whoever cuts a trial off must not take what hangs for fast.
    #[test]
    fn what_is_on_its_way_counts_with_the_time_that_it_has_waited() {
        let fast = of(&[10; 200], &[3, 2, 1]);
        assert!((fast.p99 - 0.010).abs() < 1e-4 && !fast.is_at_least, "{fast:?}");
        // A batch of 100 that has not been filled in 600 ms.
        let hanging = of(&[10; 100], &(500..600).collect::<Vec<_>>());
        assert!((hanging.p99 - 0.598).abs() < 2e-3 && hanging.is_at_least, "{hanging:?}");
        let nothing_came = of(&[], &[600]);
        assert!((nothing_came.p50 - 0.6).abs() < 1e-3 && nothing_came.is_at_least);
        assert_eq!(of(&[], &[]), Latency::default());
    }

    #[test]
    fn ages_are_those_of_the_events_that_were_due_last() {
        let pace = Pace { begun: 1_000 * MILLI, interval: 10e6 };
        assert_eq!(pace.due(3), 1_030 * MILLI);
        let ages: Vec<u64> = pace.ages(1_095 * MILLI, 3).map(|age| age / MILLI).collect();
        assert_eq!(ages, [25, 15, 5]);
        assert_eq!(pace.ages(1_095 * MILLI, 0).count(), 0);
        // Never more than were due.
        assert_eq!(pace.ages(1_095 * MILLI, 99).count(), 10);
    }
}
