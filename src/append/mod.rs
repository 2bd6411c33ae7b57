//! A file that only grows, by whole lines: what the dead letter, the rejected lines and a replay's progress are kept in.
//!
//! What it holds may be sensitive, so it is made with mode 0600. A line that a killed process or a full disk left open is
//! closed before the next one is written, so that the next is not glued to it.

mod lock;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(crate) use lock::{Lock, LockError};

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct AppendFile {
    file: File,
    /// The file ends within a line, which the next must not be glued to.
    is_torn: bool,
}

impl AppendFile {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        let is_torn = ends_within_a_line(&file)?;
        Ok(Self { file, is_torn })
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// When they cannot be written, or not all of them. The next are tried again all the same.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        Ok(())
    }

    /// Cuts off what a failed write has left behind these bytes. Only for a file that nobody else writes.
    pub(crate) fn cut_to(&mut self, bytes: u64) {
        // Should this fail too, the next write closes the line.
        if self.file.set_len(bytes).is_ok() {
            self.is_torn = ends_within_a_line(&self.file).unwrap_or(true);
        }
    }

    /// Waits until everything written has reached the disk.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// How many bytes it has.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// How many bytes the next line must do without: those that it has, and what closes a line left open.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn bytes_before_next(&self) -> io::Result<u64> {
        Ok(self.bytes()? + u64::from(self.is_torn))
    }

    /// Whether this is still the file that stands at `path`: somebody may have moved it away.
    ///
    /// # Errors
    /// When the system does not tell, but for nothing standing there.
    pub(crate) fn stands_at(&self, path: &Path) -> io::Result<bool> {
        stands_at(&self.file, path)
    }

    /// The file itself, to be locked.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

/// Whether an open file is the one that stands at `path`.
///
/// # Errors
/// When the system does not tell, but for nothing standing there.
pub(crate) fn stands_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether two paths lead to one file, or will once it is made.
#[cfg(feature = "cli")]
pub(crate) fn is_one_file(left: &Path, right: &Path) -> bool {
    match (std::fs::metadata(left), std::fs::metadata(right)) {
        // A device takes from everybody.
        (Ok(left), Ok(right)) => left.is_file() && (left.dev(), left.ino()) == (right.dev(), right.ino()),
        (Err(_), Err(_)) => {
            let folder = |path| std::fs::canonicalize(folder_of(path)).ok();
            left.file_name() == right.file_name() && folder(left).is_some_and(|left| folder(right) == Some(left))
        }
        _ => false,
    }
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path of the file that stands beside another one, with this behind its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Waits until the names in a file's folder have reached the disk: a new, renamed or removed file is none before.
///
/// # Errors
/// When they have not.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path))?.sync_all() {
        // A file system that does not know this has nothing to wait for.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// How large the system lets this process make a file: writing beyond it would not fail, but end the process by a signal.
pub(crate) fn file_size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// How much more the disk takes on which this folder lies; `None` where its file system does not tell.
///
/// # Errors
/// When the folder cannot be looked at.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<Option<u64>> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok((disk.f_blocks > 0).then(|| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn ends_within_a_line(mut file: &File) -> io::Result<bool> {
    if !file.metadata()?.is_file() || file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_line_that_was_left_open_is_closed_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        std::fs::write(&path, b"{\"half\":").unwrap();
        let mut file = AppendFile::open(&path).unwrap();
        file.write(b"{}\n").unwrap();
        file.write(b"[]\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"half\":\n{}\n[]\n");
    }

    #[test]
    fn only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        AppendFile::open(&path).unwrap().write(b"1\n").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_a_failed_write_left_can_be_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut file = AppendFile::open(&path).unwrap();
        file.write(b"1\n").unwrap();
        let before = file.bytes().unwrap();
        file.file.write_all(b"ha").unwrap();
        file.is_torn = true;
        file.cut_to(before);
        file.write(b"2\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"1\n2\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_known_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("lines"), folder.path().join("moved"));
        let file = AppendFile::open(&path).unwrap();
        assert!(file.stands_at(&path).unwrap());
        std::fs::rename(&path, moved).unwrap();
        assert!(!file.stands_at(&path).unwrap());
        std::fs::write(&path, "").unwrap();
        assert!(!file.stands_at(&path).unwrap(), "another file of the same name");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn one_file_is_known_by_any_of_its_paths_before_it_is_made_and_after() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let path = folder.path().join("lines");
        let around = folder.path().join("in/../lines");
        for is_made in [false, true] {
            assert!(is_one_file(&path, &around), "made: {is_made}");
            assert!(!is_one_file(&path, &folder.path().join("other")));
            assert!(!is_one_file(&path, &folder.path().join("in/lines")));
            std::fs::write(&path, "").unwrap();
        }
        let (hard, soft) = (folder.path().join("hard"), folder.path().join("soft"));
        std::fs::hard_link(&path, &hard).unwrap();
        std::os::unix::fs::symlink(&path, &soft).unwrap();
        assert!(is_one_file(&hard, &soft));
        assert!(!is_one_file(Path::new("/dev/null"), Path::new("/dev/null")), "a device takes from everybody");
    }

    #[test]
    fn a_failed_write_is_told_and_the_next_is_tried() {
        let mut file = AppendFile::open(Path::new("/dev/full")).unwrap();
        assert!(file.write(b"1\n").is_err());
        assert!(file.write(b"2\n").is_err());
    }
}
