//! Splunk's keys of the configuration file.

use super::{SCHEME, Splunk, base};
use crate::net::{BaseUrl, HttpConfig};
use crate::siem::keys;
use crate::table::{Key, Problems, Section, Table};

impl Splunk {
    pub(crate) const KEYS: Section = Section {
        title: "Splunk HTTP Event Collector",
        keys: &[
            Key::required("url", "\"https://splunk.example:8088\"")
                .range("a text")
                .meaning("the collector's base; `/services/collector/event` is appended"),
            Key::required("token", "{ env = \"SPLUNK_HEC_TOKEN\" }")
                .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
                .meaning(
                    "where the token is; never the token itself. A file is read again for each connection and after a \
                     refusal: replace it whole, and the token is changed without a restart",
                ),
            Key::optional("index", "the token's own", "\"audit\"")
                .range("a text")
                .meaning("the index, which the token must allow"),
            Key::default("source", "\"siem-forward\"").range("a text").meaning("Splunk's `source`"),
            Key::default("sourcetype", "\"siem_forward:audit\"").range("a text").meaning("Splunk's `sourcetype`"),
            Key::optional("host", "this machine's name", "\"web-1\"").range("a text").meaning("Splunk's `host`"),
            Key::default("ack", "false").range("true or false").meaning(
                "indexer acknowledgement: delivered means indexed, seconds later, and the token must have useACK; \
                 otherwise it means queued by Splunk",
            ),
        ],
    };

    /// Takes Splunk's keys out of a pipeline's table, and fetches the token from its place.
    pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
        table.require("url", "url = \"https://splunk.example:8088\"", problems);
        table.require("token", "token = { env = \"SPLUNK_HEC_TOKEN\" }", problems);
        // Each for itself, so that a mistake in one does not hide a mistake in the other.
        let url = keys::url(table, "https://splunk.example:8088", problems, base);
        let token = keys::credential(table, "token", SCHEME, problems);
        let http = HttpConfig::read(table, problems);
        let ack = table.take_bool("ack", problems).unwrap_or_default();
        let mut text = |key| table.take_string(key, problems);
        let (index, source, sourcetype, host) = (text("index"), text("source"), text("sourcetype"), text("host"));
        let mut splunk = Self::of(url?, token?).http(http).ack(ack);
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

    /// Where it is, and how requests to it are made.
    pub(crate) fn endpoint(&self) -> (&BaseUrl, &HttpConfig) {
        (&self.url, &self.http)
    }

    /// Whether batches wait for an acknowledgement.
    pub(crate) fn acknowledges(&self) -> bool {
        self.ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgement_is_asked_for_by_its_key_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hush").unwrap();
        let ack_of = |key: &str| {
            let place = file.path().display();
            let text = format!("url = \"https://splunk.example:8088\"\ntoken = {{ file = \"{place}\" }}\n{key}\n");
            let mut problems = Problems::new(std::path::Path::new("siem.toml"), &text);
            let mut table = Table::parse(&text, &mut problems).unwrap();
            let splunk = Splunk::read(&mut table, &mut problems).unwrap();
            table.finish(&mut problems);
            problems.is_empty().then_some(splunk.ack)
        };
        assert_eq!(ack_of(""), Some(false));
        assert_eq!(ack_of("ack = true"), Some(true));
        assert_eq!(ack_of("ack = false"), Some(false));
        assert_eq!(ack_of("ack = \"yes\""), None);
    }
}
