//! What lies between here and an endpoint, found step by step: name, connection, TLS. Nothing of HTTP is sent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::dial::{Place, await_work, connect, resolve};
use super::tls::Described;
use super::{BaseUrl, HttpConfig, HttpError, HttpErrorKind, Stop};

const ZERO: Duration = Duration::ZERO;

/// What lies between here and an endpoint, step by step; each step needs the one before. An error says why, and what
/// to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// The proxy on the way, without its password. `None` where there is none.
    pub(crate) proxy: Option<String>,
    /// The host that was looked up and connected to.
    pub(crate) host: String,
    /// The addresses of the host.
    pub(crate) dns: Result<Vec<SocketAddr>, String>,
    /// The address that answered. `None` where the name did not resolve.
    pub(crate) tcp: Option<Result<SocketAddr, String>>,
    /// What was agreed upon. `None` without a connection, and where the URL is http.
    pub(crate) tls: Option<Result<TlsSeen, String>>,
    /// How long the name, the connection and TLS took; zero where there was nothing to do.
    pub(crate) took: [Duration; 3],
}

/// A TLS connection that came about, and whom the server's certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsSeen {
    /// Such as `TLS 1.3`.
    pub(crate) version: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// Unix seconds.
    pub(crate) not_after: i64,
}

/// Looks at what lies between here and `url`: where a proxy is on the way, name and connection are the proxy's, and TLS
/// goes through its tunnel. It takes no longer than `timeout`.
pub(crate) fn probe(url: &BaseUrl, config: &HttpConfig, timeout: Duration) -> Probe {
    let deadline = Instant::now() + timeout;
    let unreached = |dns, host: &str, took| Probe {
        proxy: None,
        host: host.to_owned(),
        dns,
        tcp: None,
        tls: None,
        took: [took, ZERO, ZERO],
    };
    let gateway = match config.proxy.on_the_way_to(url) {
        Ok(gateway) => gateway,
        Err(why) => return unreached(Err(why), url.place().host, ZERO),
    };
    let proxy = gateway.as_ref().map(ToString::to_string);
    let place = gateway.as_ref().map_or_else(|| url.place(), |gateway| gateway.place());
    let (dns, dns_took) = timed(|| look_up(place, config, deadline));
    let Ok(addresses) = &dns else { return Probe { proxy, ..unreached(dns, place.host, dns_took) } };
    let (connected, tcp_took) = timed(|| {
        let stream = connect(addresses, deadline)?;
        let peer = stream.peer_addr().map_err(|error| HttpError::of_connect(&error))?;
        Ok((stream, peer))
    });
    let (tcp, stream) = match connected {
        Ok((stream, peer)) => (Ok(peer), Some(stream).filter(|_| url.is_https())),
        Err(why) => (Err(why), None),
    };
    let tls = stream.map(|stream| {
        timed(|| {
            if let Some(gateway) = &gateway {
                gateway.tunnel(&stream, url.place(), deadline)?;
            }
            shake_hands(stream, url, config, deadline)
        })
    });
    let (tls, tls_took) = tls.map_or((None, ZERO), |(tls, took)| (Some(tls), took));
    let host = place.host.to_owned();
    Probe { proxy, host, dns, tcp: Some(tcp), tls, took: [dns_took, tcp_took, tls_took] }
}

fn look_up(place: Place<'_>, config: &HttpConfig, deadline: Instant) -> Result<Vec<SocketAddr>, HttpError> {
    let (resolver, host, port) = (config.resolver.clone(), place.host.to_owned(), place.port);
    let too_late = || HttpError::new(HttpErrorKind::Dns, "the name did not resolve in time");
    await_work(move || resolve(&resolver, &host, port), deadline, &Stop::new(), too_late)
}

fn shake_hands(stream: TcpStream, url: &BaseUrl, config: &HttpConfig, deadline: Instant) -> Result<TlsSeen, HttpError> {
    let failed = |words: String| HttpError::new(HttpErrorKind::Tls, words);
    let mut handshake = config.tls.handshake(config.verify_ssl, url.place().host).map_err(failed)?;
    handshake.complete(&mut Hurried { stream, deadline }).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failed("no secure connection in time".to_owned()),
        _ => failed(handshake.why(&error)),
    })?;
    let seen = handshake.leaf().and_then(Described::of);
    let seen = seen.ok_or_else(|| failed("the server shows no certificate that can be read".to_owned()))?;
    Ok(TlsSeen {
        version: handshake.version().to_owned(),
        issuer: seen.issuer,
        subject: seen.subject,
        not_after: seen.not_after,
    })
}

