//! Finished bytes: the events of one request, encoded once.
//!
//! The batcher appends each event's wire form to the body and a [`Mark`] that says where it ends and whose it is. Retry,
//! halves, partial resend and dead letter all work on spans of these bytes, which never change: re-framing is a copy.

#[cfg(feature = "cli")]
use crate::event::monotonic;
use crate::event::{AuditEvent, EventId, Severity, Timestamp};

/// How a destination wants events framed, and what it takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shape {
    /// Before the first event.
    pub prefix: &'static [u8],
    /// Between two events.
    pub separator: &'static [u8],
    /// After the last event.
    pub suffix: &'static [u8],
    /// The most events in one request; no limit by default.
    pub batch_size_max: usize,
    /// The most bytes in one body, uncompressed; no limit by default.
    pub batch_bytes_max: usize,
    /// The most bytes of one event's wire form; no limit by default. A larger one goes to the dead letter alone.
    pub event_bytes_max: usize,
}

impl Shape {
    /// NDJSON: a line end after each event, no limits.
    pub const DEFAULT: Self = Self {
        prefix: b"",
        separator: b"\n",
        suffix: b"\n",
        batch_size_max: usize::MAX,
        batch_bytes_max: usize::MAX,
        event_bytes_max: usize::MAX,
    };

    /// Framing as given, no limits.
    pub const fn framed(prefix: &'static [u8], separator: &'static [u8], suffix: &'static [u8]) -> Self {
        Self { prefix, separator, suffix, ..Self::DEFAULT }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is known of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// The event's identity.
    pub id: EventId,
    /// When it happened.
    pub timestamp: Timestamp,
    /// How severe it is.
    pub severity: Severity,
    pub(crate) created: u64,
    end: u32,
}

impl Mark {
    /// The mark of an event whose wire form ends at `end`.
    #[inline]
    pub(crate) fn of(event: &AuditEvent, end: usize) -> Self {
        Self {
            id: event.id,
            timestamp: event.timestamp,
            severity: event.severity,
            created: event.created,
            // A body stays far below 4 GB: `batch_bytes_max` is at most 1 GB, an event at most 16 MiB of text.
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }
}

/// Finished bytes of one or more events, framed for one destination.
#[derive(Debug, Clone)]
pub struct Batch {
    body: Vec<u8>,
    marks: Vec<Mark>,
    shape: Shape,
}

impl Batch {
    /// An open batch that appends into `body`, whose memory it reuses.
    pub(crate) fn open(shape: Shape, mut body: Vec<u8>, marks: Vec<Mark>) -> Self {
        body.clear();
        body.extend_from_slice(shape.prefix);
        let mut marks = marks;
        marks.clear();
        Self { body, marks, shape }
    }

    /// A batch of nothing, without memory.
    pub(crate) fn nothing() -> Self {
        Self { body: Vec::new(), marks: Vec::new(), shape: Shape::DEFAULT }
    }

    /// Appends what `format` writes, as the wire form of `event`; on an error the body is as before.
    #[inline]
    pub(crate) fn append<E>(
        &mut self,
        event: &AuditEvent,
        format: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.body.len();
        if !self.marks.is_empty() {
            self.body.extend_from_slice(self.shape.separator);
        }
        if let Err(error) = format(&mut self.body) {
            self.body.truncate(before);
            return Err(error);
        }
        self.marks.push(Mark::of(event, self.body.len()));
        Ok(())
    }

    /// Moves the last event into `next`, where it does not fit here.
    pub(crate) fn move_last_to(&mut self, next: &mut Self) {
        let last = self.len().checked_sub(1).and_then(|last| Some((self.event(last)?, self.marks.get(last)?)));
        if let Some((bytes, mark)) = last {
            next.push_bytes(bytes, *mark);
        }
        self.cut_last();
    }

    /// Takes the last event off again.
    pub(crate) fn cut_last(&mut self) {
        self.marks.pop();
        self.cut_to_marks();
    }

