//! Which fault hits which request: counters and draws that give the same answer in every run.
//!
//! A request asks twice: [`Schedule::at_head`] before its body is read, since a reset before or amid the body must be known
//! by then, and [`Schedule::with_body`] for the faults that only hit some bodies. Of the faults that end a request the first in the
//! order of the list wins; delay, drip, close and restart come on top of it.
//!
//! Made by [`super::Receiver`], asked by [`super::connection`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;

use super::fault::Fault;
use super::kind::{Endpoint, Kind};

/// The faults in force, each with its counter.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: Vec<Entry>,
    /// Relaxed: read by those who have seen a hit by other means, or ask again.
    hits: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    fault: Fault,
    /// Requests that this fault could have hit. Relaxed: it orders nothing, each request only needs its own number.
    seen: AtomicU64,
}

/// What becomes of one request.
#[derive(Debug, Default)]
pub(super) struct Plan<'s> {
    ending: Option<(usize, &'s Fault)>,
    /// Before the answer.
    pub(super) delay: Duration,
    /// Between the answer's bytes.
    pub(super) drip: Option<Duration>,
    pub(super) close: bool,
    /// Before the request is dealt with.
    pub(super) restart: bool,
}

/// A reset that does not wait for the whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlyReset {
    BeforeBody,
    AmidBody,
}

impl<'s> Plan<'s> {
    pub(super) fn ending(&self) -> Option<&'s Fault> {
        self.ending.map(|(_, fault)| fault)
    }

    fn add(&mut self, place: usize, fault: &'s Fault) {
        match fault.kind {
            Kind::Delay => self.delay += fault.pause(),
            Kind::Drip => self.drip = Some(fault.pause()),
            Kind::Close => self.close = true,
            Kind::Restart => self.restart = true,
            _ if self.ending.is_none_or(|(other, _)| place < other) => self.ending = Some((place, fault)),
            _ => {}
        }
    }
}

impl Schedule {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let entries = faults.into_iter().map(|fault| Entry { fault, seen: AtomicU64::new(0) }).collect();
        Self { entries, hits: AtomicU64::new(0) }
    }

    /// How many requests were hit, each once for every fault.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// What is known of a request before its body.
    pub(super) fn at_head(&self, endpoint: Endpoint) -> Plan<'_> {
        let mut plan = Plan::default();
        for (place, entry) in self.of(endpoint) {
            if !entry.fault.looks_at_body() && entry.is_due(place) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                plan.add(place, &entry.fault);
            }
        }
        plan
    }

    /// Where the request is to be reset without a look at its body, unless a fault that must see the body goes before.
    pub(super) fn early_reset(&self, plan: &Plan<'_>) -> Option<EarlyReset> {
        let (place, fault) = plan.ending?;
        let reset = match fault.kind {
            Kind::ResetBefore => EarlyReset::BeforeBody,
            Kind::Reset => EarlyReset::AmidBody,
            _ => return None,
        };
        let mut before = self.of(fault.endpoint).take_while(|(other, _)| *other < place);
        let gives_way = before.any(|(_, entry)| entry.fault.ends_request() && entry.fault.looks_at_body());
        (!gives_way).then_some(reset)
    }

    fn of(&self, endpoint: Endpoint) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(move |(_, entry)| entry.fault.endpoint == endpoint)
    }

    /// Adds what the body brings upon itself.
    pub(super) fn with_body<'s>(&'s self, endpoint: Endpoint, plan: &mut Plan<'s>, body: &[u8]) {
        for (place, entry) in self.of(endpoint) {
            if entry.fault.looks_at_body() && entry.matches(body) && entry.is_due(place) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                plan.add(place, &entry.fault);
            }
        }
    }
}

impl Entry {
    fn matches(&self, body: &[u8]) -> bool {
        let long_enough = self.fault.parameters.bytes.is_none_or(|bytes| body.len() as u64 > bytes);
        long_enough && self.fault.needle().is_none_or(|needle| memmem::find(body, needle.as_bytes()).is_some())
    }

    /// Counts a request and tells whether it is hit.
    fn is_due(&self, place: usize) -> bool {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let parameters = &self.fault.parameters;
        parameters.first.is_none_or(|first| number <= first)
            && parameters.every.is_none_or(|every| number % every == 0)
            && parameters.share.is_none_or(|share| draw(place as u64, number) < share)
    }
}

