//! Requests, read from a connection into one buffer that is reused.
//!
//! HTTP/1.1 as far as a collector's senders use it: Content-Length or chunked bodies, kept connections, pipelining.
//! The buffer grows with what has arrived, never with what was announced. Limits: a head of 64 KB with 100 headers, and a
//! body of `content_length_max`.
//!
//! Called by [`super::connection`].

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::ops::Range;

use httparse::{EMPTY_HEADER, Request, Status};

use super::answer::{Answer, Body};
use super::play::Play;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
const CHUNK_LINE_BYTES_MAX: usize = 4096;
/// What a connection starts with, and the least that a read is offered.
const BUFFER_BYTES_MIN: usize = 256 * 1024;
const READ_BYTES_MIN: usize = 64 * 1024;
/// A buffer that one large request has grown beyond this is given back.
const BUFFER_BYTES_KEPT: usize = 16 * 1024 * 1024;

/// Why a request cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The peer is gone, or we were stopped.
    Gone,
    /// Say so, and close.
    Refuse(Answer),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Events,
    Acks,
    Health,
    /// `OPTIONS` of a path that we know.
    Options,
    NotFound,
    WrongMethod,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Other,
}

/// The head of a request, as far as it matters.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) route: Route,
    pub(super) authorization: Option<Vec<u8>>,
    /// As it was named: the header's, else the query's.
    pub(super) channel: Option<Vec<u8>>,
    pub(super) encoding: Encoding,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    framing: Framing,
    /// Bytes of the head itself.
    length: usize,
}

/// The buffer of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    play: Play,
    /// Its length never shrinks between requests, so that its bytes are zeroed once.
    buffer: Vec<u8>,
    filled: usize,
}

/// Where a request's body lies, and where the request ends.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    body: Range<usize>,
    end: usize,
}

impl Reader {
    pub(super) fn new(play: Play) -> Self {
        Self { play, buffer: vec![0; BUFFER_BYTES_MIN], filled: 0 }
    }

    /// Reads the next head.
    pub(super) fn head(&mut self, stream: &TcpStream) -> Result<Head, Failure> {
        loop {
            if self.filled > 0 {
                let mut headers = [EMPTY_HEADER; HEADERS_MAX];
                let mut request = Request::new(&mut headers);
                match request.parse(self.buffer.get(..self.filled).unwrap_or_default()) {
                    Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => {
                        return Head::read(self.play, &request, length);
                    }
                    Ok(Status::Partial) if self.filled <= HEAD_BYTES_MAX => {}
                    Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(refuse(431)),
                    Err(_) => return Err(refuse(400)),
                }
            }
            self.more(stream)?;
        }
    }

    /// Reads the body behind a head.
    pub(super) fn body(&mut self, stream: &TcpStream, head: &Head, bytes_max: usize) -> Result<Extent, Failure> {
        match head.framing {
            Framing::Length(_) if head.announces_more_than(bytes_max) => Err(refuse(413)),
            Framing::Length(length) => {
                let end = head.length + length;
                self.fill(stream, end)?;
                Ok(Extent { body: head.length..end, end })
            }
            Framing::Chunked => self.chunks(stream, head.length, bytes_max),
        }
    }

    /// Reads half of an announced body, or what comes first of another one.
    pub(super) fn half_body(&mut self, stream: &TcpStream, head: &Head) -> Result<(), Failure> {
        match head.framing {
            Framing::Length(length) => self.fill(stream, head.length + length / 2),
            Framing::Chunked => self.fill(stream, head.length + 1),
        }
    }

    pub(super) fn bytes(&self, extent: &Extent) -> &[u8] {
        self.buffer.get(extent.body.clone()).unwrap_or_default()
    }

    /// Gives up a request that has been dealt with.
    pub(super) fn consume(&mut self, extent: &Extent) {
        self.buffer.copy_within(extent.end.min(self.filled)..self.filled, 0);
        self.filled = self.filled.saturating_sub(extent.end);
        if self.buffer.len() > BUFFER_BYTES_KEPT && self.filled <= BUFFER_BYTES_MIN {
            self.buffer.truncate(BUFFER_BYTES_MIN);
            self.buffer.shrink_to_fit();
        }
    }

    /// Takes the chunks together where they lie.
    fn chunks(&mut self, stream: &TcpStream, start: usize, bytes_max: usize) -> Result<Extent, Failure> {
        let (mut read, mut write) = (start, start);
        loop {
            let (line, size) = self.chunk_size(stream, read)?;
            read += line;
            if size == 0 {
                let end = self.trailers(stream, read)?;
                return Ok(Extent { body: start..write, end });
            }
            let size = usize::try_from(size).map_err(|_| refuse(413))?;
            if size > bytes_max.saturating_sub(write - start) {
                return Err(refuse(413));
            }
            let end = read + size;
            self.fill(stream, end + 2)?;
            if self.buffer.get(end..end + 2) != Some(b"\r\n") {
                return Err(refuse(400));
            }
            self.buffer.copy_within(read..end, write);
            write += size;
            read = end + 2;
            // A body of tiny chunks must not take many times its size.
            if read - write > READ_BYTES_MIN {
                self.buffer.copy_within(read..self.filled, write);
                self.filled -= read - write;
                read = write;
            }
        }
    }

    /// The length of a chunk's first line, and the size that it tells.
    fn chunk_size(&mut self, stream: &TcpStream, at: usize) -> Result<(usize, u64), Failure> {
        loop {
            let line = self.buffer.get(at..self.filled).unwrap_or_default();
            match httparse::parse_chunk_size(line) {
                Ok(Status::Complete(found)) => return Ok(found),
                Ok(Status::Partial) if line.len() < CHUNK_LINE_BYTES_MAX => self.more(stream)?,
                _ => return Err(refuse(400)),
            }
        }
    }

