//! The file itself: bounded, durable, and a new one where somebody has moved it away.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::Records;
use crate::append::{AppendFile, Lock, LockError, file_size_limit};
#[cfg(feature = "cli")]
use crate::append::{stands_at, sync_folder};

/// How often the file is opened again that somebody moves away at the same time, time and again.
const REOPENED_MAX: usize = 100;

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    path: PathBuf,
    bytes_max: u64,
    file: Mutex<Open>,
    /// That nobody else writes there; a device has none.
    lock: Mutex<Option<Lock>>,
}

#[derive(Debug)]
struct Open {
    file: AppendFile,
    /// Something was written that may not have reached the disk.
    is_unsynced: bool,
}

/// Why there is no dead letter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("it cannot be opened")]
    Io(#[from] io::Error),
    #[error("it is in use")]
    Taken {
        /// The process that uses it, where that is known.
        holder: Option<u32>,
    },
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

/// When a write must have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before it returns.
    Now,
    /// Once [`DeadLetter::sync`] is called: a deadline does not last as long as many waits for a busy disk.
    Later,
}

impl DeadLetter {
    /// Opens or makes the file, for this forwarder alone.
    pub(crate) fn open(path: &Path, bytes_max: u64) -> Result<Self, OpenError> {
        let file = AppendFile::open(path)?;
        let lock = if file.file().metadata()?.is_file() { Some(take_lock(path)?) } else { None };
        Ok(Self {
            path: path.to_owned(),
            bytes_max: bytes_max.min(file_size_limit()),
            file: Mutex::new(Open { file, is_unsynced: false }),
            lock: Mutex::new(lock),
        })
    }

    /// Waits until everything written has reached the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut open = self.file.lock();
        open.file.sync()?;
        open.is_unsynced = false;
        Ok(())
    }

    /// Whether something may not have reached the disk.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.file.lock().is_unsynced
    }

    /// Nothing is written any more: others may.
    pub(crate) fn release(&self) {
        drop(self.lock.lock().take());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the records; says how many of them fitted before it was full or failed.
    pub(crate) fn append(&self, records: &Records, durable: Durable) -> (usize, Option<DeadLetterError>) {
        let mut open = self.file.lock();
        let held = match open.hold(&self.path) {
            Ok(held) => held,
            Err(error) => return (0, Some(error.into())),
        };
        let room = self.bytes_max.saturating_sub(held.bytes_before_next);
        let (fitting, lines) = records.fitting(room);
        if let Err(error) = open.write(lines, held.bytes, durable) {
            return (0, Some(error.into()));
        }
        let full = (fitting < records.len()).then_some(DeadLetterError::Full { bytes_max: self.bytes_max });
        (fitting, full)
    }
}

/// The file is held: who moves it away waits until it has been written.
struct Held {
    /// Another descriptor of the same open file, which the lock belongs to.
    file: File,
    bytes: u64,
    bytes_before_next: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        // One that could not be locked need not be unlocked.
        flock(&self.file, FlockOperation::Unlock).ok();
    }
}

/// A file system without locks leaves a moment in which what is moved away may still be written.
fn lock(file: &File) {
    retry_on_intr(|| flock(file, FlockOperation::LockExclusive)).ok();
}

/// Gives the file at `path` another name; a forwarder that writes there begins a new one with its next record, and what it
/// was writing stands in the file first.
///
/// # Errors
/// When the system does not let us, or somebody else moved it first.
#[cfg(feature = "cli")]
pub(crate) fn move_away(path: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    lock(&file);
    let held = Held { file, bytes: 0, bytes_before_next: 0 };
    if !stands_at(&held.file, path)? {
        return Err(io::Error::other("somebody else has moved it away just now"));
    }
    std::fs::rename(path, to)?;
    // Progress is noted under the new name: it must not outlive it.
    sync_folder(to)
}

fn take_lock(path: &Path) -> Result<Lock, OpenError> {
    Lock::take(path).map_err(|error| match error {
        LockError::Taken { holder } => OpenError::Taken { holder },
        LockError::Io { source, .. } => OpenError::Io(source),
    })
}

impl Open {
    /// Makes sure that the file is the one at `path`, and stays it as long as the result lives: somebody who reads what was
    /// moved away must not miss what is written there afterwards.
    fn hold(&mut self, path: &Path) -> io::Result<Held> {
        for _ in 0..REOPENED_MAX {
            let mut held = Held { file: self.file.file().try_clone()?, bytes: 0, bytes_before_next: 0 };
            lock(&held.file);
            if self.file.stands_at(path)? {
                held.bytes = self.file.bytes()?;
                held.bytes_before_next = self.file.bytes_before_next()?;
                return Ok(held);
            }
            self.file = AppendFile::open(path)?;
        }
        Err(io::Error::other("somebody moves it away, time and again"))
    }

