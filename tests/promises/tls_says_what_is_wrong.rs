//! TLS is refused with a reason that says what to do: each way in which a server or we ourselves can be wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::net::TcpListener;
use std::time::Duration;

use siem_forward::net::{Http, HttpConfig, HttpError, HttpErrorKind, Stop, TlsVersion};

use crate::tls::{Authority, BOTH, Front, Issued, Kind, ONLY_12, ONLY_13, Pems, asking, server};

fn config() -> HttpConfig {
    let mut config = HttpConfig::default();
    config.timeout = Duration::from_secs(10);
    config
}

fn trusting(pems: &Pems, authorities: &[&Authority]) -> HttpConfig {
    let bundle: String = authorities.iter().map(|authority| authority.pem()).collect();
    let mut config = config();
    config.tls.ca = Some(pems.write("ca.pem", bundle));
    config
}

fn get(url: &str, config: &HttpConfig) -> Result<u16, HttpError> {
    let mut http = Http::new(&url.parse().unwrap(), config, &Stop::new()).unwrap();
    http.get("/", &[]).map(|answer| answer.status)
}

/// Refused before anything was sent, in words that hold all of these.
fn assert_refused(url: &str, config: &HttpConfig, expected: &[&str]) {
    let error = get(url, config).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Tls, "{error}");
    for expected in expected {
        assert!(error.words().contains(expected), "{expected:?} is not in: {error}");
    }
    // The most that a cause keeps of its words.
    assert!(error.words().len() <= 512, "too long to be kept: {error}");
}

#[test]
fn each_wrong_certificate_of_a_server_is_refused_as_what_it_is() {
    let (ours, theirs, pems) = (Authority::new("Our CA"), Authority::new("Their CA"), Pems::new());
    let impostor = Authority::new("Our CA");
    let config = trusting(&pems, &[&ours]);
    let self_signed = |kind| Issued::self_signed("itself", &["localhost"], kind);
    let localhost = &["localhost"][..];
    let ca = pems.path("ca.pem").display().to_string();
    for (shown, expected) in [
        (
            ours.issue("other", &["siem.example", "*.corp.example"], Kind::Good),
            &["for another host: for siem.example, *.corp.example, not for localhost", "URL"][..],
        ),
        (ours.issue("old", localhost, Kind::Expired), &["expired on 2002-02-03T00:00:00Z", "old", "renewed"]),
        (
            ours.issue("young", localhost, Kind::NotYetValid),
            &["not yet valid, only from 4000-05-06T00:00:00Z", "clock"],
        ),
        (self_signed(Kind::Good), &["self-signed", "CN=itself", "tls.ca"]),
        (self_signed(Kind::MaySign), &["self-signed", "CN=itself", "tls.ca"]),
        (theirs.issue("foreign", localhost, Kind::Good), &["unknown CA, CN=Their CA", &ca, "add it there"]),
        (impostor.issue("false", localhost, Kind::Good), &["unknown CA, CN=Our CA", &ca]),
    ] {
        for versions in [ONLY_12, ONLY_13] {
            let front = Front::new(server(&shown, None, versions), None);
            assert_refused(&front.url(), &config, expected);
            assert!(front.seen().is_empty(), "no handshake came about");
        }
    }
    let front = Front::new(server(&ours.issue("good", localhost, Kind::Good), None, BOTH), None);
    assert_eq!(get(&front.url(), &config), Ok(200));
    // By an address that it does not name, and by the system's store, which does not know ours.
    assert_refused(
        &front.url().replace("localhost", "127.0.0.1"),
        &config,
        &["for another host: for localhost, not for 127.0.0.1"],
    );
    assert_refused(&front.url(), &self::config(), &["unknown CA, CN=Our CA", "the system's store", "tls.ca"]);
}

#[test]
fn one_of_many_authorities_one_in_between_or_the_certificate_itself_is_enough() {
    let (root, other, pems) = (Authority::new("Root"), Authority::new("Other"), Pems::new());
    let between = root.below("Between");
    let issued = || between.issue("siem", &["localhost"], Kind::Good);
    let config = trusting(&pems, &[&other, &root]);
    let front = Front::new(server(&issued().by_way_of(&between), None, BOTH), None);
    assert_eq!(get(&front.url(), &config), Ok(200));
    // A server that leaves out what is in between.
    let bare = Front::new(server(&issued(), None, BOTH), None);
    assert_refused(&bare.url(), &config, &["unknown CA, CN=Between", "in between"]);
    assert_eq!(get(&bare.url(), &trusting(&pems, &[&other, &between])), Ok(200));

    for kind in [Kind::Good, Kind::MaySign, Kind::Expired, Kind::NotYetValid] {
        let itself = Issued::self_signed("itself", &["localhost"], kind);
        let mut config = self::config();
        config.tls.ca = Some(pems.write("itself.pem", itself.pem()));
        let front = Front::new(server(&itself, None, BOTH), None);
        match kind {
            Kind::Good | Kind::MaySign | Kind::Until(_) => {
                assert_eq!(get(&front.url(), &config), Ok(200));
                let elsewhere = front.url().replace("localhost", "127.0.0.1");
                assert_refused(&elsewhere, &config, &["another host", "not for 127.0.0.1"]);
            }
            Kind::Expired => assert_refused(&front.url(), &config, &["expired on 2002-02-03"]),
            Kind::NotYetValid => assert_refused(&front.url(), &config, &["not yet valid"]),
        }
    }
}

