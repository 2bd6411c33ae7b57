//! Whether the way leads through an HTTP proxy, and through which.
//!
//! Unless it is told to, nobody asks the environment: a variable that happens to be set must not decide who sees an
//! audit trail. To an https URL a tunnel is asked for (CONNECT), so that the proxy sees nothing of it; to an http URL
//! the proxy is handed each request with its whole address, and sees the token too.

mod environment;
mod gateway;
#[cfg(feature = "cli")]
mod keys;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::BaseUrl;

pub(super) use gateway::Gateway;
pub use gateway::InvalidProxy;
pub(crate) use gateway::base64;

/// The way to a destination. Default [`Proxy::none`].
///
/// ```
/// use siem_forward::net::Proxy;
///
/// let proxy: Proxy = "http://user:password@proxy.example:3128".parse()?;
/// assert_eq!(format!("{proxy:?}"), "Proxy(http://proxy.example:3128)");
/// # Ok::<(), siem_forward::net::InvalidProxy>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxy(Choice);

#[derive(Clone, Default, PartialEq, Eq)]
enum Choice {
    #[default]
    None,
    Environment,
    At(Arc<Gateway>),
}

impl Proxy {
    /// Straight to the destination, whatever the environment says.
    pub fn none() -> Self {
        Self(Choice::None)
    }

    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in lower case first, as they are when a connection
    /// is made.
    pub fn environment() -> Self {
        Self(Choice::Environment)
    }

    /// The proxy on the way to `url`.
    pub(super) fn on_the_way_to(&self, url: &BaseUrl) -> Result<Option<Arc<Gateway>>, String> {
        match &self.0 {
            Choice::None => Ok(None),
            Choice::At(gateway) => Ok(Some(Arc::clone(gateway))),
            Choice::Environment => environment::gateway(url, |name| std::env::var(name).ok()),
        }
    }
}

/// `none`, `env`, or a URL such as `http://proxy.example:3128`, in which a user and a password may stand.
impl FromStr for Proxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        Ok(Self(match text.trim() {
            "none" => Choice::None,
            "env" => Choice::Environment,
            url => Choice::At(Arc::new(url.parse()?)),
        }))
    }
}

/// Without user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::None => f.write_str("Proxy(none)"),
            Choice::Environment => f.write_str("Proxy(env)"),
            Choice::At(gateway) => write!(f, "Proxy({gateway})"),
        }
    }
}
