//! The menu of faults: every way in which a destination over HTTP can misbehave, what it may cost, and a kitchen that
//! serves all of it, several dishes at a time.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "what failed and how to run it again, beside its panic")]
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;

use fastrand::Rng;

/// Whether the receiver may hold an event more than once after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubles {
    May,
    Never,
}
use Doubles::{May, Never};

/// One fault. Without indexer acknowledgement and with it, the cost may differ: see [`Case::acked`].
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// In force to the end.
    pub amid: &'static str,
    /// In force until it has been met several times.
    pub after: &'static str,
    pub doubles: Doubles,
    /// The same with acknowledgements. Whatever may have used up a number that nobody told makes Splunk's lowest number
    /// ambiguous, and so costs a batch that waits for it; a status of 500 or more and a broken answer are of that kind.
    pub acked: Doubles,
}

const fn case(name: &'static str, amid: &'static str, after: &'static str, doubles: Doubles, acked: Doubles) -> Case {
    Case { name, amid, after, doubles, acked }
}

/// Faults of the endpoint that takes events.
pub const OF_EVENTS: &[Case] = &[
    case("busy", "503", "503", Never, May),
    case("busy_with_patience", "503:retry_after=1", "503:retry_after=1,first=2", Never, May),
    case("busy_but_taken", "503:taken", "503:taken,first=3", May, May),
    case("busy_halfway", "503:event=7", "503:event=7", Never, May),
    case("busy_now_and_then", "503:every=3", "503:every=3", Never, May),
    case("server_error", "500", "500", Never, May),
    case("server_error_but_taken", "500:taken", "500:taken,first=3", May, May),
    case("server_error_now_and_then", "500:every=3", "500:every=3", Never, May),
    case("proxy_error", "502", "502", Never, May),
    case("proxy_error_but_taken", "502:taken", "502:taken,first=4", May, May),
    case("gateway_timeout", "504:taken", "504:taken,first=3", May, May),
    case("throttled", "429:retry_after=1", "429:retry_after=1,first=3", Never, Never),
    case("throttled_for_long", "429:retry_after=900", "429:retry_after=1,first=2", Never, Never),
    case("throttled_without_patience", "429:retry_after=none", "429:retry_after=none", Never, Never),
    // What was taken before the culprit has no number of its own.
    case("names_the_poison", "400:contains=poison", "400:contains=poison", Never, May),
    case("unauthorized", "401", "401", Never, Never),
    case("unauthorized_at_first", "401:first=2", "401:first=6", Never, Never),
    case("forbidden", "403", "403", Never, Never),
    case("too_large", "413", "413:first=4", Never, Never),
    case("too_large_beyond", "413:bytes=3000", "413:bytes=3000", Never, Never),
    case("late", "delay:ms=150", "delay:ms=150", Never, Never),
    case("too_late", "delay:ms=2000", "delay:ms=2000,first=3", May, May),
    case("dripping", "drip:ms=1", "drip:ms=1", Never, Never),
    case("dripping_too_slowly", "drip:ms=100", "drip:ms=100,first=3", May, May),
    case("reset_before_the_body", "reset_before", "reset_before", Never, May),
    case("reset_before_now_and_then", "reset_before:every=3", "reset_before:every=3", Never, May),
    case("reset_amid_the_body", "reset", "reset", Never, May),
    case("reset_now_and_then", "reset:every=3", "reset:every=3", Never, May),
    case("reset_without_an_answer", "reset_after", "reset_after:first=5", May, May),
    case("reset_after_now_and_then", "reset_after:every=3", "reset_after:every=3", May, May),
    case("no_http", "garbage", "garbage", Never, May),
    case("no_json", "garbage:body", "garbage:body", Never, May),
    case("silence", "hang", "hang", Never, May),
    case("silence_at_first", "hang:first=2", "hang:first=5", Never, May),
    case("silence_but_taken", "hang:taken", "hang:taken,first=3", May, May),
    // A request on a connection that is closed by then has no answer.
    // An encoding that is refused is refused of every event: a setting of theirs, like a token.
    case("encoding_refused", "415", "415:first=4", Never, Never),
    case("success_with_another_code", "200:code=24", "200:code=24,first=4", Never, Never),
    case("closes_after_each_answer", "close", "close", Never, May),
];

