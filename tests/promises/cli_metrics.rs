//! `[metrics] listen`: what `run` shows is what it did, whoever else hangs on the line.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::exposition::Scrape;
use crate::program::{Running, Scene, TOKEN, assert_received, lines, wait_until};

/// A connection of one request is answered within this, whatever hangs beside it.
const SOON: Duration = Duration::from_secs(3);

pub(crate) fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() }).unwrap()
}

/// A scene whose `run` shows its metrics at this address; port 0 takes a free one.
pub(crate) fn scene(url: &str, keys: &str, listen: &str) -> Scene {
    let scene = Scene::new(url, keys);
    let config = scene.read("siem.toml");
    scene.write("siem.toml", format!("[metrics]\nlisten = \"{listen}\"\n\n{config}"));
    scene
}

/// Where it says that it listens.
pub(crate) fn address(running: &Running) -> SocketAddr {
    running.wait_for("metrics on http://");
    let text = running.stderr();
    text.split_once("metrics on http://").unwrap().1.split_once('/').unwrap().0.parse().unwrap()
}

/// The status and the body of an answer, and its head.
fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned(), head.to_ascii_lowercase())
}

pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let (status, body, head) = ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    (status, body)
}

fn scrape(address: SocketAddr) -> Scrape {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, 200);
    Scrape::parse(&body)
}

#[test]
fn what_is_scraped_is_what_the_receiver_holds_and_the_report_says() {
    let receiver = receiver(&["503:every=5", "400:contains=u-1234"]);
    let scene = scene(&receiver.url(), "batch_size = 50\nretry_attempts = 3", "127.0.0.1:0");
    let mut running = scene.start(&["--json"]);
    let address = address(&running);
    let first = scrape(address);
    assert_eq!(first.count("siem_events_sent_total", &[("siem_type", "splunk"), ("pipeline", "splunk")]), 0);
    running.feed(lines(0..4_000));
    let all_have_a_fate = || {
        let now = scrape(address);
        let of = |name| now.count(name, &[]);
        let fates = of("siem_events_sent_total") + of("siem_events_failed_total");
        assert!(of("siem_events_accepted_total") >= fates);
        fates == 4_000
    };
    wait_until(all_have_a_fate);
    let last = scrape(address);
    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    let report = running.end().json();
    let of = |name| last.count(name, &[]);
    let held = receiver.ids().len() as u64;
    assert_eq!((of("siem_events_sent_total"), of("siem_events_dead_lettered_total")), (held, 4_000 - held));
    assert_eq!(scene.dead_letter().len() as u64, 4_000 - held);
    assert_eq!((&report["delivered"], held), (&Value::from(held), 3_999), "{report}");
    // Of the wire: what went out is what came in, and the events were smaller there than before.
    let counts = receiver.counts();
    assert_eq!(of("siem_sent_bytes_total"), counts.bytes);
    assert_eq!(of("siem_body_bytes_total"), counts.bytes_inflated);
    assert!(of("siem_body_bytes_total") > 5 * of("siem_sent_bytes_total"));
    assert!((1..=counts.connections).contains(&of("siem_connections_opened_total")));
    assert!(last.sum("siem_certificate_expiry_timestamp_seconds", &[]).is_nan());
}

/// What is left of it is safe where it is, and takes no memory.
#[test]
fn of_a_file_no_more_is_read_ahead_than_keeps_the_senders_busy() {
    const EVENTS: u32 = 30_000;
    let receiver = receiver(&["503"]);
    let scene = scene(&receiver.url(), "batchers = 1\nbreaker.recovery_timeout_seconds = 0.1", "127.0.0.1:0");
    scene.write("large", lines(0..EVENTS));
    let running = scene.start(&["--input", "large"]);
    let address = address(&running);
    let queued = || scrape(address).count("siem_queue_size", &[]);
    // Until reading waits: nothing comes while the receiver is asked again and again.
    wait_until(|| {
        let (before, hits) = (queued(), receiver.fault_hits());
        wait_until(|| receiver.fault_hits() > hits + 3);
        before >= 1_024 && queued() == before
    });
    // 20,000 is what the configuration has.
    assert_eq!(queued(), 1_024);
    receiver.set_faults(Vec::new());
    let ran = running.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(receiver.counts().unique, u64::from(EVENTS));
}

