//! The HTTP client of one sender: one connection kept alive, one timeout for a whole exchange.
//!
//! ureq speaks HTTP; what surrounds it is ours, since its defaults cost a thread a request for the name's resolution
//! and close a connection whose answer was not read to the end.

use std::fmt;
use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use ureq::http::{Response, header};
use ureq::typestate::{WithBody, WithoutBody};
use ureq::{Agent, Body, RequestBuilder};

use super::dialer::{Dialer, ResolvedLater};
use super::gzip::Gzip;
use super::head::{Aside, is_public};
use super::proxy::Gateway;
use super::retry_after::{rate_limit_reset, retry_after};
use super::socket::is_idle;
use super::{BaseUrl, Compression, HttpConfig, HttpError, HttpErrorKind, Interruptible, Stop, Traffic};

/// The most bytes of an answer that are kept, where nobody asks for more: it is read for its reason.
const BODY_KEPT_MAX: usize = 64 * 1024;
/// The most bytes of an answer that are read, so that the connection can be used again; past it, it is closed.
const BODY_READ_MAX: usize = 1024 * 1024;
/// An answer's head beyond this is none.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// A body up to this size is one write.
const OUTPUT_BYTES: usize = 1024 * 1024;
/// The client needs room for the longest head and more.
const INPUT_BYTES: usize = 128 * 1024;
/// A connection that was idle longer is likely to be closed by the server just when we send.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// An HTTP client for one destination and one thread.
///
/// ```no_run
/// use siem_forward::net::{Http, HttpConfig, Stop};
///
/// let mut http = Http::new(&"https://siem.example".parse()?, &HttpConfig::default(), &Stop::new())?;
/// let answer = http.post("/ingest", &[("Content-Type", "application/json")], b"{}")?;
/// assert_eq!(answer.status, 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Http {
    agent: Agent,
    base: BaseUrl,
    config: HttpConfig,
    /// The proxy that every request is handed to.
    gateway: Option<Arc<Gateway>>,
    /// Headers that the client does not see.
    aside: Arc<Aside>,
    gzip: Gzip,
    /// What is read of an answer at a time.
    scratch: Vec<u8>,
    /// The most bytes of an answer's body that are kept, at most [`BODY_READ_MAX`].
    body_kept_max: usize,
    cut: Arc<AtomicBool>,
    /// Something was sent since the last answer.
    begun: Arc<AtomicBool>,
    /// The connection of the last request, as long as the client keeps it, and when it was answered.
    kept: Arc<Mutex<Weak<TcpStream>>>,
    answered: Instant,
    traffic: Traffic,
    stop: Stop,
    _interrupt: Interruptible,
}

/// Whether a body is one of those that carry events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    AsBody,
    Not,
}

/// What the destination answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The status, 100 to 999.
    pub status: u16,
    /// The body's first 64 KiB, or as much as [`Http::keeping`] says.
    pub body: Vec<u8>,
    /// How long to wait, as `Retry-After` says in seconds or as a date, up to a day; zero where its date has passed,
    /// `None` without it or where it says anything else.
    ///
    /// A date is read against the answer's own `Date`, so that the server's clock need not agree with ours; against our
    /// clock where it has none.
    pub retry_after: Option<Duration>,
    /// What `X-RateLimit-Reset` says, up to a day; `None` without it or where it is not whole seconds. Only who knows the
    /// service may wait so long: with some it is a wait, with others a moment since 1970.
    pub rate_limit_reset: Option<Duration>,
}

impl Answer {
    /// An answer as it was recorded, for tests of what reads it.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), retry_after: None, rate_limit_reset: None }
    }
}

impl Http {
    /// A client for the addresses under `base`. Connects at the first request.
    ///
    /// Redirects are not followed, and a proxy of the environment is used only where the configuration says so: neither
    /// may learn the token.
    ///
    /// # Errors
    /// [`HttpErrorKind::Unreachable`] once stopped, and where the environment names a proxy that is none.
    pub fn new(base: &BaseUrl, config: &HttpConfig, stop: &Stop) -> Result<Self, HttpError> {
        Self::counting(Traffic::default(), base, config, stop)
    }

