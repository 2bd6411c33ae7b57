//! `/metrics`, `/healthz` and `/readyz` of `run`: a small listener that no client can hold up.
//!
//! A thread a connection, one request each. A connection that takes too long is closed, and where there are too many the
//! oldest one is: a scrape takes milliseconds, so that what is old hangs. It serves until the process ends, also while
//! the forwarder drains.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Request, Status};
use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{Registry, TextEncoder};
use serde_json::json;

use super::failure::Failure;
use super::tell;
use crate::engine::{Fanout, Forwarder};
use crate::siem::Health;

/// More connections than this are not open at a time.
const CONNECTIONS_MAX: usize = 16;
/// How long a request and its answer may take together.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long, after the answer, a client may still send what nobody asked for, so that it gets to see the answer.
const LINGER: Duration = Duration::from_secs(1);
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
const STACK_BYTES: usize = 256 * 1024;
/// After a connection that cannot be taken, usually for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Has its port, and answers nothing yet.
#[derive(Debug)]
pub(crate) struct Exporter {
    listener: TcpListener,
}

/// What the answers are made of.
struct Shown {
    registry: Registry,
    pipelines: Vec<Pipeline>,
}

/// What is read from, where that has figures and health of its own.
pub(crate) struct Input {
    /// As `/readyz` calls it.
    pub(crate) name: &'static str,
    pub(crate) collector: Box<dyn Collector>,
    pub(crate) health: Box<dyn Fn() -> Health + Send + Sync>,
}

/// Of which health is told.
struct Pipeline {
    name: String,
    health: Box<dyn Fn() -> (Health, Option<LastError>) + Send + Sync>,
}

/// What failed last, and how long ago.
type LastError = (String, Duration);

/// An answer, without its framing.
struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Exporter {
    /// Takes the port.
    ///
    /// # Errors
    /// When somebody has it already, or this machine has no such address.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(|source| Failure::Metrics { address, source })?;
        Ok(Self { listener })
    }

    /// Answers from now on, with what comes from `input` beside the forwarder's metrics and health, and says where.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn serve(self, fanout: &Fanout, input: Option<Input>) -> Result<(), Failure> {
        let registry = Registry::new();
        fanout.register(&registry)?;
        // Names of our own, which no other has.
        let mut pipelines: Vec<Pipeline> = fanout.forwarders().iter().map(Pipeline::of).collect();
        if let Some(Input { name, collector, health }) = input {
            drop(registry.register(collector));
            pipelines.push(Pipeline { name: name.to_owned(), health: Box::new(move || (health(), None)) });
        }
        let shown = Shown { registry, pipelines };
        let address = self.listener.local_addr().map_err(Failure::Thread)?;
        thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || accept(&self.listener, &Arc::new(shown)))
            .map_err(Failure::Thread)?;
        tell(&format!("metrics on http://{address}/metrics, health on /healthz and /readyz"));
        Ok(())
    }
}

impl Pipeline {
    fn of(forwarder: &Forwarder) -> Self {
        let pipeline = Arc::clone(&forwarder.pipeline);
        let health = Box::new(move || (pipeline.health(), pipeline.last_error()));
        Self { name: forwarder.name().to_owned(), health }
    }
}

fn accept(listener: &TcpListener, shown: &Arc<Shown>) {
    let open = Open::default();
    for stream in listener.incoming() {
        let Ok(stream) = stream.map(Arc::new) else {
            thread::sleep(PAUSE);
            continue;
        };
        let (shown, open) = (Arc::clone(shown), open.clone());
        let place = open.enter(&stream);
        let serve = move || {
            // Whatever went wrong, the client is gone or is no client.
            drop(serve(&stream, &shown));
            open.leave(place);
        };
        if thread::Builder::new().name("metrics-client".to_owned()).stack_size(STACK_BYTES).spawn(serve).is_err() {
            thread::sleep(PAUSE);
        }
    }
}

/// The connections that are open, the oldest first.
#[derive(Debug, Clone, Default)]
struct Open(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    streams: VecDeque<(u64, Arc<TcpStream>)>,
    next: u64,
}

impl Open {
    /// Takes one in, and closes the oldest where there are too many.
    fn enter(&self, stream: &Arc<TcpStream>) -> u64 {
        let connections = &mut *self.0.lock();
        if connections.streams.len() >= CONNECTIONS_MAX
            && let Some((_, oldest)) = connections.streams.pop_front()
        {
            // One that is closed already needs no closing; its thread sees the end.
            drop(oldest.shutdown(Shutdown::Both));
        }
        connections.next += 1;
        connections.streams.push_back((connections.next, Arc::clone(stream)));
        connections.next
    }

