//! The client against a scripted server: what it makes of each way in which a destination can misbehave.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::dial::dial;
use super::proxy::base64;
use super::script::{self, Request, Script, hang, play, reply, serve};
use super::{BaseUrl, Compression, Http, HttpConfig, HttpErrorKind, Resolver, Stop};

fn config(timeout_ms: u64) -> HttpConfig {
    let timeout = Duration::from_millis(timeout_ms);
    HttpConfig { timeout, connect_timeout: timeout, ..HttpConfig::default() }
}

fn client(url: &str, config: &HttpConfig) -> Http {
    Http::new(&url.parse().unwrap(), config, &Stop::new()).unwrap()
}

fn post(http: &mut Http) -> Result<super::Answer, HttpErrorKind> {
    http.post("/in", &[("X-Test", "1")], b"body").map_err(|error| error.kind())
}

/// Bytes that no compressor makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    getrandom::fill(&mut out).unwrap();
    out
}

/// The call ends at its timeout: not before, and not long after, even on a busy machine.
fn assert_ends_at(timeout_ms: u64, began: Instant) {
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(timeout_ms), "{took:?}");
    assert!(took < Duration::from_millis(timeout_ms + 700), "{took:?}");
}

#[test]
fn a_request_is_what_the_wire_protocol_asks_for() {
    let script = serve(|_, stream| reply(stream, "200 OK", b"fine"));
    let mut http = client(&format!("{}/proxy/", script.url), &config(5000));
    let answer = post(&mut http).unwrap();
    assert_eq!(answer, super::Answer::new(200, *b"fine"));
    let request = script.requests.recv().unwrap();
    assert_eq!(request.head[0], "POST /proxy/in HTTP/1.1");
    let mut names: Vec<&str> = request.head[1..].iter().map(|line| line.split_once(": ").unwrap().0).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-length", "host", "user-agent", "x-test"]);
    assert_eq!(request.body, b"body");
}

#[test]
fn ten_requests_share_one_connection_whatever_the_answers() {
    let script = serve(|request, stream| match request.body.len() % 4 {
        0 => reply(stream, "200 OK", b"a body that must be read"),
        1 => reply(stream, "503 Busy", &vec![b'x'; 900_000]),
        2 => stream.write_all(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        _ => reply(stream, "302 Found", b"elsewhere"),
    });
    let mut http = client(&script.url, &config(5000));
    for length in 0..10 {
        let answer = http.post("/", &[], &vec![b'x'; length]).unwrap();
        assert_eq!(answer.status, [200, 503, 400, 302][length % 4]);
    }
    assert_eq!(http.get("/", &[]).unwrap().status, 200);
    assert_eq!(script.connections(), 1);
}

#[test]
fn an_endless_answer_is_cut_and_its_connection_given_up() {
    let script = serve(|_, stream| reply(stream, "200 OK", &vec![b'x'; 3_000_000]));
    let mut http = client(&script.url, &config(5000));
    for connections in 1..3 {
        assert_eq!(post(&mut http).unwrap().body.len(), 64 * 1024);
        assert_eq!(script.connections(), connections);
    }
}

#[test]
fn a_connection_that_was_closed_is_replaced_without_an_error() {
    let (closed, is_closed) = crossbeam_channel::bounded(1);
    let script = play(move |mut stream| {
        Request::read(&mut BufReader::new(&stream)).unwrap();
        reply(&mut stream, "200 OK", b"").unwrap();
        stream.shutdown(std::net::Shutdown::Both).unwrap();
        closed.send(()).unwrap();
    });
    let mut http = client(&script.url, &config(5000));
    for _ in 0..3 {
        assert!(post(&mut http).is_ok());
        is_closed.recv().unwrap();
    }
}

#[test]
fn large_bodies_are_compressed_and_small_ones_are_not() {
    let script = serve(|_, stream| reply(stream, "200 OK", b""));
    let body = br#"{"event":{"event_type":"tool_invoked"}}"#.repeat(1000);
    let mut http = client(&script.url, &config(5000));
    for (body, is_compressed) in [(&body[..], true), (&body[..1024], true), (&body[..1023], false), (&body[..], true)] {
        http.post("/", &[], body).unwrap();
        let request = script.requests.recv().unwrap();
        assert_eq!(request.header("content-encoding"), is_compressed.then_some("gzip"));
        assert_eq!(request.inflated(), body);
    }
    let mut http = client(&script.url, &HttpConfig { compression: Compression::None, ..config(5000) });
    http.post("/", &[], &body).unwrap();
    assert_eq!(script.requests.recv().unwrap().body, body);
}

#[test]
fn a_hang_ends_at_the_timeout() {
    let script = serve(|_, stream| hang(stream));
    let mut http = client(&script.url, &config(300));
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(post(&mut http), Err(HttpErrorKind::Timeout));
        assert_ends_at(300, began);
    }
}

