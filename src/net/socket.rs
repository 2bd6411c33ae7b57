//! One connection: the client's transport.
//!
//! The client's own transport gives every write the full timeout again, so that a peer who reads a byte now and then
//! holds a sender for ever; this one keeps one deadline. It also saves system calls: timeouts are set when they would
//! be too long, not for every request, and a connection is probed when it is taken, not when it is put back.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport};
use zeroize::Zeroizing;

use super::config::DURATION_MAX;
use super::head::Head;

/// One TCP connection with its buffers.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// The socket's timeouts in force.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// The peer closed while we were sending. What it said before, usually that the body is too large, may still be
    /// there to read; if it is not, this is the error.
    broken: Option<io::Error>,
    cut: Arc<AtomicBool>,
    /// Set once something was written.
    begun: Arc<AtomicBool>,
    is_put_back: bool,
    /// `None` beneath TLS, which puts it in before it encrypts.
    head: Option<Head>,
}

impl Socket {
    /// Over a connection that stands; `cut` and `begun` are set as the fields say.
    pub(super) fn new(
        stream: Arc<TcpStream>,
        buffers: LazyBuffers,
        cut: &Arc<AtomicBool>,
        begun: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            stream,
            buffers,
            read_timeout: None,
            write_timeout: None,
            broken: None,
            cut: Arc::clone(cut),
            begun: Arc::clone(begun),
            is_put_back: false,
            head: None,
        }
    }

    /// The same, with what is put into the head of each request.
    pub(super) fn with_head(self, head: Head) -> Self {
        Self { head: Some(head), ..self }
    }

    fn write(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let deadline = deadline(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let completed = self.head.as_mut().map(|head| head.complete(output));
        let (first, rest) = completed.unwrap_or_else(|| (Zeroizing::default(), output));
        let mut writing = Writing {
            stream: &self.stream,
            in_force: &mut self.write_timeout,
            broken: &mut self.broken,
            cut: &self.cut,
            is_first: true,
            deadline,
            timeout,
        };
        writing.write(&first)?;
        writing.write(rest)
    }
}

/// One write, in as many pieces as it takes.
struct Writing<'a> {
    stream: &'a TcpStream,
    in_force: &'a mut Option<Duration>,
    broken: &'a mut Option<io::Error>,
    cut: &'a AtomicBool,
    is_first: bool,
    deadline: Instant,
    timeout: NextTimeout,
}

impl Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ureq::Error> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty() && self.broken.is_none()) {
            let left = left(self.deadline, self.timeout)?;
            arm(self.in_force, left, self.is_first, |limit| self.stream.set_write_timeout(limit))?;
            self.is_first = false;
            match (&mut &*self.stream).write(rest) {
                Ok(written) => sent += written,
                Err(error) if is_to_be_tried_again(&error) => {}
                Err(error) if is_closed_by_the_peer(&error) => {
                    *self.broken = Some(error);
                    // Relaxed: read on this thread, after this call.
                    self.cut.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.is_put_back = false;
        if self.broken.is_some() {
            return Ok(());
        }
        // Relaxed: read on this thread, after this call. A handshake counts too: better a doubt too many.
        self.begun.store(true, Ordering::Relaxed);
        self.write(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let deadline = deadline(timeout);
        let mut is_first = true;
        loop {
            let left = left(deadline, timeout)?;
            arm(&mut self.read_timeout, left, is_first, |limit| self.stream.set_read_timeout(limit))?;
            is_first = false;
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(0) => return self.broken.take().map_or(Ok(false), |error| Err(error.into())),
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(true);
                }
                Err(error) if is_to_be_tried_again(&error) => {}
                Err(error) => return Err(self.broken.take().unwrap_or(error).into()),
            }
        }
    }

    /// Asked when the connection is put back after an answer, and again when it is taken for a request.
    fn is_open(&mut self) -> bool {
        if self.broken.is_some() {
            return false;
        }
        if let Some(head) = &mut self.head {
            head.comes_next();
        }
        if !self.is_put_back {
            self.is_put_back = true;
            return true;
        }
        is_idle(&self.stream)
    }
}

/// Whether a connection is open and says nothing: what would block. Bytes that nobody asked for, or the end, are reasons to
/// begin anew.
pub(super) fn is_idle(stream: &TcpStream) -> bool {
    let look = rustix::net::recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(look, Err(rustix::io::Errno::WOULDBLOCK))
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("peer", &self.stream.peer_addr().ok()).finish_non_exhaustive()
    }
}

/// The client gives what is left until its timeout; an operation without one would end after a day.
pub(super) fn deadline(timeout: NextTimeout) -> Instant {
    Instant::now() + (*timeout.after).min(DURATION_MAX)
}

/// The time until the deadline; none left is the timeout's error.
fn left(deadline: Instant, timeout: NextTimeout) -> Result<Duration, ureq::Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ureq::Error::Timeout(timeout.reason)) } else { Ok(left) }
}

/// Makes the socket's timeout no longer than `left`. The first of an operation is set an eighth shorter, so that the
/// same setting serves the next requests too; should it run out, the loop comes back for exactly the rest.
fn arm(
    in_force: &mut Option<Duration>,
    left: Duration,
    is_first: bool,
    set: impl FnOnce(Option<Duration>) -> io::Result<()>,
) -> io::Result<()> {
    if in_force.is_some_and(|in_force| in_force <= left) {
        return Ok(());
    }
    let limit = if is_first { left.saturating_sub(left / 8) } else { left };
    set(Some(limit))?;
    *in_force = Some(limit);
    Ok(())
}

fn is_to_be_tried_again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

fn is_closed_by_the_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
