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
    /// Elasticsearch's bulk API: a document whose id is held already is a conflict, and is not stored again. A fault that
    /// names an event (`event`, `contains`, `id`) is told of that document alone. With a token, it is the API key.
    Elastic,
    /// A webhook: any path takes events by POST or PUT, and `GET` of any is its health. With a token, as `Bearer`.
    Webhook,
}

/// What is played, and what there is to know of it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) play: Play,
    /// Where a webhook's events have their id.
    pub(super) id_field: String,
}
