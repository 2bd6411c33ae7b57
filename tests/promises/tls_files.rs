//! The files of TLS: what is wrong with one is found at start, and one that is replaced serves the next connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use log::LevelFilter;
use rcgen::KeyPair;
use siem_forward::net::{Http, HttpConfig, HttpErrorKind, Stop};
use siem_forward::siem::Splunk;
use siem_forward::{Forwarder, receiver::Receiver};

use crate::apart::ran_apart;
use crate::hec::{self, Letter, assert_balanced, builder, wait_for_fates};
use crate::logged;
use crate::program::{self, Scene, assert_received, lines};
use crate::support::{PATIENCE, send, wait_until};
use crate::tls::{Authority, BOTH, Front, Issued, Kind, Pems, pem, server};

/// A key of RSA with 2,048 bits that nothing but these tests trusts: PKCS#1, in hexadecimal.
const RSA: &str = include_str!("../support/rsa_key.hex");

fn times(text: &str) -> usize {
    logged::text().matches(text).count()
}

fn config() -> HttpConfig {
    let mut config = HttpConfig::default();
    config.timeout = Duration::from_secs(10);
    config
}

/// Our authority, a client of it, and a server that wants to see one.
struct World {
    authority: Authority,
    front: Front,
    pems: Pems,
    config: HttpConfig,
}

impl World {
    fn new() -> Self {
        let (authority, pems) = (Authority::new("CA"), Pems::new());
        let shown = authority.issue("siem", &["localhost"], Kind::Good);
        let front = Front::new(server(&shown, Some(&authority), BOTH), None);
        let client = authority.issue("forwarder", &[], Kind::Good);
        let mut config = config();
        config.tls.ca = Some(pems.write("ca.pem", authority.pem()));
        config.tls.cert = Some(pems.write("client.pem", client.pem()));
        config.tls.key = Some(pems.write("client.key", client.key_pem()));
        Self { authority, front, pems, config }
    }

    /// On a connection of its own.
    fn get(&self) -> Result<u16, String> {
        let mut http = Http::new(&self.front.url().parse().unwrap(), &self.config, &Stop::new()).unwrap();
        http.get("/", &[]).map(|answer| answer.status).map_err(|error| error.words().to_owned())
    }

    fn prepare(&self) -> Result<(), String> {
        let prepared = self.config.prepare(&self.front.url().parse().unwrap());
        prepared.map_err(|error| {
            assert_eq!(error.kind(), HttpErrorKind::Tls);
            error.words().to_owned()
        })
    }
}

