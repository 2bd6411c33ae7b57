//! The feeding side of `run`: lines into events, events into the ring, and waiting where there is no room.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::control::Control;
use super::tell;
use crate::engine::fanout::{FanoutEmitter, NotTaken};
use crate::engine::{Fanout, Forwarder};
use crate::event::{AuditEvent, monotonic};
use crate::input::{InputError, Reader, RejectedFile, RejectedLine, Unreadable};
use crate::ledger::{Quantiles, RefusedReason};

/// Every this many events the cost of handing one in is measured.
const MEASURE_EVERY: u64 = 8;
/// So many go to one ring before it is the next one's turn: its batcher finds enough to be busy with.
const RUN_OF_EVENTS: u64 = 256;

/// How far a reading is, for the thread that shows it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    bytes: AtomicU64,
    events: AtomicU64,
    unreadable: AtomicU64,
}

impl Seen {
    // Relaxed, all of this: figures for people.
    pub(crate) fn set(&self, bytes: u64, events: u64, unreadable: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.events.store(events, Ordering::Relaxed);
        self.unreadable.store(unreadable, Ordering::Relaxed);
    }

    /// Read from disk, or from a pipe.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    pub(crate) fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }
}

/// What a line is that cannot become an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// An exception: the reading goes on.
    Lenient,
    /// The end.
    Strict,
}

/// Input on its way to all pipelines, at the pace of the one whose ring is the fullest.
pub(crate) struct Feed {
    reader: Reader,
    rejected: Option<RejectedFile>,
    emitters: Vec<FanoutEmitter>,
    /// Whose turn it is of them.
    turn: usize,
    strictness: Strictness,
    /// Of the pipelines.
    names: Vec<String>,
    fed: Fed,
}

/// What became of the input.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    /// Events that were answered with `Ok`, by one pipeline at least.
    pub(crate) offered: u64,
    /// The same by pipeline, in their order.
    pub(crate) offered_to: Vec<u64>,
    /// Lines that did not become an accepted event of each pipeline that wants it.
    pub(crate) unreadable: u64,
    /// A source could not be read to its end, or a rejected line could not be written.
    pub(crate) is_broken: bool,
    /// The end was asked for with lines of files left.
    pub(crate) is_cut_short: bool,
    emit: Option<Histogram<u64>>,
}

impl Fed {
    pub(crate) fn emit(&self) -> Quantiles {
        Quantiles::of(self.emit.as_ref())
    }
}

impl Feed {
    pub(crate) fn new(reader: Reader, rejected: Option<RejectedFile>, fanout: &Fanout) -> Self {
        let pipelines = fanout.forwarders();
        // As many as bind every ring.
        let rings = pipelines.iter().map(|forwarder| forwarder.config().batchers).max().unwrap_or(1);
        let emitters: Vec<FanoutEmitter> = (0..rings).map(|_| fanout.emitter()).collect();
        let pool = fanout.emitter();
        let emit = Histogram::new_with_bounds(1, 60_000_000_000, 3).ok();
        Self {
            reader: reader.with_buffers(move |bytes| pool.buffer_of(bytes)),
            rejected,
            emitters,
            turn: 0,
            strictness: Strictness::Lenient,
            fed: Fed { emit, offered_to: vec![0; pipelines.len()], ..Fed::default() },
            names: pipelines.iter().map(|forwarder| Forwarder::name(forwarder).to_owned()).collect(),
        }
    }

    /// The same, ending or not with the first line that is no event.
    pub(crate) fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// How many bytes there are to read, where all of it is files.
    pub(crate) fn bytes_total(&self) -> Option<u64> {
        self.reader.bytes_total()
    }

