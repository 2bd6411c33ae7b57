//! Where a program shows itself, and asking it there.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use super::exposition::Exposition;
use super::pipeline::Observed;
use crate::net::{BaseUrl, InvalidUrl};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A service may show much beside our families.
const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The address of a program's `[metrics] listen`.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    url: BaseUrl,
    agent: Agent,
}

/// Why it is no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEndpoint {
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    #[error("only http is spoken here, as [metrics] listen does: ask on the machine itself, or through a tunnel")]
    Https,
}

/// Why nothing is seen of a program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unseen {
    #[error("nobody answers at {url}: {why}; is it running, with [metrics] listen in its configuration?")]
    Nobody { url: BaseUrl, why: String },
    #[error("{url}/metrics answered {status}: is that the address of [metrics] listen?")]
    Status { url: BaseUrl, status: u16 },
    #[error("{url}/metrics: {why}: is that the address of [metrics] listen?")]
    Unreadable { url: BaseUrl, why: String },
    #[error(
        "{url}/metrics shows no pipeline: is that the address of [metrics] listen, or has the service registered none?"
    )]
    NoPipeline { url: BaseUrl },
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    /// Of a base, with `/metrics` behind it or not.
    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let text = text.trim_end_matches('/');
        let url: BaseUrl = text.strip_suffix("/metrics").unwrap_or(text).parse()?;
        if url.is_https() {
            return Err(NoEndpoint::Https);
        }
        let config = Agent::config_builder();
        // The 503 of `/readyz` is an answer; a proxy of the environment is for elsewhere.
        let config = config.http_status_as_error(false).proxy(None).max_redirects(0).timeout_global(Some(TIMEOUT));
        Ok(Self { url, agent: config.build().new_agent() })
    }
}

impl Endpoint {
    pub(crate) fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// Looks once.
    ///
    /// # Errors
    /// When nobody answers in five seconds, or somebody else does.
    pub(crate) fn look(&self) -> Result<Observed, Unseen> {
        let url = || self.url.clone();
        let (status, text) = self.get("/metrics")?;
        if status != 200 {
            return Err(Unseen::Status { url: url(), status });
        }
        let unreadable = |why: String| Unseen::Unreadable { url: url(), why };
        let scrape = Exposition::parse(&text).map_err(|error| unreadable(error.to_string()))?;
        // A service that registers our metrics with its own has no `/readyz`, or one of another meaning.
        let ready = self.get("/readyz").ok().and_then(|(_, body)| serde_json::from_str::<Value>(&body).ok());
        let observed = Observed::of(&scrape, ready.as_ref());
        if observed.pipelines.is_empty() {
            return Err(Unseen::NoPipeline { url: url() });
        }
        Ok(observed)
    }

    fn get(&self, path: &str) -> Result<(u16, String), Unseen> {
        let unseen = |error: ureq::Error| Unseen::Nobody { url: self.url.clone(), why: words(error) };
        let mut response = self.agent.get(self.url.join(path)).call().map_err(unseen)?;
        let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string().map_err(unseen)?;
        Ok((response.status().as_u16(), body))
    }
}

fn words(error: ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "the connection is refused".to_owned()
        }
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_or_its_metrics() {
        for text in ["http://127.0.0.1:9090", "http://127.0.0.1:9090/", "http://127.0.0.1:9090/metrics"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().url().to_string(), "http://127.0.0.1:9090");
        }
        for (text, complaint) in
            [("https://a:9090", "only http"), ("127.0.0.1:9090", "must begin with"), ("http://", "")]
        {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }
}
