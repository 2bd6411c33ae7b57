//! The files of a dead letter: the one that is written, and those that a replay has moved away and not emptied yet.
//!
//! A replay renames `FILE` to the first free of `FILE.replay-1`, `FILE.replay-2`, …: a running forwarder begins a new
//! `FILE` then. Beside a renamed file lies its progress while it is replayed.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::survey::progress;
use crate::append::{Lock, LockError, beside};
use crate::dead_letter::{Fates, move_away, rewrite};

/// Between the name of a dead letter and the number of its renamed file.
const REPLAY: &str = ".replay-";
/// More than this many leftovers are no accident.
const LEFTOVERS_MAX: u32 = 10_000;

/// What is to be replayed of the files that were named, in this order: what earlier replays left comes first.
///
/// # Errors
/// When one that was named is not there, and no replay has left anything of it.
pub(crate) fn backlog(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in named {
        let left = if is_renamed(path) { Vec::new() } else { leftovers(path) };
        let itself = match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            // One that a running forwarder has made and not written is nothing to be moved away.
            Ok(there) => Ok((there.len() > 0).then(|| path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !left.is_empty() => Ok(None),
            Err(error) => Err(error),
        };
        let itself = itself.map_err(|source| Failure::Open { path: path.clone(), source })?;
        let new = left.into_iter().chain(itself).filter(|file| !files.contains(file)).collect::<Vec<_>>();
        files.extend(new);
    }
    Ok(files)
}

/// What replays of this file have left, the oldest first.
pub(crate) fn leftovers(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let mut numbers: Vec<u32> = names.filter_map(|name| number_of(&name, path.file_name()?)).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| numbered(path, number)).collect()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    beside(path, &format!("{REPLAY}{number}"))
}

/// The number in the name of a renamed file.
fn number_of(name: &OsStr, original: &OsStr) -> Option<u32> {
    let number = name.to_str()?.strip_prefix(original.to_str()?)?.strip_prefix(REPLAY)?;
    let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { number.parse().ok() } else { None }
}

fn is_renamed(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.rsplit_once(REPLAY).is_some_and(|(original, _)| number_of(OsStr::new(name), OsStr::new(original)).is_some())
}

/// A renamed file that is this process's to replay.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) path: PathBuf,
    _lock: Lock,
}

impl Claimed {
    /// Takes a file of the backlog: renames it where it is one that is written, and takes out what an interrupted replay
    /// has delivered. `None` where that was all.
    ///
    /// # Errors
    /// When somebody else replays it, or it cannot be written.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, Failure> {
        let claimed = if is_renamed(path) { Self::lock(path)? } else { Self::rename(path)? };
        let failed = |source| Failure::Open { path: claimed.path.clone(), source };
        let mut fates = Fates::read(&progress(&claimed.path)).map_err(failed)?;
        let left = claimed.keep(&mut fates).map_err(failed)?;
        Ok((left > 0).then_some(claimed))
    }

    fn lock(path: &Path) -> Result<Self, Failure> {
        let lock = Lock::take(path).map_err(|source| Failure::Replayed { path: path.to_owned(), source })?;
        // Its last holder may have emptied it.
        let there = std::fs::metadata(path).map_err(|source| Failure::Open { path: path.to_owned(), source });
        there.map(|_| Self { path: path.to_owned(), _lock: lock })
    }

    fn rename(path: &Path) -> Result<Self, Failure> {
        for number in 1..LEFTOVERS_MAX {
            let to = numbered(path, number);
            let lock = match Lock::take(&to) {
                Ok(lock) if !to.exists() => lock,
                Ok(_) | Err(LockError::Taken { .. }) => continue,
                Err(source) => return Err(Failure::Replayed { path: to, source }),
            };
            // A replay that was killed when nothing was left of its file.
            forget(&progress(&to)).map_err(|source| Failure::Open { path: progress(&to), source })?;
            move_away(path, &to).map_err(|source| Failure::Open { path: path.to_owned(), source })?;
            return Ok(Self { path: to, _lock: lock });
        }
        let source = io::Error::other("there is no free name for it");
        Err(Failure::Open { path: path.to_owned(), source })
    }

    /// Keeps what is left, and forgets the progress. Returns how many lines are left; a file without any is removed.
    ///
    /// # Errors
    /// When the file cannot be written; then it and its progress are as they were.
    pub(crate) fn keep(&self, fates: &mut Fates) -> io::Result<u64> {
        let left = if fates.is_empty() {
            u64::from(std::fs::metadata(&self.path)?.len() > 0)
        } else {
            rewrite(&self.path, fates)?
        };
        // Only once what it says stands in the file: without it, all of the file would be sent again.
        forget(&progress(&self.path))?;
        Ok(left)
    }
}

/// Removes a file that need not be there.
fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replays_left_comes_first_and_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let others = ["a.replay-2.progress", "a.replay-2.lock", "a.replay-02", "a.replay-", "a.replay-x", "b.replay-1"];
        for name in ["a", "a.replay-10", "a.replay-2"].into_iter().chain(others) {
            std::fs::write(path(name), "x\n").unwrap();
        }
        let expected = vec![path("a.replay-2"), path("a.replay-10"), path("a")];
        assert_eq!(backlog(&[path("a"), path("a"), path("a.replay-10")]).unwrap(), expected);
        assert_eq!(backlog(&[path("a.replay-10")]).unwrap(), [path("a.replay-10")]);
        // The forwarder has not written yet.
        std::fs::write(path("a"), "").unwrap();
        assert_eq!(backlog(&[path("a")]).unwrap().len(), 2);
        std::fs::remove_file(path("a")).unwrap();
        assert_eq!(backlog(&[path("a")]).unwrap().len(), 2);
        assert!(backlog(&[path("c")]).is_err() && backlog(&[folder.path().to_owned()]).is_err());
    }

    #[test]
    fn a_file_is_renamed_to_a_name_that_is_free_and_has_one_replay_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "a.replay-1", "a.replay-2.progress", "a.replay-2.lock"] {
            std::fs::write(path(name), "x\n").unwrap();
        }
        let claimed = Claimed::take(&path("a")).unwrap().unwrap();
        assert_eq!(claimed.path, path("a.replay-2"));
        assert!(!path("a.replay-2.progress").exists(), "it tells of a file that is gone");
        assert!(!path("a").exists() && claimed.path.exists());
        assert!(matches!(Claimed::take(&path("a.replay-2")), Err(Failure::Replayed { .. })));
        drop(claimed);
        assert!(Claimed::take(&path("a.replay-2")).unwrap().is_some());
    }
}