    /// Writes all or, as far as the file system allows, nothing.
    fn write(&mut self, lines: &[u8], before: u64, durable: Durable) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let written = self.file.write(lines).and_then(|()| match durable {
            Durable::Now => self.file.sync(),
            Durable::Later => Ok(()),
        });
        match written {
            Ok(()) => self.is_unsynced |= durable == Durable::Later,
            // Half a record would spoil the next one.
            Err(_) => self.file.cut_to(before),
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attempts, Origin};
    use super::*;
    use crate::event::{AuditEvent, EventType, Severity};
    use crate::siem::{Cause, CauseKind};

    /// Records of the same length.
    fn records(count: usize) -> Records {
        let origin = Origin { pipeline: "p".into(), siem_type: "splunk", destination: "d".into() };
        let mut records = Records::new(&origin);
        records.attempted(&Attempts::none(Cause::new(CauseKind::Rejected)));
        for _ in 0..count {
            records.push_event(&AuditEvent::builder(EventType::UserLogin, Severity::High).build(), None);
        }
        records
    }

    fn lines(path: &Path) -> usize {
        let bytes = std::fs::read(path).unwrap();
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"));
        memchr::memchr_iter(b'\n', &bytes).count()
    }

    #[test]
    fn a_full_dead_letter_takes_what_fits_and_keeps_what_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        let letter = DeadLetter::open(&path, 900).unwrap();
        let records = records(7);
        let (fitting, error) = letter.append(&records, Durable::Now);
        assert!(matches!(error, Some(DeadLetterError::Full { .. })));
        assert!(fitting > 0 && fitting < 7, "{fitting}");
        assert!(matches!(letter.append(&records, Durable::Now), (0, Some(DeadLetterError::Full { .. }))));
        assert_eq!(lines(&path), fitting);
    }

    #[test]
    fn a_torn_line_is_closed_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        std::fs::write(&path, b"{\"half\":").unwrap();
        let letter = DeadLetter::open(&path, 1000).unwrap();
        assert!(matches!(letter.append(&records(1), Durable::Now), (1, None)));
        assert_eq!(lines(&path), 2);
    }

    #[test]
    fn one_that_was_moved_away_is_begun_anew_and_what_was_moved_is_written_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("dead.ndjson"), directory.path().join("moved"));
        let letter = DeadLetter::open(&path, 1_500).unwrap();
        for _ in 0..2 {
            assert!(matches!(letter.append(&records(3), Durable::Now), (3, None)), "each file has room of its own");
            std::fs::rename(&path, &moved).unwrap();
        }
        assert!(matches!(letter.append(&records(2), Durable::Now), (2, None)));
        assert_eq!((lines(&path), lines(&moved)), (2, 3));
    }

    /// Whoever moves the file away reads it afterwards: what is written meanwhile must stand in the one or in the other.
    #[cfg(feature = "cli")]
    #[test]
    fn nothing_is_written_behind_the_back_of_whoever_moves_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        let letter = DeadLetter::open(&path, u64::MAX).unwrap();
        let found = std::thread::scope(|scope| {
            let writing =
                scope.spawn(|| (0..400).for_each(|_| assert_eq!(letter.append(&records(1), Durable::Later).0, 1)));
            let mut found = 0;
            for number in 0.. {
                let to = directory.path().join(number.to_string());
                let has_records = std::fs::metadata(&path).is_ok_and(|there| there.len() > 0);
                if has_records {
                    move_away(&path, &to).unwrap();
                    // Read at once, and never again.
                    found += lines(&to);
                }
                if !has_records && writing.is_finished() && !path.exists() {
                    break;
                }
            }
            found
        });
        assert_eq!(found, 400);
    }

    /// The moment between looking where the file stands and writing to it, stretched: who moves it holds it meanwhile.
    #[test]
    fn who_writes_waits_for_who_moves_it_away() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("dead.ndjson"), directory.path().join("moved"));
        let letter = DeadLetter::open(&path, u64::MAX).unwrap();
        let file = File::open(&path).unwrap();
        lock(&file);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| letter.append(&records(1), Durable::Later).0);
            let patience = std::time::Instant::now() + std::time::Duration::from_millis(200);
            while !writing.is_finished() && std::time::Instant::now() < patience {
                std::thread::yield_now();
            }
            std::fs::rename(&path, &moved).unwrap();
            drop(file);
            assert_eq!(writing.join().unwrap(), 1);
        });
        assert_eq!((lines(&moved), lines(&path)), (0, 1));
    }

    #[test]
    fn a_second_one_at_the_same_path_is_refused_until_the_first_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dead.ndjson");
        let first = DeadLetter::open(&path, 1000).unwrap();
        let own = std::process::id();
        assert!(matches!(DeadLetter::open(&path, 1000), Err(OpenError::Taken { holder: Some(id) }) if id == own));
        first.release();
        DeadLetter::open(&path, 1000).unwrap();
    }
}