    /// The same, counting what it does with the destination's others.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn counting(traffic: Traffic, base: &BaseUrl, config: &HttpConfig, stop: &Stop) -> Result<Self, HttpError> {
        if stop.is_stopped() {
            return Err(HttpError::stopped_before_sending());
        }
        let config = config.clone().in_range();
        let (cut, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (aside, kept) = (Arc::new(Aside::default()), Arc::new(Mutex::default()));
        let gateway = config.proxy.on_the_way_to(base);
        let gateway = gateway.map_err(|words| HttpError::new(HttpErrorKind::Unreachable, words))?;
        let dialer = Dialer {
            gateway: gateway.clone(),
            aside: Arc::clone(&aside),
            url: base.clone(),
            config: config.clone(),
            stop: stop.clone(),
            cut: Arc::clone(&cut),
            begun: Arc::clone(&begun),
            kept: Arc::clone(&kept),
            traffic: traffic.clone(),
        };
        let agent = Agent::with_parts(agent_config(&config), dialer, ResolvedLater);
        let stopped = agent.clone();
        let interrupt = stop.on_stop(move || stopped.shutdown());
        Ok(Self {
            agent,
            // Through a tunnel it was shown when the tunnel was asked for.
            gateway: gateway.filter(|_| !base.is_https()),
            aside,
            base: base.clone(),
            gzip: Gzip::of_level(config.compression_level),
            config,
            scratch: vec![0; 16 * 1024],
            body_kept_max: BODY_KEPT_MAX,
            cut,
            begun,
            kept,
            answered: Instant::now(),
            traffic,
            stop: stop.clone(),
            _interrupt: interrupt,
        })
    }

    /// Keeps so many bytes of an answer's body, at most 1 MiB; default 64 KiB. For a destination whose answer says of each
    /// event what became of it.
    #[must_use]
    pub fn keeping(mut self, bytes: usize) -> Self {
        self.body_kept_max = bytes.min(BODY_READ_MAX);
        self
    }

    /// Whether the connection that was kept after the last answer is not to be used any more, so that the next request
    /// makes a new one: the other side closed it, or it was idle for 15 s. False before the first request, and where the
    /// answer said that the connection would be closed.
    pub fn is_closed(&self) -> bool {
        let kept = self.kept.lock().upgrade();
        kept.is_some_and(|stream| !is_idle(&stream) || self.answered.elapsed() >= IDLE_MAX)
    }

