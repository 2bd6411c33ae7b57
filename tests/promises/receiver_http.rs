//! The receiver as a healthy collector: addresses, tokens, HTTP, over a real connection.

use crate::receiver_client::{Client, EVENT, event, events, gzip, receiver};
use siem_forward::receiver::{Receiver, ReceiverConfig};

const TOKEN: &str = "Authorization: Splunk t\r\n";

#[test]
fn the_three_event_addresses_are_one() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    let paths = ["/services/collector", EVENT, "/services/collector/event/1.0", "/services/collector/event?channel=x"];
    for (id, path) in (0..).zip(paths) {
        client.write_post(path, TOKEN, event(id).as_bytes()).unwrap();
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"text":"Success","code":0}"#), "{path}");
        assert!(answer.head.contains("Content-Type: application/json"), "{}", answer.head);
    }
    assert_eq!(receiver.counts().unique, 4);
    assert_eq!(receiver.counts().connections, 1, "the connection is kept");
}

#[test]
fn health_never_looks_at_the_token() {
    let receiver = Receiver::start(ReceiverConfig { token: Some("t".into()), ..ReceiverConfig::default() }).unwrap();
    let mut client = Client::new(&receiver);
    for path in ["/services/collector/health", "/services/collector/health/1.0"] {
        for token in ["", TOKEN, "Authorization: Splunk bogus\r\n"] {
            let answer = client.request(format!("GET {path} HTTP/1.1\r\nHost: here\r\n{token}\r\n"));
            assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"text":"HEC is healthy","code":17}"#));
        }
    }
    assert_eq!(receiver.counts().requests, 0, "health is no request for events");
}

