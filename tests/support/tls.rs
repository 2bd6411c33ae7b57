//! Authorities that issue what a test asks for, and servers of TLS in front of a receiver.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, and what is sent behind it.
pub struct Issued {
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub key: Vec<u8>,
}

/// When a certificate is valid, and what else there is to say of it.
#[derive(Clone, Copy, Default)]
pub enum Kind {
    #[default]
    Good,
    Expired,
    NotYetValid,
    /// Until this moment, in Unix seconds.
    Until(u64),
    /// As `openssl req -x509` makes it: one that may sign others.
    MaySign,
}

fn params(name: &str, hosts: &[&str], kind: Kind) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    match kind {
        Kind::Good => {}
        Kind::Expired => {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 2, 3);
        }
        Kind::NotYetValid => params.not_before = date_time_ymd(4000, 5, 6),
        Kind::Until(end) => params.not_after = date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(end),
        Kind::MaySign => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
    }
    params
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(params(name, &[], Kind::MaySign), KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority below this one.
    pub fn below(&self, name: &str) -> Self {
        let params = params(name, &[], Kind::MaySign);
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub fn issue(&self, name: &str, hosts: &[&str], kind: Kind) -> Issued {
        self.issue_for(&KeyPair::generate().unwrap(), name, hosts, kind)
    }

    pub fn issue_for(&self, key: &KeyPair, name: &str, hosts: &[&str], kind: Kind) -> Issued {
        let certificate = params(name, hosts, kind).signed_by(key, &self.0).unwrap();
        Issued { chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }
}

impl Issued {
    pub fn self_signed(name: &str, hosts: &[&str], kind: Kind) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, hosts, kind).self_signed(&key).unwrap();
        Self { chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }

    /// The same with the certificate of an authority in between behind it.
    pub fn by_way_of(mut self, between: &Authority) -> Self {
        self.chain.push(between.der());
        self
    }

    pub fn pem(&self) -> String {
        self.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect()
    }

    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }
}

/// RFC 7468.
pub fn pem(label: &str, der: &[u8]) -> String {
    let lines: String = der.chunks(48).map(|line| base64(line) + "\n").collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

/// RFC 4648.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| group << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            text.push(if at <= chunk.len() { char::from(LETTERS[group >> (18 - 6 * at) & 63]) } else { '=' });
        }
    }
    text
}

/// A folder of PEM files.
pub struct Pems(tempfile::TempDir);

impl Pems {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Replaces the file at once, readable by this user alone.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let (next, path) = (self.0.path().join("next"), self.path(name));
        std::fs::write(&next, text).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(next, &path).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}

/// Which versions a server speaks.
pub const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
pub const ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub const ONLY_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What a server shows, and whom alone it lets in.
pub fn server(
    shown: &Issued,
    clients_of: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    configured(shown, clients_of.map(|authority| verifier(authority).build().unwrap()), versions)
}

/// A server that asks for a certificate of this authority and lets in those who have none.
pub fn asking(
    shown: &Issued,
    clients_of: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    configured(shown, Some(verifier(clients_of).allow_unauthenticated().build().unwrap()), versions)
}

fn verifier(authority: &Authority) -> ClientCertVerifierBuilder {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(rustls::crypto::ring::default_provider()))
}

fn configured(
    shown: &Issued,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let key = PrivateKeyDer::try_from(shown.key.clone()).unwrap();
    Arc::new(builder.with_single_cert(shown.chain.clone(), key).unwrap())
}

/// A server of TLS that hands each request on to a server of HTTP, or answers 200 itself.
pub struct Front {
    pub address: SocketAddr,
    /// Each connection gets the next of these, over and over.
    configs: Arc<Mutex<Vec<Arc<ServerConfig>>>>,
    accepted: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    /// The certificates that clients showed, one a connection that came about.
    seen: Arc<Mutex<Vec<Option<CertificateDer<'static>>>>>,
}

impl Front {
    pub fn new(config: Arc<ServerConfig>, behind: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            configs: Arc::new(Mutex::new(vec![config])),
            accepted: Arc::default(),
            open: Arc::default(),
            seen: Arc::default(),
        };
        let (configs, accepted, seen) =
            (Arc::clone(&front.configs), Arc::clone(&front.accepted), Arc::clone(&front.seen));
        let open = Arc::clone(&front.open);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                let config = {
                    let configs = configs.lock().unwrap();
                    Arc::clone(&configs[number % configs.len()])
                };
                let seen = Arc::clone(&seen);
                let stream = stream.unwrap();
                open.lock().unwrap().push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(stream, config, behind, &seen));
            }
        });
        front
    }

    /// With the host that certificates of tests name.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// For the connections that come.
    pub fn become_another(&self, config: Arc<ServerConfig>) {
        self.alternate(vec![config]);
    }

    /// Each connection that comes gets the next of these.
    pub fn alternate(&self, configs: Vec<Arc<ServerConfig>>) {
        *self.configs.lock().unwrap() = configs;
    }

    /// Ends every connection.
    pub fn hang_up(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn seen(&self) -> Vec<Option<CertificateDer<'static>>> {
        self.seen.lock().unwrap().clone()
    }
}

/// A connection once both have agreed; `None` where one of them refused.
pub fn shake_hands<S: Read + Write>(
    config: Arc<ServerConfig>,
    stream: S,
    socket: impl Fn(&S) -> &TcpStream,
) -> Option<StreamOwned<ServerConnection, S>> {
    let mut session = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    while session.conn.is_handshaking() {
        if session.conn.complete_io(&mut session.sock).is_err() {
            // Whoever is refused must be able to read why: what it has sent meanwhile is taken first.
            drop(socket(&session.sock).shutdown(std::net::Shutdown::Write));
            drop(std::io::copy(&mut session.sock, &mut std::io::sink()));
            return None;
        }
    }
    Some(session)
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    behind: Option<SocketAddr>,
    seen: &Mutex<Vec<Option<CertificateDer<'static>>>>,
) {
    let Some(session) = shake_hands(config, stream, |stream| stream) else { return };
    let shown =
        session.conn.peer_certificates().and_then(|chain| chain.first()).map(|shown| shown.clone().into_owned());
    seen.lock().unwrap().push(shown);
    let mut inner = behind.map(|behind| BufReader::new(TcpStream::connect(behind).unwrap()));
    let mut session = BufReader::new(session);
    while let Some(request) = message(&mut session) {
        let answer = match &mut inner {
            None => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine".to_vec(),
            Some(inner) => {
                let answer = inner.get_mut().write_all(&request).ok().and_then(|()| message(inner));
                let Some(answer) = answer else {
                    // Who is behind has hung up: so do we, without a word.
                    drop(session.get_ref().sock.shutdown(std::net::Shutdown::Both));
                    return;
                };
                answer
            }
        };
        if session.get_mut().write_all(&answer).and_then(|()| session.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// A whole request or answer, which says its length.
pub fn message(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut whole, mut length) = (Vec::new(), 0);
    loop {
        let start = whole.len();
        if from.read_until(b'\n', &mut whole).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&whole[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let head = whole.len();
    whole.resize(head + length, 0);
    from.read_exact(&mut whole[head..]).ok()?;
    Some(whole)
}
