//! A Kafka broker that a test plays: librdkafka's own know neither TLS nor SASL. It speaks as much of the protocol as a login and
//! the list of topics take, and keeps what it was shown and asked, and what anybody on the way could have read.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rustls::ServerConfig;

use crate::program::{Ran, Running, Scene, command};
use crate::tls::shake_hands;

/// The name that its users log in by.
pub const USER: &str = "service";
pub const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const AUTHENTICATE: i16 = 36;
const UNSUPPORTED_MECHANISM: i16 = 33;
const UNSUPPORTED_VERSION: i16 = 35;
const AUTHENTICATION_FAILED: i16 = 58;

/// How long a broker is waited for, where a test says no other time.
pub const TIMEOUT_SECONDS: u64 = 8;

/// Keys of who shows a certificate too, by files in the configuration's folder.
pub const MUTUAL: &str = "encryption = \"tls\"\n\
                          tls = { ca = \"FOLDER/ca.pem\", cert = \"FOLDER/client.pem\", key = \"FOLDER/client.key\" }";

/// What it says to whom it does not know.
pub const REFUSAL: &str = "Who are you?";

/// One side of a login.
pub trait Login: Send {
    /// What comes next to what the client says; `None`: it is refused.
    fn answer(&mut self, said: &str) -> Option<String>;
}

/// Begins a login, one for each connection.
pub type Door = Arc<dyn Fn() -> Box<dyn Login> + Send + Sync>;

/// Lets in who shows the password as it is.
struct Plain(&'static str);

impl Login for Plain {
    fn answer(&mut self, said: &str) -> Option<String> {
        (said == format!("\0{USER}\0{}", self.0)).then(String::new)
    }
}

/// The broker, until the test ends.
#[derive(Clone)]
pub struct Broker {
    pub address: SocketAddr,
    mechanism: &'static str,
    door: Door,
    tls: Option<Arc<ServerConfig>>,
    kept: Arc<Kept>,
}

/// What it keeps.
#[derive(Default)]
struct Kept {
    shown: Mutex<Vec<(String, String)>>,
    asked: Mutex<Vec<i16>>,
    wire: Mutex<Vec<u8>>,
}

impl Broker {
    /// Lets in who knows the password, and shows it by this mechanism.
    pub fn with_login(mechanism: &'static str, door: Door) -> Self {
        Self::start(mechanism, door, None)
    }

    /// The same by the mechanism PLAIN.
    pub fn plain(password: &'static str) -> Self {
        Self::with_login("PLAIN", knowing(password))
    }

    /// Speaks TLS, and asks for a login only where the client begins one.
    pub fn with_tls(config: Arc<ServerConfig>, password: &'static str) -> Self {
        Self::start("PLAIN", knowing(password), Some(config))
    }

    fn start(mechanism: &'static str, door: Door, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let broker = Self { address, mechanism, door, tls, kept: Arc::default() };
        let serving = broker.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // Who was refused hangs up.
                thread::spawn(move || drop(serving.receive(stream)));
            }
        });
        broker
    }

    /// What was shown: the mechanism, and what came by it.
    pub fn shown(&self) -> Vec<(String, String)> {
        self.kept.shown.lock().clone()
    }

    /// How often it was asked this.
    pub fn asked(&self, key: i16) -> usize {
        self.kept.asked.lock().iter().filter(|asked| **asked == key).count()
    }

    /// Whether it was asked nothing at all.
    pub fn is_asked_nothing(&self) -> bool {
        self.kept.asked.lock().is_empty()
    }

    /// Whether somebody on the way could have read this.
    pub fn is_readable(&self, text: &str) -> bool {
        memchr::memmem::find(&self.kept.wire.lock(), text.as_bytes()).is_some()
    }

    /// Whether anything came at all.
    pub fn is_reached(&self) -> bool {
        !self.kept.wire.lock().is_empty()
    }

    fn receive(&self, stream: TcpStream) -> io::Result<()> {
        let mut wire = Wire { stream, kept: Arc::clone(&self.kept) };
        match &self.tls {
            None => self.serve(&mut wire),
            Some(config) => match shake_hands(Arc::clone(config), wire, |wire| &wire.stream) {
                Some(mut session) => self.serve(&mut session),
                None => Ok(()),
            },
        }
    }

    fn serve(&self, wire: &mut (impl Read + Write)) -> io::Result<()> {
        let (mut login, mut mechanism) = ((self.door)(), String::new());
        loop {
            let mut size = [0; 4];
            wire.read_exact(&mut size)?;
            let size = i32::from_be_bytes(size);
            // As a real one does with what is no request, such as the beginning of TLS.
            if !(10..1_000_000).contains(&size) {
                return Ok(());
            }
            let mut request = vec![0; usize::try_from(size).unwrap()];
            wire.read_exact(&mut request)?;
            let short = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
            let (key, version) = (short(0), short(2));
            self.kept.asked.lock().push(key);
            // Behind the client's name.
            let body = &request[10 + usize::try_from(short(8)).unwrap_or(0)..];
            let answer = match key {
                API_VERSIONS => versions(if version == 0 { 0 } else { UNSUPPORTED_VERSION }),
                HANDSHAKE => {
                    mechanism = String::from_utf8_lossy(&body[2..]).into_owned();
                    let code = if mechanism == self.mechanism { 0 } else { UNSUPPORTED_MECHANISM };
                    [&code.to_be_bytes()[..], &1i32.to_be_bytes(), &text(self.mechanism)].concat()
                }
                AUTHENTICATE => {
                    let said = String::from_utf8_lossy(&body[4..]).into_owned();
                    self.kept.shown.lock().push((mechanism.clone(), said.clone()));
                    if let Some(answer) = login.answer(&said) {
                        let length = i32::try_from(answer.len()).unwrap().to_be_bytes();
                        [&0i16.to_be_bytes()[..], &(-1i16).to_be_bytes(), &length, answer.as_bytes()].concat()
                    } else {
                        let code = AUTHENTICATION_FAILED.to_be_bytes();
                        [&code[..], &text(REFUSAL), &0i32.to_be_bytes()].concat()
                    }
                }
                METADATA => metadata(self.address),
                _ => return Ok(()),
            };
            let length = i32::try_from(answer.len() + 4).unwrap();
            wire.write_all(&[&length.to_be_bytes()[..], &request[4..8], &answer].concat())?;
            wire.flush()?;
        }
    }
}

