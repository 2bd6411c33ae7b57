//! `check` says of each way in which a destination can be wrong which step fails, why, and what to do; it ends with 1, in
//! a bounded time, and prints no secret.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{Ran, Running, Scene, TOKEN, command};
use crate::tls::{Authority, BOTH, Front, Issued, Kind, ONLY_12, Pems, message, server};

/// Nothing on loopback takes longer, and no test of a silence has to wait for long.
const QUICK: &str = "timeout_seconds = 1\nconnect_timeout_seconds = 0.5";

fn check(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut command = command(&["check", "--config", "siem.toml"]);
    command.args(arguments).current_dir(scene.path("siem.toml").parent().unwrap());
    Running::start(command).end()
}

/// One step of what `--json` says.
fn step(ran: &Ran, name: &str) -> Value {
    let json = ran.json();
    let steps = json["pipelines"][0]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap().clone()
}

/// This step is the one that fails, with these words; the exit code says so, and those behind it are left out.
fn assert_fails(scene: &Scene, arguments: &[&str], at: &str, expected: &[&str]) -> Ran {
    let ran = check(scene, &[&["--json"], arguments].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["ok"], false);
    let steps = json["pipelines"][0]["steps"].as_array().unwrap();
    let ends: Vec<(&str, &str)> =
        steps.iter().map(|step| (step["step"].as_str().unwrap(), step["status"].as_str().unwrap())).collect();
    let place = ends.iter().position(|(name, _)| *name == at).unwrap();
    assert_eq!(ends[place], (at, "failed"), "{ends:?}: {ran:?}");
    assert!(ends[..place].iter().all(|(_, status)| *status == "ok"), "{ends:?}: {ran:?}");
    let says = steps[place]["says"].as_str().unwrap();
    for expected in expected {
        assert!(says.contains(expected), "{expected:?} is not in: {says}");
    }
    // The same for people, without what a terminal would obey.
    let text = check(scene, arguments);
    assert!(text.code == 1 && !text.stdout.contains('\u{1b}'), "{text:?}");
    let line = text.stdout.lines().find(|line| line.to_lowercase().starts_with(&format!("  {at}"))).unwrap();
    assert!(line.contains("failed"), "{line}");
    ran
}

/// Answers every request with this.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut requests = BufReader::new(stream.try_clone().unwrap());
                while message(&mut requests).is_some() && stream.write_all(answer).is_ok() {}
            });
        }
    });
    address
}

/// Takes connections in its backlog, and says nothing.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_name_that_does_not_resolve_and_a_port_where_nobody_listens_are_told() {
    let scene = Scene::new("https://no-such-host.invalid:8088", QUICK);
    assert_fails(&scene, &[], "dns", &["no-such-host.invalid"]);
    let free = silent().local_addr().unwrap();
    let scene = Scene::new(&format!("https://{free}"), QUICK);
    let ran = assert_fails(&scene, &["--send"], "tcp", &["refused", "check address and port"]);
    for left_out in ["tls", "health", "event"] {
        assert_eq!(step(&ran, left_out)["status"], "skipped");
    }
}

#[test]
fn who_says_nothing_is_given_up_in_time() {
    let hole = silent();
    let address = hole.local_addr().unwrap();
    let ran = assert_fails(&Scene::new(&format!("https://{address}"), QUICK), &[], "tls", &["in time"]);
    assert!(ran.took < Duration::from_secs(5), "{ran:?}");
    let ran = assert_fails(&Scene::new(&format!("http://{address}"), QUICK), &["--send"], "health", &["no answer"]);
    assert!(ran.took < Duration::from_secs(8), "{ran:?}");
    let event = step(&ran, "event");
    assert_eq!(event["status"], "failed");
    assert!(event["says"].as_str().unwrap().starts_with("nobody knows whether "), "it may have been taken: {event}");
}

/// Nobody answers the first packet, as behind a firewall that drops it.
#[test]
fn a_connection_that_never_comes_about_is_given_up_in_time() {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    // Its backlog is filled; from then on the system drops what comes.
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        filling.push(stream);
        assert!(filling.len() < 1000, "it never drops");
    }
    let scene = Scene::new(&format!("https://{address}"), "connect_timeout_seconds = 0.3");
    let ran = assert_fails(&scene, &["--send"], "tcp", &["timed out", "firewalls on the way"]);
    assert!(ran.took < Duration::from_secs(5), "{ran:?}");
}

#[test]
fn a_port_without_tls_and_a_server_without_http_are_told() {
    let plain = Receiver::start(ReceiverConfig::default()).unwrap();
    let scene = Scene::new(&plain.url().replace("http:", "https:"), QUICK);
    assert_fails(&scene, &[], "tls", &["https"]);
    let garbage = answering(b"SSH-2.0-OpenSSH_9.6\r\n");
    let scene = Scene::new(&format!("http://{garbage}"), QUICK);
    assert_fails(&scene, &["--send"], "health", &["gives no answer"]);
    let other = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>hi\n");
    let scene = Scene::new(&format!("http://{other}"), QUICK);
    assert_fails(&scene, &["--send"], "health", &["there is no HTTP Event Collector", "port 8088"]);
}

