//! A proxy is used where the configuration names one, and nowhere else: the environment decides nothing by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use siem_forward::net::{Http, HttpConfig, HttpError, HttpErrorKind, InvalidProxy, Proxy, Stop};
use siem_forward::siem::Splunk;

use crate::hec::{self, Letter, assert_balanced, builder, wait_for_fates};
use crate::program::{self, Running, Scene, assert_received, command, lines};
use crate::support::{PATIENCE, send, wait_until};
use crate::tls::{Authority, BOTH, Front, Kind, Pems, message, server};

const PASSWORD: &str = "planted-password";
/// `me:planted-password`, as RFC 7617 has it.
const BASIC: &str = "Basic bWU6cGxhbnRlZC1wYXNzd29yZA==";

/// An HTTP proxy that keeps the head of every request to it.
struct Gateway {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    /// What it answers instead of doing its work.
    refusal: Arc<Mutex<Option<&'static str>>>,
}

impl Gateway {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Self { address: listener.local_addr().unwrap(), heads: Arc::default(), refusal: Arc::default() };
        let (heads, refusal) = (Arc::clone(&gateway.heads), Arc::clone(&gateway.refusal));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (heads, refusal) = (Arc::clone(&heads), Arc::clone(&refusal));
                // Whoever calls may be gone at any moment.
                std::thread::spawn(move || pass_on(&stream.unwrap(), &heads, &refusal));
            }
        });
        gateway
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn refuse_with(&self, refusal: &'static str) {
        *self.refusal.lock().unwrap() = Some(refusal);
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn pass_on(client: &TcpStream, heads: &Mutex<Vec<String>>, refusal: &Mutex<Option<&'static str>>) -> Option<()> {
    let mut requests = BufReader::new(client.try_clone().ok()?);
    while let Some(request) = message(&mut requests) {
        let end = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(request[..end].to_vec()).unwrap();
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        heads.lock().unwrap().push(head.clone());
        let refusal = *refusal.lock().unwrap();
        let mut client = client;
        if let Some(refusal) = refusal {
            client.write_all(refusal.as_bytes()).ok()?;
            continue;
        }
        if method == "CONNECT" {
            let server = TcpStream::connect(&*target).ok()?;
            client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n").ok()?;
            let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
            std::thread::spawn(move || {
                drop(io::copy(&mut from_client, &mut to_server));
                drop(to_server.shutdown(Shutdown::Write));
            });
            io::copy(&mut &server, &mut client).ok()?;
            return client.shutdown(Shutdown::Write).ok();
        }
        let (place, path) = target.strip_prefix("http://").expect("the whole address").split_once('/').unwrap();
        let server = TcpStream::connect(place).ok()?;
        let request = [format!("{method} /{path}").as_bytes(), &request[method.len() + 1 + target.len()..]].concat();
        (&server).write_all(&request).ok()?;
        client.write_all(&message(&mut BufReader::new(&server))?).ok()?;
    }
    Some(())
}

fn config(proxy: &str) -> HttpConfig {
    let mut config = HttpConfig::default();
    config.timeout = Duration::from_secs(10);
    config.proxy = proxy.parse().unwrap();
    config
}

fn get(url: &str, config: &HttpConfig) -> Result<u16, HttpError> {
    let mut http = Http::new(&url.parse().unwrap(), config, &Stop::new()).unwrap();
    http.get("/path", &[("Authorization", "Splunk secret")]).map(|answer| answer.status)
}

#[test]
fn an_https_url_goes_through_a_tunnel_that_sees_nothing_of_it() {
    let (gateway, receiver, authority, pems, letter) =
        (Gateway::new(), hec::receiver(&[]), Authority::new("CA"), Pems::new(), Letter::new());
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
    let mut config = config(&gateway.url().replace("http://", &format!("http://me:{PASSWORD}@")));
    config.tls.ca = Some(pems.write("ca.pem", authority.pem()));
    let splunk = Splunk::new(front.url(), hec::TOKEN).unwrap().http(config.clone());
    let forwarder = builder(splunk, &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 300);
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered());
    assert_balanced(&sent, &receiver, &letter, &report);
    let heads = gateway.heads();
    assert_eq!(heads.len(), front.accepted(), "each connection has its tunnel: {heads:?}");
    let target = format!("localhost:{}", front.address.port());
    for head in &heads {
        let expected = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {BASIC}");
        assert_eq!(*head, expected);
    }
    // The server is judged by its own name, not by the proxy's.
    let elsewhere = get(&front.url().replace("localhost", "127.0.0.1"), &config).unwrap_err();
    assert!(elsewhere.words().contains("for another host: for localhost, not for 127.0.0.1"), "{elsewhere}");
}