/// Without what was on the wire, which nobody would read.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kept { shown, asked, .. } = &*self.kept;
        f.debug_struct("Broker").field("shown", shown).field("asked", asked).finish_non_exhaustive()
    }
}

fn knowing(password: &'static str) -> Door {
    Arc::new(move || Box::new(Plain(password)))
}

/// A connection, as whoever listens on the way hears the client.
struct Wire {
    stream: TcpStream,
    kept: Arc<Kept>,
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(into)?;
        self.kept.wire.lock().extend(&into[..read]);
        Ok(read)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn text(text: &str) -> Vec<u8> {
    [&i16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// What it knows: of each the only version.
fn versions(code: i16) -> Vec<u8> {
    let known = [(API_VERSIONS, 0i16), (HANDSHAKE, 1), (AUTHENTICATE, 0), (METADATA, 1)];
    let mut answer = [&code.to_be_bytes()[..], &i32::try_from(known.len()).unwrap().to_be_bytes()].concat();
    for (key, version) in known {
        for number in [key, version, version] {
            answer.extend(number.to_be_bytes());
        }
    }
    answer
}

/// One broker, one topic, one partition.
fn metadata(address: SocketAddr) -> Vec<u8> {
    let (one, node, none) = (1i32.to_be_bytes(), 7i32.to_be_bytes(), 0i16.to_be_bytes());
    let port = i32::from(address.port()).to_be_bytes();
    let broker = [&one[..], &node, &text(&address.ip().to_string()), &port, &(-1i16).to_be_bytes()].concat();
    let topic = [&one[..], &none, &text("audit"), &[0]].concat();
    let partition = [&one[..], &none, &0i32.to_be_bytes(), &node, &one, &node, &one, &node].concat();
    [broker, node.to_vec(), topic, partition].concat()
}

/// A configuration that reads from this broker and produces to it, with these keys of how it is spoken to, which may name files in
/// its `FOLDER`, and with this password.
pub fn scene(broker: &str, password: Option<&str>, keys: &str) -> Scene {
    let scene = Scene::new("http://127.0.0.1:9", "");
    let login = password.map_or_else(String::new, |password| {
        let file = scene.write("password", password);
        format!("username = \"{USER}\"\npassword = {{ file = \"{}\" }}\n", file.display())
    });
    let keys = keys.replace("FOLDER", scene.path("").to_str().unwrap().trim_end_matches('/'));
    let keys = format!("brokers = [\"{broker}\"]\ntimeout_seconds = {TIMEOUT_SECONDS}\n{login}{keys}\n");
    scene.write(
        "siem.toml",
        format!(
            "[input.kafka]\n{keys}topics = [\"audit\"]\n\n[siem.kafka]\ntype = \"kafka\"\n{keys}topic = \"audit\"\n\
             dead_letter = \"none\"\n"
        ),
    );
    scene
}

/// Asks both sides of a configuration.
pub fn check(scene: &Scene) -> Ran {
    Running::start(command(&["check", "--config", scene.path("siem.toml").to_str().unwrap()])).end()
}

/// Both sides are.
pub fn assert_let_in(ran: &Ran) {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("kafka takes events\n") && ran.stdout.contains("the brokers have audit\n"), "{ran:?}");
}

/// One of the sides that a configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What a worker reads; it goes to a file.
    Input,
    /// Where events go.
    Siem,
}

impl Side {
    /// What works with it.
    pub fn command(self) -> &'static str {
        if self == Self::Input { "worker" } else { "run" }
    }
}

/// Leaves this side alone in a configuration.
pub fn keep(scene: &Scene, side: Side) {
    let text = scene.read("siem.toml");
    let (input, siem) = text.split_once("[siem.kafka]").unwrap();
    let kept = match side {
        Side::Siem => format!("[siem.kafka]{siem}"),
        Side::Input => {
            let (events, dead) = (scene.path("events.ndjson"), scene.path("dead.ndjson"));
            let file = format!("[siem.file]\ntype = \"file\"\npath = \"{}\"\n", events.display());
            format!("{input}{file}dead_letter = {{ path = \"{}\" }}\n", dead.display())
        }
    };
    scene.write("siem.toml", kept);
}