/// Faults of acknowledgements, which only those meet who ask for them. Where an acknowledgement is lost or never comes,
/// the batch is sent again.
pub const OF_ACKS: &[Case] = &[
    case("acks_refused", "ack_400", "ack_400", Never, Never),
    case("acks_refused_at_first", "ack_400:first=2", "ack_400:first=2", Never, Never),
    case("acks_of_an_unknown_channel", "ack_400:code=11", "ack_400:code=11", Never, Never),
    case("acks_unknown", "ack_404", "ack_404", Never, Never),
    case("acks_busy", "ack_503", "ack_503", Never, Never),
    case("acks_busy_with_patience", "ack_503:retry_after=1", "ack_503:retry_after=1", Never, Never),
    case("acks_busy_and_forgotten", "ack_503:taken", "ack_503:taken,first=2", May, May),
    case("acks_no_http", "ack_garbage", "ack_garbage", Never, Never),
    case("acks_no_json", "ack_garbage:body", "ack_garbage:body", Never, Never),
    case("acks_silent", "ack_hang", "ack_hang", Never, Never),
    case("acks_silent_and_forgotten", "ack_hang:taken", "ack_hang:taken,first=2", May, May),
    case("acks_reset", "ack_reset", "ack_reset", Never, Never),
    case("acks_reset_and_forgotten", "ack_reset_after", "ack_reset_after:first=2", May, May),
    case("acks_never", "ack_never", "ack_never", May, May),
    case("indexer_restarts", "restart:every=3", "restart:every=3", May, May),
];

/// How many cases run at once: they wait more than they work.
const AT_ONCE: usize = 4;
/// The same of those that have no time to keep.
const PATIENT_AT_ONCE: usize = 12;
/// Names one case to run alone.
const CASE: &str = "SIEM_FORWARD_CASE";
/// What all that is drawn comes from; drawn itself without it.
const SEED: &str = "SIEM_FORWARD_SEED";

/// Runs each of these with a generator of its own, in an order that is drawn too; fails naming those that failed, and how
/// to run each again.
pub fn serve(cases: &[Case], dish: impl Fn(&Case, &mut Rng) + Sync) {
    serve_at_once(AT_ONCE, cases, dish);
}

/// The same, where nothing has to happen in a certain time: more of them at once.
pub fn serve_patiently(cases: &[Case], dish: impl Fn(&Case, &mut Rng) + Sync) {
    serve_at_once(PATIENT_AT_ONCE, cases, dish);
}

fn serve_at_once(at_once: usize, cases: &[Case], dish: impl Fn(&Case, &mut Rng) + Sync) {
    let only = std::env::var(CASE).ok();
    let known = || OF_EVENTS.iter().chain(OF_ACKS).map(|case| case.name);
    assert!(only.iter().all(|only| known().any(|name| name == only)), "{CASE}: {only:?} is no case of the menu");
    let seed = std::env::var(SEED).ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect(SEED));
    println!("{SEED}={seed}");
    let mut wanted: Vec<&Case> =
        cases.iter().filter(|case| only.as_ref().is_none_or(|only| only == case.name)).collect();
    Rng::with_seed(seed).shuffle(&mut wanted);
    let left = Mutex::new(wanted.into_iter());
    let failed = Mutex::new(Vec::new());
    let next = || left.lock().unwrap().next();
    let cook = || {
        while let Some(case) = next() {
            // Of the seed and the case alone: the same whether it runs alone or among others.
            let drawn = case.name.bytes().fold(seed, |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
            if catch_unwind(AssertUnwindSafe(|| dish(case, &mut Rng::with_seed(drawn)))).is_err() {
                eprintln!("{case:?}\nagain: {SEED}={seed} {CASE}={} cargo test --test promises THIS_TEST", case.name);
                failed.lock().unwrap().push(case.name);
            }
        }
    };
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(cook))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:?}", failed.len(), cases.len());
}
