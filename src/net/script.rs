//! A destination on loopback that does what a test's script says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, unbounded};

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The lines of the head, without their ends.
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` when the client closed.
    pub(crate) fn read(from: &mut impl BufRead) -> Option<Self> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let mut request = Self { head, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        request.body.resize(length, 0);
        from.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as it was before compression.
    pub(crate) fn inflated(&self) -> Vec<u8> {
        if self.header("content-encoding") != Some("gzip") {
            return self.body.clone();
        }
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(self.body.as_slice()).read_to_end(&mut out).unwrap();
        out
    }
}

/// A running script; it ends with the test's process.
pub(crate) struct Script {
    pub(crate) url: String,
    pub(crate) requests: Receiver<Request>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Script {
    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Hands each connection to `play`, on a thread of its own.
pub(crate) fn play(play: impl Fn(TcpStream) + Send + Sync + 'static) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let play = Arc::new(play);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let play = Arc::clone(&play);
            thread::spawn(move || play(stream.unwrap()));
        }
    });
    Script { url, requests: unbounded().1, connections }
}

/// Answers each whole request with what `answer` writes; an error closes the connection.
pub(crate) fn serve(answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Script {
    let (sender, requests) = unbounded();
    let script = play(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = Request::read(&mut reader) {
            // The test may not look at the requests.
            drop(sender.send(request.clone()));
            if answer(&request, &mut stream).is_err() {
                return;
            }
        }
    });
    Script { requests, ..script }
}

/// Writes a whole answer, in one piece: the kernel would hold back the second for 40 ms.
pub(crate) fn reply(to: &mut impl Write, status: &str, body: &[u8]) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    to.write_all(&[head.as_bytes(), body].concat())?;
    to.flush()
}

/// Says nothing until the client closes.
pub(crate) fn hang(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(stream, &mut io::sink())?;
    Err(io::ErrorKind::UnexpectedEof.into())
}