/// A number in [0, 1) that is the same in every run: `SplitMix64` (Steele, Lea, Flood 2014), the place in the list as seed.
fn draw(place: u64, number: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut word = (place << 32).wrapping_add(number).wrapping_mul(GOLDEN);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^= word >> 31;
    f64::from((word >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(faults: &[&str]) -> Schedule {
        Schedule::new(faults.iter().map(|text| text.parse().unwrap()).collect())
    }

    /// The fault that ends each of `bodies`, as text.
    fn endings(faults: &[&str], bodies: &[&str]) -> Vec<String> {
        let schedule = schedule(faults);
        let ending = |body: &&str| {
            let mut plan = schedule.at_head(Endpoint::Events);
            schedule.with_body(Endpoint::Events, &mut plan, body.as_bytes());
            plan.ending().map_or(String::new(), ToString::to_string)
        };
        bodies.iter().map(ending).collect()
    }

    #[test]
    fn every_and_first_count_requests() {
        assert_eq!(endings(&["503:every=3"], &["x"; 7]), ["", "", "503:every=3", "", "", "503:every=3", ""]);
        assert_eq!(endings(&["503:first=2"], &["x"; 4]), ["503:first=2", "503:first=2", "", ""]);
        let both = "503:every=2,first=3";
        assert_eq!(endings(&[both], &["x"; 5]), ["", both, "", "", ""]);
    }

    #[test]
    fn a_fault_for_some_bodies_counts_only_those() {
        let poison = "500:contains=bad,first=2";
        let bodies = ["good", "bad", "a bad one", "bad", "good"];
        assert_eq!(endings(&[poison], &bodies), ["", poison, poison, "", ""]);
        assert_eq!(endings(&["413:bytes=4"], &["1234", "12345"]), ["", "413:bytes=4"]);
    }

    #[test]
    fn the_first_in_the_list_wins_even_if_it_had_to_see_the_body() {
        assert_eq!(endings(&["500:contains=bad", "503"], &["good", "bad"]), ["503", "500:contains=bad"]);
        assert_eq!(endings(&["503", "500:contains=bad"], &["bad"]), ["503"]);
        assert_eq!(endings(&["503:every=2", "500"], &["x"; 2]), ["500", "503:every=2"]);
    }

    #[test]
    fn a_share_is_drawn_the_same_way_each_time() {
        let hits = endings(&["503:share=0.2"], &vec!["x"; 10_000]);
        assert_eq!(hits, endings(&["503:share=0.2"], &vec!["x"; 10_000]));
        let count = hits.iter().filter(|hit| !hit.is_empty()).count();
        assert!((1_900..2_100).contains(&count), "{count}");
        assert!(endings(&["503:share=1"], &["x"; 1000]).iter().all(|hit| !hit.is_empty()));
        let other = endings(&["delay:ms=1", "503:share=0.2"], &vec!["x"; 10_000]);
        assert_ne!(hits, other, "two faults of a list do not hit the same requests");
    }

    #[test]
    fn delay_drip_close_and_restart_come_on_top() {
        let schedule = schedule(&["delay:ms=20", "503", "close", "restart", "drip:ms=3", "delay:ms=5,every=2"]);
        let plan = schedule.at_head(Endpoint::Events);
        assert_eq!(plan.ending().unwrap().to_string(), "503");
        assert_eq!(
            (plan.delay.as_millis(), plan.drip, plan.close, plan.restart),
            (20, Some(Duration::from_millis(3)), true, true)
        );
        assert_eq!(schedule.at_head(Endpoint::Events).delay.as_millis(), 25);
    }

    #[test]
    fn an_early_reset_gives_way_to_a_fault_that_must_see_the_body() {
        let early = |faults: &[&str]| {
            let schedule = schedule(faults);
            schedule.early_reset(&schedule.at_head(Endpoint::Events))
        };
        for (fault, reset) in [("reset", EarlyReset::AmidBody), ("reset_before", EarlyReset::BeforeBody)] {
            assert_eq!(early(&[fault]), Some(reset));
            assert_eq!(early(&["delay:ms=1,contains=x", fault]), Some(reset));
            assert_eq!(early(&["ack_503:contains=x", fault]), Some(reset));
            assert_eq!(early(&[fault, "500:contains=x"]), Some(reset));
            assert_eq!(early(&["500:contains=x", fault]), None);
            assert_eq!(early(&[&format!("{fault}:contains=x")]), None);
            assert_eq!(early(&["503", fault]), None);
        }
    }

    #[test]
    fn a_fault_hits_and_counts_the_requests_of_its_endpoint_alone() {
        let schedule = schedule(&["ack_503:every=2", "500:every=2"]);
        let ending = |endpoint| schedule.at_head(endpoint).ending().map_or(String::new(), ToString::to_string);
        let order = [Endpoint::Events, Endpoint::Acks, Endpoint::Acks, Endpoint::Events];
        assert_eq!(order.map(ending), ["", "", "ack_503:every=2", "500:every=2"]);
    }
}
