//! The limit: a loop that encodes by hand, fills a body and writes it to a socket. It keeps no queue, no books and no
//! promise: what fails is an error and the end.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

use flate2::{Compress, FlushCompress};
use rustix::time::{ClockId, clock_gettime};
use siem_forward::net::Compression;

use crate::by_hand::ByHand;
use crate::sample::Sample;

/// CPU time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// Sends these events, and returns once the last is answered with success.
pub(crate) fn send(to: SocketAddr, events: Range<u64>, batch_size: usize, compression: Compression) -> io::Result<()> {
    let mut collector = Collector::connect(to, compression)?;
    let mut by_hand = ByHand::new();
    let (mut body, mut in_batch) = (Vec::new(), 0);
    for number in events {
        if in_batch > 0 {
            body.push(b'\n');
        }
        by_hand.write_now(&Sample::of(number), &mut body);
        in_batch += 1;
        if in_batch == batch_size {
            collector.post(&body)?;
            body.clear();
            in_batch = 0;
            by_hand.anchor();
        }
    }
    if in_batch > 0 { collector.post(&body) } else { Ok(()) }
}

/// A connection with what it reuses.
struct Collector {
    stream: TcpStream,
    head: String,
    /// The compressor and its buffer.
    gzip: Option<(Compress, Vec<u8>)>,
    answer: Vec<u8>,
}

impl Collector {
    fn connect(to: SocketAddr, compression: Compression) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        let is_gzip = compression == Compression::Gzip;
        let encoding = if is_gzip { "Content-Encoding: gzip\r\n" } else { "" };
        let head = format!(
            "POST /services/collector/event HTTP/1.1\r\nHost: {to}\r\nAuthorization: Splunk perf\r\n\
             Content-Type: application/json\r\n{encoding}Content-Length: "
        );
        // What the library compresses with, at the level that it does.
        let gzip = is_gzip.then(|| (Compress::new_gzip(flate2::Compression::fast(), 15), Vec::new()));
        Ok(Self { stream, head, gzip, answer: Vec::new() })
    }

    /// Two writes, head and body.
    fn post(&mut self, body: &[u8]) -> io::Result<()> {
        let body = match &mut self.gzip {
            Some((compress, out)) => compressed(compress, body, out)?,
            None => body,
        };
        let length = self.head.len();
        self.head.push_str(itoa::Buffer::new().format(body.len()));
        self.head.push_str("\r\n\r\n");
        self.stream.write_all(self.head.as_bytes())?;
        self.head.truncate(length);
        self.stream.write_all(body)?;
        self.await_answer()
    }

    fn await_answer(&mut self) -> io::Result<()> {
        self.answer.clear();
        let mut part = [0; 1024];
        while !is_whole(&self.answer)? {
            let read = self.stream.read(&mut part)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.answer.extend_from_slice(part.get(..read).unwrap_or_default());
        }
        if self.answer.starts_with(b"HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&self.answer).into_owned()))
        }
    }
}

fn compressed<'a>(compress: &mut Compress, body: &[u8], out: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    compress.reset();
    out.clear();
    // More than whatever does not shrink takes: one call is enough.
    out.reserve(body.len() + 1024);
    match compress.compress_vec(body, out, FlushCompress::Finish)? {
        flate2::Status::StreamEnd => Ok(out),
        status => Err(io::Error::other(format!("the compressor says {status:?}"))),
    }
}

/// Whether the answer is there with all of its body.
fn is_whole(answer: &[u8]) -> io::Result<bool> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(false) };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length
        .and_then(|length| length.trim().parse().ok())
        .ok_or_else(|| io::Error::other("an answer without a length"))?;
    Ok(answer.len() >= end + 4 + length)
}