    /// Feeds until the input ends or the end is asked for. Of files nothing more is read then: they can be read again.
    /// What was read from a pipe is nowhere else, so it is fed to its last line.
    pub(crate) fn run(mut self, control: &Control, seen: &Seen) -> Fed {
        while let Some(item) = self.reader.next() {
            match item {
                Ok(event) => self.offer(event, control),
                Err(InputError::Rejected(line)) => self.reject(&line),
                Err(broken @ InputError::Broken { .. }) => {
                    tell(&format!("error: {broken}"));
                    self.fed.is_broken = true;
                }
            }
            seen.set(self.reader.bytes_read(), self.fed.offered, self.fed.unreadable);
            let is_wrong = self.fed.unreadable > 0 || self.fed.is_broken;
            if is_wrong && self.strictness == Strictness::Strict {
                // What a pipe would still give nobody knows.
                self.fed.is_cut_short = !self.reader.is_reading_file() || self.reader.next().is_some();
                tell("stopped there, as --strict asks; what was read before is delivered");
                break;
            }
            if self.reader.is_reading_file() && control.stop.load(Ordering::Relaxed) {
                self.stop_reading();
                break;
            }
        }
        self.fed
    }

    /// Says how far it came, unless that is the end anyway.
    fn stop_reading(&mut self) {
        let unit = self.reader.unit();
        let position = self.reader.position().map(|(file, number)| format!("{unit} {number} of {file}"));
        if self.reader.next().is_some() {
            self.fed.is_cut_short = true;
            tell(&format!("stopped reading behind {}", position.unwrap_or_default()));
        }
    }

    fn offer(&mut self, event: AuditEvent, control: &Control) {
        let Some(emitter) = self.emitters.get(self.turn) else { return };
        let waited = Cell::new(false);
        // Only of those that are measured: reading the clock is a cost of its own.
        let started = self.fed.offered.is_multiple_of(MEASURE_EVERY).then(monotonic);
        let (taken, sent) = emitter.send_while(event, || {
            waited.set(true);
            control.may_wait()
        });
        let by = self.fed.offered_to.iter_mut().enumerate().filter(|(place, _)| taken.holds(*place));
        let by = by.map(|(_, offered)| *offered += 1).count();
        if by > 0 {
            if let (Ok(()), false, Some(started), Some(emit)) = (&sent, waited.get(), started, &mut self.fed.emit) {
                emit.saturating_record(monotonic().saturating_sub(started).max(1));
            }
            self.fed.offered += 1;
            if self.fed.offered.is_multiple_of(RUN_OF_EVENTS) {
                self.turn = (self.turn + 1) % self.emitters.len().max(1);
            }
        }
        // `Ok` and taken by none: as the configuration wants it, and the ledgers have counted it.
        if let Err(left) = sent {
            let unreadable = self.why(&left, by > 0);
            let line = self.reader.reject(left.event(), unreadable);
            self.reject(&line);
        }
    }

    /// Why an event was not accepted, and where that is not the case everywhere, by whom.
    fn why(&self, left: &NotTaken, others_have_it: bool) -> Unreadable {
        let is_too_large = left.places().any(|(_, reason)| reason == RefusedReason::TooLarge);
        let reason = if is_too_large {
            Unreadable::TooLarge { bytes: left.event().text_bytes() }
        } else {
            Unreadable::NotAccepted
        };
        if !others_have_it {
            return reason;
        }
        let lacking = left.places().filter_map(|(place, _)| self.names.get(place)).map(String::as_str);
        Unreadable::NotEverywhere { reason: Box::new(reason), lacking: lacking.collect::<Vec<_>>().join(", ") }
    }

    fn reject(&mut self, line: &RejectedLine) {
        self.fed.unreadable += 1;
        if self.strictness == Strictness::Strict {
            tell(&format!("error: {line}"));
        }
        let Some(file) = &mut self.rejected else {
            if self.fed.unreadable == 1 && self.strictness == Strictness::Lenient {
                tell(&format!("{line} (further ones are only counted: set [input] rejected to keep them)"));
            }
            return;
        };
        if let Err(error) = file.write(line) {
            if !self.fed.is_broken {
                tell(&format!("error: rejected lines cannot be written: {error}; {line}"));
            }
            self.fed.is_broken = true;
        }
    }
}
