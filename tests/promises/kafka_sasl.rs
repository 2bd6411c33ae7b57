//! Logging in to Kafka by SASL: what the broker is shown, what is said when it refuses, and that no password is said.
//!
//! The broker is played here: librdkafka's own know no SASL. It speaks as much of the protocol as a login and the list of topics
//! take.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::program::{Ran, Running, Scene, command};

const PASSWORD: &str = "pa55-w0rd-of-kafka";
const METADATA: i16 = 3;
const HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const AUTHENTICATE: i16 = 36;
const UNSUPPORTED_VERSION: i16 = 35;
const AUTHENTICATION_FAILED: i16 = 58;

/// What was shown: the mechanism, and what came by it.
type Shown = Arc<Mutex<Vec<(String, String)>>>;

/// One that lets in who knows the password.
fn broker() -> (SocketAddr, Shown) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, shown) = (listener.local_addr().unwrap(), Shown::default());
    let seen = Arc::clone(&shown);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            // Who was refused hangs up.
            thread::spawn(move || drop(serve(stream, address, &seen)));
        }
    });
    (address, shown)
}

fn serve(mut stream: TcpStream, address: SocketAddr, shown: &Shown) -> io::Result<()> {
    let mut mechanism = String::new();
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut request = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut request)?;
        let short = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let (key, version) = (short(0), short(2));
        // Behind the client's name.
        let body = &request[10 + usize::try_from(short(8)).unwrap_or(0)..];
        let answer = match key {
            API_VERSIONS => versions(if version == 0 { 0 } else { UNSUPPORTED_VERSION }),
            HANDSHAKE => {
                mechanism = String::from_utf8_lossy(&body[2..]).into_owned();
                [&0i16.to_be_bytes()[..], &1i32.to_be_bytes(), &text("PLAIN")].concat()
            }
            AUTHENTICATE => {
                let said = String::from_utf8_lossy(&body[4..]).into_owned();
                let is_known = said == format!("\0service\0{PASSWORD}");
                shown.lock().push((mechanism.clone(), said));
                let code = if is_known { 0 } else { AUTHENTICATION_FAILED };
                [&code.to_be_bytes()[..], &text("Who are you?"), &0i32.to_be_bytes()].concat()
            }
            METADATA => metadata(address),
            _ => return Ok(()),
        };
        let length = i32::try_from(answer.len() + 4).unwrap();
        stream.write_all(&[&length.to_be_bytes()[..], &request[4..8], &answer].concat())?;
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

fn check(broker: SocketAddr, password: &str) -> Ran {
    let scene = Scene::new("http://127.0.0.1:9", "");
    let login = format!(
        "brokers = [\"{broker}\"]\nusername = \"service\"\npassword = {{ file = \"{}\" }}\n",
        scene.path("password").display()
    );
    scene.write("password", password);
    scene.write(
        "siem.toml",
        format!(
            "[input.kafka]\n{login}topics = [\"audit\"]\n\n[siem.kafka]\ntype = \"kafka\"\n{login}topic = \"audit\"\n\
             timeout_seconds = 5\ndead_letter = \"none\"\n"
        ),
    );
    Running::start(command(&["check", "--config", scene.path("siem.toml").to_str().unwrap()])).end()
}

#[test]
fn who_logs_in_shows_name_and_password_and_nobody_else_sees_them() {
    let (broker, shown) = broker();
    let ran = check(broker, PASSWORD);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("kafka takes events\n") && ran.stdout.contains("the brokers have audit\n"), "{ran:?}");
    let login = ("PLAIN".to_owned(), format!("\0service\0{PASSWORD}"));
    assert!(shown.lock().len() >= 2 && shown.lock().iter().all(|shown| *shown == login), "{shown:?}");
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
    // Anybody on the way could.
    assert!(ran.stderr.contains("can read the events and the password"), "{ran:?}");
}

#[test]
fn a_login_that_is_refused_is_told_in_the_brokers_words_without_the_password() {
    let (broker, shown) = broker();
    let ran = check(broker, "another-pa55-w0rd");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout.matches("Who are you?").count(), 2, "the pipeline and the input: {ran:?}");
    assert!(!shown.lock().is_empty() && !format!("{ran:?}").contains("another-pa55-w0rd"), "{ran:?}");
}
