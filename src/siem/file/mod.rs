//! A file, as NDJSON: a last resort that needs no network, and something to test with.
//!
//! A batch is one write, and delivered once it is in the file, or on the disk, as [`Fsync`] says. The senders compress
//! side by side and write one after the other.

mod day;
#[cfg(feature = "cli")]
mod keys;
mod names;
mod output;
mod whole;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Cause, CauseKind, FormatError, Health, Siem, Verdict};
use crate::append::{folder_of, free_bytes};
use crate::batch::Batch;
use crate::event::AuditEvent;
use crate::format::json;
use crate::net::{Gzip, Stop};

use day::Day;
use output::Output;

/// As its pipeline's metrics and its dead letter name it.
const SIEM_TYPE: &str = "file";
/// What standard output is called.
const STDOUT: &str = "-";
const ROTATE_BYTES: u64 = 100_000_000;

/// A file of NDJSON, or standard output.
///
/// It is made with mode 0600 and has one writer at a time, which a lock file beside it names. When it would grow beyond
/// 100 MB, and with the first batch of a new day (UTC), it gets another name, `audit.2026-11-29.0001.ndjson` of
/// `audit.ndjson`, and a new one is begun; nothing is ever deleted. Whoever moves it away is followed: the next batch begins
/// a new one. What a killed process or a full disk left open at its end is never completed by what follows: such a file
/// gets its other name at once.
///
/// ```no_run
/// use siem_forward::siem::{File, Fsync};
///
/// let file = File::new("/var/log/audit/audit.ndjson.gz").gzip(true).rotate_bytes(1_000_000_000).fsync(Fsync::Rotation);
/// ```
#[derive(Debug)]
pub struct File {
    /// None for standard output.
    path: Option<PathBuf>,
    manner: Manner,
    shared: Arc<Mutex<Shared>>,
}

/// When what was written must have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fsync {
    /// Before a batch counts as delivered: it then survives a power cut.
    #[default]
    Batch,
    /// When the file is set aside, and at the end. A power cut loses what the system had not written yet, usually of the
    /// last half minute; a killed process loses nothing.
    Rotation,
    /// When the system likes.
    Never,
}

/// How the file is written.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// Zero for any size.
    rotate_bytes: u64,
    rotates_daily: bool,
    is_gzip: bool,
    fsync: Fsync,
}

/// What all connections write to: open as long as there is one.
#[derive(Debug, Default)]
struct Shared {
    output: Option<Output>,
    connections: usize,
}

/// One sender's way to the file.
pub struct FileConnection {
    gzip: Gzip,
    fsync: Fsync,
    shared: Arc<Mutex<Shared>>,
}

impl File {
    /// The file at this path, which is made where there is none; its folder must be there.
    ///
    /// By default it is not compressed, is set aside at 100 MB and at the end of a day, and each batch reaches the disk
    /// before it counts as delivered.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        // The one that it is now, should the process go elsewhere.
        Self::to(Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
    }

    /// Standard output: whole lines, neither compressed nor rotated.
    pub fn stdout() -> Self {
        Self::to(None)
    }

    fn to(path: Option<PathBuf>) -> Self {
        let manner =
            Manner { rotate_bytes: ROTATE_BYTES, rotates_daily: true, is_gzip: false, fsync: Fsync::default() };
        Self { path, manner, shared: Arc::default() }
    }

    /// How large it may become, in bytes, before it is set aside; 0 for any size. Default 100 MB. A batch is never divided: one
    /// that is larger has a file of its own.
    #[must_use]
    pub fn rotate_bytes(mut self, bytes: u64) -> Self {
        self.manner.rotate_bytes = bytes;
        self
    }

    /// Whether it is set aside with the first batch of a new day, in UTC. Default true.
    #[must_use]
    pub fn rotate_daily(mut self, rotates: bool) -> Self {
        self.manner.rotates_daily = rotates;
        self
    }