#[test]
fn an_http_url_is_handed_to_the_proxy_whole_request_by_request() {
    let (gateway, receiver, letter) = (Gateway::new(), hec::receiver(&[]), Letter::new());
    let config = config(&gateway.url().replace("http://", &format!("http://me:{PASSWORD}@")));
    let splunk = Splunk::new(receiver.url() + "/", hec::TOKEN).unwrap().http(config);
    let forwarder = builder(splunk, &letter).start().unwrap();
    let sent = send(&forwarder.emitter(), 300);
    wait_for_fates(&forwarder, sent.len());
    let report = forwarder.drain(PATIENCE);
    assert!(report.all_delivered());
    assert_balanced(&sent, &receiver, &letter, &report);
    let heads = gateway.heads();
    assert!(heads.len() >= 6, "{heads:?}");
    for head in &heads {
        let line = format!("POST http://{}/services/collector/event HTTP/1.1\r\n", receiver.address());
        assert!(head.starts_with(&line), "{head}");
        let host = format!("host: {}", receiver.address());
        let lower = head.to_ascii_lowercase();
        assert_eq!((lower.matches(&host).count(), lower.matches("proxy-authorization: ").count()), (1, 1), "{head}");
        assert!(head.contains(BASIC), "{head}");
    }
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_the_destination_and_never_shows_the_password() {
    let gateway = Gateway::new();
    let (authority, receiver) = (Authority::new("CA"), hec::receiver(&[]));
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
    let with_password = gateway.url().replace("http://", &format!("http://me:{PASSWORD}@"));
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
    let demands: &'static str = answer("407 Proxy Authentication Required").leak();
    let forbids: &'static str = answer("403 Forbidden").leak();
    let fails: &'static str = answer("502 Bad Gateway").leak();
    for (refusal, url, proxy, expected) in [
        (demands, front.url(), gateway.url(), "answers http 407: it demands a user and a password"),
        (demands, front.url(), with_password.clone(), "answers http 407: it refuses our user and password"),
        (demands, receiver.url(), gateway.url(), "answers http 407: it demands a user and a password"),
        (demands, receiver.url(), with_password.clone(), "answers http 407: it refuses our user and password"),
        (forbids, front.url(), gateway.url(), "answers http 403: it does not let us through"),
        (fails, front.url(), gateway.url(), "answers http 502: it does not reach the destination"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", front.url(), with_password.clone(), "its answer is no HTTP"),
    ] {
        gateway.refuse_with(refusal);
        let config = config(&proxy);
        let error = get(&url, &config).unwrap_err();
        assert_eq!(error.kind(), HttpErrorKind::Unreachable, "never charged to a batch: {error}");
        let start = format!("the proxy {}", gateway.url());
        assert!(error.words().starts_with(&start) && error.words().contains(expected), "{expected}: {error}");
        let told = format!("{error} {error:?} {config:?} {:?}", config.proxy);
        assert!(!told.contains(PASSWORD) && !told.contains("bWU6"), "{told}");
    }
    assert_eq!(front.accepted(), 0);
    let gone = config(&format!("http://me:{PASSWORD}@{}", hec::free_address()));
    let error = get(&front.url(), &gone).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Refused);
    assert!(error.words().starts_with("the proxy http://127.") && !error.words().contains(PASSWORD), "{error}");
}

#[test]
fn a_proxy_that_says_nothing_is_given_up_in_time_and_at_a_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.timeout = Duration::from_millis(300);
    let began = Instant::now();
    let error = get("https://siem.example", &config).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Unreachable, "{error}");
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(2));

    // A forwarder in the middle of it drains in time all the same.
    config.timeout = Duration::from_secs(60);
    config.connect_timeout = Duration::from_secs(60);
    let letter = Letter::new();
    let splunk = Splunk::new("https://siem.example", hec::TOKEN).unwrap().http(config);
    let forwarder = builder(splunk, &letter).start().unwrap();
    send(&forwarder.emitter(), 1);
    let _asked = (listener.accept().unwrap(), listener.accept().unwrap());
    wait_until(&forwarder, |metrics| metrics.queue_size == 0);
    let began = Instant::now();
    forwarder.drain(Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn text_that_is_no_proxy_is_refused_without_repeating_it() {
    for text in
        ["socks5://me:planted@proxy", "https://me:planted@proxy", "planted", "http://proxy/planted", "http://planted@p"]
    {
        let error = text.parse::<Proxy>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    }
    assert_eq!("none".parse(), Ok::<_, InvalidProxy>(Proxy::none()));
    assert_eq!("env".parse(), Ok::<_, InvalidProxy>(Proxy::environment()));
}

/// The program with every variable set that has ever led somebody's traffic through a proxy.
fn run_with_environment(scene: &Scene, proxy: &str) -> program::Ran {
    let config = scene.path("siem.toml");
    let input = scene.write("input.ndjson", lines(0..20));
    let mut command = command(&["run", "--config", config.to_str().unwrap(), "--input", input.to_str().unwrap()]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, proxy).env(name.to_ascii_lowercase(), proxy);
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy").env("PROXY_URL", proxy).current_dir(scene.path(""));
    Running::start(command).end()
}

#[test]
fn no_proxy_is_the_default() {
    assert_eq!((HttpConfig::default().proxy, Proxy::default()), (Proxy::none(), Proxy::none()));
}

#[test]
fn the_environment_is_asked_only_where_the_configuration_says_so() {
    let (gateway, authority, pems) = (Gateway::new(), Authority::new("CA"), Pems::new());
    let ca = pems.write("ca.pem", authority.pem());
    let tls = format!("tls = {{ ca = \"{}\" }}\n", ca.display());
    let proxy = gateway.url().replace("http://", &format!("http://me:{PASSWORD}@"));
    let shown = authority.issue("siem", &["localhost"], Kind::Good);
    for (key, is_used) in
        [("", false), ("proxy = \"none\"", false), ("proxy = \"env\"", true), ("proxy = { env = \"PROXY_URL\" }", true)]
    {
        for is_https in [true, false] {
            let receiver = hec::receiver(&[]);
            let front = Front::new(server(&shown, None, BOTH), Some(receiver.address()));
            let (url, tls) = if is_https { (front.url(), tls.as_str()) } else { (receiver.url(), "") };
            gateway.heads.lock().unwrap().clear();
            let ran = run_with_environment(&Scene::new(&url, &format!("{tls}{key}")), &proxy);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert_received(&receiver, 0..20);
            let heads = gateway.heads();
            assert_eq!(!heads.is_empty(), is_used, "{key:?} over {url}: {heads:?}");
            assert!(heads.iter().all(|head| head.starts_with("CONNECT ") == is_https), "{heads:?}");
            assert!(!format!("{ran:?}").contains(PASSWORD));
        }
    }
}

#[test]
fn a_password_in_the_file_and_what_is_no_proxy_are_mistakes_that_show_the_right_form() {
    for (key, expected) in [
        (format!("proxy = \"http://me:{PASSWORD}@proxy:3128\""), "proxy: a password is never written into this file"),
        (format!("proxy = \"socks5://me:{PASSWORD}@proxy\""), "proxy: a proxy begins with http://"),
        (format!("proxy = \"http://proxy/{PASSWORD}\""), "proxy: a proxy has no path"),
        ("proxy = { env = \"NEVER_SET\" }".to_owned(), "proxy: the environment variable NEVER_SET is not set"),
        ("proxy = { env = \"SIEM_FORWARD_TEST_TOKEN\" }".to_owned(), "proxy: a proxy begins with http://"),
        ("proxy = 3128".to_owned(), "proxy: is a whole number, must be a text"),
    ] {
        let ran = Scene::new("http://127.0.0.1:1", &key).run(&[], "");
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
        assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
        if !key.contains("3128\n") && !expected.contains("must be") {
            assert!(ran.stderr.contains("proxy = { env = \"NAME\" }"), "{}", ran.stderr);
        }
    }
}
