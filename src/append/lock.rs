//! One writer at a time: a file beside the one that is written, locked as long as somebody writes there.
//!
//! The lock is the system's, so a killed process leaves none, whatever it leaves lying there. It names its holder, for
//! whoever finds it taken.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::{beside, stands_at};

/// How often a lock is tried whose file is removed by its last holder meanwhile.
const TRIES: usize = 16;

/// Held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
    /// A forked child holds a copy that is none of its business.
    process: u32,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("{}", taken(*.holder))]
    Taken { holder: Option<u32> },
    #[error("the lock file {} cannot be used: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

fn taken(holder: Option<u32>) -> String {
    match holder {
        Some(process) if process == std::process::id() => "this process uses it already".to_owned(),
        Some(process) => format!("the process {process} uses it"),
        None => "another process uses it".to_owned(),
    }
}

impl Lock {
    /// Takes the lock of `path`, without waiting.
    ///
    /// # Errors
    /// When somebody else has it, or there can be no such file.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let path = beside(path, ".lock");
        let failed = |source| LockError::Io { path: path.clone(), source };
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).read(true).write(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Err(LockError::Taken { holder: holder(&mut file) }),
                // Where the file system knows no locks it is better to work without than not at all.
                Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {}
                Err(error) => return Err(failed(error.into())),
            }
            // Its last holder may have removed it between our opening and our locking: then others lock a new one.
            if stands_at(&file, &path).map_err(failed)? {
                let process = std::process::id();
                name_holder(&mut file, process).map_err(failed)?;
                return Ok(Self { path, file, process });
            }
        }
        Err(LockError::Taken { holder: None })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if std::process::id() == self.process && stands_at(&self.file, &self.path).unwrap_or(false) {
            // A leftover is only untidy.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn name_holder(file: &mut File, process: u32) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{process}")
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_says_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        let lock = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert_eq!(error.to_string(), "this process uses it already");
        drop(lock);
        assert!(!beside(&path, ".lock").exists(), "nothing is left behind");
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn what_a_killed_process_left_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        std::fs::write(beside(&path, ".lock"), "4711\n").unwrap();
        drop(Lock::take(&path).unwrap());
    }

    #[test]
    fn a_lock_whose_file_is_gone_is_not_everybodys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        let first = Lock::take(&path).unwrap();
        std::fs::remove_file(beside(&path, ".lock")).unwrap();
        let second = Lock::take(&path).unwrap();
        // The first must not remove the second's.
        drop(first);
        assert!(matches!(Lock::take(&path), Err(LockError::Taken { holder: Some(_) })));
        drop(second);
    }
}
