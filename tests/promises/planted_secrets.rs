//! Secrets are planted wherever one can be, the program is led through its commands and their failures, and no output
//! and no file of it holds one. What the library makes of a secret does not show it either.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot go on fails its test"
)]

use std::fmt::Debug;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::LevelFilter;
use rustix::process::Signal;
use siem_forward::net::{Http, HttpConfig, Proxy, Stop};
use siem_forward::receiver::{Play, Receiver, ReceiverConfig};
use siem_forward::siem::Splunk;
use siem_forward::{Secret, Siem};

use crate::apart::ran_apart;
use crate::hec::{self, Letter, builder, free_address};
use crate::logged;
use crate::program::{Ran, Running, command, lines};
use crate::support::{send, wait_until};
use crate::tls::{Authority, BOTH, Front, Issued, Kind, Pems, message, pem, server};

/// In every secret of this file, and nowhere else.
const MARK: &str = "pl4nted-s3cret";
/// The same as the user's password of a proxy is sent, at each of the three places in a group of base64.
const ENCODED: [&str; 3] = ["cGw0bnRlZC1zM2NyZX", "BsNG50ZWQtczNjcmV0", "wbDRudGVkLXMzY3JldA"];

fn assert_hidden(what: &str, text: &str) {
    assert!(!text.is_empty(), "{what} says nothing");
    let shown = [MARK].iter().chain(&ENCODED).find(|mark| text.contains(**mark));
    // The end of what leads there, and a little of the secret: it may be long.
    let led = shown.and_then(|mark| text.find(mark)).map(|at| text[..at].chars().rev().take(300).collect::<Vec<_>>());
    let led = led.map(|led| led.into_iter().rev().collect::<String>());
    assert!(shown.is_none(), "{what} shows {shown:?} behind {led:?}");
}