#[test]
fn what_is_wrong_with_a_file_is_found_at_start_and_names_key_and_file() {
    let (good, other) = (World::new(), Issued::self_signed("other", &[], Kind::Good));
    let (ca, cert, key) = (good.authority.pem(), std::fs::read_to_string(good.pems.path("client.pem")).unwrap(), {
        std::fs::read_to_string(good.pems.path("client.key")).unwrap()
    });
    good.prepare().unwrap();
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let spoilt = |text: &str| format!("{}*{}", &text[..text.len() / 2], &text[text.len() / 2..]);
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"hunter2");
    let legacy = key.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\n");
    for (name, text, expected) in [
        ("ca.pem", String::new(), "tls.ca (PATH): holds no certificate: it is empty"),
        ("ca.pem", "hunter2".to_owned(), "tls.ca (PATH): holds no certificate: it is not PEM"),
        ("ca.pem", key.clone(), "tls.ca (PATH): holds no certificate, but a private key"),
        ("ca.pem", cut(&ca), "tls.ca (PATH): is cut off"),
        ("ca.pem", spoilt(&ca), "tls.ca (PATH): is damaged"),
        ("ca.pem", ca.clone() + &pem("CERTIFICATE", b"hunter2"), "tls.ca (PATH): its certificate number 2 is damaged"),
        ("client.pem", "hunter2".to_owned(), "tls.cert (PATH): holds no certificate: it is not PEM"),
        ("client.pem", key.clone(), "tls.cert (PATH): holds no certificate, but a private key"),
        ("client.pem", cut(&cert), "tls.cert (PATH): is cut off"),
        ("client.pem", pem("CERTIFICATE", b"hunter2"), "tls.cert (PATH): its first certificate is damaged"),
        ("client.key", String::new(), "tls.key (PATH): holds no private key: it is empty"),
        ("client.key", "hunter2".to_owned(), "tls.key (PATH): holds no private key: it is not PEM"),
        ("client.key", cert.clone(), "tls.key (PATH): holds no private key, but a certificate"),
        ("client.key", cut(&key), "tls.key (PATH): is cut off"),
        ("client.key", pem("PRIVATE KEY", b"hunter2"), "tls.key (PATH): holds a private key that is damaged"),
        ("client.key", encrypted, "tls.key (PATH): the key is encrypted"),
        ("client.key", legacy, "tls.key (PATH): the key is encrypted"),
        ("client.key", other.key_pem(), "tls.key (PATH): does not belong to the certificate in"),
        ("client.key", "-----BEGIN hunter2".to_owned(), "tls.key (PATH): "),
    ] {
        let world = World::new();
        // The same pair, so that one file alone is wrong.
        let path = world.pems.path(name);
        for (name, text) in [("ca.pem", &ca), ("client.pem", &cert), ("client.key", &key)] {
            world.pems.write(name, text);
        }
        world.pems.write(name, text);
        let error = world.prepare().unwrap_err();
        let expected = expected.replace("PATH", &path.display().to_string());
        assert!(error.starts_with(&expected), "{expected:?} is not: {error}");
        assert!(!error.contains("hunter2"), "{error}");
        // Neither a panic nor a start.
        let mut splunk = Splunk::new(world.front.url(), "t").unwrap();
        splunk = splunk.http(world.config.clone());
        let refused = Forwarder::builder(splunk).start().unwrap_err();
        assert_eq!(refused.to_string(), error);
        assert_eq!(world.front.accepted(), 0);
    }
}

#[test]
fn a_file_that_is_not_there_and_half_a_pair_are_found_at_start() {
    for (name, key) in [("ca.pem", "ca"), ("client.pem", "cert"), ("client.key", "key")] {
        let world = World::new();
        std::fs::remove_file(world.pems.path(name)).unwrap();
        let error = world.prepare().unwrap_err();
        let start = format!("tls.{key} ({}): cannot be read: ", world.pems.path(name).display());
        assert!(error.starts_with(&start) && error.contains("No such file"), "{error}");
    }
    let mut world = World::new();
    world.config.tls.key = None;
    assert!(world.prepare().unwrap_err().contains("the certificate needs its key, add tls.key"));
    let mut world = World::new();
    world.config.tls.cert = None;
    assert!(world.prepare().unwrap_err().contains("the key needs its certificate, add tls.cert"));
    let mut world = World::new();
    world.config.tls.ca = Some(world.pems.folder().to_owned());
    assert!(world.prepare().unwrap_err().contains("cannot be read: "));
}

#[test]
fn every_form_of_a_key_is_read() {
    let world = World::new();
    let pkcs1: Vec<u8> = RSA.split_whitespace().collect::<String>().as_bytes().chunks(2).map(hex).collect();
    // RFC 5208: a version, the algorithm's name (rsaEncryption), the key.
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let head =
        [&[2, 1, 0, 0x30, 13, 6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0, 4, 0x82], &length(pkcs1.len())[..]];
    let inner = [&head.concat()[..], &pkcs1].concat();
    let pkcs8 = [&[0x30, 0x82], &length(inner.len())[..], &inner].concat();
    let rsa = KeyPair::try_from(pkcs8.as_slice()).unwrap();
    let ecdsa = KeyPair::generate().unwrap();
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    // What RFC 5208 wraps is the key of SEC 1.
    let wrapped = ecdsa.serialize_der();
    let at = wrapped.windows(2).position(|pair| pair == [4, 0x6d]).unwrap() + 2;
    for (key, label, der) in [
        (&rsa, "RSA PRIVATE KEY", pkcs1.clone()),
        (&rsa, "PRIVATE KEY", pkcs8.clone()),
        (&ecdsa, "EC PRIVATE KEY", wrapped[at..].to_vec()),
        (&ecdsa, "PRIVATE KEY", wrapped.clone()),
        (&ed25519, "PRIVATE KEY", ed25519.serialize_der()),
    ] {
        let client = world.authority.issue_for(key, "forwarder", &[], Kind::Good);
        world.pems.write("client.pem", client.pem());
        world.pems.write("client.key", pem(label, &der));
        assert_eq!((world.prepare(), world.get()), (Ok(()), Ok(200)), "{label}");
        assert_eq!(world.front.seen().pop().unwrap().as_ref(), Some(&client.chain[0]));
    }
}

