//! Events by way of TLS, to brokers and from them: librdkafka plays those, and TLS stands in front of each.
//!
//! They name themselves by `127.0.0.1`; in front each has the same port of `127.0.0.2`, and is named so on the way back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::kafka::{Brokers, committed};
use crate::program::{Scene, assert_received, lines};
use crate::tls::{Authority, BOTH, Kind, server, shake_hands};
use crate::worker::{self, GROUP, end, receiver, start, wait_for};

const BEHIND: &[u8] = b"127.0.0.1";
const IN_FRONT: &str = "127.0.0.2";
const EVENTS: u32 = 300;
/// How often a connection looks for what the other side has to say.
const TURN: Duration = Duration::from_millis(2);

/// Listens in front of each of these brokers, and gives the addresses there.
fn put_in_front(brokers: &Brokers, config: &Arc<ServerConfig>) -> String {
    let addresses = brokers.addresses();
    let in_front = |address: &str| {
        let behind: SocketAddr = address.parse().unwrap();
        let listener = TcpListener::bind((IN_FRONT, behind.port())).unwrap();
        let (config, address) = (Arc::clone(config), listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                // Who hangs up ends the other side too.
                thread::spawn(move || shake_hands(config, stream, |stream| stream).map(|front| carry(front, behind)));
            }
        });
        address.to_string()
    };
    addresses.split(',').map(in_front).collect::<Vec<_>>().join(",")
}

/// Carries requests there and answers back, by turns: TLS has one state for both ways.
fn carry(mut front: StreamOwned<ServerConnection, TcpStream>, behind: SocketAddr) -> io::Result<()> {
    let mut behind = TcpStream::connect(behind)?;
    front.sock.set_read_timeout(Some(TURN))?;
    behind.set_read_timeout(Some(TURN))?;
    let (mut bytes, mut answers) = (vec![0; 1 << 16], Vec::new());
    loop {
        match front.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => behind.write_all(&bytes[..read])?,
            Err(error) if is_silence(&error) => {}
            Err(error) => return Err(error),
        }
        match behind.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => answers.extend(&bytes[..read]),
            Err(error) if is_silence(&error) => {}
            Err(error) => return Err(error),
        }
        while let Some(mut answer) = whole(&mut answers) {
            rename(&mut answer);
            front.write_all(&answer)?;
        }
        front.flush()?;
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Takes the first answer, with its length, once it is there to its end.
fn whole(answers: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = i32::from_be_bytes(answers.get(..4)?.try_into().unwrap());
    let end = 4 + usize::try_from(length).unwrap();
    (answers.len() >= end).then(|| answers.drain(..end).collect())
}

/// The name of a broker, by another one as long.
fn rename(answer: &mut [u8]) {
    let found: Vec<usize> = memchr::memmem::find_iter(answer, BEHIND).collect();
    for at in found {
        answer[at..at + BEHIND.len()].copy_from_slice(IN_FRONT.as_bytes());
    }
}

/// A client that took a way around TLS would be told of `127.0.0.1`, and of nothing that speaks it there.
#[test]
fn what_is_produced_over_tls_is_read_over_tls_and_delivered_and_committed() {
    let ours = Authority::new("ours");
    let brokers = Brokers::with(&["audit"]);
    let shown = ours.issue("kafka", &[IN_FRONT], Kind::Good);
    let front = put_in_front(&brokers, &server(&shown, Some(&ours), BOTH));
    let pems = tempfile::tempdir().unwrap();
    let client = ours.issue("client", &[], Kind::Good);
    let write = |name: &str, text: String| {
        let path = pems.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca, cert, key) =
        (write("ca.pem", ours.pem()), write("client.pem", client.pem()), write("client.key", client.key_pem()));
    let tls = format!("encryption = \"tls\"\ntls = {{ ca = \"{ca}\", cert = \"{cert}\", key = \"{key}\" }}\n");

    let producing = Scene::new("http://unused", "");
    let list: Vec<&str> = front.split(',').collect();
    let dead = producing.path("dead.ndjson").display().to_string();
    producing.write(
        "siem.toml",
        format!(
            "[siem.kafka]\ntype = \"kafka\"\nbrokers = {list:?}\ntopic = \"audit\"\ndead_letter = {{ path = {dead:?} }}\n{tls}"
        ),
    );
    let ran = producing.run(&["--json"], lines(0..EVENTS));
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &EVENTS.into()), "{ran:?}");
    assert_eq!(brokers.ids("audit").len(), EVENTS as usize);

    let receiver = receiver(&[]);
    let scene = worker::scene(&front, &receiver, "", &tls);
    let worker = start(&scene);
    wait_for(&receiver, u64::from(EVENTS));
    let ran = end(worker);
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &EVENTS.into()), "{ran:?}");
    assert_received(&receiver, 0..EVENTS);
    assert_eq!(committed(&brokers.addresses(), GROUP, "audit"), i64::from(EVENTS));
}