    /// Appends the wire form of an event that is known from a record of it.
    #[cfg(feature = "cli")]
    pub(crate) fn push_recorded(&mut self, id: EventId, timestamp: Timestamp, severity: Severity, wire: &[u8]) {
        self.push_bytes(wire, Mark { id, timestamp, severity, created: monotonic(), end: 0 });
    }

    fn push_bytes(&mut self, bytes: &[u8], mark: Mark) {
        if !self.marks.is_empty() {
            self.body.extend_from_slice(self.shape.separator);
        }
        self.body.extend_from_slice(bytes);
        self.marks.push(Mark { end: u32::try_from(self.body.len()).unwrap_or(u32::MAX), ..mark });
    }

    /// Removes whatever stands behind the last mark: what a panic in `format_event` left.
    pub(crate) fn cut_to_marks(&mut self) {
        let end = self.marks.last().map_or(self.shape.prefix.len(), |mark| mark.end as usize);
        self.body.truncate(end);
    }

    /// Closes the framing: from here on the bytes never change.
    pub(crate) fn seal(&mut self) {
        self.body.extend_from_slice(self.shape.suffix);
    }

    /// The framed bytes: what is sent.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether it holds no event; a batch that is sent never does.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// What is known of each event, in order.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The wire form of one event, without framing; `None` past the end.
    pub fn event(&self, index: usize) -> Option<&[u8]> {
        let mark = self.marks.get(index)?;
        let start = match index.checked_sub(1).and_then(|before| self.marks.get(before)) {
            Some(before) => before.end as usize + self.shape.separator.len(),
            None => self.shape.prefix.len(),
        };
        self.body.get(start..mark.end as usize)
    }

    /// The wire form of each event, in order.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.event(index))
    }

    /// A new batch of the events at `indices`, in that order; an index past the end is left out.
    pub(crate) fn select(&self, indices: impl IntoIterator<Item = usize>) -> Self {
        let mut selected = Self::open(self.shape, Vec::new(), Vec::new());
        for index in indices {
            let (Some(mark), Some(bytes)) = (self.marks.get(index), self.event(index)) else { continue };
            selected.push_bytes(bytes, *mark);
        }
        selected.seal();
        selected
    }

    /// Gives back memory that it does not fill, before it is kept for long.
    pub(crate) fn shrink(&mut self) {
        self.body.shrink_to_fit();
        self.marks.shrink_to_fit();
    }

    /// The memory of a batch that is done, for the next one.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<Mark>) {
        (self.body, self.marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventType;

    fn batch_of(shape: Shape, texts: &[&str]) -> Batch {
        let mut batch = Batch::open(shape, Vec::new(), Vec::new());
        for text in texts {
            let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
            let format = |body: &mut Vec<u8>| {
                body.extend_from_slice(text.as_bytes());
                Ok::<(), ()>(())
            };
            batch.append(&event, format).unwrap();
        }
        batch.seal();
        batch
    }

    #[test]
    fn framing_is_data_and_spans_find_each_event_again() {
        let shape = Shape::framed(b"[", b",", b"]");
        let batch = batch_of(shape, &["1", "22", "333"]);
        assert_eq!(batch.body(), b"[1,22,333]");
        assert_eq!(batch.events().collect::<Vec<_>>(), [b"1".as_slice(), b"22", b"333"]);
        let selected = batch.select([2, 0, 9]);
        assert_eq!(selected.body(), b"[333,1]");
        assert_eq!(selected.marks()[0].id, batch.marks()[2].id);
    }

    #[test]
    fn an_event_that_cannot_be_formatted_leaves_no_trace() {
        let mut batch = Batch::open(Shape::DEFAULT, Vec::new(), Vec::new());
        let event = AuditEvent::builder(EventType::UserLogin, Severity::Low).build();
        let half = |body: &mut Vec<u8>| {
            body.extend_from_slice(b"half");
            Err(())
        };
        assert!(batch.append(&event, half).is_err());
        assert!(batch.is_empty());
        assert_eq!(batch.body(), b"");
    }
}
