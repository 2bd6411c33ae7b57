//! A Retry-After in seconds and as a date, with 429 and with 503, holds back all senders of the pipeline; what is none
//! holds back nobody. Lower bounds only: how late a thread wakes is the system's business.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use siem_forward::policy::{Jitter, RetryConfig};
use siem_forward::{EventId, Forwarder};

use crate::hec::{Letter, builder, splunk};
use crate::support::{PATIENCE, assert_one_fate_each, send, until, wait_until};

/// What the collector asks for, in whatever form.
const ASKED: Duration = Duration::from_secs(2);
/// Its clock is not ours.
const CLOCK: &str = "Date: Sun, 06 Nov 1994 08:49:35 GMT\r\n";

/// A collector that throttles its first request and takes all others.
#[derive(Default)]
struct Collector {
    connections: AtomicUsize,
    /// When each request had come; the first one is the throttled one, just before its answer.
    requests: Mutex<Vec<Instant>>,
    taken: Mutex<HashMap<EventId, u32>>,
}

impl Collector {
    /// The head of its answer to the first request, the status first; those that come later are taken once so many
    /// senders have come.
    fn start(throttle: String, senders: usize) -> (String, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Arc::new(Self::default());
        let shared = Arc::clone(&collector);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, throttle) = (Arc::clone(&shared), throttle.clone());
                std::thread::spawn(move || shared.serve(&stream.unwrap(), &throttle, senders));
            }
        });
        (url, collector)
    }

    fn serve(&self, mut stream: &TcpStream, throttle: &str, senders: usize) {
        let mut reader = BufReader::new(stream);
        while let Some(body) = read_request(&mut reader) {
            let is_first = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(Instant::now());
                requests.len() == 1
            };
            let answer = if is_first {
                format!("HTTP/1.1 {throttle}\r\nContent-Length: 0\r\n\r\n")
            } else {
                until(|| self.connections.load(Ordering::SeqCst) >= senders);
                for event in serde_json::Deserializer::from_slice(&body).into_iter::<serde_json::Value>() {
                    let id = EventId::parse(event.unwrap()["event"]["id"].as_str().unwrap()).unwrap();
                    *self.taken.lock().unwrap().entry(id).or_insert(0) += 1;
                }
                let body = r#"{"text":"Success","code":0}"#;
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// The body of the next request; none when the client has closed.
fn read_request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = bytes.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

/// Our own wait is short, so that a longer one is the collector's.
fn hasty() -> RetryConfig {
    let mut retry = RetryConfig::default();
    retry.retry_backoff_max = Duration::from_millis(1);
    retry.retry_jitter = Jitter::None;
    retry
}

fn start(url: &str, letter: &Letter, retry: RetryConfig) -> Forwarder {
    builder(splunk(url).timeout(PATIENCE), letter).batch_size(1).senders(2).retry(retry).start().unwrap()
}

/// One sender is asked for patience, with the only request there is, and both have it.
fn holds_back_both_senders(status: &str, headers: &str) {
    let (url, collector) = Collector::start(format!("{status}\r\n{headers}"), 2);
    let letter = Letter::new();
    let forwarder = start(&url, &letter, hasty());
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 1);
    wait_until(&forwarder, |metrics| metrics.retry_count == 1);
    sent.extend(send(&emitter, 20));
    wait_until(&forwarder, |metrics| metrics.events_sent == 21);
    let report = forwarder.drain(PATIENCE);
    let requests = collector.requests.lock().unwrap();
    let early: Vec<_> = requests[1..].iter().map(|at| *at - requests[0]).filter(|wait| *wait < ASKED).collect();
    assert!(early.is_empty(), "{early:?} after {ASKED:?} were asked for by {headers}");
    assert_eq!((requests.len(), collector.connections.load(Ordering::SeqCst)), (22, 2));
    assert_one_fate_each(&sent, &collector.taken.lock().unwrap(), &letter.records(), &report);
}

/// T19: seconds, with 429.
#[test]
fn seconds_with_429() {
    holds_back_both_senders("429 Too Many Requests", "Retry-After: 2");
}

/// T19: seconds, with 503.
#[test]
fn seconds_with_503() {
    holds_back_both_senders("503 Service Unavailable", &format!("{CLOCK}Retry-After: 2"));
}

/// T19: a date, with 429.
#[test]
fn a_date_with_429() {
    holds_back_both_senders("429 Too Many Requests", &format!("{CLOCK}Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"));
}

/// T19: a date, with 503.
#[test]
fn a_date_with_503() {
    holds_back_both_senders(
        "503 Service Unavailable",
        &format!("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n{}", CLOCK.trim()),
    );
}

/// T19: the obsolete forms of a date.
#[test]
fn an_obsolete_date() {
    holds_back_both_senders("503 Service Unavailable", &format!("{CLOCK}Retry-After: Sunday, 06-Nov-94 08:49:37 GMT"));
    holds_back_both_senders("429 Too Many Requests", &format!("{CLOCK}Retry-After: Sun Nov  6 08:49:37 1994"));
}

/// T19: zero, negative, garbage and a date that has passed hold back nobody for long: our own wait is kept.
#[test]
fn what_asks_for_nothing_holds_back_nobody() {
    for value in ["0", "-1", "-1000000000", "1e9", "soon", "", "Sun, 06 Nov 1994 08:49:34 GMT", "yesterday, GMT"] {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let (url, collector) = Collector::start(format!("{status}\r\n{CLOCK}Retry-After: {value}"), 1);
            let letter = Letter::new();
            let forwarder = start(&url, &letter, hasty());
            let sent = send(&forwarder.emitter(), 5);
            wait_until(&forwarder, |metrics| metrics.events_sent == 5);
            let report = forwarder.drain(PATIENCE);
            assert_eq!(report.metrics.retry_count, 1, "{value}: {report}");
            assert_one_fate_each(&sent, &collector.taken.lock().unwrap(), &letter.records(), &report);
        }
    }
}

/// T19: an absurd wait, in either form, is as long as its ceiling and no longer.
#[test]
fn an_absurd_wait_has_a_ceiling() {
    for value in ["1000000000", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let (url, collector) = Collector::start(format!("503 Service Unavailable\r\n{CLOCK}Retry-After: {value}"), 1);
        let letter = Letter::new();
        let mut retry = hasty();
        retry.retry_after_max = Duration::from_millis(500);
        let forwarder = start(&url, &letter, retry);
        let sent = send(&forwarder.emitter(), 1);
        wait_until(&forwarder, |metrics| metrics.events_sent == 1);
        let report = forwarder.drain(PATIENCE);
        let requests = collector.requests.lock().unwrap();
        assert!(requests[1] - requests[0] >= Duration::from_millis(500), "{value}: {requests:?}");
        assert_one_fate_each(&sent, &collector.taken.lock().unwrap(), &letter.records(), &report);
    }
}
