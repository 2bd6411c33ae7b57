//! TLS with Kafka's brokers: whom we believe, who we are, and what is said of a broker that is not believed, does not believe us, or
//! speaks no TLS.
#![allow(clippy::unwrap_used, reason = "what cannot go on fails its test")]

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use rustls::SupportedProtocolVersion;

use crate::broker::{self, Broker, METADATA, MUTUAL, Side, TIMEOUT_SECONDS, assert_let_in, check, keep};
use crate::program::{Ran, Running, Scene, command, lines, wait_until};
use crate::tls::{Authority, BOTH, Issued, Kind, ONLY_12, ONLY_13, server};

const PASSWORD: &str = "pa55-w0rd-of-kafka";
const NOT_TRUSTED: &str = "the broker's certificate is not trusted";
const NOT_TAKEN: &str = "it demands a client's certificate (tls.cert, tls.key), or does not take ours";
const NO_TLS: &str = "speaks no TLS on this port";
const CA: &str = "encryption = \"tls\"\ntls.ca = \"FOLDER/ca.pem\"";
/// `timeout_seconds` of the pipeline and of the input, and a busy machine.
const BOUND: Duration = Duration::from_secs(2 * TIMEOUT_SECONDS + 10);
/// Once somebody's certificate is not taken there is nothing to wait for.
const SOON: Duration = Duration::from_secs(TIMEOUT_SECONDS);

/// A broker of this name, which lets in clients of this authority alone, where there is one.
fn broker(signed_by: &Authority, host: &str, clients_of: Option<&Authority>, versions: Versions) -> Broker {
    Broker::with_tls(server(&signed_by.issue("kafka", &[host], Kind::Good), clients_of, versions), PASSWORD)
}

type Versions = &'static [&'static SupportedProtocolVersion];

/// A configuration that trusts this authority.
fn scene(broker: &Broker, ca: &Authority, keys: &str) -> Scene {
    let scene = broker::scene(&broker.address.to_string(), None, keys);
    scene.write("ca.pem", ca.pem());
    scene
}

/// The same, and shows this certificate.
fn mutual(broker: &Broker, ca: &Authority, client: &Issued) -> Scene {
    let scene = scene(broker, ca, MUTUAL);
    scene.write("client.pem", client.pem());
    scene.write("client.key", client.key_pem());
    scene
}

/// By the pipeline and by the input, for this reason, in our own keys.
fn assert_refused(ran: &Ran, reason: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout.matches(reason).count(), 2, "{ran:?}");
    assert!(!ran.stdout.contains("ssl.") && !ran.stdout.contains("security.protocol"), "what key is that? {ran:?}");
}

#[test]
fn a_broker_of_a_ca_that_is_trusted_is_spoken_to_and_nobody_on_the_way_reads_it() {
    let ours = Authority::new("ours");
    for versions in [ONLY_12, ONLY_13] {
        let broker = broker(&ours, "127.0.0.1", None, versions);
        let scene = broker::scene(&broker.address.to_string(), Some(PASSWORD), CA);
        scene.write("ca.pem", ours.pem());
        let ran = check(&scene);
        assert_let_in(&ran);
        let login = ("PLAIN".to_owned(), format!("\0service\0{PASSWORD}"));
        assert!(broker.shown().len() >= 2 && broker.shown().iter().all(|shown| *shown == login), "{broker:?}");
        assert!(broker.is_reached() && !broker.is_readable(PASSWORD) && !broker.is_readable("audit"), "{broker:?}");
        assert!(!format!("{ran:?}").contains(PASSWORD) && !ran.stderr.contains("and the password"), "{ran:?}");
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused_at_once_and_nothing_is_sent() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let expired = server(&ours.issue("kafka", &["127.0.0.1"], Kind::Expired), None, BOTH);
    for (broker, what) in [
        (broker(&other, "127.0.0.1", None, ONLY_12), "of another authority"),
        (broker(&other, "127.0.0.1", None, ONLY_13), "of another authority"),
        (broker(&ours, "kafka.example", None, BOTH), "of another host"),
        (broker(&ours, "127.0.0.2", None, BOTH), "of another address"),
        (Broker::with_tls(expired, PASSWORD), "expired"),
    ] {
        let ran = check(&scene(&broker, &ours, CA));
        assert_refused(&ran, NOT_TRUSTED);
        assert!(broker.is_reached() && broker.is_asked_nothing(), "{what}: {broker:?}");
        assert!(ran.took < SOON, "{what}: {ran:?}");
    }
}

#[test]
fn without_a_ca_the_systems_store_is_trusted_and_nobody_else() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let broker = broker(&ours, "127.0.0.1", None, BOTH);
    let check = |store: &Path| {
        let scene = scene(&broker, &ours, "encryption = \"tls\"");
        let mut command = command(&["check", "--config", scene.path("siem.toml").to_str().unwrap()]);
        command.env("SSL_CERT_FILE", store).env_remove("SSL_CERT_DIR");
        Running::start(command).end()
    };
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path
    };
    assert_let_in(&check(&store("ours.pem", &ours)));
    assert_refused(&check(&store("other.pem", &other)), NOT_TRUSTED);
    assert_refused(&check(&folder.path().join("none.pem")), NOT_TRUSTED);
}

