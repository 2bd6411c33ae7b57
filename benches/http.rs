//! What a POST over a connection that is kept costs its thread, by the size of the body.
//!
//! `raw` is the base: head and body, a write each, into a bare socket, and the answer read from it. `http` is
//! `net::Http`, without compression. `agent` is ureq as it comes, without timeouts. The time is that of the client's thread on
//! a core, the kernel's share included; the other side is a thread that reads and answers.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a bench that cannot run says so by a panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use siem_forward::net::{BaseUrl, Compression, Http, HttpConfig, Stop};

/// A batch of 500 events, of 100, and of 7.
const BODIES: [(&str, usize); 3] = [("350_KB", 350_000), ("70_KB", 70_000), ("5_KB", 5_000)];
const HEADERS: [(&str, &str); 2] = [("Authorization", "Splunk token"), ("Content-Type", "application/json")];
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"text\":\"Success\",\"code\":0}";

/// The time of this thread on a core.
fn on_core() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("a time after the thread's start")
}

/// Answers every request of every connection.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::with_capacity(1024 * 1024, stream.try_clone().ok()?);
    let mut line = String::new();
    let mut body = Vec::new();
    loop {
        let mut bytes = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                bytes = length.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(bytes, 0);
        reader.read_exact(&mut body).ok()?;
        stream.write_all(ANSWER).ok()?;
    }
}

/// A request by hand.
struct Raw {
    stream: TcpStream,
    head: Vec<u8>,
    answer: [u8; 4096],
}

impl Raw {
    fn connect(address: SocketAddr, bytes: usize) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        let [(authorization, token), (content_type, json)] = HEADERS;
        let head = format!(
            "POST /services/collector/event HTTP/1.1\r\nHost: {address}\r\n{authorization}: {token}\r\n\
             {content_type}: {json}\r\nContent-Length: {bytes}\r\n\r\n"
        );
        Self { stream, head: head.into_bytes(), answer: [0; 4096] }
    }

    fn post(&mut self, body: &[u8]) {
        self.stream.write_all(&self.head).expect("it is sent");
        self.stream.write_all(body).expect("it is sent");
        let mut read = 0;
        while read < ANSWER.len() {
            let more = self.stream.read(&mut self.answer[read..]).expect("an answer");
            assert!(more > 0, "an answer");
            read += more;
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 200"));
    }
}

fn time(iterations: u64, mut post: impl FnMut()) -> Duration {
    // The connection is made, and the buffers.
    post();
    let begun = on_core();
    (0..iterations).for_each(|_| post());
    on_core().saturating_sub(begun)
}

fn http(criterion: &mut Criterion) {
    let address = serve();
    let url: BaseUrl = format!("http://{address}").parse().expect("a URL");
    let mut config = HttpConfig::default();
    config.compression = Compression::None;
    let mut group = criterion.benchmark_group("http/post");
    for (name, bytes) in BODIES {
        let body = vec![b'x'; bytes];
        group.bench_function(BenchmarkId::new("raw", name), |bencher| {
            let mut raw = Raw::connect(address, bytes);
            bencher.iter_custom(|iterations| time(iterations, || raw.post(&body)));
        });
        group.bench_function(BenchmarkId::new("http", name), |bencher| {
            let mut http = Http::new(&url, &config, &Stop::new()).expect("a client");
            let mut post = || {
                let answer = http.post("/services/collector/event", &HEADERS, &body).expect("an answer");
                assert_eq!(answer.status, 200);
            };
            bencher.iter_custom(|iterations| time(iterations, &mut post));
        });
        group.bench_function(BenchmarkId::new("agent", name), |bencher| {
            let agent = ureq::Agent::new_with_defaults();
            let to = format!("http://{address}/services/collector/event");
            let post = || {
                let request =
                    HEADERS.iter().fold(agent.post(&to), |request, (name, value)| request.header(*name, *value));
                let mut answer = request.send(&body).expect("an answer");
                assert_eq!(answer.body_mut().read_to_vec().map(|body| body.len()).ok(), Some(27));
            };
            bencher.iter_custom(|iterations| time(iterations, post));
        });
    }
    group.finish();
}

criterion_group!(benches, http);
criterion_main!(benches);
