//! The receiver's faults, each over a real connection.

use std::time::{Duration, Instant};

use crate::receiver_client::{Client, EVENT, PATIENCE, event, events, receiver};

/// Status, code, event number and the ids that were indexed, for one batch of ten events with the ids 0 to 9.
fn answered(fault: &str) -> (u16, u64, Option<u64>, u64) {
    let receiver = receiver(&[fault]);
    let answer = Client::new(&receiver).post(events(0..10));
    let (code, event) = answer.code();
    let taken = receiver.counts().events;
    assert_eq!(receiver.events(), (0..u128::from(taken)).map(self::event).collect::<Vec<_>>());
    assert_eq!(receiver.counts().requests_failed, u64::from(answer.status != 200));
    (answer.status, code, event, taken)
}

#[test]
fn statuses_come_with_the_codes_of_splunk() {
    assert_eq!(answered("200:code=24"), (200, 24, None, 10));
    assert_eq!(answered("200:code=25"), (200, 25, None, 10));
    assert_eq!(answered("400:code=10"), (400, 10, None, 0));
    assert_eq!(answered("401"), (401, 3, None, 0));
    assert_eq!(answered("401:code=2"), (401, 2, None, 0));
    assert_eq!(answered("403"), (403, 4, None, 0));
    assert_eq!(answered("403:code=1"), (403, 1, None, 0));
    assert_eq!(answered("429"), (429, 26, None, 0));
    assert_eq!(answered("500"), (500, 8, None, 0));
    assert_eq!(answered("500:taken"), (500, 8, None, 10));
    assert_eq!(answered("503"), (503, 9, None, 0));
    assert_eq!(answered("503:code=23"), (503, 23, None, 0));
    assert_eq!(answered("503:taken"), (503, 9, None, 10));
    assert_eq!(answered("503:event=4"), (503, 9, Some(4), 4));
}

#[test]
fn one_bad_event_cuts_its_batch() {
    assert_eq!(answered("400"), (400, 6, Some(5), 5));
    assert_eq!(answered("400:event=0"), (400, 6, Some(0), 0));
    assert_eq!(answered("400:event=3,code=13"), (400, 13, Some(3), 3));
    assert_eq!(answered("400:event=3,code=7"), (400, 7, Some(4), 3));
    assert_eq!(answered("400:id=00000000-0000-0000-0000-000000000007"), (400, 6, Some(7), 7));
    assert_eq!(answered("400:contains=000000000002\""), (400, 6, Some(2), 2));
    assert_eq!(answered("400:contains=nowhere"), (200, 0, None, 10));
}

#[test]
fn poison_hits_only_the_bodies_that_hold_it() {
    for (fault, status) in [("500:contains=000007", 500), ("403:contains=000007", 403), ("413:bytes=1000", 413)] {
        let receiver = receiver(&[fault]);
        let mut client = Client::new(&receiver);
        assert_eq!(client.post(events(0..7)).status, 200, "{fault}");
        assert_eq!(client.post(events(7..20)).status, status, "{fault}");
        assert_eq!(client.post(events(8..15)).status, 200, "{fault}");
        assert_eq!(receiver.missing([7]), 1);
        assert_eq!(receiver.counts().unique, 14);
    }
    let receiver = receiver(&["reset:contains=000007"]);
    let mut client = Client::new(&receiver);
    assert_eq!(client.post(events(0..7)).status, 200);
    client.write_post(EVENT, "Authorization: Splunk t\r\n", event(7).as_bytes()).unwrap();
    assert!(client.is_reset());
    assert_eq!(receiver.counts().events, 7);
}

#[test]
fn proxies_and_web_servers_answer_in_html() {
    for (fault, status) in [("413", 413), ("415", 415), ("502", 502), ("504", 504)] {
        let receiver = receiver(&[fault]);
        let answer = Client::new(&receiver).post(event(1));
        assert!(answer.status == status && answer.is_html(), "{answer:?}");
        assert_eq!(receiver.counts().events, 0);
    }
}

#[test]
fn retry_after_is_sent_as_asked_for() {
    let retry_after = |fault: &str| {
        let receiver = receiver(&[fault]);
        let head = Client::new(&receiver).post(event(1)).head;
        head.lines().find_map(|line| line.strip_prefix("Retry-After: ")).map(str::to_owned)
    };
    assert_eq!(retry_after("429").as_deref(), Some("1"));
    assert_eq!(retry_after("429:retry_after=7").as_deref(), Some("7"));
    assert_eq!(retry_after("429:retry_after=none"), None);
    assert_eq!(retry_after("503"), None);
    assert_eq!(retry_after("503:retry_after=0").as_deref(), Some("0"));
}

