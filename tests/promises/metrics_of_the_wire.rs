//! What goes over the connections to a destination is counted: connections, names that do not resolve, servers that are
//! not trusted, and when their certificate expires.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use siem_forward::net::{Compression, Http, HttpConfig, Resolver, Stop, Traffic};

use crate::tls::{Authority, BOTH, Front, Kind, Pems, server};

/// When the certificates of `rcgen` expire that say nothing of it.
const YEAR_4096: i64 = 67_090_118_400;

fn client(traffic: &Traffic, url: &str, config: &HttpConfig) -> Http {
    Http::counting(traffic.clone(), &url.parse().unwrap(), config, &Stop::new()).unwrap()
}

#[test]
fn connections_bytes_errors_and_the_certificates_expiry_are_counted_for_all_clients_together() {
    let (ours, theirs, pems) = (Authority::new("Ours"), Authority::new("Theirs"), Pems::new());
    let mut config = HttpConfig::default();
    config.tls.ca = Some(pems.write("ca.pem", ours.pem()));
    let traffic = Traffic::default();
    assert_eq!((traffic.connections(), traffic.certificate_expiry()), (0, None));
    let localhost = &["localhost"][..];

    // One that is not trusted: counted as an error, once a request, and no connection.
    let stranger = Front::new(server(&theirs.issue("stranger", localhost, Kind::Good), None, BOTH), None);
    for errors in 1..=2 {
        assert!(client(&traffic, &stranger.url(), &config).get("/", &[]).is_err());
        assert_eq!((traffic.tls_errors(), traffic.connections(), traffic.certificate_expiry()), (errors, 0, None));
    }

    let good = Front::new(server(&ours.issue("good", localhost, Kind::Good), None, BOTH), None);
    let body = vec![b'x'; 10_000];
    let (mut one, mut other) = (client(&traffic, &good.url(), &config), client(&traffic, &good.url(), &config));
    for _ in 0..3 {
        assert_eq!(one.post("/", &[], &body).unwrap().status, 200);
    }
    assert_eq!((traffic.connections(), traffic.body_bytes()), (1, 30_000), "a connection is kept");
    assert!(traffic.sent_bytes() < 1_000, "{}", traffic.sent_bytes());
    assert_eq!(traffic.certificate_expiry(), Some(YEAR_4096));
    // What carries no events is not among the bytes.
    assert_eq!(other.post_plain("/", &[], &body).unwrap().status, 200);
    assert_eq!(other.get("/", &[]).unwrap().status, 200);
    assert_eq!((traffic.connections(), traffic.body_bytes()), (2, 30_000));
    config.compression = Compression::None;
    let before = traffic.sent_bytes();
    assert_eq!(client(&traffic, &good.url(), &config).post("/", &[], &body).unwrap().status, 200);
    assert_eq!((traffic.sent_bytes() - before, traffic.body_bytes()), (10_000, 40_000));

    config.resolver = Resolver::new(|_, _| Err(std::io::Error::other("SERVFAIL")));
    assert!(client(&traffic, "https://siem.test", &config).get("/", &[]).is_err());
    assert_eq!((traffic.dns_errors(), traffic.tls_errors(), traffic.connections()), (1, 2, 3));
}
