//! The dead letter: a file of the events that were refused for good or left over, one JSON record a line.
//!
//! It is bounded and never deletes: full means full. Lines are whole, also after a write that failed half-way or a
//! process that was killed. What it holds may be sensitive, so the file is made with mode 0600. Written by batchers,
//! senders and drain, rarely; each write reaches the disk before the events are counted, but while draining, where one
//! bounded wait for the disk follows all writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::batch::{Batch, Mark};
use crate::event::escape::write_text;
use crate::event::{AuditEvent, Timestamp};
use crate::format::json;
use crate::siem::Cause;

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    path: PathBuf,
    bytes_max: u64,
    file: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
    /// Something was written that may not have reached the disk.
    is_unsynced: bool,
}

/// Whose records these are: the same for every record of a pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) pipeline: String,
    pub(crate) siem_type: &'static str,
    pub(crate) destination: String,
}

/// What is known of the attempts to deliver.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    pub(crate) cause: Cause,
    pub(crate) count: u32,
    pub(crate) possible_duplicate: bool,
}

impl Attempts {
    /// Never sent.
    pub(crate) fn none(cause: Cause) -> Self {
        Self { cause, count: 0, possible_duplicate: false }
    }
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DeadLetterError {
    #[error("it holds {bytes_max} bytes at most and is full")]
    Full { bytes_max: u64 },
    #[error("it cannot be written")]
    Io(#[from] io::Error),
}

/// How large the system lets this process make a file: writing beyond it would not fail, but end the process by a signal.
fn file_size_limit() -> u64 {
    #[cfg(unix)]
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Fsize).current {
        return limit;
    }
    u64::MAX
}

/// When a write must have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before it returns.
    Now,
    /// Once [`DeadLetter::sync`] is called: a deadline does not last as long as many waits for a busy disk.
    Later,
}

impl DeadLetter {
    /// Opens or makes the file, and closes a line that a killed process left open.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let mut bytes = file.seek(SeekFrom::End(0))?;
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self {
            path: path.to_owned(),
            bytes_max: bytes_max.min(file_size_limit()),
            file: Mutex::new(Open { file, bytes, is_unsynced: false }),
        })
    }

    /// Waits until everything written has reached the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut open = self.file.lock();
        open.file.sync_data()?;
        open.is_unsynced = false;
        Ok(())
    }

    /// Whether something may not have reached the disk.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.file.lock().is_unsynced
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the records; says how many of them fitted before it was full or failed.
    pub(crate) fn append(&self, records: &Records, durable: Durable) -> (usize, Option<DeadLetterError>) {
        let mut open = self.file.lock();
        let room = self.bytes_max.saturating_sub(open.bytes);
        let fitting = records.ends.partition_point(|end| *end as u64 <= room);
        let end = fitting.checked_sub(1).and_then(|last| records.ends.get(last)).copied().unwrap_or(0);
        if let Err(error) = open.write(records.bytes.get(..end).unwrap_or_default(), durable) {
            return (0, Some(error.into()));
        }
        let full = (fitting < records.len()).then_some(DeadLetterError::Full { bytes_max: self.bytes_max });
        (fitting, full)
    }
}

impl Open {
    /// Writes all or, as far as the file system allows, nothing.
    fn write(&mut self, bytes: &[u8], durable: Durable) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(bytes).and_then(|()| match durable {
            Durable::Now => self.file.sync_data(),
            Durable::Later => Ok(()),
        });
        match written {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                self.is_unsynced |= durable == Durable::Later;
            }
            // Half a record would spoil the next one. Should this fail too, the next start closes the line.
            Err(_) => drop(self.file.set_len(self.bytes)),
        }
        written
    }
}

/// Records to be written together, a line each. What they have in common is encoded once, since drain writes tens of
/// thousands of them within its deadline.
#[derive(Debug)]
pub(crate) struct Records {
    /// A record up to its id.
    before: Vec<u8>,
    /// A record from its severity on, up to the event itself.
    after: Vec<u8>,
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

/// The first and the last part of a record, each an object of its own until they are joined.
#[derive(Serialize)]
struct Before<'a> {
    time: String,
    pipeline: &'a str,
    siem_type: &'a str,
    destination: &'a str,
}

#[derive(Serialize)]
struct After<'a> {
    cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a str>,
    attempts: u32,
    possible_duplicate: bool,
}

impl Records {
    pub(crate) fn new(origin: &Origin) -> Self {
        let Origin { pipeline, siem_type, destination } = origin;
        let before = Before { time: Timestamp::now().to_string(), pipeline, siem_type, destination };
        Self { before: open_object(&before), after: Vec::new(), bytes: Vec::new(), ends: Vec::new() }
    }