#[test]
fn a_broker_that_demands_a_certificate_is_shown_ours_and_takes_no_other() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    for versions in [ONLY_12, ONLY_13] {
        let broker = broker(&ours, "127.0.0.1", Some(&ours), versions);
        assert_let_in(&check(&mutual(&broker, &ours, &ours.issue("client", &[], Kind::Good))));
        let let_in = broker.asked(METADATA);
        assert!(let_in >= 2);
        for scene in [
            scene(&broker, &ours, CA),
            mutual(&broker, &ours, &other.issue("client", &[], Kind::Good)),
            mutual(&broker, &ours, &ours.issue("client", &[], Kind::Expired)),
        ] {
            let ran = check(&scene);
            assert_refused(&ran, NOT_TAKEN);
            assert!(ran.took < SOON, "{ran:?}");
        }
        assert_eq!(broker.asked(METADATA), let_in);
    }
}

/// One that hangs up at what is no request of Kafka, as brokers do, and one that waits for more of it.
#[test]
fn a_broker_that_speaks_no_tls_is_told_in_a_bounded_time() {
    let ours = Authority::new("ours");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in silent.incoming().flatten() {
            thread::spawn(move || while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {});
        }
    });
    thread::scope(|scope| {
        for address in [Broker::plain(PASSWORD).address, address] {
            let ours = &ours;
            scope.spawn(move || {
                let scene = broker::scene(&address.to_string(), None, CA);
                scene.write("ca.pem", ours.pem());
                let ran = check(&scene);
                assert_refused(&ran, NO_TLS);
                assert!(ran.took < BOUND, "{ran:?}");
            });
        }
    });
}

#[test]
fn a_broker_that_speaks_tls_alone_is_told_to_who_speaks_none() {
    let ours = Authority::new("ours");
    let broker = broker(&ours, "127.0.0.1", None, BOTH);
    let ran = check(&scene(&broker, &ours, ""));
    assert_refused(&ran, "may speak TLS alone: encryption = \"tls\"");
    assert!(ran.took < BOUND, "{ran:?}");
}

/// It goes on: what is wrong may be wrong on the other side, and be put right there.
#[test]
fn a_worker_says_why_it_does_not_trust_the_brokers_and_ends_when_it_is_asked_to() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let broker = broker(&other, "127.0.0.1", None, BOTH);
    let scene = scene(&broker, &ours, CA);
    keep(&scene, Side::Input);
    let worker = Running::start(command(&["worker", "--config", scene.path("siem.toml").to_str().unwrap()]));
    worker.wait_for(NOT_TRUSTED);
    worker.signal(Signal::TERM);
    let ran = worker.wait();
    assert!(ran.code == 0 && ran.took < BOUND && broker.asked(METADATA) == 0, "{ran:?}");
}

/// The files are read again for each new client, and so who renews them has to start nothing again. The health check of every half
/// minute would do it too.
#[test]
fn a_producer_that_was_refused_is_let_in_once_its_certificate_is_renewed() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let broker = broker(&ours, "127.0.0.1", Some(&ours), BOTH);
    let scene = mutual(&broker, &ours, &other.issue("client", &[], Kind::Good));
    keep(&scene, Side::Siem);
    let keys = ["retry_backoff_max=0.02", "breaker.recovery_timeout_seconds=0.1", "drain_timeout_seconds=0.5"];
    let sets = keys.map(|key| ["--set".to_owned(), format!("siem.kafka.{key}")]).concat();
    let mut run = scene.start(&sets.iter().map(String::as_str).collect::<Vec<_>>());
    run.feed(lines(0..5));
    run.wait_for(NOT_TAKEN);
    assert_eq!(broker.asked(METADATA), 0);
    let renewed = ours.issue("client", &[], Kind::Good);
    scene.write("client.key", renewed.key_pem());
    scene.write("client.pem", renewed.pem());
    wait_until(|| broker.asked(METADATA) > 0);
    // The played broker takes no records: they are still there when it ends.
    run.signal(Signal::TERM);
    assert!(run.wait().took < BOUND);
}