#[test]
fn each_wrong_certificate_is_told_for_what_it_is() {
    let (ours, theirs, pems) = (Authority::new("Our CA"), Authority::new("Their CA"), Pems::new());
    let ca = pems.write("ca.pem", ours.pem());
    let keys = format!("{QUICK}\ntls = {{ ca = \"{}\" }}", ca.display());
    let localhost = &["localhost"][..];
    for (shown, expected) in [
        (ours.issue("other", &["siem.example"], Kind::Good), "another host: for siem.example, not for localhost"),
        (ours.issue("old", localhost, Kind::Expired), "expired on 2002-02-03"),
        (ours.issue("young", localhost, Kind::NotYetValid), "not yet valid"),
        (theirs.issue("foreign", localhost, Kind::Good), "unknown CA, CN=Their CA"),
        (Issued::self_signed("itself", localhost, Kind::Good), "self-signed"),
    ] {
        let front = Front::new(server(&shown, None, BOTH), None);
        let ran = assert_fails(&Scene::new(&front.url(), &keys), &["--send"], "tls", &[expected]);
        assert_eq!((&step(&ran, "health")["status"], front.seen().len()), (&"skipped".into(), 0), "no token was shown");
    }
    // The version that is spoken is too old for the configuration.
    let shown = ours.issue("siem", localhost, Kind::Good);
    let front = Front::new(server(&shown, None, ONLY_12), None);
    let keys = format!("{QUICK}\ntls = {{ ca = \"{}\", min_version = \"1.3\" }}", ca.display());
    assert_fails(&Scene::new(&front.url(), &keys), &[], "tls", &["speaks no TLS 1.3"]);
}

#[test]
fn a_certificate_that_ends_within_fourteen_days_is_warned_of() {
    const DAY: u64 = 86_400;
    let (authority, pems) = (Authority::new("CA"), Pems::new());
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let ca = pems.write("ca.pem", authority.pem());
    let keys = format!("{QUICK}\ntls = {{ ca = \"{}\" }}", ca.display());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // An hour on each side, so that no slow machine changes the day.
    for (left, status, expected) in [
        (14 * DAY + 3600, "ok", "expires in 14 days, on "),
        (14 * DAY - 3600, "warning", "expires in 13 days, on "),
        (DAY + 3600, "warning", "expires in 1 day, on "),
        (3600, "warning", "expires within a day, on "),
    ] {
        let shown = authority.issue("siem", &["localhost"], Kind::Until(now + left));
        let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
        let scene = Scene::new(&front.url(), &keys);
        let ran = check(&scene, &["--json"]);
        let tls = step(&ran, "tls");
        assert_eq!((ran.code, &tls["status"]), (0, &status.into()), "a warning is no failure: {ran:?}");
        let says = tls["says"].as_str().unwrap();
        assert!(says.contains(expected) && says.contains("issued by CN=CA"), "{says}");
        assert_eq!(says.contains("have it renewed"), status == "warning", "{says}");
    }
    // Who believes everybody is warned too, and told when the certificate ended.
    let front = Front::new(
        server(&authority.issue("siem", &["localhost"], Kind::Expired), None, BOTH),
        Some(receiver.address()),
    );
    let ran = check(&Scene::new(&front.url(), &format!("{QUICK}\nverify_ssl = false")), &["--json"]);
    let tls = step(&ran, "tls");
    assert_eq!((ran.code, &tls["status"], &tls["verified"]), (0, &"warning".into(), &false.into()), "{ran:?}");
    assert!(tls["says"].as_str().unwrap().contains("expired on 2002-02-03T00:00:00Z"), "{tls}");
    assert!(ran.stderr.contains("verify_ssl = false"), "as at each start: {}", ran.stderr);
}