fn hex(digits: &[u8]) -> u8 {
    u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
}

#[test]
fn a_renewal_serves_the_next_connection_and_half_a_renewal_none() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Warn);
    let world = World::new();
    world.prepare().unwrap();
    assert_eq!(world.get(), Ok(200));
    let first = world.front.seen().pop().unwrap();

    // A new pair is in use as soon as both files are there; before, the old one is.
    let client = world.authority.issue("forwarder", &[], Kind::Good);
    world.pems.write("client.pem", client.pem());
    for _ in 0..3 {
        assert_eq!(world.get(), Ok(200));
        assert_eq!(world.front.seen().pop().unwrap(), first);
    }
    assert_eq!(times("does not belong to the certificate"), 1, "{}", logged::text());
    assert_eq!(times("what it held before serves on"), 1);
    world.pems.write("client.key", client.key_pem());
    assert_eq!(world.get(), Ok(200));
    assert_eq!(world.front.seen().pop().unwrap().as_ref(), Some(&client.chain[0]));

    // A bundle that is being written, and one that is gone.
    world.pems.write("ca.pem", &world.authority.pem()[..100]);
    assert_eq!(world.get(), Ok(200));
    std::fs::remove_file(world.pems.path("ca.pem")).unwrap();
    assert_eq!(world.get(), Ok(200));
    assert_eq!(times("what it held before serves on"), 3, "{}", logged::text());

    // Another authority is believed from now on, and the old one is not.
    let other = Authority::new("Other");
    world.pems.write("ca.pem", other.pem());
    assert!(world.get().unwrap_err().contains("unknown CA, CN=CA"));
    let shown = other.issue("siem", &["localhost"], Kind::Good);
    world.front.become_another(server(&shown, Some(&world.authority), BOTH));
    assert_eq!(world.get(), Ok(200));
}

#[test]
fn what_is_dangerous_is_warned_of_at_each_start_and_only_there() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Warn);
    let mut world = World::new();
    let expired = world.authority.issue("forwarder", &[], Kind::Expired);
    world.pems.write("client.pem", expired.pem());
    world.pems.write("client.key", expired.key_pem());
    std::fs::set_permissions(world.pems.path("client.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let token = world.pems.write("token", "t0ken");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o604)).unwrap();
    world.config.verify_ssl = false;
    let shown = Issued::self_signed("x", &[], Kind::Good);
    let receiver = hec::receiver(&[]);
    world.front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
    for start in 1..=2 {
        let letter = Letter::new();
        let splunk = Splunk::token_file(world.front.url(), &token).unwrap().http(world.config.clone());
        let forwarder = builder(splunk, &letter).start().unwrap();
        let sent = send(&forwarder.emitter(), 200);
        wait_until(&forwarder, |metrics| metrics.events_sent == sent.len() as u64);
        assert!(forwarder.health_check().healthy);
        assert!(forwarder.drain(PATIENCE).all_delivered());
        for warning in [
            "verify_ssl = false: anybody on the way to https://localhost:",
            "client.pem) expired on 2002-02-03T00:00:00Z: servers will refuse it",
            "client.key holds a secret and can be read by everybody on this machine (mode 644)",
            "token holds a secret and can be read by everybody on this machine (mode 604)",
        ] {
            assert_eq!(times(warning), start, "{warning}: {}", logged::text());
        }
    }
    assert_eq!(logged::text().lines().count(), 8, "{}", logged::text());
}

#[test]
fn what_is_safe_is_not_warned_of() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Warn);
    let world = World::new();
    world.prepare().unwrap();
    assert_eq!(world.get(), Ok(200));
    // Nor is a connection without TLS, whose settings say nothing of it.
    config().prepare(&"http://127.0.0.1:1".parse().unwrap()).unwrap();
    assert_eq!(logged::text(), "");
    world.config.prepare(&"http://127.0.0.1:1".parse().unwrap()).unwrap();
    assert_eq!(times("tls has no effect: the URL http://127.0.0.1:1 is http"), 1);
}