#[test]
fn faults_come_and_go_by_count_and_can_be_replaced() {
    let receiver = receiver(&["503:every=3"]);
    let mut client = Client::new(&receiver);
    let mut statuses = |count: u128| (0..count).map(|id| client.post(event(id)).status).collect::<Vec<_>>();
    assert_eq!(statuses(6), [200, 200, 503, 200, 200, 503]);
    receiver.set_faults(vec!["500:first=2".parse().unwrap()]);
    assert_eq!(statuses(4), [500, 500, 200, 200]);
    receiver.set_faults(vec!["503:every=2".parse().unwrap(), "500:every=4".parse().unwrap()]);
    assert_eq!(statuses(4), [200, 503, 200, 503], "the first of the list wins");
    receiver.set_faults(vec![]);
    assert_eq!(statuses(3), [200, 200, 200]);
}

#[test]
fn health_is_spared() {
    let receiver = receiver(&["503"]);
    let mut client = Client::new(&receiver);
    assert_eq!(client.request("GET /services/collector/health HTTP/1.1\r\n\r\n").status, 200);
    assert_eq!(client.post(event(1)).status, 503);
}

#[test]
fn a_delayed_answer_is_late_and_its_events_are_not() {
    let receiver = receiver(&["delay:ms=300"]);
    let mut client = Client::new(&receiver);
    let start = Instant::now();
    client.write_post(EVENT, "Authorization: Splunk t\r\n", event(1).as_bytes()).unwrap();
    assert!(receiver.wait_until(PATIENCE, |counts| counts.events == 1));
    assert!(client.is_silent());
    assert_eq!(client.answer().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn delay_and_close_come_on_top_of_another_fault() {
    let receiver = receiver(&["503", "delay:ms=100", "close"]);
    let mut client = Client::new(&receiver);
    let start = Instant::now();
    assert_eq!(client.post(event(1)).status, 503);
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(client.is_closed());
}

#[test]
fn an_answer_may_drip() {
    let receiver = receiver(&["drip:ms=2"]);
    let start = Instant::now();
    let answer = Client::new(&receiver).post(event(1));
    assert_eq!(answer.code(), (0, None));
    let bytes = (answer.head.len() + 4 + answer.body.len()) as u64;
    assert!(start.elapsed() >= Duration::from_millis(2 * bytes), "{:?} for {bytes} bytes", start.elapsed());
}

#[test]
fn resets_are_resets_with_and_without_the_events() {
    for (fault, taken) in [("reset", 0), ("reset_after", 5000)] {
        let receiver = receiver(&[fault]);
        let mut client = Client::new(&receiver);
        // The reset may come amid the write.
        drop(client.write_post(EVENT, "Authorization: Splunk t\r\n", events(0..5000).as_bytes()));
        assert!(client.is_reset(), "{fault}");
        let counts = receiver.counts();
        assert_eq!((counts.events, counts.requests, counts.requests_failed), (taken, 1, 1), "{fault}");
    }
}

#[test]
fn a_reset_before_the_body_waits_for_none_of_it() {
    for expects in ["", "Expect: 100-continue\r\n"] {
        let receiver = receiver(&["reset_before:first=1"]);
        let mut client = Client::new(&receiver);
        // The head alone: a receiver that waited for the body would wait for ever.
        let head = format!(
            "POST {EVENT} HTTP/1.1\r\nHost: here\r\nAuthorization: Splunk t\r\nContent-Length: 99\r\n{expects}\r\n"
        );
        client.write(head.as_bytes());
        assert!(client.is_reset(), "{expects}");
        let counts = receiver.counts();
        assert_eq!((counts.events, counts.requests, counts.requests_failed, counts.bytes), (0, 1, 1, 0));
        assert_eq!(Client::new(&receiver).post(event(1)).status, 200);
    }
}

#[test]
fn garbage_is_no_http_or_no_json() {
    let plain = receiver(&["garbage"]);
    let mut client = Client::new(&plain);
    client.write_post(EVENT, "Authorization: Splunk t\r\n", event(1).as_bytes()).unwrap();
    let rest = client.rest();
    assert!(!rest.is_empty() && !rest.starts_with(b"HTTP"), "{rest:?}");
    let json = receiver(&["garbage:body"]);
    let answer = Client::new(&json).post(event(1));
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("application/json"));
    assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_err(), "{}", answer.body);
    assert_eq!((plain.counts().events, json.counts().events), (0, 0));
}

#[test]
fn a_hanging_request_is_read_and_never_answered() {
    for (fault, taken) in [("hang", 0), ("hang:taken", 3)] {
        let receiver = receiver(&[fault]);
        let mut client = Client::new(&receiver);
        client.write_post(EVENT, "Authorization: Splunk t\r\n", events(0..3).as_bytes()).unwrap();
        assert!(receiver.wait_until(PATIENCE, |counts| counts.requests == 1));
        assert!(client.is_silent(), "{fault}");
        assert_eq!(receiver.counts().events, taken);
        drop(receiver);
        assert!(client.is_closed());
    }
}

#[test]
fn a_closed_connection_was_not_announced() {
    let receiver = receiver(&["close:every=2"]);
    let mut client = Client::new(&receiver);
    assert_eq!(client.post(event(1)).status, 200);
    let answer = client.post(event(2));
    assert!(answer.status == 200 && answer.head.contains("Connection: Keep-Alive"), "{answer:?}");
    assert!(client.is_closed());
}
