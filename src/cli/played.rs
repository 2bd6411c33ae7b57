//! Which destination the embedded receiver plays, as commands name it.

use std::time::Duration;

use clap::ValueEnum;

use super::failure::Failure;
use crate::engine::{Builder, Forwarder};
use crate::net::HttpConfig;
use crate::receiver::Play;
use crate::siem::{Datadog, Elastic, Splunk, Webhook};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Played {
    Splunk,
    Datadog,
    Elastic,
    Webhook,
}

impl Played {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Splunk => "splunk",
            Self::Datadog => "datadog",
            Self::Elastic => "elastic",
            Self::Webhook => "webhook",
        }
    }

    /// The receiver's part, with acknowledgements so much later where they are asked for.
    ///
    /// # Errors
    /// When the destination knows no acknowledgements.
    pub(crate) fn part(self, ack: Option<Duration>) -> Result<Play, Failure> {
        match self {
            Self::Splunk => Ok(Play::Splunk),
            Self::Datadog | Self::Elastic | Self::Webhook if ack.is_some() => {
                Err(Failure::NoAcknowledgements { destination: self.name() })
            }
            Self::Datadog => Ok(Play::Datadog),
            Self::Elastic => Ok(Play::Elastic),
            Self::Webhook => Ok(Play::Webhook),
        }
    }

    /// A forwarder's beginnings to the one who is played at `url`.
    ///
    /// # Errors
    /// When the URL or the token is none.
    pub(crate) fn builder(self, url: &str, token: &str, http: HttpConfig, ack: bool) -> Result<Builder, Failure> {
        Ok(match self {
            Self::Splunk => Forwarder::builder(Splunk::new(url, token)?.http(http).ack(ack)),
            Self::Datadog => Forwarder::builder(Datadog::new("us1", token)?.url(url)?.http(http)),
            Self::Elastic => Forwarder::builder(Elastic::new(url)?.api_key(token)?.http(http)),
            Self::Webhook => Forwarder::builder(Webhook::new(url)?.bearer(token)?.http(http)),
        })
    }
}
