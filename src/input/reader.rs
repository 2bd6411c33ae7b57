//! Events out of sources, one after the other.

use std::fmt;
use std::io;

use super::ahead::{Ahead, Began};
use super::lines::Lines;
use super::ndjson::{Parser, Unreadable};
use super::pieces::{Blocks, Piece};
use super::records::Records;
use super::{InputMap, OpenError, RecordsPointer, RejectedLine, Source, Unit};
use crate::event::{AuditEvent, Pool, TextBuffer};
use crate::format::json;

/// Where an event takes its buffer from, with room for so many bytes of text or less.
type Buffers = Box<dyn FnMut(usize) -> TextBuffer + Send>;

/// Reads events: an iterator that blocks on its sources and ends with the last of them.
///
/// The sources are read, and decompressed where they hold gzip or zstd, on a thread of its own, at most 256 KiB ahead;
/// it ends with the reader, at the latest when the read in which it is comes back.
///
/// ```
/// use siem_forward::input::{InputError, Reader, Source};
///
/// let text = "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"event_type\":\"user_login\",\"severity\":\"low\"}\n[]\n";
/// let mut reader = Reader::open(vec![Source::reader("demo", text.as_bytes())], 65_536)?;
/// assert!(matches!(reader.next(), Some(Ok(_))));
/// let Some(Err(InputError::Rejected(line))) = reader.next() else { panic!() };
/// assert_eq!(line.to_string(), "demo:2: not a JSON object");
/// assert!(reader.next().is_none());
/// # Ok::<(), siem_forward::input::OpenError>(())
/// ```
pub struct Reader {
    ahead: Ahead,
    current: Option<Began>,
    splitter: Splitter,
    line_bytes_max: usize,
    parser: Parser,
    buffers: Buffers,
    bytes_total: Option<u64>,
}

/// What takes blocks of bytes apart.
enum Splitter {
    Lines(Lines),
    Records(Records),
}

impl Splitter {
    fn next(&mut self, blocks: &mut dyn Blocks) -> io::Result<Option<(u64, Piece<'_>)>> {
        match self {
            Self::Lines(lines) => lines.next(blocks),
            Self::Records(records) => records.next(blocks),
        }
    }

    fn restart(&mut self) {
        match self {
            Self::Lines(lines) => lines.restart(),
            Self::Records(records) => records.restart(),
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.number(),
            Self::Records(records) => records.number(),
        }
    }

    fn bytes_read(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.bytes_read(),
            Self::Records(records) => records.bytes_read(),
        }
    }

    fn unit(&self) -> Unit {
        match self {
            Self::Lines(_) => Unit::Line,
            Self::Records(_) => Unit::Record,
        }
    }
}

/// Something did not become an event; the reading goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A line cannot become an event.
    #[error("{0}")]
    Rejected(RejectedLine),
    /// A source broke midway, and what is left of it is not read.
    #[error("cannot read {file} from {unit} {number} on: {error}")]
    Broken {
        /// The name of the source.
        file: String,
        /// What is counted.
        unit: Unit,
        /// The first line, or record, that was not read, from 1.
        number: u64,
        /// What the system says, or what is wrong with the data.
        #[source]
        error: io::Error,
    },
}

impl Reader {
    /// Of these sources, in this order, with lines of at most `line_bytes_max` bytes.
    ///
    /// # Errors
    /// When one of them cannot be read, or no thread can be started: then nothing was read.
    pub fn open(mut sources: Vec<Source>, line_bytes_max: usize) -> Result<Self, OpenError> {
        let mut bytes_total = Some(0);
        for source in &mut sources {
            let bytes = source.check()?;
            bytes_total = bytes_total.zip(bytes).map(|(total, bytes)| total + bytes);
        }
        Ok(Self {
            ahead: Ahead::start(sources).map_err(|error| OpenError::new("anything, without a thread", error))?,
            current: None,
            splitter: Splitter::Lines(Lines::new(line_bytes_max)),
            line_bytes_max,
            parser: Parser::new(),
            buffers: Box::new(|bytes| TextBuffer::with_capacity(bytes.max(Pool::BUFFER_BYTES))),
            bytes_total,
        })
    }

