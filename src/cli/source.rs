//! Standard input that ends when asked to.
//!
//! A read of a pipe can block for ever, and what was read from it is nowhere else: so a read waits for input in steps,
//! and the end that is asked for looks like the end of the input. Whatever was read before is then forwarded.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
        let mut input = io::stdin().lock();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let ready = poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], Some(&WAIT));
            match ready {
                Ok(0) => {}
                Ok(_) => return input.read(buffer),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
