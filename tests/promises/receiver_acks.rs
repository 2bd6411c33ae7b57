//! Indexer acknowledgement of the receiver, and its faults, each over a real connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::time::{Duration, Instant};

use crate::receiver_client::{self, Answer, Client, EVENT, PATIENCE, event, events};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig};

const CHANNEL: &str = "6f1c2e0e-8f0b-4a53-9a7e-0d6c0b1b2c3d";
const OTHER: &str = "6F1C2E0E-8F0B-4A53-9A7E-0D6C0B1B2C3E";
/// An indexer that a test does not wait for.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn acknowledging(delay: Duration, faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let config = ReceiverConfig { faults, ack: Some(delay), keep: Keep::Bodies, ..ReceiverConfig::default() };
    Receiver::start(config).unwrap()
}

fn write(client: &mut Client, path: &str, headers: &str, body: &str) {
    let headers = format!("Authorization: Splunk t\r\n{headers}");
    client.write_post(path, &headers, body.as_bytes()).unwrap();
}

fn post_with(client: &mut Client, path: &str, headers: &str, body: &str) -> Answer {
    write(client, path, headers, body);
    client.answer()
}

/// Posts on a channel, and gives status and number.
fn post(client: &mut Client, channel: &str, body: &str) -> (u16, Option<u64>) {
    let answer = post_with(client, EVENT, &format!("X-Splunk-Request-Channel: {channel}\r\n"), body);
    let json: serde_json::Value = serde_json::from_str(&answer.body).expect(&answer.body);
    (answer.status, json["ackId"].as_u64())
}

fn ask_for(channel: &str) -> String {
    format!("/services/collector/ack?channel={channel}")
}

