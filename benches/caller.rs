//! What the caller feels of a SIEM's bad days: how long `try_send` takes while the SIEM is well, hangs, is down or answers
//! 429, in one run.
//!
//! The states take turns in short rounds, so that whatever else the machine does meets all of them alike. In each round a
//! fresh forwarder is brought into its state, and then prepared events come at a fixed pace, into a ring that holds a
//! round's worth: nothing is refused, and the call alone is timed, by the time stamp counter. `-- --json` prints one
//! object.
//!
//! The goal: in every state half of the calls take at most 1.2 times as long as when the SIEM is well, and 999 of 1,000 at
//! most twice as long. On a machine with other work its noise is measured with it: nothing fails here.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that cannot run says so by a panic, and prints what it measured; nanoseconds fit a float"
)]

use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use hdrhistogram::Histogram;
use siem_forward::siem::{CauseKind, from_fn};
use siem_forward::{AuditEvent, Builder, Cause, EventType, Forwarder, Severity, Verdict};

/// Above what a round sends.
const SLOTS: usize = 100_000;
const PER_SECOND: u32 = 20_000;
/// At the beginning of each round, unmeasured: so much more than the waiting lists hold that all threads have come to
/// rest, or to their pace.
const WARM_UP: usize = 10_000;
const P50_GOAL: f64 = 1.2;
const P999_GOAL: f64 = 2.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    Hangs,
    Down,
    Throttles,
}

const STATES: [State; 4] = [State::Well, State::Hangs, State::Down, State::Throttles];

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Hangs => "hangs",
            Self::Down => "down",
            Self::Throttles => "answers 429",
        }
    }

    /// A forwarder whose destination is in this state; one that hangs does so until `released` is disconnected.
    fn builder(self, released: Receiver<()>) -> Builder {
        Forwarder::builder(from_fn("played", move |_| match self {
            Self::Well => Verdict::Accept,
            Self::Hangs => {
                assert!(released.recv().is_err(), "nothing is ever sent: it returns when the round is over");
                Verdict::Accept
            }
            Self::Down => Verdict::retry(Cause::new(CauseKind::ConnectionRefused)),
            Self::Throttles => Verdict::Retry { after: Some(Duration::from_secs(1)), cause: Cause::http(429) },
        }))
    }
}

/// What this run does.
struct Run {
    rounds: usize,
    round: Duration,
    as_json: bool,
}

impl Run {
    /// `--test` does all of it once, quickly; `--bench` is what cargo says.
    fn of_arguments() -> Self {
        let is_given = |name: &str| std::env::args().any(|argument| argument == name);
        let (rounds, round) =
            if is_given("--test") { (1, Duration::from_millis(50)) } else { (15, Duration::from_secs(1)) };
        Self { rounds, round, as_json: is_given("--json") }
    }
}

fn prepared(events: usize) -> Vec<AuditEvent> {
    let event = AuditEvent::builder(EventType::ToolInvoked, Severity::Low)
        .user_id("u-2f6c1d9e")
        .tool_name("payments.refund")
        .decision("deny")
        .detail("amount", 1250)
        .build();
    vec![event; events]
}

/// One round: brings a forwarder into the state, and times the calls into `times`.
fn round(state: State, round: Duration, times: &mut Histogram<u64>) {
    let (release, released) = bounded(0);
    let forwarder = state.builder(released).max_queue_size(SLOTS).start().expect("a forwarder");
    let emitter = forwarder.emitter();
    for event in prepared(WARM_UP) {
        emitter.try_send(event).expect("room");
    }
    thread::sleep(Duration::from_millis(50));
    let clock = quanta::Clock::new();
    let pause = Duration::from_secs(1) / PER_SECOND;
    let events = usize::try_from(round.as_nanos() / pause.as_nanos()).expect("events of a round");
    let events = prepared(events);
    let mut due = Instant::now();
    for event in events {
        due += pause;
        while Instant::now() < due {
            spin_loop();
        }
        let begun = clock.raw();
        let sent = emitter.try_send(event);
        let ended = clock.raw();
        sent.expect("room for a round");
        times.saturating_record(clock.delta_as_nanos(begun, ended).max(1));
    }
    drop(release);
    drop(forwarder.abort());
}

