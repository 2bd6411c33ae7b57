//! A sender that writes its bytes by hand, so that it can be as wrong as a test wants it to be.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails here fails a test"
)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

/// Longer than anything takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const EVENT: &str = "/services/collector/event";

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body's code and event number.
    pub(crate) fn code(&self) -> (u64, Option<u64>) {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect(&self.body);
        assert!(body["text"].is_string(), "{}", self.body);
        (body["code"].as_u64().unwrap(), body["invalid-event-number"].as_u64())
    }

    pub(crate) fn is_html(&self) -> bool {
        self.head.contains("Content-Type: text/html") && self.body.starts_with("<!doctype html>")
    }
}

impl Client {
    pub(crate) fn new(receiver: &Receiver) -> Self {
        let stream = TcpStream::connect(receiver.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Posts to the events endpoint with a token.
    pub(crate) fn post(&mut self, body: impl AsRef<[u8]>) -> Answer {
        self.write_post(EVENT, "Authorization: Splunk t\r\n", body.as_ref()).unwrap();
        self.answer()
    }

    /// Posts with these header lines, each ended by CRLF, besides host and length.
    pub(crate) fn write_post(&mut self, path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let head = format!("POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body].concat())
    }

    pub(crate) fn request(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.write(bytes.as_ref());
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().unwrap().expect("an answer, not the end of the connection")
    }

    /// The next answer; `None` when the connection ends in an orderly manner before one.
    pub(crate) fn try_answer(&mut self) -> io::Result<Option<Answer>> {
        loop {
            if let Some(answer) = self.take_answer() {
                return Ok(Some(answer));
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 => {
                    assert!(self.buffer.is_empty(), "cut short: {:?}", String::from_utf8_lossy(&self.buffer));
                    return Ok(None);
                }
                read => self.buffer.extend(&bytes[..read]),
            }
        }
    }

    fn take_answer(&mut self) -> Option<Answer> {
        let text = String::from_utf8_lossy(&self.buffer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ").expect(head)[..3].parse().unwrap();
        let lengths = head.lines().filter_map(|line| line.strip_prefix("Content-Length: "));
        let length = lengths.map(|length| length.parse().unwrap()).next().unwrap_or(0);
        let body = body.get(..length)?.to_owned();
        let answer = Answer { status, head: head.to_owned(), body };
        self.buffer.drain(..answer.head.len() + 4 + length);
        Some(answer)
    }

    /// Everything until the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.try_answer().unwrap().is_none()
    }

    pub(crate) fn is_reset(&mut self) -> bool {
        matches!(self.try_answer(), Err(error) if error.kind() == ErrorKind::ConnectionReset)
    }

    /// Nothing comes, for a while.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
        let silent = matches!(self.try_answer(), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }
}

/// A receiver that keeps bodies, with these faults.
pub(crate) fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { faults, keep: Keep::Bodies, ..ReceiverConfig::default() }).unwrap()
}

/// An envelope whose event has this number as its id.
pub(crate) fn event(id: u128) -> String {
    let (high, low) = (id >> 64, id & u128::from(u64::MAX));
    let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xffff);
    let id = format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff);
    format!(r#"{{"time":1763958400.123,"event":{{"id":"{id}","severity":"low"}}}}"#)
}

pub(crate) fn events(ids: std::ops::Range<u128>) -> String {
    ids.map(event).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
