//! `receive`: the receiver alone, counted to its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use siem_forward::net::Compression;
use siem_forward::receiver::Fault;
use siem_forward::siem::Splunk;

use crate::program::{self, TOKEN, command};
use crate::support;

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
        let forwarder = support::builder(splunk).batch_size(100).start().unwrap();
        support::send(&forwarder.emitter(), events);
        forwarder.drain(support::PATIENCE)
    }

    fn post(&self, token: &str, body: &str) -> String {
        self.post_to("event", token, body)
    }

    fn post_to(&self, path: &str, token: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        let request = format!(
            "POST /services/collector/{path} HTTP/1.1\r\nHost: h\r\nAuthorization: Splunk {token}\r\n\
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
fn acknowledgements_are_given_after_the_delay_and_counted() {
    const CHANNEL: &str = "?channel=6f1c2e0e-8f0b-4a53-9a7e-0d6c0b1b2c3d";
    let event = "{\"event\":{\"id\":\"mine\"}}";
    let ask = |receive: &Receive| receive.post_to(&format!("ack{CHANNEL}"), "any", "{\"acks\":[0]}");
    for (delay, told, code) in [("0", true, 0), ("3600.5", false, 1)] {
        let receive = Receive::start(&["--json", "--ack", "--ack-delay", delay, "--expect", "1"]);
        assert!(receive.post("any", event).ends_with("{\"text\":\"Data channel is missing\",\"code\":10}"));
        let answer = receive.post_to(&format!("event{CHANNEL}"), "any", event);
        assert!(answer.ends_with("{\"text\":\"Success\",\"code\":0,\"ackId\":0}"), "{answer}");
        let answer = ask(&receive);
        assert!(answer.ends_with(&format!("{{\"acks\":{{\"0\":{told}}}}}")), "{answer}");
        let (ended, text) = receive.end(Signal::TERM);
        let counts = json(&text);
        let times = u64::from(told);
        for (key, value) in [
            ("unique", 1),
            ("indexed", times),
            ("acknowledged", times),
            ("missing", 1 - times),
            ("ack_requests", 1),
            ("ack_requests_failed", 0),
        ] {
            assert_eq!(counts[key], value, "{key}: {text}");
        }
        assert_eq!(ended, code, "what is not indexed is missing");
    }
    let receive = Receive::start(&["--ack", "--fault", "ack_404"]);
    assert!(ask(&receive).contains("404 Not Found"));
    let (_, text) = receive.end(Signal::TERM);
    assert!(text.ends_with("  ack requests                 1\n  of them failed               1\n"), "{text}");
}

#[test]
fn acknowledgement_options_are_checked_and_shown_by_example() {
    for (arguments, message) in [
        (&["receive", "--ack-delay", "3"][..], "--ack"),
        (&["receive", "--ack", "--ack-delay=-1"], "a number of seconds, 0 or more"),
        (&["receive", "--ack", "--ack-delay", "soon"], "a number of seconds, 0 or more"),
    ] {
        let ran = program::run(arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
    let help = program::run(&["receive", "--help"]).stdout;
    for (example, _) in Fault::known() {
        let kind = example.split(':').next().unwrap();
        let is_listed = help.split([' ', ',', ':', '\n']).any(|word| word == kind);
        assert!(is_listed || kind == "200", "{kind} is not in the help: {help}");
    }
    assert!(help.contains("receive --ack --ack-delay 10 ") && help.lines().all(|line| line.len() <= 100), "{help}");
}

#[test]
fn it_ends_in_time_with_connections_that_hang() {
    let receive = Receive::start(&["--json", "--fault", "hang"]);
    let splunk = Splunk::new(format!("http://{}", receive.address), TOKEN).unwrap().timeout(Duration::from_secs(60));
    let forwarder = support::builder(splunk).batch_size(10).start().unwrap();
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