    /// Reads the elements of the array at this place, in a document or in several that follow one another, instead of
    /// lines. They are counted as records, from 1 in each source; the limit of a line is that of a record.
    #[must_use]
    pub fn with_records(mut self, pointer: RecordsPointer) -> Self {
        self.splitter = Splitter::Records(Records::new(pointer, self.line_bytes_max));
        self
    }

    /// Makes events of records of any layout, as this map says, instead of reading them in our own.
    #[must_use]
    pub fn with_map(mut self, map: InputMap) -> Self {
        self.parser.set_map(map);
        self
    }

    /// Takes the events' buffers from elsewhere, such as the pool beside a ring.
    pub(crate) fn with_buffers(mut self, buffers: impl FnMut(usize) -> TextBuffer + Send + 'static) -> Self {
        self.buffers = Box::new(buffers);
        self
    }

    /// How many bytes were read so far, of all sources, as they are: of a compressed file its own.
    pub fn bytes_read(&self) -> u64 {
        self.splitter.bytes_read()
    }

    /// How many bytes there were at the start, where all sources are files.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// What the reader counts in each source.
    pub fn unit(&self) -> Unit {
        self.splitter.unit()
    }

    /// The source that is being read and the number of its last line, or record; `None` before the first and after the
    /// last.
    pub fn position(&self) -> Option<(&str, u64)> {
        self.current.as_ref().map(|current| (current.name.as_str(), self.splitter.number()))
    }

    /// Whether the source that is being read lies on disk, so that what is left of it is left for another time.
    pub(crate) fn is_reading_file(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.is_file)
    }

    /// The last line as a rejected one, where its event came back: its text is the event's own layout.
    pub(crate) fn reject(&self, event: &AuditEvent, reason: Unreadable) -> RejectedLine {
        let (file, line) = self.position().unwrap_or_default();
        let mut text = Vec::new();
        json::write(event, &mut text);
        RejectedLine::new(file, self.unit(), line, reason, &text)
    }

    /// Goes on to the next source; `None` when there is none.
    fn advance(&mut self) -> Option<Result<(), InputError>> {
        self.splitter.restart();
        Some(match self.ahead.advance()? {
            Ok(began) => {
                self.current = Some(began);
                Ok(())
            }
            Err(error) => Err(self.broken("the input".to_owned(), error)),
        })
    }

    /// The source is not read any further.
    fn broken(&self, file: String, error: io::Error) -> InputError {
        InputError::Broken { file, unit: self.unit(), number: self.splitter.number() + 1, error }
    }
}

impl Iterator for Reader {
    type Item = Result<AuditEvent, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(current) = &self.current else {
                if let Err(error) = self.advance()? {
                    return Some(Err(error));
                }
                continue;
            };
            let unit = self.splitter.unit();
            let (number, piece) = match self.splitter.next(&mut self.ahead) {
                Ok(Some(numbered)) => numbered,
                Ok(None) => {
                    self.current = None;
                    continue;
                }
                Err(error) => {
                    self.ahead.abandon();
                    let file = self.current.take().map(|current| current.name).unwrap_or_default();
                    return Some(Err(self.broken(file, error)));
                }
            };
            let (reason, text) = match piece {
                Piece::Whole(line) => match self.parser.parse(line, (self.buffers)(self.parser.text_bytes(line))) {
                    Ok(event) => return Some(Ok(event)),
                    Err(reason) => (reason, line),
                },
                Piece::TooLong { head, bytes } => (Unreadable::TooLong { bytes, bytes_max: self.line_bytes_max }, head),
            };
            return Some(Err(InputError::Rejected(RejectedLine::new(&current.name, unit, number, reason, text))));
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("position", &self.position()).finish_non_exhaustive()
    }
}
