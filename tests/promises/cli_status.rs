//! `status`: one look from outside says what a program does, and ends with 1 where anything is red.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use crate::cli_metrics::{address, receiver, scene};
use crate::program::{Ran, assert_received, lines, run, wait_until};

pub(crate) fn status(address: SocketAddr, more: &[&str]) -> Ran {
    let url = format!("http://{address}");
    run(&[&["status", "--url", &url], more].concat())
}

/// The row of a pipeline by its column's title.
fn cell(shown: &str, title: &str) -> String {
    let (titles, row) = {
        let mut lines = shown.lines().skip_while(|line| !line.trim_start().starts_with("pipeline"));
        (lines.next().unwrap(), lines.next().unwrap())
    };
    let at = titles.split("  ").filter(|title| !title.is_empty()).position(|one| one.trim() == title).unwrap();
    row.split("  ").filter(|cell| !cell.is_empty()).nth(at).unwrap().trim().to_owned()
}

/// Somebody at an address of his own who answers each request with this, or not at all.
fn somebody(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if let Some(answer) = answer {
                let (mut head, mut letter) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut letter).unwrap_or(0) > 0 {
                    head.push(letter[0]);
                }
                drop(write!(stream, "{answer}"));
            } else {
                held.push(stream);
            }
        }
    });
    address
}

#[test]
fn all_is_well_and_the_figures_are_the_receivers() {
    let receiver = receiver(&["503:first=1", "400:contains=u-1234"]);
    let scene = scene(&receiver.url(), "batch_size = 50\nhealth_check_interval_seconds = 0", "127.0.0.1:0");
    let mut running = scene.start(&[]);
    let address = address(&running);
    running.feed(lines(0..2_000));
    let seen = || status(address, &["--json"]).json();
    wait_until(|| {
        let pipeline = &seen()["pipelines"][0];
        pipeline["delivered"] == 1_999 && pipeline["failed"] == 1
    });
    let seen = seen();
    let pipeline = &seen["pipelines"][0];
    assert_eq!((&seen["red"], &seen["error"]), (&Value::from(false), &Value::Null), "{seen}");
    assert_eq!(seen["version"], env!("CARGO_PKG_VERSION"));
    let of = |key: &str| pipeline[key].as_u64().unwrap();
    assert_eq!(of("events_in"), of("delivered") + of("failed") + of("waiting"), "{seen}");
    assert_eq!((of("delivered"), of("dropped")), (receiver.ids().len() as u64, 0));
    assert_eq!(pipeline["failed_requests"]["http_503"], 1, "{seen}");
    assert!(pipeline["last_error"]["error"].as_str().unwrap().starts_with("http_"), "{seen}");
    assert!(pipeline["delivery_latency_seconds"]["p99"].as_f64().unwrap() > 0.0, "{seen}");

    let ran = status(address, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("siem-forward ") && ran.stdout.contains(": all is well\n"), "{}", ran.stdout);
    for (title, expected) in [
        ("pipeline", "splunk"),
        ("siem", "splunk"),
        ("health", "ok"),
        ("breaker", "closed"),
        ("in", "2,000"),
        ("delivered", "1,999"),
        ("failed", "1"),
        ("dropped", "0"),
        ("waiting", "0"),
        ("queue", "0 %"),
        ("oldest", "0 s"),
    ] {
        assert_eq!(cell(&ran.stdout, title), expected, "{title}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("failed requests so far: ") && ran.stdout.contains("http_503 1"), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() < 24 && ran.stderr.is_empty(), "one screen: {ran:?}");
    running.end();
    assert_received(&receiver, (0..1_234).chain(1_235..2_000));
}

#[test]
fn what_is_red_ends_with_1_and_says_why() {
    let receiver = receiver(&["401"]);
    let keys = "health_check_interval_seconds = 0\nretry_backoff_base = 0.05\ndrain_timeout_seconds = 0.5";
    let scene = scene(&receiver.url(), keys, "127.0.0.1:0");
    let mut running = scene.start(&[]);
    let address = address(&running);
    assert_eq!(status(address, &[]).code, 0);
    running.feed(lines(0..10));
    wait_until(|| status(address, &[]).code == 1);
    let ran = status(address, &[]);
    assert_eq!((ran.code, cell(&ran.stdout, "health").as_str()), (1, "RED"), "{ran:?}");
    assert!(ran.stdout.contains(": RED\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("splunk: the destination refuses us: http_401"), "{}", ran.stdout);
    assert!(ran.stdout.contains("splunk: last error ") && ran.stdout.contains(" ago: http_401"), "{}", ran.stdout);
    let ran = status(address, &["--json"]);
    let seen = ran.json();
    assert_eq!((ran.code, &seen["red"], &seen["pipelines"][0]["waiting"]), (1, &true.into(), &10.into()), "{seen}");
    assert!(seen["pipelines"][0]["reason"].as_str().unwrap().contains("http_401"), "{seen}");
    assert_eq!(running.end().code, 1);
}

#[test]
fn nobody_and_somebody_else_are_told_apart() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nsiem_up x";
    for (address, expected) in [
        (gone, "the connection is refused; is it running, with [metrics] listen"),
        (somebody(Some(plain)), "/metrics shows no pipeline"),
        (somebody(Some(missing)), "/metrics answered 404"),
        (somebody(Some(broken)), "/metrics: line 1 is no sample"),
        (somebody(Some("nonsense\r\n\r\n")), "nobody answers at http://"),
        (somebody(None), "no answer within 5 s"),
    ] {
        let ran = status(address, &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
        assert!(ran.took < Duration::from_secs(15), "{ran:?}");
    }
    let ran = status(gone, &["--json"]);
    assert_eq!((ran.code, &ran.json()["red"]), (1, &Value::from(true)), "{ran:?}");
    assert!(ran.json()["error"].as_str().unwrap().contains("nobody answers"), "{ran:?}");
}

/// The lines of a service that shows our forwarders beside what is its own: no `/readyz`, two pipelines, a foreign family.
#[test]
fn a_service_with_two_pipelines_and_no_reasons() {
    let body = "http_requests_total{code=\"200\"} 7 1700000000000\n\
                siem_health_status{pipeline=\"b\",siem_type=\"splunk\"} 0\n\
                siem_health_status{pipeline=\"a\",siem_type=\"custom\"} 1\n\
                siem_events_sent_total{pipeline=\"a\",siem_type=\"custom\"} 12345\n\
                siem_breaker_state{pipeline=\"a\",siem_type=\"custom\",state=\"closed\"} 1\n";
    let answer: &'static str =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).leak();
    let ran = status(somebody(Some(answer)), &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("1 of 2 pipelines RED"), "{}", ran.stdout);
    assert_eq!((cell(&ran.stdout, "pipeline"), cell(&ran.stdout, "delivered")), ("a".into(), "12,345".into()));
    assert_eq!(cell(&ran.stdout, "queue"), "0 %");
    assert!(ran.stdout.contains("b: not healthy, and no /readyz there says why"), "{}", ran.stdout);
}

#[test]
fn what_is_no_address_is_bad_usage() {
    for (url, complaint) in [("127.0.0.1:9090", "must begin with"), ("https://127.0.0.1:9090", "only http is spoken")] {
        let ran = run(&["status", "--url", url]);
        assert!(ran.code == 2 && ran.stderr.contains(complaint), "{ran:?}");
    }
}
