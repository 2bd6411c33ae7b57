//! Lines that cannot become an event, and the file that keeps them.

use std::fmt;
use std::io;
use std::path::Path;

use super::Unreadable;
use super::pieces::HEAD_BYTES_MAX;
use crate::append::AppendFile;
use crate::event::escape::write_text;

/// What a reader counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// The lines of a source, blank ones too.
    Line,
    /// The elements of the arrays in a source, see [`Reader::with_records`](super::Reader::with_records).
    Record,
    /// The records of a topic's partition, from 0, see `siem-forward worker`.
    Offset,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Record => "record",
            Self::Offset => "offset",
        })
    }
}

/// A line, or a record, that cannot become an event.
#[derive(Clone, PartialEq, Eq)]
pub struct RejectedLine {
    file: String,
    unit: Unit,
    line: u64,
    reason: Unreadable,
    text: String,
}

impl RejectedLine {
    pub(super) fn new(file: &str, unit: Unit, line: u64, reason: Unreadable, text: &[u8]) -> Self {
        Self { file: file.to_owned(), unit, line, reason, text: lossy(text) }
    }

    /// The name of its source: the path, or `-` for standard input.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What its number counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Its number, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Why it cannot become an event.
    pub fn reason(&self) -> &Unreadable {
        &self.reason
    }

    /// The line itself: as UTF-8, whatever is none replaced. Of a line that is too long, the first 64 KiB.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// As text, without the character that a cut through its middle would leave behind.
fn lossy(bytes: &[u8]) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && bytes.len() == HEAD_BYTES_MAX => error.valid_up_to(),
        _ => bytes.len(),
    };
    String::from_utf8_lossy(bytes.get(..whole).unwrap_or_default()).into_owned()
}

/// Where and why: what a log may hold. The text may hold what no log should.
impl fmt::Display for RejectedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Line => write!(f, "{}:{}: {}", self.file, self.line, self.reason),
            unit => write!(f, "{}: {unit} {}: {}", self.file, self.line, self.reason),
        }
    }
}

impl fmt::Debug for RejectedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RejectedLine({self})")
    }
}

/// The file of `[input] rejected`: one JSON object a line with `file`, `line` (or `record`), `reason` and `text`.
#[derive(Debug)]
pub struct RejectedFile {
    file: AppendFile,
    record: Vec<u8>,
    written: u64,
}

impl RejectedFile {
    /// Opens the file to append to it; one that does not exist is made with mode 0600.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: AppendFile::open(path)?, record: Vec::new(), written: 0 })
    }

    /// Appends a record, whole, in one write.
    ///
    /// # Errors
    /// When it cannot be written. The next is tried again all the same.
    pub fn write(&mut self, line: &RejectedLine) -> io::Result<()> {
        let record = &mut self.record;
        record.clear();
        record.extend_from_slice(b"{\"file\":");
        write_text(line.file.as_bytes(), record);
        record.extend_from_slice(match line.unit {
            Unit::Line => b",\"line\":",
            Unit::Record => b",\"record\":",
            Unit::Offset => b",\"offset\":",
        });
        record.extend_from_slice(itoa::Buffer::new().format(line.line).as_bytes());
        record.extend_from_slice(b",\"reason\":");
        write_text(line.reason.to_string().as_bytes(), record);
        record.extend_from_slice(b",\"text\":");
        write_text(line.text.as_bytes(), record);
        record.extend_from_slice(b"}\n");
        self.file.write(record)?;
        self.written += 1;
        Ok(())
    }

    /// Waits until what was written has reached the disk.
    ///
    /// # Errors
    /// When it has not.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// How many records were written.
    pub fn written(&self) -> u64 {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn rejected(line: u64, text: &[u8]) -> RejectedLine {
        RejectedLine::new("events.ndjson", Unit::Line, line, Unreadable::NotAnObject, text)
    }

    #[test]
    fn records_are_whole_lines_that_only_their_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rejected.ndjson");
        let mut file = RejectedFile::open(&path).unwrap();
        file.write(&rejected(7, b"[\"a\xff\"]")).unwrap();
        assert_eq!(file.written(), 1);
        drop(file);
        // As a crash would leave it.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"file\":\"ev").unwrap();
        RejectedFile::open(&path).unwrap().write(&rejected(8, b"[]")).unwrap();
        let expected = concat!(
            "{\"file\":\"events.ndjson\",\"line\":7,\"reason\":\"not a JSON object\",\"text\":\"[\\\"a\u{fffd}\\\"]\"}\n",
            "{\"file\":\"ev\n",
            "{\"file\":\"events.ndjson\",\"line\":8,\"reason\":\"not a JSON object\",\"text\":\"[]\"}\n",
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_read_whole_is_kept_whole() {
        let text = "xü".repeat(HEAD_BYTES_MAX);
        assert_eq!(rejected(1, text.as_bytes()).text(), text, "it may be the only copy, to be forwarded again");
    }

    #[test]
    fn the_head_of_a_line_that_is_too_long_ends_between_characters() {
        let text = "üxx".repeat(HEAD_BYTES_MAX);
        let head = text.as_bytes().get(..HEAD_BYTES_MAX).unwrap();
        let line = rejected(1, head);
        assert!(line.text().len() > HEAD_BYTES_MAX - 2 && text.starts_with(line.text()));
    }

    #[test]
    fn neither_display_nor_debug_shows_the_text() {
        let line = rejected(3, b"hush");
        assert_eq!(line.to_string(), "events.ndjson:3: not a JSON object");
        assert!(!format!("{line:?}").contains("hush"));
    }

    #[test]
    fn a_failed_write_is_told_and_the_next_is_tried() {
        let mut file = RejectedFile::open(Path::new("/dev/full")).unwrap();
        assert!(file.write(&rejected(1, b"")).is_err());
        assert!(file.write(&rejected(1, b"")).is_err());
        assert_eq!(file.written(), 0);
    }
}