/// A server that is wrong for hours charges nobody, and once it is right everything arrives.
#[test]
fn a_wrong_certificate_is_the_endpoints_fault_and_costs_no_event() {
    let (authority, pems, letter, receiver) = (Authority::new("CA"), Pems::new(), Letter::new(), hec::receiver(&[]));
    let good = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&good, None, BOTH), Some(receiver.address()));
    let mut http = config();
    http.tls.ca = Some(pems.write("ca.pem", authority.pem()));
    let splunk = Splunk::new(front.url(), hec::TOKEN).unwrap().http(http);
    let forwarder = builder(splunk, &letter).batch_size(10).start().unwrap();
    let mut sent = send(&forwarder.emitter(), 100);
    wait_for_fates(&forwarder, sent.len());
    // Others were delivered before: what fails now could be charged with it, if it were no failure of the endpoint.
    front.become_another(server(&authority.issue("siem", &["localhost"], Kind::Expired), None, BOTH));
    front.hang_up();
    sent.extend(send(&forwarder.emitter(), 100));
    wait_until(&forwarder, |metrics| metrics.error_counts.get("tls").is_some_and(|times| *times >= 30));
    let health = format!("{:?} {:?}", forwarder.health(), forwarder.health_check());
    assert_eq!(health.matches("the server's certificate expired on 2002-02-03").count(), 2, "{health}");
    assert_eq!(forwarder.metrics().events_failed, 0);
    front.become_another(server(&good, None, BOTH));
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

/// Among servers behind one name some are wrong: what is delivered by way of the right ones is no evidence against what
/// was to go by way of the wrong ones.
#[test]
fn no_event_is_given_up_for_a_wrong_certificate_while_others_are_delivered() {
    let (authority, pems, letter, receiver) = (Authority::new("CA"), Pems::new(), Letter::new(), hec::receiver(&[]));
    let of = |kind| server(&authority.issue("siem", &["localhost"], kind), None, BOTH);
    let front = Front::new(of(Kind::Good), Some(receiver.address()));
    let mut http = config();
    http.tls.ca = Some(pems.write("ca.pem", authority.pem()));
    let splunk = Splunk::new(front.url(), hec::TOKEN).unwrap().http(http);
    let forwarder = builder(splunk, &letter).batch_size(1).senders(2).start().unwrap();
    let mut configs = vec![of(Kind::Expired); 8];
    configs.push(of(Kind::Good));
    front.alternate(configs);
    let mut sent = Vec::new();
    let mut last = (0, Instant::now());
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "{:?}", forwarder.metrics());
        sent.extend(send(&forwarder.emitter(), 2));
        let failed = forwarder.metrics().error_counts.get("tls").copied().unwrap_or(0);
        if failed >= 100 {
            break;
        }
        // Once both senders have found the right one, they look again.
        if last.0 != failed {
            last = (failed, Instant::now());
        } else if last.1.elapsed() > Duration::from_millis(100) {
            front.hang_up();
            last.1 = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(forwarder.metrics().events_sent > 0, "others were delivered meanwhile");
    assert_eq!(forwarder.metrics().events_failed, 0);
    front.become_another(of(Kind::Good));
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered(), "{report}");
    assert_balanced(&sent, &receiver, &letter, &report);
}