    /// Posts `body` to `path` under the base, compressed where the configuration says so.
    ///
    /// # Errors
    /// When there is no answer; its kind tells whether the request may have been taken. Any status is an answer.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, HttpError> {
        let request = self.agent.post(self.base.join(path));
        self.send(request, headers, body, self.config.compression, Counted::AsBody)
    }

    /// The same with PUT.
    ///
    /// # Errors
    /// As with [`post`](Self::post).
    pub fn put(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, HttpError> {
        let request = self.agent.put(self.base.join(path));
        self.send(request, headers, body, self.config.compression, Counted::AsBody)
    }

    /// Posts `body` as it is, whatever the configuration says: to a path that may not know compression.
    ///
    /// # Errors
    /// As with [`post`](Self::post).
    pub fn post_plain(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, HttpError> {
        let request = self.agent.post(self.base.join(path));
        self.send(request, headers, body, Compression::None, Counted::Not)
    }

    fn send(
        &mut self,
        mut request: RequestBuilder<WithBody>,
        headers: &[(&str, &str)],
        body: &[u8],
        compression: Compression,
        counted: Counted,
    ) -> Result<Answer, HttpError> {
        let compressed = match compression {
            Compression::Gzip if body.len() >= self.config.compression_bytes_min => self.gzip.compress(body),
            _ => None,
        };
        for (name, value) in put_aside(&self.aside, headers, self.gateway.as_deref())? {
            request = request.header(name, value);
        }
        if counted == Counted::AsBody {
            self.traffic.posted(body.len(), compressed.map_or(body.len(), <[u8]>::len));
        }
        let response = match compressed {
            Some(compressed) => request.header(header::CONTENT_ENCODING, "gzip").send(compressed),
            None => request.send(body),
        };
        self.answer(response)
    }

    /// Gets `path` under the base.
    ///
    /// # Errors
    /// When there is no answer. Any status is an answer.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, HttpError> {
        let mut request: RequestBuilder<WithoutBody> = self.agent.get(self.base.join(path));
        for (name, value) in put_aside(&self.aside, headers, self.gateway.as_deref())? {
            request = request.header(name, value);
        }
        let response = request.call();
        self.answer(response)
    }

    fn answer(&mut self, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, HttpError> {
        self.answered = Instant::now();
        self.judge(response).inspect_err(|error| self.traffic.failed(error))
    }

    fn judge(&mut self, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, HttpError> {
        // Relaxed: set by this thread, within the request.
        let (is_cut, is_begun) = (self.cut.swap(false, Ordering::Relaxed), self.begun.swap(false, Ordering::Relaxed));
        let answer = response.map_err(HttpError::of_exchange).and_then(|response| self.read(response));
        match answer {
            // Only a proxy says this: the destination never saw the request.
            Ok(answer) if answer.status == 407 && self.gateway.is_some() => {
                Err(self.gateway.as_ref().map_or_else(HttpError::stopped, |gateway| gateway.refusal(407)))
            }
            // It closed while we were sending: its refusal is believed, its thanks are not.
            Ok(answer) if is_cut && answer.status < 400 => {
                Err(HttpError::new(HttpErrorKind::Reset, "closed while the body was being sent"))
            }
            Ok(answer) => Ok(answer),
            // What failed before anything was sent stays what it is: then nothing can have been taken.
            Err(error) if !self.stop.is_stopped() || error.kind().is_before_sending() => Err(error),
            Err(_) if is_begun => Err(HttpError::stopped()),
            Err(_) => Err(HttpError::stopped_before_sending()),
        }
    }

    fn read(&mut self, mut response: Response<Body>) -> Result<Answer, HttpError> {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let rate_limit_reset = rate_limit_reset(response.headers());
        let mut body = Vec::new();
        let mut read_total = 0;
        let mut reader = response.body_mut().as_reader();
        while read_total <= BODY_READ_MAX {
            let read = match reader.read(&mut self.scratch) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => match HttpError::of_exchange(error.into()) {
                    // A refusal is known by its status, whatever its words would have been.
                    error if error.kind() == HttpErrorKind::Reset && status >= 400 => break,
                    error => return Err(error),
                },
            };
            read_total += read;
            let kept = read.min(self.body_kept_max.saturating_sub(body.len()));
            body.extend_from_slice(self.scratch.get(..kept).unwrap_or_default());
        }
        Ok(Answer { status, body, retry_after, rate_limit_reset })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base).field("config", &self.config).finish_non_exhaustive()
    }
}

/// Keeps from the client what it must not see, and gives back what it may.
fn put_aside<'a>(
    aside: &Aside,
    headers: &'a [(&'a str, &'a str)],
    gateway: Option<&Gateway>,
) -> Result<impl Iterator<Item = (&'a str, &'a str)>, HttpError> {
    let headers = headers.iter().copied();
    let to_the_gateway = gateway.and_then(|gateway| Some(("Proxy-Authorization", gateway.authorization()?)));
    aside.set(headers.clone().filter(|(name, _)| !is_public(name)).chain(to_the_gateway))?;
    Ok(headers.filter(|(name, _)| is_public(name)))
}

/// One timeout for all phases, the resolution's and the body's included: each phase gets what is left of it.
fn agent_config(config: &HttpConfig) -> ureq::config::Config {
    Agent::config_builder()
        .timeout_global(Some(config.timeout))
        .timeout_connect(Some(config.connect_timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("siem-forward/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(HEAD_BYTES_MAX)
        .input_buffer_size(INPUT_BYTES)
        .output_buffer_size(OUTPUT_BYTES)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(IDLE_MAX)
        .build()
}
