//! What receiving costs. A measurement: run it in release mode, with nothing else on the machine:
//! `cargo test --release --test promises -- --ignored --nocapture what_an_event_costs`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement prints, and ends where it fails")]

use std::time::{Duration, Instant};

use crate::receiver_client::{Client, EVENT, gzip};
use siem_forward::receiver::{Receiver, ReceiverConfig};

/// Requests of 500 events of about 900 bytes each, all ids different.
const REQUESTS: u64 = 1000;
const EVENTS: u64 = 500;

fn envelope(number: u64) -> String {
    // Spread over all bits, as real ids are.
    let random = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let id = format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{number:012x}",
        random >> 32,
        random >> 16 & 0xffff,
        random >> 4 & 0xfff,
        random & 0xfff
    );
    format!(
        concat!(
            r#"{{"time":1763958400.123,"host":"gateway-7","source":"siem-forward","sourcetype":"mcp:audit","index":"audit","#,
            r#""event":{{"id":"{id}","timestamp":"2025-11-24T04:26:40.123456Z","event_type":"tool_invoked","severity":"low","#,
            r#""user_id":"2f9c7a52-0d4e-4b4e-9a1c-7d1a1c0b6a11","user_email":"ada.lovelace@example.com","#,
            r#""server_id":"8e1f9e0c-43a1-4b7c-8a53-5f1f9a6f0c22","tool_name":"create_ticket","decision":"allow","#,
            r#""policy_id":"policy-tickets-write","src_ip":"10.194.128.204","#,
            r#""user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36","#,
            r#""request_id":"req-{number:016x}","details":{{"project":"PLAT","priority":3,"labels":["audit","gateway"],"#,
            r#""title":"Rotate the \"staging\" credentials","latency_ms":12.5,"cached":false,"note":null}}}},"#,
            r#""fields":{{"event_id":"{id}","event_type":"tool_invoked","severity":"low"}}}}"#
        ),
        id = id,
        number = number,
    )
}

fn measure(name: &str, encode: impl Fn(&[u8]) -> Vec<u8>, headers: &str, requests: u64) {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let mut client = Client::new(&receiver);
    let headers = format!("Authorization: Splunk t\r\n{headers}");
    let (mut bytes, mut spent) = (0, Duration::ZERO);
    for request in 0..requests {
        let body = (request * EVENTS..(request + 1) * EVENTS).map(envelope).collect::<String>();
        bytes += body.len() as u64;
        let body = encode(body.as_bytes());
        let start = Instant::now();
        client.write_post(EVENT, &headers, &body).unwrap();
        assert_eq!(client.answer().status, 200);
        spent += start.elapsed();
    }
    let counts = receiver.counts();
    let events = requests * EVENTS;
    assert_eq!((counts.unique, counts.bytes_inflated), (events, bytes));
    let nanos = |duration: Duration| duration.as_nanos() / u128::from(events);
    println!(
        "{name}: {} ns CPU an event of {} B ({} ns between write and answer), {events} events",
        nanos(receiver.cpu_time()),
        bytes / events,
        nanos(spent),
    );
}

#[test]
#[ignore = "a measurement, not a promise"]
fn what_an_event_costs() {
    measure("plain", <[u8]>::to_vec, "", REQUESTS);
    measure("plain, ten times as many ids", <[u8]>::to_vec, "", REQUESTS * 10);
    measure("gzip", gzip, "Content-Encoding: gzip\r\n", REQUESTS / 4);
}
