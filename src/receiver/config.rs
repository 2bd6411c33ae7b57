//! How a receiver is set up.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::fault::Fault;
use super::play::Play;

/// What a receiver is asked to be. The default is a healthy collector on a free port of 127.0.0.1 that accepts any token.
#[derive(Clone)]
pub struct ReceiverConfig {
    /// Which destination to play. Default [`Play::Splunk`].
    pub play: Play,
    /// Where a webhook's events have their id, by which they are counted: names with dots between them, as the
    /// destination's `fields.id` has them. Default `id`; of other destinations it is known.
    pub id_field: String,
    /// Where to listen; port 0 takes a free one. Default `127.0.0.1:0`.
    pub address: SocketAddr,
    /// The token that a sender must show. Default `None`: any token is accepted, but there must be one.
    pub token: Option<String>,
    /// How to misbehave, in order of precedence. Default: not at all.
    pub faults: Vec<Fault>,
    /// Indexer acknowledgement, which Splunk alone has: a request is indexed, and acknowledged to whoever asks, so long after it was taken. Then a
    /// sender must name a channel. Default `None`: no acknowledgement, and what is taken is indexed at once.
    pub ack: Option<Duration>,
    /// Bytes of a body, as sent and once inflated, beyond which the answer is 413. Default 838,860,800, as Splunk
    /// Enterprise has it.
    pub content_length_max: usize,
    /// Connections that may be open at a time, each a thread; further ones are closed at once. Default 256.
    pub connections_max: usize,
    /// What to remember of the events that were taken. Default [`Keep::Ids`].
    pub keep: Keep,
}

/// What a receiver remembers of the events that it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keep {
    /// Their ids and how often each came: 24 to 48 bytes an id.
    #[default]
    Ids,
    /// Their ids, a bit each, and nothing for 65,536 neighbours that are all there: for ids that count up, a billion and
    /// more. [`Receiver::ids`](super::Receiver::ids) then tells nothing. Of random ids each takes 8 KB.
    Runs,
    /// Their ids and their text, without limit: for tests.
    Bodies,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            play: Play::default(),
            id_field: "id".to_owned(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            faults: Vec::new(),
            ack: None,
            content_length_max: 838_860_800,
            connections_max: 256,
            keep: Keep::default(),
        }
    }
}

impl fmt::Debug for ReceiverConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReceiverConfig")
            .field("play", &self.play)
            .field("id_field", &self.id_field)
            .field("address", &self.address)
            .field("token", &self.token.as_ref().map(|_| "[secret]"))
            .field("faults", &self.faults)
            .field("ack", &self.ack)
            .field("content_length_max", &self.content_length_max)
            .field("connections_max", &self.connections_max)
            .field("keep", &self.keep)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_never_printed() {
        let config = ReceiverConfig { token: Some("hush".to_owned()), ..ReceiverConfig::default() };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