    /// Passes the trailers and tells where the request ends.
    fn trailers(&mut self, stream: &TcpStream, start: usize) -> Result<usize, Failure> {
        loop {
            let rest = self.buffer.get(start..self.filled).unwrap_or_default();
            if rest.starts_with(b"\r\n") {
                return Ok(start + 2);
            }
            if let Some(place) = memchr::memmem::find(rest, b"\r\n\r\n") {
                return Ok(start + place + 4);
            }
            if rest.len() > HEAD_BYTES_MAX {
                return Err(refuse(431));
            }
            self.more(stream)?;
        }
    }

    /// Reads until `wanted` bytes are there.
    fn fill(&mut self, stream: &TcpStream, wanted: usize) -> Result<(), Failure> {
        while self.filled < wanted {
            self.more(stream)?;
        }
        Ok(())
    }

    /// Reads once.
    fn more(&mut self, mut stream: &TcpStream) -> Result<(), Failure> {
        if self.buffer.len() - self.filled < READ_BYTES_MIN {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match stream.read(self.buffer.get_mut(self.filled..).unwrap_or_default()) {
                Ok(0) => return Err(Failure::Gone),
                Ok(bytes) => {
                    self.filled += bytes;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Gone),
            }
        }
    }
}

impl Head {
    pub(super) fn announces_more_than(&self, bytes: usize) -> bool {
        matches!(self.framing, Framing::Length(length) if length > bytes)
    }

    fn read(play: Play, request: &Request<'_, '_>, length: usize) -> Result<Self, Failure> {
        let mut head = Self {
            route: route(play, request.method.unwrap_or_default(), request.path.unwrap_or_default()),
            authorization: None,
            channel: query(request.path.unwrap_or_default(), "channel").map(|value| value.as_bytes().to_vec()),
            encoding: Encoding::Identity,
            keep_alive: request.version == Some(1),
            expects_continue: false,
            framing: Framing::Length(0),
            length,
        };
        let (mut announced, mut chunked) = (None, false);
        let secret = if play == Play::Datadog { "dd-api-key" } else { "authorization" };
        for header in request.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = header.value.trim_ascii();
            if is("content-length") {
                let bytes = content_length(value).ok_or_else(|| refuse(400))?;
                if announced.replace(bytes).is_some_and(|other| other != bytes) {
                    return Err(refuse(400));
                }
            } else if is("transfer-encoding") {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(refuse(400));
                }
                chunked = true;
            } else if is(secret) {
                head.authorization = Some(value.to_vec());
            } else if is("x-splunk-request-channel") {
                head.channel = Some(value.to_vec());
            } else if is("content-encoding") {
                head.encoding = encoding(value);
            } else if is("connection") {
                head.keep_alive &= !value.eq_ignore_ascii_case(b"close");
            } else if is("expect") {
                head.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        head.framing = match (announced, chunked) {
            // Two lengths that disagree are how requests are smuggled past proxies.
            (Some(_), true) => return Err(refuse(400)),
            (None, true) => Framing::Chunked,
            (bytes, false) => Framing::Length(bytes.unwrap_or(0)),
        };
        Ok(head)
    }
}

fn refuse(status: u16) -> Failure {
    Failure::Refuse(Answer::with(status, Body::Html))
}

/// Digits and nothing else; what does not fit is too large, not malformed.
fn content_length(value: &[u8]) -> Option<usize> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let fits = std::str::from_utf8(value).ok()?.parse().unwrap_or(usize::MAX);
    // Half the range, so that a head and a body can be added.
    is_number.then_some(fits.min(usize::MAX / 2))
}

fn encoding(value: &[u8]) -> Encoding {
    if value.eq_ignore_ascii_case(b"gzip") {
        Encoding::Gzip
    } else if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
        Encoding::Identity
    } else {
        Encoding::Other
    }
}

/// The value of a parameter of the query.
fn query<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = path.split_once('?')?;
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn route(play: Play, method: &str, path: &str) -> Route {
    let path = path.split('?').next().unwrap_or_default();
    let (route, right) = match (play, path) {
        (Play::Splunk, "/services/collector" | "/services/collector/event" | "/services/collector/event/1.0")
        | (Play::Datadog, "/api/v2/logs")
        | (Play::Elastic, "/_bulk") => (Route::Events, "POST"),
        (Play::Elastic, path) if is_bulk_of_an_index(path) => (Route::Events, "POST"),
        (Play::Splunk, "/services/collector/ack" | "/services/collector/ack/1.0") => (Route::Acks, "POST"),
        (Play::Splunk, "/services/collector/health" | "/services/collector/health/1.0")
        | (Play::Datadog, "/api/v1/validate")
        | (Play::Elastic, "/_cluster/health") => (Route::Health, "GET"),
        (Play::Webhook, _) => return if method == "GET" { Route::Health } else { Route::Events },
        _ => return Route::NotFound,
    };
    match method {
        "OPTIONS" => Route::Options,
        _ if method == right => route,
        _ => Route::WrongMethod,
    }
}

/// `/INDEX/_bulk`
fn is_bulk_of_an_index(path: &str) -> bool {
    let index = path.strip_prefix('/').and_then(|path| path.strip_suffix("/_bulk"));
    index.is_some_and(|index| !index.is_empty() && !index.contains('/'))
}
