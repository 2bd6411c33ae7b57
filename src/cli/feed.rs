//! The feeding side of `run`: lines into events, events into the ring, and waiting where there is no room.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::control::Control;
use super::tell;
use crate::engine::{Emitter, Forwarder, Refused};
use crate::event::{AuditEvent, monotonic};
use crate::input::{InputError, Reader, RejectedFile, RejectedLine, Unreadable};
use crate::ledger::Quantiles;

/// Every this many events the cost of handing one in is measured.
const MEASURE_EVERY: u64 = 8;

/// Input on its way to a forwarder.
pub(crate) struct Feed {
    reader: Reader,
    rejected: Option<RejectedFile>,
    emitters: Vec<Emitter>,
    fed: Fed,
}

/// What became of the input.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    /// Events that were answered with `Ok`.
    pub(crate) offered: u64,
    /// Lines that did not become an accepted event.
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
    pub(crate) fn new(reader: Reader, rejected: Option<RejectedFile>, forwarder: &Forwarder) -> Self {
        let emitters: Vec<Emitter> = (0..forwarder.config().batchers).map(|_| forwarder.emitter()).collect();
        let pool = forwarder.emitter();
        let emit = Histogram::new_with_bounds(1, 60_000_000_000, 3).ok();
        Self {
            reader: reader.with_buffers(move || pool.buffer()),
            rejected,
            emitters,
            fed: Fed { emit, ..Fed::default() },
        }
    }

    /// Feeds until the input ends or the end is asked for. Of files nothing more is read then: they can be read again.
    /// What was read from a pipe is nowhere else, so it is fed to its last line.
    pub(crate) fn run(mut self, control: &Control, unreadable: &AtomicU64) -> Fed {
        while let Some(item) = self.reader.next() {
            match item {
                Ok(event) => self.offer(event, control),
                Err(InputError::Rejected(line)) => self.reject(&line),
                Err(broken @ InputError::Broken { .. }) => {
                    tell(&format!("error: {broken}"));
                    self.fed.is_broken = true;
                }
            }
            unreadable.store(self.fed.unreadable, Ordering::Relaxed);
            if self.reader.is_reading_file() && control.stop.load(Ordering::Relaxed) {
                self.stop_reading();
                break;
            }
        }
        self.fed
    }

    /// Says how far it came, unless that is the end anyway.
    fn stop_reading(&mut self) {
        let position = self.reader.position().map(|(file, line)| format!("line {line} of {file}"));
        if self.reader.next().is_some() {
            self.fed.is_cut_short = true;
            tell(&format!("stopped reading behind {}", position.unwrap_or_default()));
        }
    }

    fn offer(&mut self, event: AuditEvent, control: &Control) {
        // Runs of 256 to each ring: its batcher finds enough to be busy with.
        let turn = usize::try_from(self.fed.offered / 256).unwrap_or(0) % self.emitters.len().max(1);
        let Some(emitter) = self.emitters.get(turn) else { return };
        let waited = Cell::new(false);
        let started = monotonic();
        let sent = emitter.send_while(event, || {
            waited.set(true);
            control.may_wait()
        });
        let reason = match sent {
            Ok(()) => {
                if self.fed.offered.is_multiple_of(MEASURE_EVERY)
                    && !waited.get()
                    && let Some(emit) = &mut self.fed.emit
                {
                    emit.saturating_record(monotonic().saturating_sub(started).max(1));
                }
                self.fed.offered += 1;
                return;
            }
            // Done, as the configuration wants it; the ledger has counted it.
            Err(Refused::Sampled(_)) => return,
            Err(refused) => refused,
        };
        let unreadable = match &reason {
            Refused::TooLarge(event) => Unreadable::TooLarge { bytes: event.text_bytes() },
            _ => Unreadable::NotAccepted,
        };
        let line = self.reader.reject(reason.event(), unreadable);
        self.reject(&line);
    }

    fn reject(&mut self, line: &RejectedLine) {
        self.fed.unreadable += 1;
        let Some(file) = &mut self.rejected else {
            if self.fed.unreadable == 1 {
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
