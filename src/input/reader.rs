//! Events out of sources, one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

use super::lines::{Line, Lines};
use super::ndjson::{Parser, Unreadable};
use super::{OpenError, RejectedLine, Source};
use crate::event::{AuditEvent, Pool, TextBuffer};
use crate::format::json;

/// Where an event takes its buffer from.
type Buffers = Box<dyn FnMut() -> TextBuffer + Send>;

/// Reads events: an iterator that blocks on its sources and ends with the last of them.
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
    waiting: VecDeque<Source>,
    current: Option<Current>,
    lines: Lines,
    line_bytes_max: usize,
    parser: Parser,
    buffers: Buffers,
    bytes_total: Option<u64>,
}

struct Current {
    name: String,
    reader: Box<dyn Read + Send>,
    is_file: bool,
}

/// Something did not become an event; the reading goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A line cannot become an event.
    #[error("{0}")]
    Rejected(RejectedLine),
    /// A source broke midway, and what is left of it is not read.
    #[error("cannot read {file} from line {line} on: {error}")]
    Broken {
        /// The name of the source.
        file: String,
        /// The first line that was not read, from 1.
        line: u64,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

impl Reader {
    /// Of these sources, in this order, with lines of at most `line_bytes_max` bytes.
    ///
    /// # Errors
    /// When one of them cannot be read: then nothing was.
    pub fn open(sources: Vec<Source>, line_bytes_max: usize) -> Result<Self, OpenError> {
        let mut waiting = VecDeque::from(sources);
        let mut bytes_total = Some(0);
        for source in &mut waiting {
            let bytes = source.check()?;
            bytes_total = bytes_total.zip(bytes).map(|(total, bytes)| total + bytes);
        }
        Ok(Self {
            waiting,
            current: None,
            lines: Lines::new(line_bytes_max),
            line_bytes_max,
            parser: Parser::new(),
            buffers: Box::new(|| TextBuffer::with_capacity(Pool::BUFFER_BYTES)),
            bytes_total,
        })
    }

    /// Takes the events' buffers from elsewhere, such as the pool beside a ring.
    pub(crate) fn with_buffers(mut self, buffers: impl FnMut() -> TextBuffer + Send + 'static) -> Self {
        self.buffers = Box::new(buffers);
        self
    }

    /// How many bytes were read so far, of all sources.
    pub fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    /// How many bytes there were at the start, where all sources are files.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// The source that is being read and the number of its last line; `None` before the first and after the last.
    pub fn position(&self) -> Option<(&str, u64)> {
        self.current.as_ref().map(|current| (current.name.as_str(), self.lines.number()))
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
        RejectedLine::new(file, line, reason, &text)
    }

    /// Opens the next source; `None` when there is none.
    fn advance(&mut self) -> Option<Result<(), InputError>> {
        let source = self.waiting.pop_front()?;
        let (name, is_file) = (source.name().to_owned(), source.is_file());
        self.lines.restart();
        Some(match source.open() {
            Ok(reader) => {
                self.current = Some(Current { name, reader, is_file });
                Ok(())
            }
            Err(error) => Err(InputError::Broken { file: name, line: 1, error }),
        })
    }
}

impl Iterator for Reader {
    type Item = Result<AuditEvent, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(current) = &mut self.current else {
                if let Err(error) = self.advance()? {
                    return Some(Err(error));
                }
                continue;
            };
            let (number, line) = match self.lines.next(&mut current.reader) {
                Ok(Some(numbered)) => numbered,
                Ok(None) => {
                    self.current = None;
                    continue;
                }
                Err(error) => {
                    let file = std::mem::take(&mut current.name);
                    self.current = None;
                    return Some(Err(InputError::Broken { file, line: self.lines.number() + 1, error }));
                }
            };
            let (reason, text) = match line {
                Line::Whole(line) => match self.parser.parse(line, (self.buffers)()) {
                    Ok(event) => return Some(Ok(event)),
                    Err(reason) => (reason, line),
                },
                Line::TooLong { head, bytes } => (Unreadable::TooLong { bytes, bytes_max: self.line_bytes_max }, head),
            };
            return Some(Err(InputError::Rejected(RejectedLine::new(&current.name, number, reason, text))));
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.position())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}