/// A client of the authority `name`, known to the server or not.
fn with_identity(config: &HttpConfig, pems: &Pems, client: &Issued) -> HttpConfig {
    let mut config = config.clone();
    config.tls.cert = Some(pems.write("client.pem", client.pem()));
    config.tls.key = Some(pems.write("client.key", client.key_pem()));
    config
}

#[test]
fn both_sides_show_who_they_are_and_a_client_that_is_refused_hears_why() {
    let (servers, clients, others, pems) =
        (Authority::new("Servers"), Authority::new("Clients"), Authority::new("Others"), Pems::new());
    let (nameless, elsewhere) = (trusting(&pems, &[&servers]), Pems::new());
    let good = clients.issue("forwarder", &[], Kind::Good);
    for versions in [ONLY_12, ONLY_13] {
        let shown = servers.issue("siem", &["localhost"], Kind::Good);
        let front = Front::new(server(&shown, Some(&clients), versions), None);
        assert_refused(&front.url(), &nameless, &["demands a client certificate and none is configured", "tls.cert"]);
        let config = with_identity(&nameless, &pems, &good);
        assert_eq!(get(&front.url(), &config), Ok(200));
        assert_eq!(front.seen(), [Some(good.chain[0].clone())]);
        let foreign = others.issue("forwarder", &[], Kind::Good);
        let config = with_identity(&nameless, &pems, &foreign);
        assert_refused(&front.url(), &config, &["does not know the CA of our client certificate", "tls.cert"]);
        let expired = clients.issue("forwarder", &[], Kind::Expired);
        let config = with_identity(&nameless, &pems, &expired);
        assert_refused(&front.url(), &config, &["our client certificate as expired", "renew"]);
        // And the other way round: our good certificate does not make us believe a wrong server.
        let config = with_identity(&trusting(&elsewhere, &[&others]), &pems, &good);
        assert_refused(&front.url(), &config, &["unknown CA, CN=Servers"]);
        assert_eq!(front.seen().len(), 1);
    }
}

/// In TLS 1.3 the client is done before the server has looked: it may be in the middle of its request by then.
#[test]
fn a_client_that_is_refused_in_the_middle_of_its_request_hears_why() {
    let (authority, pems) = (Authority::new("CA"), Pems::new());
    let config = trusting(&pems, &[&authority]);
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, Some(&authority), ONLY_13), None);
    let mut noise = vec![0; 1_000_000];
    getrandom::fill(&mut noise).unwrap();
    for _ in 0..10 {
        let mut http = Http::new(&front.url().parse().unwrap(), &config, &Stop::new()).unwrap();
        let error = http.post("/", &[], &noise).unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Tls, "{error}");
        assert!(error.words().contains("demands a client certificate and none is configured"), "{error}");
    }
}

/// A server that asked, took what it got, and then closes without a word: nobody knows whether it read the request.
#[test]
fn a_server_that_asks_and_hangs_up_may_have_taken_the_request() {
    let (authority, pems) = (Authority::new("CA"), Pems::new());
    let nameless = trusting(&pems, &[&authority]);
    let named = with_identity(&nameless, &pems, &authority.issue("forwarder", &[], Kind::Good));
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    // Behind it is one who hangs up.
    let behind = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = behind.local_addr().unwrap();
    std::thread::spawn(move || behind.incoming().for_each(drop));
    for versions in [ONLY_12, ONLY_13] {
        let front = Front::new(asking(&shown, &authority, versions), Some(address));
        for (config, expected) in
            [(&nameless, "none is configured, and it closed"), (&named, "and closed the connection")]
        {
            let error = get(&front.url(), config).unwrap_err();
            assert_eq!(error.kind(), HttpErrorKind::Reset, "{error}");
            assert!(error.words().contains("the server asked for") && error.words().contains(expected), "{error}");
        }
    }
}

#[test]
fn a_client_certificate_goes_through_those_in_between() {
    let (servers, root, pems) = (Authority::new("Servers"), Authority::new("Clients"), Pems::new());
    let between = root.below("Between");
    let client = between.issue("forwarder", &[], Kind::Good).by_way_of(&between);
    let front = Front::new(server(&servers.issue("siem", &["localhost"], Kind::Good), Some(&root), BOTH), None);
    let config = with_identity(&trusting(&pems, &[&servers]), &pems, &client);
    assert_eq!(get(&front.url(), &config), Ok(200));
}

#[test]
fn a_version_that_is_too_old_is_not_spoken() {
    let (authority, pems) = (Authority::new("CA"), Pems::new());
    let mut config = trusting(&pems, &[&authority]);
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let (old, new) = (Front::new(server(&shown, None, ONLY_12), None), Front::new(server(&shown, None, ONLY_13), None));
    assert_eq!((get(&old.url(), &config), get(&new.url(), &config)), (Ok(200), Ok(200)));
    config.tls.min_version = TlsVersion::Tls13;
    assert_refused(&old.url(), &config, &["speaks no TLS 1.3", "tls.min_version"]);
    assert_eq!(get(&new.url(), &config), Ok(200));
}

#[test]
fn without_verification_everybody_is_believed() {
    let pems = Pems::new();
    for kind in [Kind::Good, Kind::MaySign, Kind::Expired, Kind::NotYetValid] {
        let front = Front::new(server(&Issued::self_signed("x", &["elsewhere.example"], kind), None, BOTH), None);
        let mut config = trusting(&pems, &[&Authority::new("CA")]);
        assert!(get(&front.url(), &config).is_err());
        config.verify_ssl = false;
        assert_eq!(get(&front.url(), &config), Ok(200));
    }
}