/// Those that a listener in the open meets: none of them is answered with silence for the others.
#[test]
fn clients_that_hang_or_talk_nonsense_do_not_stop_a_scrape() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver.url(), "", "127.0.0.1:0");
    let mut running = scene.start(&[]);
    let address = address(&running);
    let connect = || TcpStream::connect(address).unwrap();
    // Far more than are let in at a time: silent ones, ones in the middle of a head, ones that read no answer.
    let silent: Vec<_> = (0..40).map(|_| connect()).collect();
    let halfway: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect();
            // One that is closed to make room takes no more.
            drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: lo"));
            stream
        })
        .collect();
    let deaf: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect();
            drop(stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n"));
            stream
        })
        .collect();
    let begun = Instant::now();
    assert!(scrape(address).kinds.len() > 30);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());

    for (request, status) in [
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("DELETE /metrics HTTP/1.1\r\n\r\n", 405),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405),
        ("GET /secrets HTTP/1.1\r\n\r\n", 404),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", 200),
    ] {
        let (answered, body, head) = ask(address, request);
        assert_eq!(answered, status, "{request:?}");
        assert_eq!(body.is_empty(), request.starts_with("HEAD"), "{request:?}");
        assert!(head.contains("connection: close"), "{head}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(ask(address, &long).0, 431);
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert_eq!(ask(address, &many).0, 431);
    assert!(scrape(address).kinds.len() > 30);

    // One who is slow with the head is closed after his time, though he never stops talking.
    let mut slow = connect();
    let begun = Instant::now();
    while slow.write_all(b"G").is_ok() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    running.feed(lines(0..100));
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..100);
    drop((silent, halfway, deaf));
}

#[test]
fn a_pipeline_that_is_red_is_not_ready_and_says_why() {
    let receiver = receiver(&["401:first=6"]);
    let keys =
        "health_check_interval_seconds = 0\nretry_backoff_base = 1.0\nbreaker = { recovery_timeout_seconds = 0.2 }";
    let scene = scene(&receiver.url(), keys, "127.0.0.1:0");
    let mut running = scene.start(&[]);
    let address = address(&running);
    assert_eq!(get(address, "/readyz"), (200, "{\"last_errors\":[],\"ready\":true,\"reasons\":[]}\n".to_owned()));
    running.feed(lines(0..10));
    wait_until(|| get(address, "/readyz").0 == 503);
    let (status, body) = get(address, "/readyz");
    if status == 503 {
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&body["ready"], &body["reasons"][0]["pipeline"]), (&Value::from(false), &Value::from("splunk")));
        let reason = body["reasons"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("the destination refuses us: http_401"), "{reason}");
        assert!(!reason.contains(TOKEN), "{reason}");
    }
    // The process lives all the while; and it is ready again once events get through.
    assert_eq!(get(address, "/healthz").0, 200);
    wait_until(|| get(address, "/readyz").0 == 200);
    assert_eq!(running.end().code, 0);
    assert_received(&receiver, 0..10);
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_read() {
    let receiver = receiver(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let scene = scene(&receiver.url(), "", &address.to_string());
    let ran = scene.run(&[], lines(0..10));
    assert_eq!(ran.code, 2, "{ran:?}");
    let expected = format!("error: [metrics] listen: {address} cannot be listened on, nothing was started");
    assert!(ran.stderr.contains(&expected) && ran.stderr.contains("choose another port"), "{}", ran.stderr);
    assert!(ran.stdout.is_empty() && receiver.ids().is_empty());
    assert!(!scene.path("dead.ndjson").exists(), "not even a file was opened");
}

#[test]
fn an_address_that_is_none_is_a_mistake_with_its_line() {
    for (listen, complaint) in
        [("localhost:9090", "is no address to listen on"), ("9090", "is no address to listen on")]
    {
        let ran = scene("http://127.0.0.1:9", "", listen).run(&[], "");
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("metrics.listen") && ran.stderr.contains(complaint), "{}", ran.stderr);
        assert!(ran.stderr.contains("listen = \"127.0.0.1:9090\""), "{}", ran.stderr);
    }
    let scene = Scene::new("http://127.0.0.1:9", "");
    let config = scene.read("siem.toml");
    scene.write("siem.toml", format!("[metrics]\nlistens = \"127.0.0.1:9090\"\n{config}"));
    let ran = scene.run(&[], "");
    assert!(ran.code == 2 && ran.stderr.contains("metrics.listens"), "{}", ran.stderr);
}

/// Off by default: a program that was not asked to listen does not.
#[test]
fn without_the_table_nobody_listens() {
    let receiver = receiver(&[]);
    let ran = Scene::new(&receiver.url(), "").run(&[], lines(0..10));
    assert!(ran.code == 0 && !ran.stderr.contains("metrics on"), "{}", ran.stderr);
}
