//! A token is in no debug output, error, health, log or dead letter, whatever the destination repeats of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use log::LevelFilter;
use siem_forward::receiver::{Receiver, ReceiverConfig};
use siem_forward::siem::Splunk;
use siem_forward::{DeadLetterConfig, Secret, Siem};

use crate::apart::ran_apart;
use crate::hec::{Letter, TOKEN, builder, free_address, receiver, splunk};
use crate::logged;
use crate::support::{self, send, wait_until};

fn assert_hidden(what: &str, text: &str) {
    assert!(!text.is_empty() && !text.contains(TOKEN), "{what}: {text}");
}

/// A collector that answers every request with a status and all that it was sent in the header.
fn parrot(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut authorization, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if lower.starts_with("authorization: ") {
                    line.trim().clone_into(&mut authorization);
                }
                if let Some(bytes) = lower.strip_prefix("content-length: ") {
                    length = bytes.trim().parse().unwrap();
                }
            }
            drop(reader.take(length).read_to_end(&mut Vec::new()));
            let body = format!("{{\"text\":\"refused {authorization}\",\"code\":4}}");
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    url
}

/// T23: in whatever is printed while it runs.
#[test]
fn a_destination_that_repeats_the_token_does_not_get_it_printed() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Trace);
    for status in ["403 Forbidden", "400 Bad Request", "500 Internal Server Error", "413 Too Large", "200 OK"] {
        let letter = Letter::new();
        let forwarder = builder(splunk(parrot(status)), &letter).start().unwrap();
        send(&forwarder.emitter(), 20);
        wait_until(&forwarder, |metrics| metrics.batches_failed >= 4);
        assert_hidden("health", &format!("{:?}", forwarder.health()));
        assert_hidden("health check", &format!("{:?}", forwarder.health_check()));
        assert_hidden("metrics", &format!("{:?}", forwarder.metrics()));
        assert_hidden("forwarder", &format!("{forwarder:?} {:?} {}", forwarder.config(), forwarder.destination()));
        let report = forwarder.drain(Duration::from_millis(200));
        assert_hidden("report", &format!("{report:?} {report}"));
        let dead = std::fs::read_to_string(&letter.path).unwrap();
        assert!(dead.contains("refused authorization: Splunk …"), "it did repeat it: {dead}");
        assert_hidden("dead letter", &dead);
    }
    assert_hidden("log", &logged::text());
}

/// The one that was sent is hidden, not the one that the file holds by then.
#[test]
fn a_token_from_a_file_is_hidden_while_it_changes() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Trace);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let tokens = [format!("a-{TOKEN}"), format!("b-{TOKEN}"), format!("c-{TOKEN}")];
    std::fs::write(&path, &tokens[0]).unwrap();
    let letter = Letter::new();
    let destination = Splunk::token_file(parrot("403 Forbidden"), &path).unwrap().timeout(Duration::from_secs(10));
    assert_hidden("splunk", &format!("{destination:?}"));
    let forwarder = builder(destination, &letter).start().unwrap();
    send(&forwarder.emitter(), 200);
    for (round, token) in (1..).zip(tokens.iter().cycle().take(30)) {
        let next = folder.path().join("next");
        std::fs::write(&next, token).unwrap();
        std::fs::rename(next, &path).unwrap();
        wait_until(&forwarder, |metrics| metrics.batches_failed >= round);
        assert_hidden("health", &format!("{:?} {:?}", forwarder.health(), forwarder.health_check()));
    }
    forwarder.drain(Duration::from_millis(200));
    let dead = std::fs::read_to_string(&letter.path).unwrap();
    assert!(dead.contains("refused authorization: Splunk …"), "it did repeat it: {dead}");
    assert_hidden("dead letter", &dead);
    assert_hidden("log", &logged::text());
}

/// T23: in whatever is made of it.
#[test]
fn nothing_that_is_made_of_a_token_shows_it() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Trace);
    let receiver = receiver(&[]);
    let destination = splunk(receiver.url()).index("audit");
    assert_hidden("secret", &format!("{:?}", Secret::new(TOKEN)));
    assert_hidden("splunk", &format!("{destination:?} {destination:#?} {}", destination.destination()));
    let config = ReceiverConfig { token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() };
    assert_hidden("receiver's configuration", &format!("{config:?}"));
    assert_hidden("receiver", &format!("{:?}", Receiver::start(config).unwrap()));

    let letter = Letter::new();
    let builder = builder(destination, &letter);
    assert_hidden("builder", &format!("{builder:?}"));
    let forwarder = builder.start().unwrap();
    let emitter = forwarder.emitter();
    send(&emitter, 100);
    assert_hidden("forwarder and emitter", &format!("{forwarder:?} {emitter:?}"));
    assert_hidden("health check", &format!("{:?}", forwarder.health_check()));
    assert!(forwarder.drain(support::PATIENCE).all_delivered());
    assert_hidden("log", &logged::text());
}

#[test]
fn errors_do_not_repeat_what_they_are_about() {
    for (url, token) in [
        ("http://127.0.0.1:1", format!("{TOKEN} ")),
        ("http://127.0.0.1:1", format!("{TOKEN}\n")),
        ("127.0.0.1", TOKEN.to_owned()),
        ("http://127.0.0.1:1/services/collector", TOKEN.to_owned()),
    ] {
        let error = Splunk::new(url, token).unwrap_err();
        assert_hidden("error", &format!("{error} {error:?}"));
    }
    // A token in the address, where a user's name and password could stand.
    let error = Splunk::new(format!("http://splunk:{TOKEN}@127.0.0.1:1"), "t").map(|splunk| splunk.destination());
    assert_hidden("address", &format!("{error:?}"));
}

/// Where nobody listens, and where the dead letter cannot be opened.
#[test]
fn failures_do_not_show_it_either() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Trace);
    let letter = Letter::new();
    let forwarder = builder(splunk(format!("http://{}", free_address())), &letter).start().unwrap();
    send(&forwarder.emitter(), 10);
    wait_until(&forwarder, |metrics| metrics.batches_failed >= 3);
    assert_hidden("health", &format!("{:?} {:?}", forwarder.health(), forwarder.health_check()));
    forwarder.abort();
    assert_hidden("dead letter", &std::fs::read_to_string(&letter.path).unwrap());

    let folder = letter.path.parent().unwrap();
    let error = builder(splunk("http://127.0.0.1:1"), &letter).dead_letter(DeadLetterConfig::new(folder)).start();
    assert_hidden("start", &format!("{:?}", error.unwrap_err()));
    assert_hidden("log", &logged::text());
}
