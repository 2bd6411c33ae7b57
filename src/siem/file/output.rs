//! What is written to: a file that is set aside when it is due, a device, or standard output.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::day::Day;
use super::names::set_aside;
use super::whole::ends_whole;
use super::{Fsync, Manner};
use crate::append::{Lock, file_size_limit, stands_at, sync_folder};

#[derive(Debug)]
pub(super) enum Output {
    Stdout {
        /// A write broke off within a line, which the next must not be glued to.
        is_torn: bool,
    },
    /// Such as `/dev/null`: written, and nothing more.
    Device(File),
    Regular(Regular),
}

/// A file that grows.
#[derive(Debug)]
pub(super) struct Regular {
    path: PathBuf,
    file: File,
    manner: Manner,
    /// Of its first event.
    day: Day,
    /// It ends within a write that broke off and could not be taken back.
    is_torn: bool,
    _lock: Lock,
}

impl Output {
    /// Opens or makes the file, for this writer alone.
    pub(super) fn open(path: &Path, manner: Manner, today: Day) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(there) if there.file_type().is_char_device() => {
                Ok(Self::Device(OpenOptions::new().append(true).open(path)?))
            }
            Ok(there) if !there.is_file() => Err(io::Error::other("neither a file nor a device: name a file")),
            // What is wrong with it otherwise is told by opening it.
            _ => Regular::open(path, manner, today).map(Self::Regular),
        }
    }

    /// Appends what is whole lines, all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be written, or must reach the disk and has not.
    pub(super) fn append(&mut self, bytes: &[u8], today: Day) -> io::Result<()> {
        match self {
            Self::Stdout { is_torn } => {
                let mut stdout = io::stdout().lock();
                if std::mem::replace(is_torn, true) {
                    stdout.write_all(b"\n")?;
                }
                stdout.write_all(bytes)?;
                stdout.flush()?;
                *is_torn = false;
                Ok(())
            }
            Self::Device(file) => file.write_all(bytes),
            Self::Regular(regular) => regular.append(bytes, today),
        }
    }

    /// Waits until everything written has reached the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::Stdout { .. } | Self::Device(_) => Ok(()),
            Self::Regular(regular) => regular.file.sync_data(),
        }
    }
}

impl Regular {
    fn open(path: &Path, manner: Manner, today: Day) -> io::Result<Self> {
        let lock = Lock::take(path).map_err(io::Error::other)?;
        let (file, metadata) = open(path)?;
        // Empty, it is of the day on which it is written.
        let day = if metadata.len() == 0 { today } else { Day::of_seconds(metadata.mtime()) };
        let is_torn = !ends_whole(&file, manner.is_gzip)?;
        let limit = file_size_limit();
        let rotate_bytes = if manner.rotate_bytes == 0 { limit } else { manner.rotate_bytes.min(limit) };
        let manner = Manner { rotate_bytes, ..manner };
        Ok(Self { path: path.to_owned(), file, manner, day, is_torn, _lock: lock })
    }

    fn append(&mut self, bytes: &[u8], today: Day) -> io::Result<()> {
        if !stands_at(&self.file, &self.path)? {
            self.begin(today)?;
        }
        let mut before = self.file.metadata()?.len();
        if self.is_due(before, bytes.len() as u64, today) {
            self.set_aside(today)?;
            before = 0;
        }
        if before == 0 {
            self.day = today;
        }
        let written = self.file.write_all(bytes).and_then(|()| match self.manner.fsync {
            Fsync::Batch => self.file.sync_data(),
            Fsync::Rotation | Fsync::Never => Ok(()),
        });
        if written.is_err() {
            // Half a line must not become a whole one with what follows.
            self.is_torn = self.file.set_len(before).is_err();
        }
        written
    }

    fn is_due(&self, before: u64, bytes: u64, today: Day) -> bool {
        let is_yesterdays = self.manner.rotates_daily && today > self.day;
        before > 0 && (self.is_torn || is_yesterdays || before.saturating_add(bytes) > self.manner.rotate_bytes)
    }

    /// Gives the file its other name, and begins a new one.
    fn set_aside(&mut self, today: Day) -> io::Result<()> {
        if self.manner.fsync != Fsync::Never {
            self.file.sync_all()?;
        }
        std::fs::rename(&self.path, set_aside(&self.path, self.day)?)?;
        self.begin(today)?;
        match self.manner.fsync {
            Fsync::Never => Ok(()),
            Fsync::Batch | Fsync::Rotation => sync_folder(&self.path),
        }
    }

    /// Begins a new file where none stands any more, or goes on with the one that somebody put there.
    fn begin(&mut self, today: Day) -> io::Result<()> {
        let (file, metadata) = open(&self.path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("no file stands there any more: name a file"));
        }
        self.is_torn = !ends_whole(&file, self.manner.is_gzip)?;
        (self.file, self.day) = (file, today);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}
