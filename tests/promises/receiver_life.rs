//! The receiver's books and its end.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::receiver_client::{Client, EVENT, PATIENCE, event, events, receiver};
use siem_forward::receiver::{Keep, Receiver, ReceiverConfig, id_of};

#[test]
fn ids_are_counted_over_all_connections() {
    let receiver = receiver(&[]);
    thread::scope(|scope| {
        for part in 0..4_u128 {
            let receiver = &receiver;
            // Each range overlaps the next one by half.
            scope.spawn(move || {
                assert_eq!(Client::new(receiver).post(events(part * 500..part * 500 + 1000)).status, 200);
            });
        }
    });
    let counts = receiver.counts();
    assert_eq!((counts.unique, counts.duplicated, counts.events, counts.connections), (2500, 1500, 4000, 4));
    assert_eq!(receiver.missing(0..2600), 100);
    assert!(receiver.contains(2499) && !receiver.contains(2500));
    let mut ids = receiver.ids();
    ids.sort_unstable();
    assert_eq!(ids.len(), 2500);
    assert_eq!((ids[0], ids[500], ids[2499]), ((0, 1), (500, 2), (2499, 1)));
    assert_eq!(receiver.events().len(), 4000);
}

#[test]
fn events_without_an_id_and_with_a_foreign_one_are_counted() {
    let receiver = receiver(&[]);
    let body = r#"{"event":"text"}{"event":{"id":"order-7"}}{"event":{},"fields":{"event_id":"order-7"}}"#;
    assert_eq!(Client::new(&receiver).post(body).status, 200);
    let counts = receiver.counts();
    assert_eq!((counts.events, counts.without_id, counts.unique, counts.duplicated), (3, 1, 1, 1));
    assert_eq!(receiver.ids(), [(id_of(b"order-7"), 2)]);
}

#[test]
fn without_being_asked_no_body_is_kept() {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    assert_eq!(Client::new(&receiver).post(event(1)).status, 200);
    assert!(receiver.events().is_empty() && receiver.contains(1));
}

#[test]
fn runs_of_ids_are_counted_as_single_ones_are() {
    let receiver = Receiver::start(ReceiverConfig { keep: Keep::Runs, ..ReceiverConfig::default() }).unwrap();
    let mut client = Client::new(&receiver);
    for ids in [0..65_600, 65_500..65_536, 70_000..70_010] {
        assert_eq!(client.post(events(ids)).status, 200);
    }
    let counts = receiver.counts();
    assert_eq!((counts.unique, counts.duplicated, counts.indexed), (65_610, 36, 65_610));
    assert_eq!((receiver.missing(0..65_700), receiver.ids().len()), (100, 0));
    assert!(receiver.contains(65_599) && !receiver.contains(65_600) && receiver.contains(70_009));
}

#[test]
fn waiting_ends_with_the_event_or_with_the_timeout() {
    let receiver = receiver(&[]);
    assert!(!receiver.wait_until(Duration::from_millis(30), |counts| counts.events > 0));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| receiver.wait_until(PATIENCE, |counts| counts.events == 10));
        let mut client = Client::new(&receiver);
        for id in 0..10 {
            client.post(event(id));
        }
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn cpu_time_is_that_of_all_threads_ended_ones_included() {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let before = receiver.cpu_time();
    let body = events(0..20_000);
    assert_eq!(Client::new(&receiver).post(&body).status, 200);
    let after = receiver.cpu_time();
    assert!(after > before + Duration::from_micros(500), "{before:?} {after:?}");
    Client::new(&receiver).post(&body);
    assert!(receiver.cpu_time() > after, "the first connection has ended, its time has not");
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let receiver = Receiver::start(ReceiverConfig { connections_max: 2, ..ReceiverConfig::default() }).unwrap();
    let mut kept = [Client::new(&receiver), Client::new(&receiver)];
    assert!(kept.iter_mut().all(|client| client.post(event(1)).status == 200));
    let mut third = Client::new(&receiver);
    assert!(third.is_closed());
    assert_eq!((receiver.counts().connections, receiver.counts().connections_refused), (2, 1));
}

#[test]
fn a_receiver_stops_at_once_whatever_its_connections_do() {
    for fault in ["hang", "delay:ms=60000", "drip:ms=60000", "503:every=1000"] {
        let receiver = receiver(&[fault]);
        let address = receiver.address();
        let mut clients = (0..20).map(|_| Client::new(&receiver)).collect::<Vec<_>>();
        for client in &mut clients {
            client.write_post(EVENT, "Authorization: Splunk t\r\n", event(1).as_bytes()).unwrap();
        }
        // One amid its head, one amid its body, one that says nothing.
        let mut halves = (0..3).map(|_| Client::new(&receiver)).collect::<Vec<_>>();
        halves[0].write(b"POST /services");
        halves[1].write(b"POST /services/collector HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
        assert!(receiver.wait_until(PATIENCE, |counts| counts.requests == 20 && counts.connections == 23), "{fault}");
        let start = Instant::now();
        receiver.stop();
        assert!(start.elapsed() < Duration::from_millis(200), "{fault}: {:?}", start.elapsed());
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}

#[test]
fn a_receiver_nobody_ever_called_stops_as_well() {
    let start = Instant::now();
    for _ in 0..50 {
        drop(Receiver::start(ReceiverConfig::default()).unwrap());
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let everywhere = ReceiverConfig { address: "0.0.0.0:0".parse().unwrap(), ..ReceiverConfig::default() };
    drop(Receiver::start(everywhere).unwrap());
}

#[test]
fn an_address_in_use_is_an_error() {
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let config = ReceiverConfig { address: receiver.address(), ..ReceiverConfig::default() };
    assert!(Receiver::start(config).is_err());
    assert_eq!(receiver.url(), format!("http://127.0.0.1:{}", receiver.address().port()));
}
