//! Splunk's keys of the configuration file.

use super::{Splunk, SplunkError};
use crate::net::HttpConfig;
use crate::table::{Problems, Table};

impl Splunk {
    /// Takes Splunk's keys out of a pipeline's table, and fetches the token from its place.
    pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
        table.require("url", "url = \"https://splunk.example:8088\"", problems);
        table.require("token", "token = { env = \"SPLUNK_HEC_TOKEN\" }", problems);
        let url = table.take_string("url", problems);
        let token = table.take_secret_place("token", problems).and_then(|place| match place.read() {
            Ok(token) => Some(token),
            Err(error) => {
                table.blame("token", &error.to_string(), "put the token there, or name another place", problems);
                None
            }
        });
        let http = HttpConfig::read(table, problems);
        let mut text = |key| table.take_string(key, problems);
        let (index, source, sourcetype, host) = (text("index"), text("source"), text("sourcetype"), text("host"));
        let mut splunk = match Self::new(url?, token?) {
            Ok(splunk) => splunk.http(http),
            Err(error) => {
                let (key, help) = match error {
                    SplunkError::EmptyToken | SplunkError::TokenCharacters => ("token", "put the bare token there"),
                    SplunkError::Url(_) | SplunkError::Path => ("url", "such as \"https://splunk.example:8088\""),
                };
                table.blame(key, &error.to_string(), help, problems);
                return None;
            }
        };
        if let Some(index) = index {
            splunk = splunk.index(index);
        }
        if let Some(source) = source {
            splunk = splunk.source(source);
        }
        if let Some(sourcetype) = sourcetype {
            splunk = splunk.sourcetype(sourcetype);
        }
        if let Some(host) = host {
            splunk = splunk.host(host);
        }
        Some(splunk)
    }
}
