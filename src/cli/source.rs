//! Input that ends when asked to: standard input and other pipes.
//!
//! A read of a pipe can block for ever, and what was read from it is nowhere else: so a read waits for input in steps,
//! and the end that is asked for looks like the end of the input, at the end of a line where that comes soon. Whatever
//! was read before is then forwarded.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// How long one wait for input lasts: the longest that an end may go unnoticed.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// How long the rest of a line may take that was read in part when the end was asked for.
const REST_OF_LINE: Duration = Duration::from_millis(500);

/// A pipe, or whatever else may stay open without a word, until it ends or `stop` is set.
#[derive(Debug)]
pub(crate) struct Pipe<F> {
    file: F,
    stop: Arc<AtomicBool>,
    /// The last byte read does not end a line.
    is_within_line: bool,
    /// When the end was noticed.
    stopped: Option<Instant>,
}

impl Pipe<io::Stdin> {
    // Not through the buffer of the standard library: what lies in it no wait would see.
    pub(crate) fn stdin(stop: Arc<AtomicBool>) -> Self {
        Self::of(io::stdin(), stop)
    }
}

impl Pipe<File> {
    /// Opens it without waiting for somebody who writes to it.
    pub(crate) fn open(path: &Path, stop: Arc<AtomicBool>) -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        Ok(Self::of(OpenOptions::new().read(true).custom_flags(flags).open(path)?, stop))
    }
}

impl<F: AsFd> Pipe<F> {
    fn of(file: F, stop: Arc<AtomicBool>) -> Self {
        Self { file, stop, is_within_line: false, stopped: None }
    }

    /// Asks whether to end, now that it has been asked for: at the end of a line, or when that takes too long.
    fn is_over(&mut self) -> bool {
        let stopped = *self.stopped.get_or_insert_with(Instant::now);
        !self.is_within_line || stopped.elapsed() >= REST_OF_LINE
    }

    /// How many of the bytes read are handed out: once stopped, no more than the rest of the line.
    fn taken(&mut self, read: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', read).filter(|_| self.stopped.is_some());
        let taken = read.get(..end.map_or(read.len(), |end| end + 1)).unwrap_or_default();
        self.is_within_line = taken.last().is_some_and(|last| *last != b'\n');
        taken.len()
    }
}

impl<F: AsFd> Read for Pipe<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.load(Ordering::Relaxed) && self.is_over() {
                return Ok(0);
            }
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&WAIT)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match rustix::io::read(&self.file, &mut *buffer) {
                Ok(read) => return Ok(self.taken(buffer.get(..read).unwrap_or_default())),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_end_that_is_asked_for_comes_behind_a_whole_line() {
        let (reader, mut writer) = io::pipe().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut pipe = Pipe::of(reader, Arc::clone(&stop));
        let mut bytes = [0; 100];
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(pipe.read(&mut bytes).unwrap(), 6);
        stop.store(true, Ordering::Relaxed);
        writer.write_all(b"o\nthree\n").unwrap();
        assert_eq!(pipe.read(&mut bytes).unwrap(), 2);
        assert_eq!(pipe.read(&mut bytes).unwrap(), 0);
        drop(writer);
    }

    #[test]
    fn a_line_that_does_not_end_is_not_waited_for() {
        let (reader, mut writer) = io::pipe().unwrap();
        let stop = Arc::new(AtomicBool::new(true));
        let mut pipe = Pipe::of(reader, Arc::clone(&stop));
        let mut bytes = [0; 100];
        assert_eq!(pipe.read(&mut bytes).unwrap(), 0);
        stop.store(false, Ordering::Relaxed);
        writer.write_all(b"endless").unwrap();
        assert_eq!(pipe.read(&mut bytes).unwrap(), 7);
        stop.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        assert_eq!(pipe.read(&mut bytes).unwrap(), 0);
        assert!(begun.elapsed() < REST_OF_LINE * 4);
        drop(writer);
    }
}
