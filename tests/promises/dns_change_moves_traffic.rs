//! T20: an address behind a name changes, and the traffic follows without a restart; a name that stops resolving is an
//! outage like another.
// Other systems have one loopback address.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use siem_forward::ConnectionConfig;
use siem_forward::net::{Compression, HttpConfig, Resolver};
use siem_forward::siem::Splunk;

use crate::hec::{Letter, assert_balanced, builder, faults, free_address, ids, receiver, receiver_at, splunk};
use crate::hec::{send_until_failed, wait_for_fates};
use crate::support::{PATIENCE, assert_one_fate_each, send, wait_until};

const NAME: &str = "splunk.test";
/// No answer is waited for so long, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A connection's maximum age.
const AGE_MAX: Duration = Duration::from_millis(100);

fn aged(age_max: Duration) -> ConnectionConfig {
    let mut connection = ConnectionConfig::default();
    connection.age_max = age_max;
    connection
}

/// What the name stands for; nothing, when it does not resolve.
#[derive(Clone)]
struct Zone(Arc<Mutex<Option<IpAddr>>>);

impl Zone {
    fn new(address: IpAddr) -> Self {
        Self(Arc::new(Mutex::new(Some(address))))
    }

    fn set(&self, address: Option<IpAddr>) {
        *self.0.lock().unwrap() = address;
    }

    /// Splunk under this name, at this port.
    fn splunk(&self, port: u16) -> Splunk {
        let zone = self.clone();
        let mut http = HttpConfig::default();
        (http.timeout, http.compression) = (TIMEOUT, Compression::None);
        http.resolver = Resolver::new(move |host, port| match *zone.0.lock().unwrap() {
            Some(address) if host == NAME => Ok(vec![(address, port).into()]),
            _ => Err(io::Error::other("no such host is known")),
        });
        splunk(format!("http://{NAME}:{port}")).http(http)
    }
}

/// T20: others keep the first address for ever.
#[test]
fn a_change_of_the_address_moves_the_traffic_under_load() {
    let address = free_address();
    let (old, new) = (receiver_at(address), receiver_at((free_address().ip(), address.port()).into()));
    assert!(old.address().port() == new.address().port() && old.address() != new.address());
    let zone = Zone::new(old.address().ip());
    let letter = Letter::new();
    let forwarder = builder(zone.splunk(address.port()), &letter)
        .connection(aged(AGE_MAX))
        .batch_size(10)
        .senders(3)
        .start()
        .unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 2_000);
    assert!(old.wait_until(PATIENCE, |counts| counts.connections >= 3), "{:?}", old.counts());

    zone.set(Some(new.address().ip()));
    let changed = Instant::now();
    // Twice the age, so that it may be spread a little; under load all the time.
    while changed.elapsed() < AGE_MAX * 2 {
        sent.extend(send(&emitter, 50));
    }
    wait_for_fates(&forwarder, sent.len());
    let before = (old.counts().requests, new.counts().events);
    assert!(before.1 > 0, "nothing has moved by itself");
    sent.extend(send(&emitter, 2_000));
    wait_for_fates(&forwarder, sent.len());
    assert_eq!((old.counts().requests, new.counts().events), (before.0, before.1 + 2_000), "all of it goes there");

    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    assert_eq!(report.metrics.batches_failed, 0, "nobody noticed: {:?}", report.metrics.error_counts);
    let held = ids(&[&old, &new]);
    assert!(held.values().all(|times| *times == 1));
    assert_one_fate_each(&sent, &held, &letter.records(), &report);
    assert!(TcpStream::connect(old.address()).is_ok(), "the old one was there to the end");
}

/// The old machine goes down with its connections, and the name points to the new one only later.
#[test]
fn a_machine_that_dies_and_is_replaced_under_its_name_misses_nothing() {
    let address = free_address();
    let (old, new) = (receiver_at(address), receiver_at((free_address().ip(), address.port()).into()));
    let zone = Zone::new(old.address().ip());
    let letter = Letter::new();
    let forwarder = builder(zone.splunk(address.port()), &letter).connection(aged(AGE_MAX)).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 1_000);
    wait_for_fates(&forwarder, sent.len());
    let mut held = ids(&[&old]);
    old.stop();
    sent.extend(send(&emitter, 1_000));
    wait_until(&forwarder, |metrics| metrics.batches_failed >= 4);
    zone.set(Some(new.address().ip()));
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    held.extend(ids(&[&new]));
    assert_one_fate_each(&sent, &held, &letter.records(), &report);
}

#[test]
fn a_name_that_stops_resolving_is_an_outage_and_loses_nothing() {
    let receiver = receiver(&[]);
    let address = receiver.address();
    let zone = Zone::new(address.ip());
    let letter = Letter::new();
    let forwarder = builder(zone.splunk(address.port()), &letter).connection(aged(AGE_MAX)).start().unwrap();
    let emitter = forwarder.emitter();
    let mut sent = send(&emitter, 1_000);
    wait_for_fates(&forwarder, sent.len());

    zone.set(None);
    std::thread::sleep(AGE_MAX);
    sent.extend(send(&emitter, 2_000));
    // More often than any batch may be charged with.
    wait_until(&forwarder, |metrics| metrics.error_counts.get("dns").is_some_and(|times| *times >= 30));
    let health = forwarder.health();
    assert!(!health.healthy && health.error_message.unwrap().contains("no such host is known"));
    assert!(forwarder.metrics().events_failed == 0 && letter.records().is_empty());

    zone.set(Some(address.ip()));
    wait_for_fates(&forwarder, sent.len());
    assert!(forwarder.health().healthy);
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    assert!(ids(&[&receiver]).values().all(|times| *times == 1));
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// One sender has to connect anew and finds no address, while what others deliver over the connections that they have
/// seems to speak against its events.
#[test]
fn a_sender_that_finds_no_address_charges_no_event_with_it() {
    let receiver = receiver(&[]);
    let zone = Zone::new(receiver.address().ip());
    let letter = Letter::new();
    let splunk = zone.splunk(receiver.address().port());
    let forwarder = builder(splunk, &letter).senders(2).batch_size(5).start().unwrap();
    let mut sent = send(&forwarder.emitter(), 500);
    wait_for_fates(&forwarder, sent.len());
    zone.set(None);
    receiver.set_faults(faults(&["reset:first=1"]));
    let before = forwarder.metrics().events_sent;
    send_until_failed(&forwarder, "dns", 60, &mut sent);
    assert!(forwarder.metrics().events_sent > before, "another sender delivers");
    assert!(forwarder.metrics().events_failed == 0 && letter.records().is_empty());
    zone.set(Some(receiver.address().ip()));
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered() && letter.records().is_empty(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}