    /// What is known of the attempts to deliver those that are pushed from here on.
    pub(crate) fn attempted(&mut self, attempts: &Attempts) {
        let after = After {
            cause: &attempts.cause.label(),
            words: attempts.cause.as_words(),
            attempts: attempts.count,
            possible_duplicate: attempts.possible_duplicate,
        };
        self.after = open_object(&after);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds the event at `index`, which has a wire form.
    pub(crate) fn push_wire(&mut self, batch: &Batch, index: usize) {
        let (Some(mark), Some(wire)) = (batch.marks().get(index), batch.event(index)) else { return };
        self.push_head(mark);
        self.bytes.extend_from_slice(b",\"wire\":");
        if is_json_line(wire) {
            self.bytes.extend_from_slice(wire);
        } else {
            write_text(String::from_utf8_lossy(wire).as_bytes(), &mut self.bytes);
        }
        self.close();
    }

    /// Adds an event that never got a wire form: its record holds the event itself.
    pub(crate) fn push_event(&mut self, event: &AuditEvent) {
        self.push_head(&Mark::of(event, 0));
        self.bytes.extend_from_slice(b",\"event\":");
        json::write(event, &mut self.bytes);
        self.close();
    }

    fn push_head(&mut self, mark: &Mark) {
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(&self.before);
        bytes.extend_from_slice(b",\"id\":\"");
        mark.id.write(bytes);
        bytes.extend_from_slice(b"\",\"event_time\":\"");
        mark.timestamp.write_rfc3339(bytes);
        bytes.extend_from_slice(b"\",\"severity\":\"");
        bytes.extend_from_slice(mark.severity.name().as_bytes());
        bytes.extend_from_slice(b"\",");
        bytes.extend_from_slice(self.after.get(1..).unwrap_or_default());
    }

    fn close(&mut self) {
        self.bytes.extend_from_slice(b"}\n");
        self.ends.push(self.bytes.len());
    }
}

/// An object without its closing brace.
fn open_object(part: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and a bool always serialize.
    let mut object = serde_json::to_vec(part).unwrap_or_default();
    object.pop();
    object
}

fn is_json_line(wire: &[u8]) -> bool {
    !wire.contains(&b'\n') && !wire.contains(&b'\r') && serde_json::from_slice::<IgnoredAny>(wire).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, Severity};
    use crate::siem::CauseKind;

    fn origin() -> Origin {
        Origin { pipeline: "splunk".into(), siem_type: "splunk", destination: "http://127.0.0.1".into() }
    }

    fn recorded() -> Records {
        let mut records = Records::new(&origin());
        records.attempted(&attempts());
        records
    }

    fn attempts() -> Attempts {
        let cause = Cause::new(CauseKind::Http(400)).words("Invalid data format\n");
        Attempts { cause, count: 2, possible_duplicate: true }
    }

    fn lines(lines: &[&str]) -> Records {
        let mut records = recorded();
        for line in lines {
            records.bytes.extend_from_slice(line.as_bytes());
            records.ends.push(records.bytes.len());
        }
        records
    }

    #[test]
    fn a_record_is_one_line_of_json_whatever_the_event_holds() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::High).user_id("a\n\"b\"\0").build();
        let mut records = recorded();
        records.push_event(&event);
        let line = records.bytes;
        let record: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(record["event"]["user_id"], "a\n\"b\"\0");
        assert_eq!(record["id"], event.id().to_string());
        assert_eq!(record["cause"], "http_400");
        assert_eq!(record["possible_duplicate"], true);
        assert_eq!(line.split(|byte| *byte == b'\n').count(), 2, "one line and nothing behind it");
    }

    #[test]
    fn the_wire_form_stands_as_json_where_it_is_json_and_as_text_elsewhere() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::High).build();
        for (wire, expected) in [
            (r#"{"a":1}"#, serde_json::json!({"a": 1})),
            ("<13>plain", serde_json::json!("<13>plain")),
            ("{\n}", serde_json::json!("{\n}")),
        ] {
            let mut batch = Batch::open(crate::batch::Shape::DEFAULT, Vec::new(), Vec::new());
            let write = |body: &mut Vec<u8>| {
                body.extend_from_slice(wire.as_bytes());
                Ok::<(), ()>(())
            };
            batch.append(&event, write).unwrap();
            batch.seal();
            let mut records = recorded();
            records.push_wire(&batch, 0);
            let record: serde_json::Value = serde_json::from_slice(&records.bytes).unwrap();
            assert_eq!(record["wire"], expected);
        }
    }

    #[test]
    fn a_full_dead_letter_takes_what_fits_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        let letter = DeadLetter::open(&path, 10).unwrap();
        let records = lines(&["1234\n", "5678\n", "9\n"]);
        assert!(matches!(letter.append(&records, Durable::Now), (2, Some(DeadLetterError::Full { .. }))));
        assert!(matches!(letter.append(&records, Durable::Now), (0, Some(DeadLetterError::Full { .. }))));
        assert_eq!(std::fs::read(&path).unwrap(), b"1234\n5678\n");
    }

    #[test]
    fn a_torn_line_is_closed_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        std::fs::write(&path, b"{\"half\":").unwrap();
        let letter = DeadLetter::open(&path, 1000).unwrap();
        assert!(matches!(letter.append(&lines(&["{}\n"]), Durable::Now), (1, None)));
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"half\":\n{}\n");
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_readable_by_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        DeadLetter::open(&path, 1000).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