/// The body of the answer about these numbers.
fn told(client: &mut Client, channel: &str, numbers: &str) -> String {
    let answer = post_with(client, &ask_for(channel), "", &format!("{{\"acks\":[{numbers}]}}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn code(answer: &Answer) -> (u16, u64) {
    (answer.status, answer.code().0)
}

#[test]
fn success_carries_a_number_of_its_channel() {
    let receiver = acknowledging(FOR_EVER, &[]);
    let mut client = Client::new(&receiver);
    let answer = post_with(&mut client, EVENT, &format!("X-Splunk-Request-Channel: {CHANNEL}\r\n"), &event(1));
    assert_eq!(answer.body, r#"{"text":"Success","code":0,"ackId":0}"#);
    let answer = post_with(&mut client, &format!("{EVENT}?a=b&channel={CHANNEL}"), "", &event(2));
    assert_eq!(answer.body, r#"{"text":"Success","code":0,"ackId":1}"#, "header and query name the same channel");
    assert_eq!(post(&mut client, OTHER, &event(3)), (200, Some(0)));
    assert_eq!(post(&mut Client::new(&receiver), CHANNEL, &event(4)), (200, Some(2)), "channels outlive connections");
}

#[test]
fn events_need_a_channel_that_is_a_guid() {
    let receiver = acknowledging(Duration::ZERO, &["503"]);
    let mut client = Client::new(&receiver);
    let header = |channel: &str| format!("X-Splunk-Request-Channel: {channel}\r\n");
    for path in [EVENT, "/services/collector/ack"] {
        assert_eq!(code(&post_with(&mut client, path, "", &event(1))), (400, 10), "{path}");
        for channel in ["", "x", "6f1c2e0e8f0b4a539a7e0d6c0b1b2c3d", "6f1c2e0e-8f0b-4a53-9a7e-0d6c0b1b2c3g"] {
            assert_eq!(code(&post_with(&mut client, path, &header(channel), &event(1))), (400, 11), "{path} {channel}");
        }
    }
    client.write_post(EVENT, "", b"").unwrap();
    assert_eq!(code(&client.answer()), (401, 2), "the token comes first");
    assert_eq!(receiver.counts().events, 0);
}

#[test]
fn without_acknowledgement_there_is_nothing_to_ask_for() {
    let receiver = receiver_client::receiver(&["ack_503"]);
    let mut client = Client::new(&receiver);
    let channel = format!("X-Splunk-Request-Channel: {CHANNEL}\r\n");
    assert_eq!(post_with(&mut client, EVENT, &channel, &event(1)).body, r#"{"text":"Success","code":0}"#);
    assert_eq!(code(&post_with(&mut client, &ask_for(CHANNEL), "", r#"{"acks":[0]}"#)), (400, 14));
    let counts = receiver.counts();
    assert_eq!((counts.indexed, counts.acknowledged, counts.lost), (1, 0, 0));
    assert_eq!((counts.ack_requests, counts.ack_requests_failed, counts.requests), (1, 1, 1));
}

#[test]
fn a_number_is_true_once_and_only_when_its_events_are_indexed() {
    let delay = Duration::from_millis(150);
    let receiver = acknowledging(delay, &[]);
    let mut client = Client::new(&receiver);
    let begun = Instant::now();
    assert_eq!(post(&mut client, CHANNEL, &events(0..10)), (200, Some(0)));
    while told(&mut client, CHANNEL, "0") != r#"{"acks":{"0":true}}"# {
        assert_eq!((receiver.unacknowledged(0..10), receiver.counts().acknowledged), (10, 0));
    }
    assert!((delay..PATIENCE).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!((receiver.missing(0..11), receiver.unacknowledged(0..11)), (1, 1));
    assert_eq!(told(&mut client, CHANNEL, "0"), r#"{"acks":{"0":false}}"#, "it is told once");
    let counts = receiver.counts();
    assert_eq!((counts.indexed, counts.acknowledged, counts.unique), (10, 10, 10));
}

#[test]
fn indexing_takes_its_time_and_needs_nobody_who_asks() {
    let delay = Duration::from_millis(200);
    let receiver = acknowledging(delay, &[]);
    let begun = Instant::now();
    assert_eq!(post(&mut Client::new(&receiver), CHANNEL, &events(0..10)), (200, Some(0)));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.indexed == 10));
    assert!((delay..PATIENCE / 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!((receiver.missing(0..10), receiver.unacknowledged(0..10)), (0, 10));
}

#[test]
fn what_is_received_is_not_yet_indexed() {
    let receiver = acknowledging(FOR_EVER, &[]);
    let mut client = Client::new(&receiver);
    assert_eq!(post(&mut client, CHANNEL, &events(0..10)), (200, Some(0)));
    assert_eq!(told(&mut client, CHANNEL, "0"), r#"{"acks":{"0":false}}"#);
    let counts = receiver.counts();
    assert_eq!((counts.unique, counts.events, counts.indexed, counts.acknowledged), (10, 10, 0, 0));
    assert_eq!((receiver.missing(0..10), receiver.unacknowledged(0..10)), (10, 10));
    assert!(!receiver.contains(1));
    assert_eq!((receiver.ids().len(), receiver.events().len()), (10, 10));
}

#[test]
fn unknown_numbers_are_false_and_no_number_is_no_question() {
    let receiver = acknowledging(Duration::ZERO, &[]);
    let mut client = Client::new(&receiver);
    assert_eq!(post(&mut client, CHANNEL, &event(1)), (200, Some(0)));
    assert_eq!(told(&mut client, OTHER, "0"), r#"{"acks":{"0":false}}"#, "another channel");
    assert_eq!(told(&mut client, CHANNEL, "7,0,7"), r#"{"acks":{"0":true,"7":false}}"#);
    assert_eq!(told(&mut client, CHANNEL, ""), r#"{"acks":{}}"#);
    assert_eq!(code(&post_with(&mut client, &ask_for(CHANNEL), "", "{\"acks\":[-1]}")), (400, 6));
    assert_eq!(code(&post_with(&mut client, &ask_for(CHANNEL), "", "")), (400, 5));
    let get = client.request(format!("GET {} HTTP/1.1\r\nHost: here\r\n\r\n", ask_for(CHANNEL)));
    assert_eq!(get.status, 405);
}

#[test]
fn what_stands_before_a_bad_event_is_indexed_and_has_no_number() {
    let receiver = acknowledging(Duration::ZERO, &["400:event=3,first=1"]);
    let mut client = Client::new(&receiver);
    assert_eq!(post(&mut client, CHANNEL, &events(0..10)), (400, None));
    assert_eq!((receiver.missing(0..10), receiver.counts().indexed), (7, 3));
    assert_eq!(post(&mut client, CHANNEL, &events(4..10)), (200, Some(0)), "and none was used up");
    assert_eq!(told(&mut client, CHANNEL, "0"), r#"{"acks":{"0":true}}"#);
    assert_eq!((receiver.unacknowledged(0..4), receiver.unacknowledged(4..10)), (4, 0));
}

#[test]
fn an_answer_that_is_lost_has_used_its_number_up() {
    let receiver = acknowledging(Duration::ZERO, &["reset_after:first=1"]);
    let mut client = Client::new(&receiver);
    write(&mut client, EVENT, &format!("X-Splunk-Request-Channel: {CHANNEL}\r\n"), &event(1));
    assert!(client.is_reset());
    assert_eq!(post(&mut Client::new(&receiver), CHANNEL, &event(1)), (200, Some(1)));
    assert_eq!(receiver.counts().duplicated, 1);
}

#[test]
fn a_restart_loses_what_waits_and_uses_its_numbers_again() {
    for by_fault in [false, true] {
        let receiver = acknowledging(FOR_EVER, if by_fault { &["restart:every=3"] } else { &[] });
        let mut client = Client::new(&receiver);
        assert_eq!(post(&mut client, CHANNEL, &events(0..10)), (200, Some(0)));
        assert_eq!(post(&mut client, CHANNEL, &events(5..15)), (200, Some(1)));
        if !by_fault {
            receiver.restart_indexer();
        }
        assert_eq!(post(&mut client, CHANNEL, &events(20..30)), (200, Some(0)), "by fault: {by_fault}");
        assert_eq!(told(&mut client, CHANNEL, "0,1"), r#"{"acks":{"0":false,"1":false}}"#);
        let counts = receiver.counts();
        assert_eq!((counts.lost, counts.indexed, counts.unique), (20, 0, 25));
    }
}

#[test]
fn what_was_indexed_survives_a_restart_and_its_acknowledgement_does_not() {
    let receiver = acknowledging(Duration::ZERO, &[]);
    let mut client = Client::new(&receiver);
    assert_eq!(post(&mut client, CHANNEL, &events(0..10)), (200, Some(0)));
    receiver.restart_indexer();
    assert_eq!(told(&mut client, CHANNEL, "0"), r#"{"acks":{"0":false}}"#);
    assert_eq!((receiver.missing(0..10), receiver.unacknowledged(0..10), receiver.counts().lost), (0, 10, 0));
}

/// An indexed number 0, and the answer of a receiver with this fault to whoever asks for it.
fn asked(fault: &str) -> (Receiver, Client) {
    let receiver = acknowledging(Duration::ZERO, &[fault]);
    let mut client = Client::new(&receiver);
    assert_eq!(post(&mut client, CHANNEL, &event(1)), (200, Some(0)), "{fault}: events are taken all the same");
    write(&mut client, &ask_for(CHANNEL), "", "{\"acks\":[0]}");
    (receiver, client)
}

/// Whether the truth is still to be had once the fault has passed.
fn is_still_known(receiver: &Receiver) -> bool {
    receiver.set_faults(Vec::new());
    told(&mut Client::new(receiver), CHANNEL, "0") == r#"{"acks":{"0":true}}"#
}

#[test]
fn acknowledgements_are_refused_as_asked_for() {
    for (fault, status, expected) in [
        ("ack_400", 400, 14),
        ("ack_400:code=10", 400, 10),
        ("ack_404", 404, 404),
        ("ack_503", 503, 9),
        ("ack_503:code=19,retry_after=3", 503, 19),
    ] {
        let (receiver, mut client) = asked(fault);
        let answer = client.answer();
        assert_eq!(code(&answer), (status, expected), "{fault}");
        assert_eq!(answer.head.contains("Retry-After: 3"), fault.contains("retry_after"), "{fault}");
        let counts = receiver.counts();
        assert_eq!((counts.ack_requests, counts.ack_requests_failed, counts.requests_failed), (1, 1, 0), "{fault}");
        assert_eq!(receiver.unacknowledged([1]), 1);
        assert!(is_still_known(&receiver), "{fault}");
    }
}

#[test]
fn acknowledgements_may_be_garbage() {
    let (receiver, mut client) = asked("ack_garbage");
    let rest = client.rest();
    assert!(!rest.is_empty() && !rest.starts_with(b"HTTP"), "{rest:?}");
    assert!(is_still_known(&receiver));
    let (receiver, mut client) = asked("ack_garbage:body");
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_err(), "{}", answer.body);
    assert!(is_still_known(&receiver));
}

#[test]
fn a_question_may_hang_with_and_without_the_truth() {
    for (fault, known) in [("ack_hang", true), ("ack_hang:taken", false)] {
        let (receiver, mut client) = asked(fault);
        assert!(receiver.wait_until(PATIENCE, |counts| counts.ack_requests == 1));
        assert!(client.is_silent(), "{fault}");
        assert_eq!(is_still_known(&receiver), known, "{fault}");
    }
}

#[test]
fn a_question_may_be_reset_with_and_without_the_truth() {
    for (fault, known) in [("ack_reset", true), ("ack_reset_after", false)] {
        let (receiver, mut client) = asked(fault);
        assert!(client.is_reset(), "{fault}");
        assert_eq!(is_still_known(&receiver), known, "{fault}");
    }
}

#[test]
fn acknowledgements_that_are_never_given_are_false() {
    let (receiver, mut client) = asked("ack_never");
    assert_eq!(client.answer().body, r#"{"acks":{"0":false}}"#);
    assert_eq!((receiver.missing([1]), receiver.unacknowledged([1])), (0, 1));
    assert!(is_still_known(&receiver));
}

#[test]
fn faults_of_events_and_of_acknowledgements_do_not_meet() {
    let receiver = acknowledging(Duration::ZERO, &["503:every=2", "ack_503:every=2"]);
    let mut client = Client::new(&receiver);
    let asking = |client: &mut Client| post_with(client, &ask_for(CHANNEL), "", "{\"acks\":[0]}").status;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(post(&mut client, CHANNEL, &event(1)).0);
        seen.push(asking(&mut client));
    }
    assert_eq!(seen, [200, 200, 503, 503]);
}
