//! How a new connection is made: to the destination or through a proxy, and over TLS where the URL says so.

use std::fmt;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{self, ResolvedSocketAddrs};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle, TransportAdapter,
};

use super::dial::dial;
use super::head::{Aside, Head};
use super::proxy::Gateway;
use super::session::Session;
use super::socket::{Socket, deadline};
use super::{BaseUrl, HttpConfig, HttpError, HttpErrorKind, Stop, Traffic};

/// Answers at once and nothing: the client asks for every request, but a name is resolved where a connection is made.
#[derive(Debug)]
pub(super) struct ResolvedLater;

impl resolver::Resolver for ResolvedLater {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Makes connections to one destination.
pub(super) struct Dialer {
    pub(super) url: BaseUrl,
    pub(super) stop: Stop,
    /// Set by a socket whose peer closed it while we were sending.
    pub(super) cut: Arc<AtomicBool>,
    /// Set by a socket that was written to.
    pub(super) begun: Arc<AtomicBool>,
    /// The connection that was made last, as long as the client keeps it.
    pub(super) kept: Arc<Mutex<Weak<TcpStream>>>,
    pub(super) config: HttpConfig,
    /// The proxy on the way.
    pub(super) gateway: Option<Arc<Gateway>>,
    /// Headers that the client does not see.
    pub(super) aside: Arc<Aside>,
    pub(super) traffic: Traffic,
}

impl Connector for Dialer {
    type Out = Either<Socket, Session>;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let deadline = deadline(details.timeout);
        let place = self.gateway.as_ref().map_or_else(|| self.url.place(), |gateway| gateway.place());
        let stream = dial(place, &self.config.resolver, deadline, &self.stop);
        let stream = Arc::new(stream.map_err(|error| match &self.gateway {
            Some(gateway) => gateway.blamed(&error),
            None => error,
        })?);
        let closing: Weak<TcpStream> = Arc::downgrade(&stream);
        *self.kept.lock() = closing.clone();
        let handle: Weak<dyn ShutdownHandle> = closing;
        (details.register_shutdown)(handle).map_err(|_| HttpError::stopped_before_sending())?;
        let gateway = self.gateway.as_ref();
        if let Some(gateway) = gateway.filter(|_| self.url.is_https()) {
            let tunnel = gateway.tunnel(&stream, self.url.place(), deadline);
            tunnel.map_err(|error| if self.stop.is_stopped() { HttpError::stopped_before_sending() } else { error })?;
        }
        let buffers = || LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let socket = Socket::new(stream, buffers(), &self.cut, &self.begun);
        let head = Head::new(&self.aside, gateway.filter(|_| !self.url.is_https()).map(|_| self.url.origin()));
        if !self.url.is_https() {
            self.traffic.connected(None);
            return Ok(Some(Either::A(socket.with_head(head))));
        }
        let handshake = self.config.tls.handshake(self.config.verify_ssl, self.url.place().host);
        let handshake = handshake.map_err(|words| HttpError::new(HttpErrorKind::Tls, words))?;
        let mut wire = TransportAdapter::new(socket, Arc::clone(&details.current_time));
        let left = deadline.saturating_duration_since(Instant::now());
        wire.set_timeout(NextTimeout { after: left.into(), ..details.timeout });
        match Session::begin(handshake, wire, buffers(), head) {
            Ok(session) => {
                self.traffic.connected(session.certificate_expiry());
                Ok(Some(Either::B(session)))
            }
            // It was we who ended it, not the server.
            Err(_) if self.stop.is_stopped() => Err(HttpError::stopped_before_sending().into()),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("url", &self.url).finish_non_exhaustive()
    }
}
