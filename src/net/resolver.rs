//! Who turns a destination's name into addresses: the system, or a function of the service's own.
//!
//! Asked for each new connection and never in between, so that a change in DNS moves the traffic as soon as the
//! connections are replaced. No answer is kept.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Finds the addresses of a host. Default: the system's resolver.
///
/// ```
/// use siem_forward::net::{HttpConfig, Resolver};
///
/// let mut http = HttpConfig::default();
/// http.resolver = Resolver::new(|_host, port| Ok(vec![([127, 0, 0, 1], port).into()]));
/// ```
#[derive(Clone, Default)]
pub struct Resolver(Option<Arc<Resolve>>);

impl Resolver {
    /// A resolver that calls `resolve` with the host and port of the URL for each new connection, a host that is an
    /// address already included (an IPv6 address comes without its brackets).
    ///
    /// The addresses are tried in its order. An error, or no address, is a failure to be retried
    /// ([`HttpErrorKind::Dns`](super::HttpErrorKind::Dns)). It runs on a thread of its own and may block: who waits for
    /// it waits no longer than `connect_timeout`. A thread that hangs in it is left behind, so it should end by itself.
    pub fn new(resolve: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(resolve)))
    }

    pub(super) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match &self.0 {
            Some(resolve) => resolve(host, port),
            None => (host, port).to_socket_addrs().map(Iterator::collect),
        }
    }
}

/// Two are equal when both are the system's, or clones of one.
impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }
}

impl Eq for Resolver {}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(custom)" } else { "Resolver(system)" })
    }
}
