//! `receive`: the receiver alone, counted to its end.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

mod support;
#[path = "support/program.rs"]
mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use siem_forward::Forwarder;
use siem_forward::net::Compression;
use siem_forward::siem::Splunk;

use program::{TOKEN, command};

/// `receive` on a port of its own, which it tells on standard error.
struct Receive {
    child: Child,
    address: SocketAddr,
}

impl Receive {
    fn start(arguments: &[&str]) -> Self {
        let mut command: Command = command(&["receive", "--port", "0"]);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on http://").expect(&line);
        let address = address.split_once(' ').expect(&line).0.parse().unwrap();
        Self { child, address }
    }

    /// Ends it, and gives its exit code and what it wrote to standard output.
    fn end(mut self, signal: Signal) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let begun = Instant::now();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(!text.contains(TOKEN));
        (code, text)
    }

    fn send(&self, events: usize) -> siem_forward::Report {
        let splunk = Splunk::new(format!("http://{}", self.address), TOKEN).unwrap().compression(Compression::None);
        let forwarder = Forwarder::builder(splunk).batch_size(100).start().unwrap();
        support::send(&forwarder.emitter(), events);
        forwarder.drain(support::PATIENCE)
    }

    fn post(&self, token: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        let request = format!(
            "POST /services/collector/event HTTP/1.1\r\nHost: h\r\nAuthorization: Splunk {token}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str::<Value>(text).unwrap()["receiver"].clone()
}

#[test]
fn it_counts_what_it_got_until_a_signal_and_says_so_as_json() {
    for signal in [Signal::TERM, Signal::INT] {
        let receive = Receive::start(&["--json"]);
        assert!(receive.send(1_000).all_delivered());
        let answer =
            receive.post("any", "{\"event\":{\"id\":\"mine\"}}{\"event\":{\"id\":\"mine\"}}{\"event\":\"no id\"}");
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"text\":\"Success\",\"code\":0}"),
            "{answer}"
        );
        let (code, text) = receive.end(signal);
        let counts = json(&text);
        assert_eq!(code, 0, "{text}");
        for (key, value) in
            [("unique", 1_001), ("duplicated", 1), ("without_id", 1), ("events", 1_003), ("requests", 11)]
        {
            assert_eq!(counts[key], value, "{key}: {text}");
        }
        assert_eq!(counts["missing"], Value::Null, "nobody said how many were to come");
    }
}

#[test]
fn what_was_expected_and_did_not_come_is_missing() {
    for (expected, code, missing) in [("500", 0, 0), ("200", 0, 0), ("600", 1, 100)] {
        let receive = Receive::start(&["--json", "--expect", expected]);
        assert!(receive.send(500).all_delivered());
        let (ended, text) = receive.end(Signal::TERM);
        assert_eq!((ended, &json(&text)["missing"]), (code, &missing.into()), "{text}");
    }
}

#[test]
fn faults_and_token_are_those_of_the_command_line() {
    let receive =
        Receive::start(&["--json", "--token", TOKEN, "--fault", "503:first=1", "--fault", "400:contains=poison"]);
    assert!(receive.post("wrong", "{\"event\":1}").contains("403 Forbidden"));
    assert!(receive.post(TOKEN, "{\"event\":1}").contains("503 "));
    assert!(receive.post(TOKEN, "{\"event\":\"poison\"}").contains("\"code\":6,\"invalid-event-number\":0"));
    assert!(receive.send(100).all_delivered());
    let (code, text) = receive.end(Signal::TERM);
    assert_eq!((code, &json(&text)["requests_failed"]), (0, &3.into()), "{text}");
}

#[test]
fn it_ends_in_time_with_connections_that_hang() {
    let receive = Receive::start(&["--json", "--fault", "hang"]);
    let splunk = Splunk::new(format!("http://{}", receive.address), TOKEN).unwrap().timeout(Duration::from_secs(60));
    let forwarder = Forwarder::builder(splunk).batch_size(10).start().unwrap();
    support::send(&forwarder.emitter(), 100);
    let mut idle = TcpStream::connect(receive.address).unwrap();
    idle.write_all(b"POST /serv").unwrap();
    // Until a request is surely under way: an answer on another connection says that the receiver serves.
    let mut health = TcpStream::connect(receive.address).unwrap();
    health.write_all(b"GET /services/collector/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    health.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HEC is healthy"), "{answer}");
    let (code, text) = receive.end(Signal::TERM);
    assert_eq!(code, 0, "{text}");
    drop(forwarder.abort());
}

#[test]
fn the_text_is_a_table() {
    let receive = Receive::start(&[]);
    assert!(receive.send(1_234).all_delivered());
    let (code, text) = receive.end(Signal::TERM);
    assert_eq!(code, 0);
    assert!(text.starts_with("  unique events            1,234\n  duplicated                   0\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 40), "{text}");
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = program::run(&["receive", "--port", &port]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    let expected = format!("error: the receiver cannot listen on 127.0.0.1:{port}: Address already in use");
    assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
}

#[test]
fn nobody_listens_after_its_end() {
    let receive = Receive::start(&[]);
    let address = receive.address;
    receive.end(Signal::TERM);
    assert!(TcpStream::connect(address).is_err());
}
