//! Which destination is played.

/// A destination that the receiver can play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Play {
    /// Splunk's HTTP Event Collector.
    #[default]
    Splunk,
    /// Datadog's Logs API v2, and the page where an API key is tried.
    Datadog,
    /// A webhook: any path takes events by POST or PUT, and `GET` of any is its health. With a token, as `Bearer`.
    Webhook,
}
