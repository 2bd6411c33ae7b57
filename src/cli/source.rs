//! Standard input that ends when asked to.
//!
//! A read of a pipe can block for ever, and what was read from it is nowhere else: so a read waits for input in steps,
//! and the end that is asked for looks like the end of the input. Whatever was read before is then forwarded.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long one wait for input lasts: the longest that an end may go unnoticed.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Standard input, until it ends or `stop` is set.
#[derive(Debug)]
pub(crate) struct StandardInput {
    stop: Arc<AtomicBool>,
}

impl StandardInput {
    pub(crate) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { stop }
    }
}

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Not through the buffer of the standard library: what lies in it no wait would see.
        let input = io::stdin();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&WAIT)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(&input, &mut *buffer)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