#[test]
fn what_is_left_at_the_end_says_in_the_dead_letter_what_was_wrong() {
    let (letter, pems) = (Letter::new(), Pems::new());
    let front = Front::new(server(&Issued::self_signed("itself", &["localhost"], Kind::Good), None, BOTH), None);
    let mut http = config();
    http.tls.ca = Some(pems.write("ca.pem", Authority::new("CA").pem()));
    let forwarder = builder(Splunk::new(front.url(), hec::TOKEN).unwrap().http(http), &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 5);
    wait_until(&forwarder, |metrics| metrics.batches_failed >= 3);
    forwarder.drain(Duration::from_millis(100));
    let records = letter.records();
    for id in sent {
        let record = &records[&id.to_string()];
        assert!(record.to_string().contains("self-signed (subject CN=itself)"), "{record}");
        assert_eq!(record["possible_duplicate"], false, "nothing was sent: {record}");
    }
}

/// The keys of the configuration file, with everything that they can say.
#[test]
fn the_program_takes_the_files_from_its_configuration_and_finds_their_mistakes_there() {
    let (world, receiver): (World, Receiver) = (World::new(), hec::receiver(&[]));
    let shown = world.authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, Some(&world.authority), BOTH), Some(receiver.address()));
    let path = |name: &str| world.pems.path(name).display().to_string();
    let keys = format!(
        "tls = {{ ca = \"{}\", cert = \"{}\", key = \"{}\", min_version = \"1.3\" }}",
        path("ca.pem"),
        path("client.pem"),
        path("client.key")
    );
    let scene = Scene::new(&front.url(), &keys);
    let ran = scene.run(&[], lines(0..20));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..20);

    // Without them it is told on standard error why nothing arrives.
    let bare = Scene::new(&front.url(), "drain_timeout_seconds = 0.5");
    let ran = bare.run(&[], lines(0..5));
    assert_eq!((ran.code, bare.dead_letter().len()), (1, 5), "{ran:?}");
    assert!(ran.stderr.contains("issued by an unknown CA, CN=CA"), "{}", ran.stderr);

    for (keys, expected) in [
        (keys.replace("client.key", "ca.pem"), "siem.splunk.tls.key: holds no private key, but a certificate"),
        (keys.replace("ca.pem", "none.pem"), "siem.splunk.tls.ca: cannot be read: No such file"),
        (keys.replace("1.3", "1.1"), "siem.splunk.tls.min_version: unknown value"),
        (format!("tls = {{ cert = \"{}\" }}", path("client.pem")), "siem.splunk.tls.key: missing"),
        (format!("tls = {{ key = \"{}\" }}", path("client.key")), "siem.splunk.tls.cert: missing"),
        ("tls = { cacert = \"x\" }".to_owned(), "siem.splunk.tls.cacert: unknown key"),
        ("tls = \"ca.pem\"".to_owned(), "siem.splunk.tls: is a text, must be a table"),
    ] {
        let ran = Scene::new(&front.url(), &keys).run(&[], "");
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("siem.toml:"), "{expected}: {}", ran.stderr);
        assert!(!Path::new("dead.ndjson").exists());
    }
}

/// The system's store is what the environment names, and one without a certificate is found at start.
#[test]
fn without_a_ca_of_its_own_the_program_trusts_the_systems_store() {
    let (authority, pems, receiver) = (Authority::new("CA"), Pems::new(), hec::receiver(&[]));
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
    let run = |store: &Path| {
        let scene = Scene::new(&front.url(), "drain_timeout_seconds = 20");
        let (config, input) = (scene.path("siem.toml"), scene.write("input.ndjson", lines(0..20)));
        let arguments = ["run", "--config", config.to_str().unwrap(), "--input", input.to_str().unwrap()];
        let mut command = program::command(&arguments);
        command.current_dir(scene.path("")).env("SSL_CERT_FILE", store).env_remove("SSL_CERT_DIR");
        program::Running::start(command).end()
    };
    let ran = run(&pems.write("store.pem", authority.pem()));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..20);

    let before = front.accepted();
    let ran = run(&pems.path("none.pem"));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("no certificates to trust") && ran.stderr.contains("tls.ca"), "{}", ran.stderr);
    assert_eq!(front.accepted(), before);
}