#[test]
fn unknown_paths_and_wrong_methods_are_told_apart() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    let body = r#"{"text":"The requested URL was not found on this server.","code":404}"#;
    for (request, status) in [
        ("POST /services/collector/nowhere", 404),
        ("GET /", 404),
        ("GET /services/collector/event", 405),
        ("PUT /services/collector", 405),
        ("POST /services/collector/health", 405),
    ] {
        let answer = client.request(format!("{request} HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{request}");
    }
    let answer = client.request(format!("OPTIONS {EVENT} HTTP/1.1\r\nHost: here\r\n\r\n"));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[test]
fn tokens_are_refused_as_splunk_refuses_them() {
    let receiver =
        Receiver::start(ReceiverConfig { token: Some("secret".into()), ..ReceiverConfig::default() }).unwrap();
    let mut client = Client::new(&receiver);
    let mut with = |headers: &str, body: &str| {
        client.write_post(EVENT, headers, body.as_bytes()).unwrap();
        let answer = client.answer();
        (answer.status, answer.code())
    };
    let one = event(1);
    assert_eq!(with("", &one), (401, (2, None)));
    assert_eq!(with("Authorization: secret\r\n", &one), (401, (3, None)));
    assert_eq!(with("Authorization: Bearer secret\r\n", &one), (401, (3, None)));
    assert_eq!(with("Authorization: Splunk \r\n", &one), (401, (3, None)));
    assert_eq!(with("Authorization: Splunk other\r\n", &one), (403, (4, None)));
    assert_eq!(with("Authorization: Splunk other\r\n", ""), (403, (4, None)), "the token comes before the body");
    assert_eq!(receiver.counts().events, 0);
    assert_eq!(with("authorization: Splunk secret\r\n", ""), (400, (5, None)));
    assert_eq!(with("authorization: Splunk secret\r\n", &one), (200, (0, None)));
    receiver.set_token(Some("fresh".into()));
    assert_eq!(with("Authorization: Splunk secret\r\n", &one), (403, (4, None)));
    receiver.set_token(None);
    assert_eq!(with("Authorization: Splunk anything\r\n", &one), (200, (0, None)));
    assert_eq!(with("", &one), (401, (2, None)), "any token, but a token");
    let counts = receiver.counts();
    assert_eq!((counts.requests, counts.requests_failed, counts.events), (11, 9, 2));
}

#[test]
fn an_object_at_fault_is_named_and_what_stands_before_it_is_indexed() {
    let good = event(7);
    for (bad, code) in [
        (r#"{"event":}"#, 6),
        ("nonsense", 6),
        ("[1]", 6),
        (r#"{"event":null}"#, 6),
        (r#"{"time":1}"#, 12),
        (r#"{"event":" "}"#, 13),
        (r#"{"event":1,"fields":{"a":{"b":1}}}"#, 15),
        (r#"{"event":1,"time":1.7e9}"#, 15),
    ] {
        let receiver = receiver(&[]);
        let answer = Client::new(&receiver).post(format!("{good}\n{good}{bad}{good}"));
        assert_eq!((answer.status, answer.code()), (400, (code, Some(2))), "{bad}");
        assert_eq!(receiver.events(), [good.as_str(), good.as_str()], "{bad}");
    }
}

#[test]
fn an_unknown_key_loses_the_rest_behind_a_success() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    let unknown = r#"{"event":"x","sourceType":"typo"}"#;
    let answer = client.post(format!("{}{unknown}{}", event(1), event(2)));
    assert_eq!((answer.status, answer.code()), (200, (0, None)));
    assert_eq!(receiver.events(), [event(1)]);
    assert_eq!((receiver.counts().events, receiver.counts().unindexed), (1, 2));
    let alone = client.post(unknown);
    assert_eq!((alone.status, alone.code()), (400, (5, None)));
}

#[test]
fn bodies_may_be_gzip_chunked_or_both() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    let zipped = |ids| gzip(events(ids).as_bytes());
    client.write_post(EVENT, &format!("{TOKEN}Content-Encoding: gzip\r\n"), &zipped(0..500)).unwrap();
    assert_eq!(client.answer().status, 200);
    let counts = receiver.counts();
    assert_eq!((counts.unique, counts.bytes_inflated), (500, events(0..500).len() as u64));
    assert_eq!(counts.bytes, zipped(0..500).len() as u64);

    let chunked = |encoding: &str, body: &[u8], size: usize| {
        let mut request =
            format!("POST {EVENT} HTTP/1.1\r\nHost: here\r\n{TOKEN}{encoding}Transfer-Encoding: chunked\r\n\r\n")
                .into_bytes();
        for chunk in body.chunks(size) {
            request.extend(format!("{:X};x=y\r\n", chunk.len()).bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\nTrailer: x\r\n\r\n");
        request
    };
    assert_eq!(client.request(chunked("", events(500..600).as_bytes(), 7)).status, 200);
    assert_eq!(client.request(chunked("", events(600..4600).as_bytes(), 100_000)).status, 200);
    assert_eq!(client.request(chunked("Content-Encoding: gzip\r\n", &zipped(4600..5000), 3)).status, 200);
    assert_eq!(receiver.missing(0..5000), 0);
    assert_eq!(receiver.counts().duplicated, 0);
}

#[test]
fn bodies_that_cannot_be_decoded_are_refused() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    client.write_post(EVENT, &format!("{TOKEN}Content-Encoding: deflate\r\n"), event(1).as_bytes()).unwrap();
    let answer = client.answer();
    assert!(answer.status == 415 && answer.is_html(), "{answer:?}");
    client.write_post(EVENT, &format!("{TOKEN}Content-Encoding: gzip\r\n"), event(1).as_bytes()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status, answer.code()), (400, (6, Some(0))));
    assert_eq!(receiver.counts().events, 0);
}

#[test]
fn bodies_beyond_the_limit_are_refused_and_the_answer_arrives() {
    let config = ReceiverConfig { content_length_max: 100_000, ..ReceiverConfig::default() };
    let receiver = Receiver::start(config).unwrap();
    let large = events(0..2000);
    let refused = |headers: &str, body: &[u8]| {
        let mut client = Client::new(&receiver);
        // The receiver need not wait for the rest, so writing it may fail.
        drop(client.write_post(EVENT, headers, body));
        let answer = client.answer();
        answer.status == 413 && answer.is_html()
    };
    assert!(refused(TOKEN, large.as_bytes()));
    assert!(refused(&format!("{TOKEN}Content-Encoding: gzip\r\n"), &gzip(large.as_bytes())));
    let mut chunked = Client::new(&receiver);
    chunked.write(format!("POST {EVENT} HTTP/1.1\r\n{TOKEN}Transfer-Encoding: chunked\r\n\r\n186a1\r\n").as_bytes());
    assert_eq!(chunked.answer().status, 413);
    let counts = receiver.counts();
    assert_eq!((counts.events, counts.requests, counts.requests_failed), (0, 3, 3));
    assert_eq!(Client::new(&receiver).post(events(0..10)).status, 200);
}

#[test]
fn a_continue_is_sent_before_the_body_is() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    let head = |length: usize| {
        format!("POST {EVENT} HTTP/1.1\r\n{TOKEN}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let go_on = client.request(head(event(1).len()));
    assert_eq!(go_on.head, "HTTP/1.1 100 Continue");
    assert_eq!(client.request(event(1)).status, 200);
    assert_eq!(client.request(head(usize::MAX)).status, 413, "refused without asking for it");
    assert!(client.is_closed());
}

#[test]
fn requests_may_arrive_in_crumbs_or_several_at_a_time() {
    let receiver = receiver(&[]);
    let mut client = Client::new(&receiver);
    let request = |id| {
        let body = event(id);
        format!("POST {EVENT} HTTP/1.1\r\n{TOKEN}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    for byte in request(1).bytes() {
        client.write(&[byte]);
    }
    assert_eq!(client.answer().status, 200);
    client.write((2..50).map(request).collect::<String>().as_bytes());
    for _ in 2..50 {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(receiver.events(), (1..50).map(event).collect::<Vec<_>>());
}

#[test]
fn a_connection_is_closed_where_the_sender_asks_for_it() {
    let receiver = receiver(&[]);
    for (version, header) in [("1.1", "Connection: close\r\n"), ("1.0", "")] {
        let mut client = Client::new(&receiver);
        let answer = client.request(format!("GET /services/collector/health HTTP/{version}\r\n{header}\r\n"));
        assert!(answer.head.contains("Connection: Close"), "{}", answer.head);
        assert!(client.is_closed());
    }
}

#[test]
fn what_is_no_http_is_refused_and_the_connection_closed() {
    let receiver = receiver(&[]);
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        (&long, 431),
        (&many, 431),
    ] {
        let mut client = Client::new(&receiver);
        assert_eq!(client.request(request).status, status, "{request:.80}");
        assert!(client.is_closed());
    }
}
