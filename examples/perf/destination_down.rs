//! What does the caller feel while the SIEM is away?
//!
//! Real requests to loopback: a receiver that is well, nobody at the port, one that never answers, one that says 503. The states
//! take turns in rounds; in each a fresh forwarder is brought into its state by a burst, and then events come at a fixed pace into a
//! ring that holds all of the round. Two times are taken of each event: building it in the emitter's buffer, and `try_send`
//! alone.

use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::Splunk;
use siem_forward::{Emitter, Forwarder};

use crate::figures::{count, verdict};
use crate::pace::Pace;
use crate::rows::Rows;
use crate::sample::Sample;
use crate::times::Times;

/// Above what a round sends.
const SLOTS: usize = 100_000;
/// 20,000 events a second.
const PAUSE: Duration = Duration::from_micros(50);
/// At the beginning of each round, unmeasured: more than the senders take on, so that all threads have come to rest, or to
/// their pace.
const BURST: u64 = 10_000;
const P999_GOAL: f64 = 2.0;
const COLUMNS: [&str; 6] = ["question", "series", "part", "calls", "level", "nanoseconds"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many rounds each state has
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// How long a round takes
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000)]
    round: u64,
    /// Append the rows to this file
    #[arg(long)]
    csv: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    Refused,
    Hangs,
    Busy,
}

const STATES: [State; 4] = [State::Well, State::Refused, State::Hangs, State::Busy];

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Refused => "connection refused",
            Self::Hangs => "never answers",
            Self::Busy => "answers 503",
        }
    }

    /// Where to send to; the receiver, where there is one, lives as long as it is kept.
    fn begin(self) -> Result<(String, Option<Receiver>), Box<dyn Error>> {
        let faults = match self {
            Self::Refused => {
                // A port that was free a moment ago.
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
                return Ok((format!("http://{address}"), None));
            }
            Self::Well => vec![],
            Self::Hangs => vec!["hang".parse()?],
            Self::Busy => vec!["503".parse()?],
        };
        let receiver = Receiver::start(ReceiverConfig { faults, ..ReceiverConfig::default() })?;
        Ok((receiver.url(), Some(receiver)))
    }
}

/// The times of a state.
struct Line {
    state: State,
    build: Times,
    send: Times,
}

type Part = (&'static str, fn(&Line) -> &Times);

const PARTS: [Part; 2] = [("build", |line| &line.build), ("try_send", |line| &line.send)];

pub(crate) fn ask(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut rows = Rows::begin(arguments.csv.as_deref(), &COLUMNS)?;
    let new = |state| Ok::<_, Box<dyn Error>>(Line { state, build: Times::new()?, send: Times::new()? });
    let mut lines = STATES.into_iter().map(new).collect::<Result<Vec<_>, _>>()?;
    for number in 0..arguments.rounds {
        // Another one begins each time: none is always the one after the one that hangs.
        lines.rotate_left(number % STATES.len());
        for line in &mut lines {
            line.round(Duration::from_millis(arguments.round))?;
        }
    }
    lines.sort_by_key(|line| STATES.iter().position(|state| *state == line.state));
    for line in &lines {
        line.record(&mut rows)?;
    }
    rows.end()?;
    print(arguments, &lines);
    Ok(())
}

impl Line {
    fn round(&mut self, round: Duration) -> Result<(), Box<dyn Error>> {
        let (url, receiver) = self.state.begin()?;
        let forwarder = Forwarder::builder(Splunk::new(url, "perf")?).max_queue_size(SLOTS).start()?;
        let emitter = forwarder.emitter();
        for number in 0..BURST {
            let sample = Sample::of(number);
            sample.fill(emitter.event(sample.event_type, sample.severity)).try_send().map_err(|no| no.to_string())?;
        }
        thread::sleep(Duration::from_millis(100));
        let timed = self.time(&emitter, round);
        drop(forwarder.abort());
        drop(receiver);
        timed
    }

    fn time(&mut self, emitter: &Emitter, round: Duration) -> Result<(), Box<dyn Error>> {
        let clock = quanta::Clock::new();
        let mut pace = Pace::new(PAUSE, PAUSE, false);
        for number in 0..u64::try_from(round.as_nanos() / PAUSE.as_nanos())? {
            let sample = Sample::of(number);
            pace.wait();
            let begun = clock.raw();
            let event = sample.fill(emitter.event(sample.event_type, sample.severity));
            let built = clock.raw();
            let sent = event.try_send();
            let ended = clock.raw();
            sent.map_err(|refused| refused.to_string())?;
            self.build.record(clock.delta_as_nanos(begun, built));
            self.send.record(clock.delta_as_nanos(built, ended));
        }
        Ok(())
    }

    fn record(&self, rows: &mut Rows) -> std::io::Result<()> {
        for (part, times) in PARTS {
            rows.write_levels(&["destination_down", self.state.name(), part], times(self))?;
        }
        Ok(())
    }
}

fn print(arguments: &Arguments, lines: &[Line]) {
    println!(
        "an event every {PAUSE:?}, {} rounds of {} ms in each state; nanoseconds",
        arguments.rounds, arguments.round
    );
    println!(
        "{:<20}{:<10}{:>9}{:>9}{:>9}{:>9}{:>12}{:>10}{:>12}",
        "the SIEM", "", "calls", "p50", "p99", "p99.9", "max", "p50/well", "p99.9/well"
    );
    let Some(well) = lines.first() else { return };
    for line in lines {
        for (part, times) in PARTS {
            let (times, base) = (times(line), times(well));
            println!(
                "{:<20}{part:<10}{:>9}{:>9.1}{:>9.0}{:>9.0}{:>12.0}{:>10.2}{:>12.2}",
                line.state.name(),
                count(times.calls()),
                times.median(),
                times.at(0.99),
                times.at(0.999),
                times.at(1.0),
                times.median() / base.median(),
                times.at(0.999) / base.at(0.999)
            );
        }
    }
    for (part, times) in PARTS {
        let worst = lines.iter().map(|line| times(line).at(0.999) / times(well).at(0.999)).fold(0.0, f64::max);
        println!(
            "goal: p99.9 of {part} at most {P999_GOAL} times that of a SIEM that is well: {worst:.2}, {}",
            verdict(worst <= P999_GOAL)
        );
    }
}