/// A server that answers every request with a status and repeats all of it, as a proxy that helps its operators does.
fn parrot(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut requests = BufReader::new(stream.try_clone().unwrap());
                while let Some(request) = message(&mut requests) {
                    let head = String::from_utf8_lossy(&request);
                    let head = head.split("\r\n\r\n").next().unwrap().replace(['\r', '\n', '"'], " ");
                    let body = format!("{{\"text\":\"refused: {head}\",\"code\":6}}");
                    let length = body.len();
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A folder with a configuration and the files that it names, secrets among them.
struct Place(tempfile::TempDir);

/// What holds secrets, and is not searched for them.
const SECRET_FILES: [&str; 4] = ["siem.toml", "token", "proxy", "client.key"];

impl Place {
    fn new(keys: &str) -> Self {
        Self::of("splunk", keys)
    }

    /// With a destination of this kind.
    fn of(kind: &str, keys: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let client = Authority::new("CA").issue("forwarder", &[], Kind::Good);
        // A comment before the key is part of no error either.
        place.write("client.key", format!("{MARK}\n{}", client.key_pem()));
        place.write("client.pem", client.pem());
        place.write("token", format!("file-{MARK}\n"));
        place.write("proxy", format!("http://me:{MARK}@{}\n", free_address()));
        place.write("input.ndjson", lines(0..20) + "{\"timestamp\":\"no event\"}\n");
        let text = format!(
            "[input]\nrejected = {{ path = \"rejected.ndjson\" }}\n\n[siem.{kind}]\ntype = \"{kind}\"\n\
             retry_backoff_max = 0.02\nbatch_timeout_seconds = 0.05\ndrain_timeout_seconds = 0.3\n\
             dead_letter = {{ path = \"dead.ndjson\" }}\n{keys}\n"
        );
        place.write("siem.toml", text);
        place
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Waits for what arrives, instead of giving up soon.
    fn be_patient(&self) {
        let text = std::fs::read_to_string(self.0.path().join("siem.toml")).unwrap();
        self.write("siem.toml", text.replace("drain_timeout_seconds = 0.3", "drain_timeout_seconds = 50"));
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = command(arguments);
        command.current_dir(self.0.path()).env("PLANTED", format!("env-{MARK}")).env("RUST_BACKTRACE", "full");
        command.env("PLANTED_PROXY", format!("http://me:{MARK}@{}", free_address())).env("RUST_LOG", "trace");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.checked(arguments, Running::start(self.command(arguments)).end())
    }

    fn checked(&self, arguments: &[&str], ran: Ran) -> Ran {
        assert_hidden(&arguments.join(" "), &format!("{ran:?}"));
        for (path, text) in self.files() {
            assert_hidden(&path.display().to_string(), &text);
        }
        ran
    }

    /// What the program has written: all but the files that hold secrets, and the empty ones.
    fn files(&self) -> Vec<(PathBuf, String)> {
        let is_secret = |path: &Path| SECRET_FILES.iter().any(|name| path.ends_with(name));
        let entries = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file() && !is_secret(path));
        let read =
            files.map(|path| (path.clone(), String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()));
        read.filter(|(_, text)| !text.is_empty()).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.files().iter().any(|(path, text)| path.ends_with(name) && !text.is_empty())
    }
}

const OF_ENVIRONMENT: &str = "token = { env = \"PLANTED\" }";
const OF_FILE: &str = "token = { file = \"token\" }";
const RUN: [&str; 5] = ["run", "--config", "siem.toml", "--input", "input.ndjson"];

#[test]
fn a_run_shows_no_secret_however_it_ends() {
    let receiver = hec::receiver(&[]);
    let well = receiver.url();
    let nowhere = format!("http://{}", free_address());
    let echo = |status| format!("http://{}", parrot(status));
    let strange = Front::new(server(&Issued::self_signed("x", &["localhost"], Kind::Good), None, BOTH), None);
    let proxied = |key: &str| format!("{OF_FILE}\nproxy = {{ {key} }}");
    let client = "tls = { cert = \"client.pem\", key = \"client.key\" }";
    let cases = [
        (well.clone(), OF_ENVIRONMENT.to_owned()),
        (well.clone(), OF_FILE.to_owned()),
        (well.clone(), format!("{OF_FILE}\nverify_ssl = false\n{client}")),
        (nowhere, OF_FILE.to_owned()),
        (strange.url(), format!("{OF_ENVIRONMENT}\n{client}")),
        (strange.url(), format!("{OF_ENVIRONMENT}\n{client}\nverify_ssl = false")),
        (well.clone(), proxied("env = \"PLANTED_PROXY\"")),
        (well.clone(), proxied("file = \"proxy\"")),
        (strange.url(), proxied("env = \"PLANTED_PROXY\"")),
        (echo("200 OK"), OF_FILE.to_owned()),
        (echo("400 Bad Request"), OF_FILE.to_owned()),
        (echo("401 Unauthorized"), OF_FILE.to_owned()),
        (echo("403 Forbidden"), OF_ENVIRONMENT.to_owned()),
        (echo("407 Proxy Authentication Required"), OF_ENVIRONMENT.to_owned()),
        (echo("413 Too Large"), OF_FILE.to_owned()),
        (echo("429 Too Many"), OF_FILE.to_owned()),
        (echo("500 Broken"), OF_ENVIRONMENT.to_owned()),
        (echo("503 Busy"), format!("{OF_ENVIRONMENT}\nack = true")),
    ];
    let options: [&[&str]; 2] = [&[], &["--json"]];
    cases.chunks(4).for_each(|cases| run_all("splunk", &well, cases, &options));
    assert_eq!(receiver.counts().events, 3 * 2 * 20, "what could arrive has arrived");
}

/// Runs each of these, an address and keys, at once and each in a place of its own. What goes to `well` without a proxy
/// arrives. Few at a time: what cannot arrive is given up after a third of a second, which needs a core.
fn run_all(kind: &str, well: &str, cases: &[(String, String)], options: &[&[&str]]) {
    std::thread::scope(|scope| {
        for (url, keys) in cases {
            for option in options {
                scope.spawn(move || {
                    let arrives = url == well && !keys.contains("proxy");
                    let place = Place::of(kind, &format!("url = \"{url}\"\n{keys}"));
                    if arrives {
                        place.be_patient();
                    }
                    let ran = place.run(&[&RUN[..], option].concat());
                    assert_eq!(ran.code, 1, "{url} {keys}: {ran:?}");
                    assert!(place.has("rejected.ndjson"), "one line is no event");
                    assert_eq!(place.has("dead.ndjson"), !arrives, "{url}: {ran:?}");
                });
            }
        }
    });
}

/// The others show their secrets in other ways: a key as it is, or behind a word, or a password with its user in base64.
#[test]
fn a_run_to_another_destination_shows_no_key_and_no_password_either() {
    const STATUSES: [&str; 4] = ["400 Bad Request", "401 Unauthorized", "429 Too Many", "503 Busy"];
    let of_place = |key: &str, place: &str| format!("{key} = {{ {place} }}");
    let password = |place| format!("username = \"me\"\n{}", of_place("password", place));
    let (file, env) = ("file = \"token\"", "env = \"PLANTED\"");
    for (kind, play, keys) in [
        (
            "elastic",
            Play::Elastic,
            vec![of_place("api_key", file), of_place("api_key", env), password(file), password(env)],
        ),
        ("datadog", Play::Datadog, vec![of_place("api_key", file) + "\nage_max_seconds = 0"]),
        ("webhook", Play::Webhook, vec![of_place("token", env)]),
    ] {
        let receiver = Receiver::start(ReceiverConfig { play, ..ReceiverConfig::default() }).unwrap();
        let echoes = STATUSES.map(|status| format!("http://{}", parrot(status)));
        // A body that is not what success looks like repeats the secret as well.
        let praise = (kind == "elastic").then(|| format!("http://{}", parrot("200 OK")));
        let urls: Vec<String> = [receiver.url()].into_iter().chain(echoes).chain(praise).collect();
        let cases = urls.iter().flat_map(|url| keys.iter().map(|keys| (url.clone(), keys.clone())));
        let cases: Vec<(String, String)> = cases.collect();
        cases.chunks(8).for_each(|cases| run_all(kind, &receiver.url(), cases, &[&[]]));
        // All bring the same events, which one of them stores once, and another one as too old not at all.
        let counts = receiver.counts();
        let arrived = counts.events + counts.conflicts + counts.unindexed;
        assert_eq!(arrived, keys.len() as u64 * 20, "what could arrive has arrived: {kind}, {counts:?}");
    }
}

#[test]
fn a_refused_token_is_not_repeated_by_the_dead_letter_although_the_siem_repeats_it() {
    let place = Place::new(&format!("url = \"http://{}\"\n{OF_FILE}", parrot("400 Bad Request")));
    place.be_patient();
    place.run(&RUN);
    let dead = std::fs::read_to_string(place.0.path().join("dead.ndjson")).unwrap();
    assert!(dead.contains("refused: POST /services/collector/event"), "it did repeat the request: {dead}");
}

/// Secrets where none belongs: each an error, which shows the right form where there is one.
#[test]
fn a_mistake_in_the_configuration_is_told_without_the_secret_in_it() {
    let right = "token = { env = \"NAME\" } or token = { file = \"PATH\" }";
    let url = "url = \"http://127.0.0.1:1\"";
    let with = |line: &str| format!("{url}\n{OF_FILE}\n{line}");
    let key = pem("PRIVATE KEY", MARK.repeat(9).as_bytes()).replace('\n', "\\n");
    for (keys, expected) in [
        (format!("{url}\ntoken = \"{MARK}\""), right),
        (format!("{url}\ntoken = \"\"\"\n{MARK}\"\"\""), right),
        (format!("{url}\ntoken = [\"{MARK}\"]"), right),
        (format!("{url}\ntoken = {{ env = \"{MARK}\" }}"), "names no environment variable"),
        (format!("{url}\ntoken = {{ value = \"{MARK}\" }}"), right),
        (format!("{url}\ntoken = {{ file = \"token\", env = \"{MARK}\" }}"), right),
        (format!("{url}\ntoken = {MARK}"), "siem.toml:"),
        (format!("{url}\ntoken = \"{MARK}"), "siem.toml:"),
        (format!("{url}\ntoken \"{MARK}\""), "siem.toml:"),
        (format!("{url}\ntoken = {{ env = \"PLANTED\" }} \"{MARK}\""), "siem.toml:"),
        (format!("{url}\ntoken = \"{MARK}\"\ntoken = \"{MARK}\""), "siem.toml:"),
        (format!("{OF_FILE}\nurl = \"https://me:{MARK}@splunk.example:8088\""), "must not hold a user or password"),
        (format!("{OF_FILE}\nurl = \"https://splunk.example:8088?token={MARK}\""), "must not hold a query"),
        (with(&format!("toke = \"{MARK}\"")), "did you mean `token`?"),
        (with(&format!("password = \"{MARK}\"")), "unknown key"),
        (with(&format!("senders = 0 # not the {MARK}")), "out of range"),
        (format!("{url}\ntoken = \"{MARK}\" # was {MARK}"), right),
        (with(&format!("proxy = \"http://me:{MARK}@proxy:3128\"")), "proxy = { env = \"NAME\" }"),
        (with(&format!("proxy = \"{MARK}\"")), "proxy = { env = \"NAME\" }"),
        (with(&format!("tls = {{ cert = \"client.pem\", key = \"{key}\" }}")), "name that file here"),
        (with("tls = { cert = \"client.key\", key = \"client.key\" }"), "but a private key"),
        (with("tls = { cert = \"client.pem\", key = \"token\" }"), "it is not PEM"),
        (with("tls = { ca = \"token\" }"), "it is not PEM"),
    ] {
        let place = Place::new(&keys);
        let ran = place.run(&RUN);
        assert_eq!(ran.code, 2, "{keys}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{keys}\n{expected}\n{}", ran.stderr);
    }
    for text in [format!("{MARK}\n{MARK}"), format!("two {MARK}"), format!("{MARK}\0"), MARK.repeat(9000)] {
        let place = Place::new(&format!("{url}\n{OF_FILE}"));
        place.write("token", text);
        assert_eq!(place.run(&RUN).code, 2);
    }
}

#[test]
fn the_other_commands_show_no_secret_either() {
    let place = Place::new("");
    let token = format!("argument-{MARK}");
    for json in [&[][..], &["--json"]] {
        let arguments = [&["receive", "--port", "0", "--token", &token][..], json].concat();
        let receive = Running::start(place.command(&arguments));
        receive.wait_for("listening on http://");
        let said = receive.stderr();
        let address = said.split("http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        for shown in [&token, MARK] {
            let mut http = Http::new(&format!("http://{address}").parse().unwrap(), &config(), &Stop::new()).unwrap();
            let header = format!("Splunk {shown}");
            let answer =
                http.post("/services/collector/event", &[("Authorization", &header)], b"{\"event\":1}").unwrap();
            assert_eq!(answer.status, if shown == token { 200 } else { 403 });
        }
        receive.signal(Signal::TERM);
        place.checked(&arguments, receive.end());
    }
    place.run(&["demo", "--events", "1000"]);
    place.run(&["demo", "--events", "1000", "--json"]);
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["run", "--config", "token"], &["run"]] {
        place.run(arguments);
    }
    for arguments in [&["replay", "dead", "--config", "token"][..], &["replay"], &["dead-letter", "ls", "dead"]] {
        place.run(arguments);
    }
    let port = free_address().port().to_string();
    let taken = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    assert_eq!(place.run(&["receive", "--port", &port, "--token", &token]).code, 2);
    drop(taken);
}

fn config() -> HttpConfig {
    let mut config = HttpConfig::default();
    config.timeout = Duration::from_secs(10);
    config
}

fn shown(what: impl Debug) -> String {
    format!("{what:?} {what:#?}")
}

/// What somebody's panic would print, were this in its message.
fn panic_of(panics: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    payload.downcast_ref::<String>().unwrap().clone()
}

/// Everything public that holds or has seen a secret, in every way in which it can be printed; and all that any library
/// logs meanwhile, down to what it tells its authors.
#[test]
fn nothing_public_that_holds_a_secret_prints_it() {
    if ran_apart() {
        return;
    }
    logged::collect(LevelFilter::Trace);
    let pems = Pems::new();
    let token = pems.write("token", format!("file-{MARK}"));
    let gateway = parrot("407 Proxy Authentication Required");
    let proxy: Proxy = format!("http://me:{MARK}@{gateway}").parse().unwrap();
    let mut http = config();
    http.proxy = proxy.clone();
    let secret = Secret::new(MARK);
    assert_hidden("secret", &shown(&secret));
    assert_hidden("proxy", &shown(&proxy));
    assert_hidden("configuration", &shown(&http));

    let url = format!("http://{}", parrot("403 Forbidden"));
    for splunk in [Splunk::new(&url, secret.clone()).unwrap(), Splunk::token_file(&url, &token).unwrap()] {
        let splunk = splunk.index("audit").http(config());
        assert_hidden("splunk", &(shown(&splunk) + &splunk.destination()));
        let mut connection = splunk.connect(&Stop::new()).unwrap();
        assert_hidden("connection", &shown(&connection));
        assert_hidden("health", &shown(splunk.health_check(&mut connection)));
        let event = siem_forward::AuditEvent::builder(siem_forward::EventType::UserLogin, siem_forward::Severity::Low);
        assert_hidden("verdict", &shown(splunk.send_event(&mut connection, &event.build())));
        let letter = Letter::new();
        let builder = builder(splunk, &letter);
        assert_hidden("builder", &shown(&builder));
        let forwarder = builder.start().unwrap();
        send(&forwarder.emitter(), 20);
        wait_until(&forwarder, |metrics| metrics.batches_failed >= 3);
        assert_hidden("forwarder", &(shown(&forwarder) + &shown(forwarder.emitter()) + &shown(forwarder.config())));
        assert_hidden("health", &(shown(forwarder.health()) + &shown(forwarder.health_check())));
        assert_hidden("metrics", &shown(forwarder.metrics()));
        let report = forwarder.drain(Duration::from_millis(100));
        assert_hidden("report", &format!("{}{report}", shown(&report)));
    }
    for url in ["http://127.0.0.1:1", "https://siem.example"] {
        let client = Http::new(&url.parse().unwrap(), &http, &Stop::new());
        let mut client = client.unwrap();
        let header = format!("Splunk {MARK}");
        let error = client.post("/", &[("Authorization", &header)], b"body").unwrap_err();
        assert!(error.words().contains("407"), "{error}");
        assert_hidden("client", &(shown(&client) + &shown(&error) + &error.to_string()));
    }
    for (url, token) in [(url.as_str(), format!("{MARK} ")), ("planted", MARK.to_owned())] {
        let error = Splunk::new(url, token).unwrap_err();
        assert_hidden("error", &(shown(&error) + &error.to_string()));
    }
    pems.write("token", format!("{MARK}\n{MARK}"));
    let error = Splunk::token_file(&url, &token).unwrap_err();
    assert_hidden("error", &(shown(&error) + &error.to_string()));
    let receiver = ReceiverConfig { token: Some(MARK.to_owned()), ..ReceiverConfig::default() };
    assert_hidden("receiver", &(shown(&receiver) + &shown(Receiver::start(receiver).unwrap())));

    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let messages = [
        panic_of(|| assert_eq!(secret, Secret::new("another"))),
        panic_of(|| Some(secret.clone()).ok_or(()).unwrap_err()),
        panic_of(|| None.ok_or(&proxy).unwrap()),
        panic_of(|| drop(Splunk::new("planted", MARK).unwrap())),
        panic_of(|| drop(Splunk::new(&*url, format!("{MARK}\n")).expect("a token"))),
        panic_of(|| drop(format!("http://{MARK}@x").parse::<Proxy>().unwrap())),
    ];
    std::panic::set_hook(hook);
    for message in messages {
        assert_hidden("panic", &message);
    }
    let logged = logged::text();
    assert!(logged.contains("ureq"), "libraries did log: {logged}");
    // The client also logs the bytes that it writes and reads. What a server repeats is not ours to hide there; so what
    // is written is looked at with servers that repeat nothing.
    let told: Vec<&str> = logged.lines().filter(|line| !line.starts_with("ureq_proto::util ")).collect();
    assert_hidden("log", &told.join("\n"));
    logged::clear();
    let (mute, authority) = (hec::receiver(&[]), Authority::new("CA"));
    let front =
        Front::new(server(&authority.issue("siem", &["localhost"], Kind::Good), None, BOTH), Some(mute.address()));
    let mut direct = config();
    direct.tls.ca = Some(pems.write("ca.pem", authority.pem()));
    let mut proxied = direct.clone();
    // It knows no absolute form and no CONNECT, but it hears the password.
    proxied.proxy = format!("http://me:{MARK}@{}", mute.address()).parse().unwrap();
    for (url, http) in [(mute.url(), &direct), (front.url(), &direct), (mute.url(), &proxied), (front.url(), &proxied)]
    {
        let splunk = Splunk::new(&url, secret.clone()).unwrap().http(http.clone());
        let health = splunk.health_check(&mut splunk.connect(&Stop::new()).unwrap());
        assert_eq!(health.healthy, *http == direct, "{health:?}");
    }
    let logged = logged::text();
    let dumped = undumped(&logged);
    assert!(dumped.contains("POST./services/collector/event.HTTP/1.1"), "what is written is logged: {dumped}");
    assert_hidden("log", &logged);
    assert_hidden("log, byte by byte", &dumped);
}

/// The text of a hexadecimal dump, which stands in columns of sixteen bytes.
fn undumped(log: &str) -> String {
    let dumps = log.lines().filter_map(|line| line.strip_prefix("ureq_proto::util "));
    dumps.filter_map(|line| line.rsplit_once("  ")).map(|(_, text)| text).collect()
}

/// The search itself finds what it is to find.
#[test]
fn a_secret_that_is_printed_is_found() {
    for text in [MARK.to_owned(), format!("x{MARK}x")] {
        assert!(catch_unwind(|| assert_hidden("text", &text)).is_err());
    }
    let (address, place) = (parrot("200 OK"), Place::new(""));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nProxy-Authorization: Basic bWU6cGw0bnRlZC1zM2NyZXQ=\r\n\r\n").unwrap();
    let answer = message(&mut BufReader::new(stream)).unwrap();
    place.write("dead.ndjson", answer);
    let found = catch_unwind(AssertUnwindSafe(|| place.run(&["--version"])));
    assert!(found.is_err(), "the password of a proxy is found in its encoded form too");
}
