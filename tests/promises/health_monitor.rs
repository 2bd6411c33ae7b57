//! The health monitor: when it asks, what it tells, and that a check which hangs or panics harms nobody.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    self, Hang, NONE_DEAD, PATIENCE, Played, Received, assert_one_fate_each, panic_quietly, send, until, wait_until,
};
use siem_forward::net::Stop;
use siem_forward::siem::FormatError;
use siem_forward::{AuditEvent, Batch, Forwarder, Health, HealthConfig, Siem, Verdict};

/// A destination that takes everything, and whose health a test decides.
struct Asked {
    played: Played,
    connect: Box<dyn Fn() + Send + Sync>,
    health: Box<dyn Fn() -> Health + Send + Sync>,
}

impl Asked {
    fn new(received: &Received, health: impl Fn() -> Health + Send + Sync + 'static) -> Self {
        Self { played: Played::new(received), connect: Box::new(|| ()), health: Box::new(health) }
    }
}

impl Siem for Asked {
    type Connection = ();

    fn connect(&self, _stop: &Stop) -> Result<(), Verdict> {
        (self.connect)();
        Ok(())
    }

    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        self.played.format_event(event, body)
    }

    fn send_batch(&self, (): &mut (), batch: &Batch) -> Verdict {
        self.played.send_batch(&mut (), batch)
    }

    fn health_check(&self, (): &mut ()) -> Health {
        (self.health)()
    }
}

fn start(siem: Asked, interval: Duration) -> Forwarder {
    let mut health = HealthConfig::default();
    health.interval = interval;
    support::builder(siem).health(health).batch_size(10).start().unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(20);

#[test]
fn it_asks_at_start_and_then_once_each_interval() {
    const INTERVAL: Duration = Duration::from_millis(100);
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let theirs = Arc::clone(&asked);
    let siem = Asked::new(&Received::default(), move || {
        theirs.lock().unwrap().push(Instant::now());
        Health::healthy()
    });
    let begun = Instant::now();
    let forwarder = start(siem, INTERVAL);
    until(|| asked.lock().unwrap().len() == 5);
    drop(forwarder);
    let asked = asked.lock().unwrap();
    assert!(asked[0] - begun < INTERVAL, "the first did not come at start");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] >= INTERVAL), "{asked:?}");
    assert!(asked[4] - begun < 3 * 5 * INTERVAL, "they come too seldom: {asked:?}");
}