#[test]
fn an_answer_that_drips_ends_at_the_timeout_of_the_whole() {
    let drip = |head: &'static [u8]| {
        serve(move |_, stream| {
            stream.write_all(head)?;
            loop {
                thread::sleep(Duration::from_millis(20));
                stream.write_all(b"x")?;
            }
        })
    };
    for head in
        [&b"HTTP/1.1 200 OK\r\nX: "[..], b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
    {
        let script = drip(head);
        let began = Instant::now();
        assert_eq!(post(&mut client(&script.url, &config(300))), Err(HttpErrorKind::Timeout));
        assert_ends_at(300, began);
    }
}

#[test]
fn a_peer_that_reads_a_little_now_and_then_ends_at_the_timeout_of_the_whole() {
    let script = play(|mut stream| {
        let mut some = vec![0; 50_000];
        while stream.read(&mut some).is_ok_and(|read| read > 0) {
            thread::sleep(Duration::from_millis(100));
        }
    });
    let mut http = client(&script.url, &HttpConfig { compression: Compression::None, ..config(500) });
    let began = Instant::now();
    let error = http.post("/", &[], &vec![b'x'; 100_000_000]).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Timeout, "{error}");
    assert_ends_at(500, began);
}

#[test]
fn a_stop_ends_a_hung_request_at_once_and_no_other_begins() {
    let script = serve(|_, stream| hang(stream));
    let stop = Stop::new();
    let mut http = Http::new(&script.url.parse().unwrap(), &config(30_000), &stop).unwrap();
    let stopper = {
        let stop = stop.clone();
        thread::spawn(move || {
            script.requests.recv().unwrap();
            stop.stop();
            Instant::now()
        })
    };
    assert_eq!(post(&mut http), Err(HttpErrorKind::Stopped));
    assert!(stopper.join().unwrap().elapsed() < Duration::from_millis(100));
    // Of these nothing was sent, so that nobody can have taken them.
    assert_eq!(post(&mut http), Err(HttpErrorKind::Unreachable));
    let late = Http::new(&"http://127.0.0.1:1".parse().unwrap(), &config(1000), &stop);
    assert_eq!(late.unwrap_err().kind(), HttpErrorKind::Unreachable);
}

/// A listener whose queue is full: connecting to it gets no answer at all.
fn deaf() -> (String, Vec<TcpStream>, impl Sized) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(listener.as_fd(), &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
    listen(listener.as_fd(), 0).unwrap();
    let address: std::net::SocketAddr = getsockname(listener.as_fd()).unwrap().try_into().unwrap();
    let waiting = (0..8).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    (format!("http://{address}"), waiting, listener)
}

#[test]
fn a_connect_without_an_answer_ends_at_its_own_timeout_and_at_a_stop() {
    let (url, _waiting, _listener) = deaf();
    let slow = HttpConfig { connect_timeout: Duration::from_millis(300), ..config(30_000) };
    let began = Instant::now();
    assert_eq!(post(&mut client(&url, &slow)), Err(HttpErrorKind::Unreachable));
    assert_ends_at(300, began);

    let stop = Stop::new();
    let (theirs, url) = (stop.clone(), url.parse::<BaseUrl>().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    let caller = thread::spawn(move || dial(url.place(), &Resolver::default(), deadline, &theirs).map(drop));
    stop.stop();
    let stopped = Instant::now();
    let error = caller.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Unreachable, "nothing was sent, and nothing can have been taken");
    assert!(stopped.elapsed() < Duration::from_millis(100));
}

fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end between the two reads.
    tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok()).collect()
}

#[test]
fn a_request_on_a_standing_connection_starts_no_thread() {
    let caller = thread::Builder::new().name("the-caller".to_owned()).spawn(|| {
        // Asked from within each answer. A thread that nobody named would carry its maker's name.
        let script = serve(|_, stream| {
            let callers = thread_names().iter().filter(|name| name.trim_end() == "the-caller").count();
            reply(stream, "200 OK", callers.to_string().as_bytes())
        });
        let mut http = client(&script.url.replace("127.0.0.1", "localhost"), &config(5000));
        // The server's threads carry the caller's name too: one listens, one serves, one calls.
        assert!((0..50).all(|_| post(&mut http).unwrap().body == b"3"));
        assert_eq!(script.connections(), 1);
    });
    caller.unwrap().join().unwrap();
}

#[test]
fn each_failure_has_its_kind() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(post(&mut client(&format!("http://{free}"), &config(5000))), Err(HttpErrorKind::Refused));
    let unknown = client("http://no-such-host.invalid", &config(1000)).get("/", &[]);
    assert_eq!(unknown.unwrap_err().kind(), HttpErrorKind::Dns);

    let closes: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, _| Err(io::ErrorKind::Other.into());
    let resets: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, stream| {
        rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO)).unwrap();
        Err(io::ErrorKind::Other.into())
    };
    let says_half: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")?;
        Err(io::ErrorKind::Other.into())
    };
    let says_half_a_head: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, stream| {
        stream.write_all(b"HTTP/1.1 200 O")?;
        Err(io::ErrorKind::Other.into())
    };
    let is_no_http: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, stream| {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")?;
        hang(stream)
    };
    let says_too_much: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        stream.write_all(&vec![b'x'; 1_000_000])?;
        hang(stream)
    };
    let is_chunked_wrongly: fn(&Request, &mut TcpStream) -> io::Result<()> = |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzebra\r\n")?;
        hang(stream)
    };
    for (answer, kind) in [
        (closes, HttpErrorKind::Reset),
        (resets, HttpErrorKind::Reset),
        (says_half, HttpErrorKind::Reset),
        (says_half_a_head, HttpErrorKind::Reset),
        (is_no_http, HttpErrorKind::Garbage),
        (says_too_much, HttpErrorKind::Garbage),
        (is_chunked_wrongly, HttpErrorKind::Garbage),
    ] {
        let script = serve(answer);
        assert_eq!(post(&mut client(&script.url, &config(2000))), Err(kind));
    }
}

#[test]
fn a_header_that_http_does_not_allow_is_an_error_that_does_not_repeat_it() {
    let script = serve(|_, stream| reply(stream, "200 OK", b""));
    let error = client(&script.url, &config(5000)).post("/", &[("Authorization", "hunter2\n")], b"").unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Request);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let error = client(&script.url, &config(5000)).get("/hunter2 and more", &[]).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Request);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(script.connections(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_answered_the_client_goes_on(
        head in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 204 No\r\n", "HTTP/1.0 500 \r\n", "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /x\r\n", "HTTP/1.1 101 Upgrade\r\n", "HTTP/1.1 999 Odd\r\n",
        ]),
        field in prop::sample::select(vec![
            "", "Content-Length: 5\r\n\r\n", "Content-Length: -1\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "Content-Encoding: gzip\r\n\r\n", "Retry-After: x\r\n\r\n",
            "Content-Length: 99999999999999999999\r\n\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]),
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40).boxed(),
            prop::sample::select(vec![&b"5\r\nhello\r\n0\r\n\r\n"[..], b"0\r\n", b"fffffffffffffffff\r\n", b"5\r\nhelloX"])
                .prop_map(<[u8]>::to_vec).boxed(),
        ],
    ) {
        let bytes = [head.as_bytes(), field.as_bytes(), &rest].concat();
        let script = serve(move |_, stream| {
            stream.write_all(&bytes)?;
            Err(io::ErrorKind::Other.into())
        });
        let mut http = client(&script.url, &config(5000));
        for _ in 0..2 {
            let error = post(&mut http).err();
            prop_assert!(matches!(error, None | Some(HttpErrorKind::Reset | HttpErrorKind::Garbage)), "{:?}", error);
        }
    }
}