    fn leave(&self, place: u64) {
        self.0.lock().streams.retain(|(theirs, _)| *theirs != place);
    }
}

/// One request, its answer, and the end of the connection.
fn serve(stream: &TcpStream, shown: &Shown) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    let (answer, is_head) = match read_request(stream, deadline)? {
        Asked::For { path, is_head } => (shown.answer(&path), is_head),
        Asked::Otherwise => (Answer::text("405 Method Not Allowed", "only GET and HEAD\n"), false),
        Asked::Nonsense => (Answer::text("400 Bad Request", "this is no HTTP request\n"), false),
        Asked::TooMuch => (Answer::text("431 Request Header Fields Too Large", "the head is too long\n"), false),
    };
    let Answer { status, content_type, body } = answer;
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Allow: GET, HEAD\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if !is_head {
        bytes.push_str(&body);
    }
    write_all(stream, bytes.as_bytes(), deadline)?;
    stream.shutdown(Shutdown::Write)?;
    let deadline = deadline.min(Instant::now() + LINGER);
    let mut rest = [0; 1024];
    while read(stream, &mut rest, deadline)? > 0 {}
    Ok(())
}

/// What a client wants.
enum Asked {
    For { path: String, is_head: bool },
    Otherwise,
    Nonsense,
    TooMuch,
}

fn read_request(stream: &TcpStream, deadline: Instant) -> io::Result<Asked> {
    let (mut head, mut filled) = (vec![0; HEAD_BYTES_MAX], 0);
    loop {
        let read = match head.get_mut(filled..) {
            Some(room) if !room.is_empty() => read(stream, room, deadline)?,
            _ => return Ok(Asked::TooMuch),
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = Request::new(&mut headers);
        match request.parse(head.get(..filled).unwrap_or_default()) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete(_)) => {
                let path = request.path.unwrap_or_default();
                let path = path.split_once('?').map_or(path, |(path, _)| path).to_owned();
                return Ok(match request.method {
                    Some(method @ ("GET" | "HEAD")) => Asked::For { path, is_head: method == "HEAD" },
                    _ => Asked::Otherwise,
                });
            }
            Err(httparse::Error::TooManyHeaders) => return Ok(Asked::TooMuch),
            Err(_) => return Ok(Asked::Nonsense),
        }
    }
}

/// What is left until the deadline.
fn left(deadline: Instant) -> io::Result<Option<Duration>> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

fn read(mut stream: &TcpStream, room: &mut [u8], deadline: Instant) -> io::Result<usize> {
    stream.set_read_timeout(left(deadline)?)?;
    stream.read(room)
}

/// Not `Write::write_all`, whose every write might take the whole timeout.
fn write_all(mut stream: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(left(deadline)?)?;
        let written = stream.write(bytes)?;
        bytes = bytes.get(written..).filter(|_| written > 0).ok_or(io::ErrorKind::WriteZero)?;
    }
    Ok(())
}

impl Shown {
    fn answer(&self, path: &str) -> Answer {
        match path {
            "/metrics" => match TextEncoder::new().encode_to_string(&self.registry.gather()) {
                Ok(body) => Answer { status: "200 OK", content_type: prometheus::TEXT_FORMAT, body },
                Err(error) => Answer::text("500 Internal Server Error", format!("{error}\n")),
            },
            "/healthz" => Answer::text("200 OK", "ok\n"),
            "/readyz" => self.ready(),
            _ => Answer::text("404 Not Found", "there are /metrics, /healthz and /readyz\n"),
        }
    }

    /// Whether every pipeline is healthy, and if not, why.
    fn ready(&self) -> Answer {
        let (mut reasons, mut last_errors) = (Vec::new(), Vec::new());
        for Pipeline { name, health } in &self.pipelines {
            let (health, last_error) = health();
            if !health.healthy {
                reasons.push(json!({ "pipeline": name, "reason": health.error_message, "details": health.details }));
            }
            last_errors.extend(
                last_error
                    .map(|(error, ago)| json!({ "pipeline": name, "error": error, "seconds_ago": ago.as_secs_f64() })),
            );
        }
        let is_ready = reasons.is_empty();
        let status = if is_ready { "200 OK" } else { "503 Service Unavailable" };
        let body = format!("{}\n", json!({ "ready": is_ready, "reasons": reasons, "last_errors": last_errors }));
        Answer { status, content_type: JSON, body }
    }
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type: TEXT, body: body.into() }
    }
}