#[test]
fn it_asks_at_start_however_long_the_interval() {
    let asked = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&asked);
    let siem = Asked::new(&Received::default(), move || {
        theirs.fetch_add(1, Ordering::SeqCst);
        Health::healthy()
    });
    let forwarder = start(siem, HOUR);
    until(|| asked.load(Ordering::SeqCst) == 1);
    wait_until(&forwarder, |metrics| metrics.health_check_latency.count == 1);
    drop(forwarder);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn an_interval_of_zero_never_asks() {
    let asked = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&asked);
    let received = Received::default();
    let siem = Asked::new(&received, move || {
        theirs.fetch_add(1, Ordering::SeqCst);
        Health::healthy()
    });
    let forwarder = start(siem, Duration::ZERO);
    assert!(forwarder.health().healthy);
    let sent = send(&forwarder.emitter(), 100);
    let report = forwarder.drain(PATIENCE);
    assert_eq!((asked.load(Ordering::SeqCst), report.metrics.health_check_latency.count), (0, 0));
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[test]
fn never_more_than_one_is_outstanding_even_when_one_hangs() {
    let (now, most, asked) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let mut hang = Hang::new();
    let hook = hang.hook();
    let theirs = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&asked));
    let siem = Asked::new(&Received::default(), move || {
        let (now, most, asked) = &theirs;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        asked.fetch_add(1, Ordering::SeqCst);
        hook();
        now.fetch_sub(1, Ordering::SeqCst);
        Health::healthy()
    });
    let forwarder = start(siem, SOON);
    until(|| now.load(Ordering::SeqCst) == 1);
    // Ten intervals, in which a second one would come.
    thread::sleep(10 * SOON);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    hang.release();
    until(|| asked.load(Ordering::SeqCst) >= 5);
    drop(forwarder);
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn three_in_a_row_turn_health_red_with_the_reason_and_one_good_one_turns_it_green() {
    // What each check finds; afterwards it hangs until there is more.
    let script: Arc<Mutex<VecDeque<Health>>> = Arc::default();
    let theirs = Arc::clone(&script);
    let siem = Asked::new(&Received::default(), move || {
        loop {
            if let Some(health) = theirs.lock().unwrap().pop_front() {
                return health;
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    let forwarder = start(siem, Duration::from_millis(1));
    let play = |checks: &[bool]| {
        let checked = forwarder.metrics().health_check_latency.count;
        let health = |good: &bool| if *good { Health::healthy() } else { Health::unhealthy("queues are full") };
        script.lock().unwrap().extend(checks.iter().map(health));
        wait_until(&forwarder, |metrics| metrics.health_check_latency.count == checked + checks.len() as u64);
    };
    // A check is counted a moment before it is told.
    let becomes = |healthy: bool| until(|| forwarder.health().healthy == healthy);

    play(&[true, false, false, true, false, false]);
    thread::sleep(SOON);
    assert!(forwarder.health().healthy, "two in a row are not three");
    play(&[false]);
    becomes(false);
    let red_since = Instant::now();
    let words = forwarder.health().error_message.unwrap();
    assert_eq!(words, "3 health checks failed in a row: queues are full, for 0 s");
    until(|| red_since.elapsed() > Duration::from_millis(1_100));
    play(&[false]);
    let lasting = |words: &str| words == "4 health checks failed in a row: queues are full, for 1 s";
    until(|| forwarder.health().error_message.is_some_and(|words| lasting(&words)));
    play(&[true]);
    becomes(true);
    assert_eq!(forwarder.health().error_message, None);
    script.lock().unwrap().extend(vec![Health::healthy(); 1_000]);
}

#[test]
fn the_latency_of_each_check_is_recorded() {
    const TAKES: Duration = Duration::from_millis(30);
    let siem = Asked::new(&Received::default(), || {
        thread::sleep(TAKES);
        Health::healthy()
    });
    let forwarder = start(siem, SOON);
    wait_until(&forwarder, |metrics| metrics.health_check_latency.count >= 3);
    let latency = forwarder.metrics().health_check_latency;
    // The histogram keeps three digits.
    assert!(latency.p50 >= TAKES.mul_f64(0.99) && latency.max < PATIENCE, "{latency:?}");
    assert!(latency.mean <= latency.max);
}

/// How long the senders may be kept from connecting by a check that hangs, and what the machine may add.
const HELD_UP_AT_MOST: Duration = Duration::from_millis(1_000 + 500);

/// Whatever of the first check hangs: events go, and a drain and an abort end.
fn a_hanging_check_holds_up_nobody(end: fn(&Forwarder) -> siem_forward::Report, hang_at: HangAt) {
    let hang = Hang::new();
    let (hook, received) = (hang.hook(), Received::default());
    let is_asking = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&is_asking);
    let hook = move || {
        theirs.fetch_add(1, Ordering::SeqCst);
        hook();
    };
    let siem = match hang_at {
        HangAt::Check => Asked::new(&received, move || {
            hook();
            Health::healthy()
        }),
        HangAt::Connect => {
            let mut siem = Asked::new(&received, Health::healthy);
            siem.connect = Box::new(move || {
                if thread::current().name() == Some("siem-health") {
                    hook();
                }
            });
            siem
        }
    };
    let forwarder = start(siem, SOON);
    until(|| is_asking.load(Ordering::SeqCst) == 1);
    let begun = Instant::now();
    let sent = send(&forwarder.emitter(), 1_000);
    wait_until(&forwarder, |metrics| metrics.events_sent == 1_000);
    assert!(begun.elapsed() < HELD_UP_AT_MOST, "{:?}", begun.elapsed());
    let begun = Instant::now();
    let report = end(&forwarder);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}: {report}", begun.elapsed());
    assert_eq!(report.threads_left, ["siem-health"], "{report}");
    assert!(report.all_delivered(), "{report}");
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HangAt {
    Connect,
    Check,
}

#[test]
fn a_check_that_hangs_holds_up_neither_events_nor_a_drain() {
    a_hanging_check_holds_up_nobody(|forwarder| forwarder.drain(PATIENCE), HangAt::Check);
    a_hanging_check_holds_up_nobody(|forwarder| forwarder.drain(PATIENCE), HangAt::Connect);
}

#[test]
fn a_check_that_hangs_holds_up_neither_events_nor_an_abort() {
    a_hanging_check_holds_up_nobody(Forwarder::abort, HangAt::Check);
    a_hanging_check_holds_up_nobody(Forwarder::abort, HangAt::Connect);
}

#[test]
fn a_panic_in_a_check_harms_nothing() {
    panic_quietly();
    let received = Received::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&asked);
    let siem = Asked::new(&received, move || {
        assert!(theirs.fetch_add(1, Ordering::SeqCst) % 2 == 1, "planted");
        Health::healthy()
    });
    let forwarder = start(siem, SOON);
    let sent = send(&forwarder.emitter(), 1_000);
    // It goes on asking after the first panic, and after the second.
    until(|| asked.load(Ordering::SeqCst) >= 4);
    let words = forwarder.health().error_message.unwrap();
    assert!(words.contains("a panic in health_check"), "{words}");
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && report.threads_left.is_empty(), "{report}");
    assert_eq!(report.metrics.batches_failed, 0, "{report}");
    assert_one_fate_each(&sent, &received.ids(), &NONE_DEAD, &report);
}
