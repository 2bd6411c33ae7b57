//! The reading side of `worker`: records into events, events into the ring, and partitions that pause where there is no
//! room.
//!
//! Whatever is read is handed over in the order of reading: what was read and finds no room waits in front of what comes
//! behind it, and while it waits nothing more is fetched.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::dead_letter::{DeadLetterError, KafkaPlace, Misfit};
use crate::engine::{Emitter, Forwarder, Refused};
use crate::event::AuditEvent;
use crate::input::{
    Consumed, Group, GroupError, InputMap, Place, RecordReader, RejectedFile, RejectedLine, Tracker, Unreadable,
};
use crate::siem::{Cause, CauseKind};

/// How long the group is listened to at a time.
const POLL: Duration = Duration::from_millis(50);
/// The same while something waits for room.
const POLL_PAUSED: Duration = Duration::from_millis(5);
/// A full ring is waited for so long before the partitions pause, which throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) struct Reading<'a> {
    forwarder: &'a Forwarder,
    emitters: Vec<Emitter>,
    tracker: &'a Tracker,
    reader: RecordReader,
    /// For records that are no events, where the forwarder has no dead letter.
    rejected: Option<RejectedFile>,
    /// Read, and not handed over.
    waiting: VecDeque<(Place, Read)>,
    is_paused: bool,
    bytes: u64,
    events: u64,
    unreadable: u64,
}

/// What a record is.
enum Read {
    Event(AuditEvent),
    /// Seldom, and larger.
    Rejected(Box<RejectedLine>),
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadingError {
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error("[input] rejected cannot be written: {0}; what was read is not committed")]
    Rejected(#[from] io::Error),
    #[error(
        "a record that is no event cannot be kept, and is not committed: the dead letter: {0}; make room and start again"
    )]
    DeadLetter(#[from] DeadLetterError),
    #[error("the forwarder takes no more")]
    Closed,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        forwarder: &'a Forwarder,
        tracker: &'a Tracker,
        map: Option<InputMap>,
        rejected: Option<RejectedFile>,
    ) -> Self {
        Self {
            forwarder,
            emitters: (0..forwarder.config().batchers).map(|_| forwarder.emitter()).collect(),
            tracker,
            reader: RecordReader::new(map, forwarder.config().batch.event_bytes_max),
            rejected,
            waiting: VecDeque::new(),
            is_paused: false,
            bytes: 0,
            events: 0,
            unreadable: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many events were answered with `Ok`.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Hands over what waits, as far as there is room, and reads one more record; whether that came and was taken.
    pub(super) fn step(&mut self, group: &Group) -> Result<bool, ReadingError> {
        while let Some((place, read)) = self.waiting.pop_front() {
            if let Some(back) = self.hand_over(place, read)? {
                self.waiting.push_front((place, back));
                break;
            }
        }
        let is_full = !self.waiting.is_empty() || self.tracker.is_far_ahead();
        if is_full != self.is_paused {
            if is_full {
                group.pause();
                self.is_paused = true;
            } else {
                self.is_paused = !group.resume();
            }
        }
        let read = group.poll(if is_full { POLL_PAUSED } else { POLL }, |consumed| self.read(consumed))?;
        let Some((place, read)) = read else { return Ok(false) };
        if is_full {
            // Of a partition that came meanwhile, and has not been paused with the others.
            self.is_paused = false;
            self.waiting.push_back((place, read));
        } else if let Some(back) = self.hand_over(place, read)? {
            self.waiting.push_back((place, back));
        }
        Ok(self.waiting.is_empty())
    }

    fn read(&mut self, consumed: Consumed<'_>) -> Option<(Place, Read)> {
        let Consumed::Record { topic, partition, offset, value, written_at } = consumed else { return None };
        let place = self.tracker.locate(topic, partition, offset)?;
        let value = value.unwrap_or_default();
        self.bytes += value.len() as u64;
        let buffer = self.emitters.first()?.buffer_of(self.reader.text_bytes(value));
        let id = || RecordReader::id(topic, partition, offset, written_at);
        let read = match self.reader.read(value, buffer, id) {
            Ok(event) => Read::Event(event),
            Err(reason) => Read::Rejected(Box::new(RecordReader::reject(topic, partition, offset, reason, value))),
        };
        Some((place, read))
    }

    /// Gives it back where there is no room for it.
    fn hand_over(&mut self, place: Place, read: Read) -> Result<Option<Read>, ReadingError> {
        let event = match read {
            Read::Event(event) => event,
            Read::Rejected(line) => {
                if self.tracker.begin(place, None) {
                    self.reject(place, &line)?;
                    self.tracker.settle(place);
                }
                return Ok(None);
            }
        };
        let id = event.id();
        if !self.tracker.begin(place, Some(id)) {
            return Ok(None);
        }
        let refused = match self.offer(event) {
            Ok(()) => return Ok(None),
            Err(refused) => refused,
        };
        self.tracker.take_back(place, id);
        match refused {
            Refused::Full(event) | Refused::Shed(event) => return Ok(Some(Read::Event(event))),
            Refused::TooLarge(event) => {
                let line = self
                    .tracker
                    .partition(place)
                    .map(|of| RecordReader::reject_event(&of.topic, of.number, place.offset(), &event));
                line.map_or(Ok(()), |line| self.reject(place, &line))?;
            }
            Refused::Sampled(_) | Refused::Filtered(_) => {}
            _ => return Err(ReadingError::Closed),
        }
        if self.tracker.begin(place, None) {
            self.tracker.settle(place);
        }
        Ok(None)
    }

    fn offer(&mut self, event: AuditEvent) -> Result<(), Refused> {
        // Runs of 256 to each ring: its batcher finds enough to be busy with.
        let turn = usize::try_from(self.events / 256).unwrap_or(0) % self.emitters.len().max(1);
        let Some(emitter) = self.emitters.get(turn) else { return Err(Refused::Closed(event)) };
        let until = Cell::new(None);
        // Who is paused already has waited.
        let patience = if self.is_paused { Duration::ZERO } else { PATIENCE };
        let may_wait = || {
            let now = Instant::now();
            let until = until.get().unwrap_or_else(|| {
                until.set(Some(now + patience));
                now + patience
            });
            now < until
        };
        emitter.send_while(event, may_wait)?;
        self.events += 1;
        Ok(())
    }

    /// On the disk before it is committed.
    fn reject(&mut self, place: Place, line: &RejectedLine) -> Result<(), ReadingError> {
        if let Some(rejected) = &mut self.rejected {
            self.unreadable += 1;
            rejected.write(line)?;
            return Ok(rejected.sync()?);
        }
        // A partition that was given up meanwhile is read again by somebody else.
        let Some(of) = self.tracker.partition(place) else { return Ok(()) };
        self.unreadable += 1;
        let place = KafkaPlace { topic: of.topic.to_string(), partition: of.number, offset: place.offset() };
        let misfit = Misfit { place: &place, text: line.text() };
        let kind = match line.reason() {
            Unreadable::TooLarge { .. } => CauseKind::TooLarge,
            _ => CauseKind::Custom("no_event"),
        };
        let cause = Cause::new(kind).words(line.reason().to_string());
        Ok(self.forwarder.pipeline.keep_misfit(&misfit, cause).unwrap_or(Ok(()))?)
    }
}