fn timed<T>(step: impl FnOnce() -> Result<T, HttpError>) -> (Result<T, String>, Duration) {
    let began = Instant::now();
    let found = step().map_err(|error| error.words().to_owned());
    (found, began.elapsed())
}

/// A stream each of whose operations ends at one deadline.
struct Hurried {
    stream: TcpStream,
    deadline: Instant,
}

impl Hurried {
    /// A timeout of zero would be none.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Hurried {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(into)
    }
}

impl Write for Hurried {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::http_tests::self_signed;
    use super::super::script::{Request, Script, hang, play, reply};
    use super::*;
    use std::io::BufReader;
    use std::thread;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn probed(url: &str, config: &HttpConfig, timeout: Duration) -> Probe {
        probe(&url.parse().unwrap(), config, timeout)
    }

    #[test]
    fn each_step_is_found_and_the_certificate_is_told() {
        let (script, certificate) = self_signed();
        let mut config = HttpConfig::default();
        let refused = probed(&script.url, &config, PATIENCE);
        assert!(refused.dns.is_ok() && refused.tcp.unwrap().is_ok());
        assert!(refused.tls.unwrap().unwrap_err().contains("self-signed"));

        config.tls.ca = Some(certificate.path().to_owned());
        let found = probed(&script.url, &config, PATIENCE);
        let port = script.url.rsplit(':').next().unwrap().parse().unwrap();
        assert_eq!(found.tcp, Some(Ok(SocketAddr::from(([127, 0, 0, 1], port)))));
        let tls = found.tls.unwrap().unwrap();
        assert_eq!((tls.version.as_str(), tls.issuer.as_str()), ("TLS 1.3", "CN=rcgen self signed cert"));
        // The first second of the year 4096, which is rcgen's own.
        assert_eq!((tls.subject, tls.not_after), (tls.issuer, 67_090_118_400));
        config = HttpConfig { verify_ssl: false, ..HttpConfig::default() };
        assert!(probed(&script.url, &config, PATIENCE).tls.unwrap().is_ok(), "believed, and told all the same");
    }

    /// A proxy that passes on whatever is asked of it.
    fn tunnel() -> Script {
        play(|client| {
            let mut requests = BufReader::new(client.try_clone().unwrap());
            let request = Request::read(&mut requests).unwrap();
            let target = request.head[0].split(' ').nth(1).unwrap().to_owned();
            let server = TcpStream::connect(target).unwrap();
            reply(&mut &client, "200 OK", b"").unwrap();
            let (mut back, mut from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || drop(io::copy(&mut from, &mut back)));
            drop(io::copy(&mut requests, &mut &server));
        })
    }

    #[test]
    fn through_a_proxy_the_connection_is_its_own_and_tls_the_servers() {
        let ((script, certificate), proxy) = (self_signed(), tunnel());
        let mut config = HttpConfig { proxy: proxy.url.parse().unwrap(), ..HttpConfig::default() };
        config.tls.ca = Some(certificate.path().to_owned());
        let found = probed(&script.url, &config, PATIENCE);
        assert_eq!(found.dns, Ok(vec![proxy.url.trim_start_matches("http://").parse().unwrap()]));
        assert_eq!(found.tcp, Some(Ok(found.dns.unwrap()[0])));
        assert_eq!(found.tls.unwrap().unwrap().subject, "CN=rcgen self signed cert");
        assert_eq!((script.connections(), proxy.connections()), (1, 1));

        let deaf = play(|mut stream| drop(reply(&mut stream, "407 Who", b"")));
        config.proxy = deaf.url.parse().unwrap();
        let error = probed(&script.url, &config, PATIENCE).tls.unwrap().unwrap_err();
        assert!(error.contains("answers http 407: it demands a user"), "{error}");
    }

    #[test]
    fn a_step_that_fails_is_the_last() {
        let config = HttpConfig::default();
        let nowhere = probed("https://no-such-host.invalid", &config, PATIENCE);
        assert!(nowhere.dns.unwrap_err().contains("no-such-host.invalid"));
        assert_eq!((nowhere.tcp, nowhere.tls), (None, None));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let closed = probed(&format!("https://{free}"), &config, PATIENCE);
        assert_eq!((closed.tcp.unwrap().is_err(), closed.tls), (true, None));
        let plain = play(|mut stream| drop(hang(&mut stream)));
        assert_eq!(probed(&plain.url, &config, PATIENCE).tls, None, "none is asked for");
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up_in_time() {
        let silent = play(|mut stream| drop(hang(&mut stream)));
        let began = Instant::now();
        let url = silent.url.replace("http:", "https:");
        let error = probed(&url, &HttpConfig::default(), Duration::from_millis(200)).tls.unwrap().unwrap_err();
        assert!(error.contains("in time"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}
