//! The dead letter: a file of the events that were refused for good or left over, one JSON record a line.
//!
//! It is bounded and never deletes: full means full. Lines are whole, also after a write that failed half-way or a
//! process that was killed. What it holds may be sensitive, so the file is made with mode 0600. Written by batchers,
//! senders and drain, rarely; each write reaches the disk before the events are counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::batch::{Batch, Mark};
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

#[derive(Serialize)]
struct Head<'a> {
    time: String,
    pipeline: &'a str,
    siem_type: &'a str,
    destination: &'a str,
    id: String,
    event_time: String,
    severity: &'a str,
    cause: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a str>,
    attempts: u32,
    possible_duplicate: bool,
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
        Ok(Self { path: path.to_owned(), bytes_max, file: Mutex::new(Open { file, bytes }) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines and brings them to the disk; says how many of them fitted before it was full or failed.
    pub(crate) fn append(&self, lines: &[Vec<u8>]) -> (usize, Option<DeadLetterError>) {
        let mut open = self.file.lock();
        let room = self.bytes_max.saturating_sub(open.bytes);
        let mut bytes = 0;
        let fitting = lines.iter().take_while(|line| {
            bytes += line.len() as u64;
            bytes <= room
        });
        let fitting: Vec<&[u8]> = fitting.map(Vec::as_slice).collect();
        if let Err(error) = open.write(&fitting.concat()) {
            return (0, Some(error.into()));
        }
        let full = (fitting.len() < lines.len()).then_some(DeadLetterError::Full { bytes_max: self.bytes_max });
        (fitting.len(), full)
    }
}

impl Open {
    /// Writes all or, as far as the file system allows, nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.bytes += bytes.len() as u64,
            // Half a record would spoil the next one. Should this fail too, the next start closes the line.
            Err(_) => drop(self.file.set_len(self.bytes)),
        }
        written
    }
}

/// The record of an event that has a wire form, as one line.
pub(crate) fn wire_record(origin: &Origin, attempts: &Attempts, batch: &Batch, index: usize) -> Option<Vec<u8>> {
    let mark = batch.marks().get(index)?;
    let wire = batch.event(index)?;
    let mut line = head(origin, attempts, mark.id.to_string(), mark);
    line.extend_from_slice(b",\"wire\":");
    if is_json_line(wire) {
        line.extend_from_slice(wire);
    } else {
        json_string(&String::from_utf8_lossy(wire), &mut line);
    }
    line.extend_from_slice(b"}\n");
    Some(line)
}

/// The record of an event that never got a wire form, as one line: it holds the event itself.
pub(crate) fn event_record(origin: &Origin, attempts: &Attempts, event: &AuditEvent) -> Vec<u8> {
    let mark = Mark::of(event, 0);
    let mut line = head(origin, attempts, event.id().to_string(), &mark);
    line.extend_from_slice(b",\"event\":");
    json::write(event, &mut line);
    line.extend_from_slice(b"}\n");
    line
}

/// The common part of a record, without its closing brace.
fn head(origin: &Origin, attempts: &Attempts, id: String, mark: &Mark) -> Vec<u8> {
    let head = Head {
        time: Timestamp::now().to_string(),
        pipeline: &origin.pipeline,
        siem_type: origin.siem_type,
        destination: &origin.destination,
        id,
        event_time: mark.timestamp.to_string(),
        severity: mark.severity.name(),
        cause: &attempts.cause.label(),
        words: attempts.cause.as_words(),
        attempts: attempts.count,
        possible_duplicate: attempts.possible_duplicate,
    };
    // Strings, numbers and a bool always serialize.
    let mut line = serde_json::to_vec(&head).unwrap_or_default();
    line.pop();
    line
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    crate::event::escape::write_text(text.as_bytes(), out);
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

    fn attempts() -> Attempts {
        let cause = Cause::new(CauseKind::Http(400)).words("Invalid data format\n");
        Attempts { cause, count: 2, possible_duplicate: true }
    }

    #[test]
    fn a_record_is_one_line_of_json_whatever_the_event_holds() {
        let event = AuditEvent::builder(EventType::UserLogin, Severity::High).user_id("a\n\"b\"\0").build();
        let line = event_record(&origin(), &attempts(), &event);
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
            let line = wire_record(&origin(), &attempts(), &batch, 0).unwrap();
            let record: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(record["wire"], expected);
        }
    }

    #[test]
    fn a_full_dead_letter_takes_what_fits_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        let letter = DeadLetter::open(&path, 10).unwrap();
        let lines = [b"1234\n".to_vec(), b"5678\n".to_vec(), b"9\n".to_vec()];
        assert!(matches!(letter.append(&lines), (2, Some(DeadLetterError::Full { .. }))));
        assert!(matches!(letter.append(&lines), (0, Some(DeadLetterError::Full { .. }))));
        assert_eq!(std::fs::read(&path).unwrap(), b"1234\n5678\n");
    }

    #[test]
    fn a_torn_line_is_closed_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        std::fs::write(&path, b"{\"half\":").unwrap();
        let letter = DeadLetter::open(&path, 1000).unwrap();
        assert!(matches!(letter.append(&[b"{}\n".to_vec()]), (1, None)));
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