#[test]
fn a_token_that_is_refused_and_a_busy_siem_are_told() {
    let config = ReceiverConfig { token: Some("another".to_owned()), ..ReceiverConfig::default() };
    let refuses = Receiver::start(config).unwrap();
    let ran =
        assert_fails(&Scene::new(&refuses.url(), QUICK), &["--send"], "health", &["refuses the token", "Invalid"]);
    assert!(step(&ran, "event")["says"].as_str().unwrap().starts_with("not taken: http_403"), "{ran:?}");
    for (fault, words, event) in [
        ("401", "refuses the token", "not taken: http_401"),
        ("403", "refuses the token", "not taken: http_403"),
        ("503", "takes no events now: Server is busy", "nobody knows whether "),
    ] {
        let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
        receiver.set_faults(vec![fault.parse().unwrap()]);
        let scene = Scene::new(&receiver.url(), QUICK);
        let ran = assert_fails(&scene, &["--send"], "health", &[words]);
        assert!(step(&ran, "event")["says"].as_str().unwrap().starts_with(event), "{ran:?}");
        assert_eq!(receiver.ids().len(), 0);
    }
    // Whoever repeats the token, as a proxy's page of errors may, does not get it printed: every program's output is
    // looked through for it.
    let echo = "HTTP/1.1 401 No\r\nContent-Length: 72\r\n\r\n{\"text\":\"no token \u{1b}[31m5f0c3a1e-planted-token-that-nobody-prints\"}\n    \n";
    assert_eq!(echo.split_once("\r\n\r\n").unwrap().1.len(), 72);
    assert!(echo.contains(TOKEN));
    let scene = Scene::new(&format!("http://{}", answering(echo.as_bytes())), QUICK);
    assert_fails(&scene, &["--send"], "health", &["refuses the token"]);
    // Health is well, and the event is refused all the same.
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    receiver.set_faults(vec!["400:contains=siem_forward_check".parse().unwrap()]);
    let ran =
        assert_fails(&Scene::new(&receiver.url(), QUICK), &["--send"], "event", &["not taken: http_400: Invalid"]);
    assert_eq!(step(&ran, "health")["status"], "ok");
    // Splunk's own page of health.
    let unwell = answering(
        b"HTTP/1.1 503 Busy\r\nContent-Length: 45\r\n\r\n{\"text\":\"HEC is unhealthy, queues\",\"code\":18}",
    );
    assert_fails(
        &Scene::new(&format!("http://{unwell}"), QUICK),
        &[],
        "health",
        &["takes no events now: HEC is unhealthy"],
    );
}

/// A proxy that passes on whatever is asked of it, or answers with this instead.
fn proxy(refusal: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut client = stream.unwrap();
            std::thread::spawn(move || {
                let mut requests = BufReader::new(client.try_clone().unwrap());
                let request = String::from_utf8(message(&mut requests)?).unwrap();
                if let Some(refusal) = refusal {
                    return client.write_all(refusal.as_bytes()).ok();
                }
                let server = TcpStream::connect(request.split(' ').nth(1).unwrap()).ok()?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                let mut from = server.try_clone().unwrap();
                std::thread::spawn(move || std::io::copy(&mut from, &mut client));
                std::io::copy(&mut requests, &mut &server).ok().map(drop)
            });
        }
    });
    address
}

#[test]
fn through_a_proxy_the_steps_are_its_own_and_tls_is_the_servers() {
    let (authority, pems) = (Authority::new("CA"), Pems::new());
    let receiver =
        Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() }).unwrap();
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
    let ca = pems.write("ca.pem", authority.pem());
    let scene = |proxy: SocketAddr| {
        // With a password, which is a secret too.
        let url = pems.write("proxy", format!("http://me:hunter2@{proxy}\n"));
        let keys =
            format!("{QUICK}\ntls = {{ ca = \"{}\" }}\nproxy = {{ file = \"{}\" }}", ca.display(), url.display());
        Scene::new(&front.url(), &keys)
    };
    let open = proxy(None);
    let ran = check(&scene(open), &["--json", "--send"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(step(&ran, "tcp")["says"].as_str().unwrap().contains(&format!("the proxy http://{open}")), "{ran:?}");
    assert_eq!((&step(&ran, "tcp")["peer"], receiver.ids().len()), (&open.to_string().into(), 1));
    assert_eq!(step(&ran, "tls")["subject"], "CN=siem");
    assert!(!ran.stdout.contains("hunter2") && !ran.stderr.contains("hunter2"), "{ran:?}");

    let refuses = proxy(Some("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"));
    let ran = assert_fails(&scene(refuses), &[], "tls", &["the proxy", "407", "user and password"]);
    assert!(!ran.stdout.contains("hunter2"), "{ran:?}");
    let gone = silent().local_addr().unwrap();
    assert_fails(&scene(gone), &[], "tcp", &["refused", &format!("the proxy http://{gone}")]);
}

/// What a start would refuse is refused here, whatever the network is like.
#[test]
fn a_token_file_that_everybody_can_read_is_warned_of_and_a_system_without_certificates_refused() {
    use std::os::unix::fs::PermissionsExt;
    let receiver = Receiver::start(ReceiverConfig::default()).unwrap();
    let (scene, pems) = (Scene::new(&receiver.url(), QUICK), Pems::new());
    let token = pems.write("token", "a-token\n");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = scene
        .read("siem.toml")
        .replace("env = \"SIEM_FORWARD_TEST_TOKEN\"", &format!("file = \"{}\"", token.display()));
    scene.write("siem.toml", text);
    let ran = check(&scene, &[]);
    assert!(ran.code == 0 && ran.stderr.contains("can be read by everybody"), "{ran:?}");

    let scene = Scene::new("https://localhost:1", QUICK);
    let nothing = pems.write("nothing.pem", "");
    for arguments in [&["--offline"][..], &["--offline", "--json"]] {
        let mut command = command(&["check", "--config", "siem.toml"]);
        command.args(arguments).current_dir(scene.path("siem.toml").parent().unwrap());
        command.env("SSL_CERT_FILE", &nothing).env_remove("SSL_CERT_DIR");
        let ran = Running::start(command).end();
        assert!(ran.code == 2 && ran.stdout.contains("certificate"), "{ran:?}");
    }
}