/// Answers as soon as the head is there and closes, with the body on its way.
fn hasty(answer: &'static [u8]) -> Script {
    play(move |mut stream| {
        let mut head = [0; 512];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(answer).unwrap();
    })
}

#[test]
fn a_refusal_in_the_middle_of_the_body_is_heard_and_thanks_are_not_believed() {
    let config = HttpConfig { compression: Compression::None, ..config(5000) };
    let body = noise(5_000_000);
    let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
    for _ in 0..10 {
        let answer = client(&hasty(refusal).url, &config).post("/", &[], &body).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (413, &b"big"[..]));
    }
    let thanks = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let error = client(&hasty(thanks).url, &config).post("/", &[], &body).unwrap_err();
    assert_eq!(error.kind(), HttpErrorKind::Reset);
}

/// A server of TLS with a certificate for `localhost` that it signed itself, and that certificate in a file.
pub(super) fn self_signed() -> (Script, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Arc::new(server);
    let script = play(move |stream| {
        let session = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
        let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
        // A refused handshake ends here.
        while let Some(request) = Request::read(&mut stream) {
            reply(stream.get_mut(), "200 OK", &request.body).unwrap();
        }
    });
    let url = script.url.replace("http://127.0.0.1", "https://localhost");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = base64(made.cert.der());
    write!(file, "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").unwrap();
    (Script { url, ..script }, file)
}

#[test]
fn a_certificate_is_verified_unless_told_otherwise() {
    let (script, certificate) = self_signed();
    let body = noise(300_000);
    let refused = client(&script.url, &config(5000)).post("/", &[], &body).unwrap_err();
    assert_eq!(refused.kind(), HttpErrorKind::Tls);
    assert!(refused.words().contains("self-signed"), "{refused}");

    let plain = HttpConfig { compression: Compression::None, ..config(5000) };
    let mut careless = client(&script.url, &HttpConfig { verify_ssl: false, ..plain.clone() });
    let before = script.connections();
    for _ in 0..5 {
        let answer = careless.post("/", &[], &body).unwrap();
        assert_eq!(answer.body, body[..64 * 1024]);
    }
    assert_eq!(script.connections() - before, 1);

    let mut trusting = plain;
    trusting.tls.ca = Some(certificate.path().to_owned());
    assert_eq!(client(&script.url, &trusting).post("/", &[], b"hello").unwrap().body, b"hello");
    let misnamed = client(&script.url.replace("localhost", "127.0.0.1"), &trusting).post("/", &[], b"").unwrap_err();
    assert_eq!(misnamed.kind(), HttpErrorKind::Tls);
}

#[test]
fn a_server_that_speaks_no_tls_or_says_nothing_gives_no_secure_connection() {
    let plain = serve(|_, stream| reply(stream, "200 OK", b""));
    let url = plain.url.replace("http://", "https://");
    let careless = HttpConfig { verify_ssl: false, ..config(300) };
    let silent = play(|mut stream| drop(hang(&mut stream)));
    let began = Instant::now();
    let url_of_silent = silent.url.replace("http://", "https://");
    assert_eq!(post(&mut client(&url_of_silent, &careless)), Err(HttpErrorKind::Unreachable));
    assert_ends_at(300, began);
    // It waits for the end of a line that never comes, or answers what is no TLS.
    assert!(matches!(post(&mut client(&url, &careless)), Err(HttpErrorKind::Tls | HttpErrorKind::Unreachable)));
    let rude = script::play(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        drop(hang(&mut stream));
    });
    let url = rude.url.replace("http://", "https://");
    assert_eq!(post(&mut client(&url, &careless)), Err(HttpErrorKind::Tls));
}