    /// Whether it holds gzip, a member a batch, which `zcat` reads while it grows. Default false. One that is there already
    /// is read once at the start, to see whether its end is whole.
    #[must_use]
    pub fn gzip(mut self, is_gzip: bool) -> Self {
        self.manner.is_gzip = is_gzip;
        self
    }

    /// When what was written must have reached the disk. Default before a batch counts as delivered.
    #[must_use]
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.manner.fsync = fsync;
        self
    }

    fn open(&self) -> io::Result<Output> {
        match &self.path {
            Some(path) => Output::open(path, self.manner, Day::today()),
            None => Ok(Output::Stdout { is_torn: false }),
        }
    }
}

impl Siem for File {
    type Connection = FileConnection;

    fn siem_type(&self) -> &'static str {
        SIEM_TYPE
    }

    fn destination(&self) -> String {
        self.path.as_ref().map_or(STDOUT.to_owned(), |path| path.display().to_string())
    }

    fn prepare(&self) -> Result<(), String> {
        let output = self.open().map_err(|error| format!("{}: {error}", self.destination()))?;
        self.shared.lock().output = Some(output);
        Ok(())
    }

    fn connect(&self, _stop: &Stop) -> Result<FileConnection, Verdict> {
        let mut shared = self.shared.lock();
        if shared.output.is_none() {
            shared.output = Some(self.open().map_err(|error| Verdict::retry(cause(&error)))?);
        }
        shared.connections += 1;
        let shared = Arc::clone(&self.shared);
        Ok(FileConnection { gzip: Gzip::new(), fsync: self.manner.fsync, shared })
    }

    #[inline]
    fn format_event(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        json::write(event, body);
        Ok(())
    }

    fn send_batch(&self, connection: &mut FileConnection, batch: &Batch) -> Verdict {
        let FileConnection { gzip, shared, .. } = connection;
        let is_gzip = self.path.is_some() && self.manner.is_gzip;
        let bytes = if is_gzip { gzip.compress(batch.body()) } else { Some(batch.body()) };
        let written = match (bytes, &mut shared.lock().output) {
            (Some(bytes), Some(output)) => output.append(bytes, Day::today()),
            (None, _) => Err(io::ErrorKind::OutOfMemory.into()),
            (_, None) => Err(io::ErrorKind::NotConnected.into()),
        };
        match written {
            Ok(()) => Verdict::Accept,
            Err(error) => Verdict::retry(cause(&error)),
        }
    }

    fn health_check(&self, _connection: &mut FileConnection) -> Health {
        let Some(path) = &self.path else { return Health::healthy() };
        let folder = folder_of(path);
        match free_bytes(folder) {
            Ok(Some(0)) => Health::unhealthy(format!("no space is left where {} lies: make room", folder.display())),
            Ok(Some(free)) => Health::healthy().detail("free_bytes", free.to_string()),
            Ok(None) => Health::healthy(),
            Err(error) => Health::unhealthy(format!("the folder {} cannot be looked at: {error}", folder.display())),
        }
    }
}

/// It is the disk's fault, or the folder's: never an event's.
fn cause(error: &io::Error) -> Cause {
    Cause::new(CauseKind::Storage).words(error.to_string())
}

impl Drop for FileConnection {
    fn drop(&mut self) {
        let mut shared = self.shared.lock();
        shared.connections -= 1;
        if shared.connections > 0 {
            return;
        }
        // The last one: others may write there now.
        let synced = shared.output.take().map_or(Ok(()), |output| match self.fsync {
            Fsync::Never => Ok(()),
            Fsync::Batch | Fsync::Rotation => output.sync(),
        });
        if let Err(error) = synced {
            log::warn!("a file that was written may not have reached the disk: {error}");
        }
    }
}

impl std::fmt::Debug for FileConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileConnection").field("shared", &self.shared).finish_non_exhaustive()
    }
}