/// The median of grouped data: the counter's steps, 10 ns on many a machine, are as long as half a call, so the median lies
/// within its step as deep as the count of those below says.
fn median(times: &Histogram<u64>) -> f64 {
    let half = times.len() as f64 / 2.0;
    let steps: Vec<_> = times.iter_recorded().collect();
    let (mut below, mut previous) = (0.0, 0.0);
    for (at, step) in steps.iter().enumerate() {
        let (value, count) = (step.value_iterated_to() as f64, step.count_at_value() as f64);
        let next = steps.get(at + 1).map_or(value, |next| next.value_iterated_to() as f64);
        if below + count >= half {
            let (from, to) = (f64::midpoint(previous, value), f64::midpoint(value, next));
            return from + (to - from) * (half - below) / count;
        }
        (below, previous) = (below + count, value);
    }
    previous
}

/// One line of the table.
struct Line {
    state: State,
    p50: f64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Line {
    fn of(state: State, times: &Histogram<u64>) -> Self {
        let at = |quantile| times.value_at_quantile(quantile);
        Self { state, p50: median(times), p99: at(0.99), p999: at(0.999), max: times.max() }
    }

    /// Of p50 and of p99.9, how many times as long as when the SIEM is well.
    fn ratios(&self, well: &Self) -> (f64, f64) {
        (self.p50 / well.p50, self.p999 as f64 / well.p999 as f64)
    }

    fn is_met(&self, well: &Self) -> bool {
        let (p50, p999) = self.ratios(well);
        p50 <= P50_GOAL && p999 <= P999_GOAL
    }
}

fn print_table(lines: &[Line], well: &Line) {
    println!(
        "{:<12} {:>8} {:>8} {:>8} {:>10} {:>10} {:>12}",
        "ns a call", "p50", "p99", "p99.9", "max", "p50/well", "p99.9/well"
    );
    for line in lines {
        let (p50, p999) = line.ratios(well);
        let Line { state, p50: half, p99, p999: tail, max } = line;
        println!("{:<12} {half:>8.1} {p99:>8} {tail:>8} {max:>10} {p50:>10.2} {p999:>12.2}", state.name());
    }
    let verdict = if lines.iter().all(|line| line.is_met(well)) { "met" } else { "not met" };
    println!("goal {verdict}: p50 at most {P50_GOAL} times, p99.9 at most {P999_GOAL} times of well");
}

fn print_json(lines: &[Line], well: &Line, calls: u64) {
    let states = lines.iter().map(|line| {
        let (p50_ratio, p999_ratio) = line.ratios(well);
        let Line { state, p50, p99, p999, max } = line;
        serde_json::json!({
            "state": state.name(), "p50_ns": p50, "p99_ns": p99, "p999_ns": p999, "max_ns": max,
            "p50_ratio": p50_ratio, "p999_ratio": p999_ratio,
        })
    });
    let states: Vec<_> = states.collect();
    let is_met = lines.iter().all(|line| line.is_met(well));
    println!("{}", serde_json::json!({ "calls_per_state": calls, "states": states, "goal_met": is_met }));
}

fn main() {
    let run = Run::of_arguments();
    let histogram = || Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that it accepts");
    let mut times = STATES.map(|state| (state, histogram()));
    for number in 0..run.rounds {
        // Another one begins each time: none is always the one after the one that hangs.
        times.rotate_left(number % STATES.len());
        for (state, times) in &mut times {
            round(*state, run.round, times);
        }
    }
    times.sort_by_key(|(state, _)| STATES.iter().position(|other| other == state));
    let lines = times.each_ref().map(|(state, times)| Line::of(*state, times));
    let [well, ..] = &lines;
    if run.as_json {
        let [(_, of_well), ..] = &times;
        print_json(&lines, well, of_well.len());
    } else {
        print_table(&lines, well);
    }
}
