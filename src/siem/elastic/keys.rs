//! Elasticsearch's keys of the configuration file.

use super::{API_KEY, Elastic, INDEX, Index, PASSWORD, base, user_of};
use crate::net::{BaseUrl, HttpConfig};
use crate::siem::credential::Credential;
use crate::siem::keys;
use crate::table::{Key, Problems, Section, Table};

impl Elastic {
    pub(crate) const KEYS: Section = Section {
        title: "Elasticsearch or OpenSearch",
        keys: &[
            Key::required("url", "\"https://elastic.example:9200\"")
                .range("a text")
                .meaning("the base of its addresses; `/_bulk` is appended"),
            Key::optional("api_key", "no credential is shown", "{ env = \"ELASTIC_API_KEY\" }")
                .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
                .meaning(
                    "where the API key is, in the form that Elasticsearch calls `encoded`; never the key itself. A file is \
                     read again for each connection and after a refusal",
                ),
            Key::optional("username", "no credential is shown", "\"siem-forward\"")
                .range("a text")
                .meaning("a user instead of an API key, as OpenSearch wants it; together with `password`"),
            Key::optional("password", "no credential is shown", "{ env = \"ELASTIC_PASSWORD\" }")
                .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
                .meaning("where the user's password is; as with `api_key`"),
            Key::default("index", "\"logs-audit-default\"").range("a text").meaning(
                "the data stream or index; or a pattern such as `\"audit-%Y.%m.%d\"`, by the event's own date in UTC, where an \
                 event that is sent again is known for ever, while a data stream knows it until its next rollover",
            ),
        ],
    };

    /// Takes Elasticsearch's keys out of a pipeline's table, and fetches the credential from its place.
    pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
        table.require("url", "url = \"https://elastic.example:9200\"", problems);
        let url = keys::url(table, "https://elastic.example:9200", problems, base);
        let has_credential = table.has("api_key") || table.has("password") || table.has("username");
        let credential = credential(table, problems);
        let index = table.take_parsed("index", "\"audit-%Y.%m.%d\"", problems, Index::parse);
        let http = HttpConfig::read(table, problems);
        let mut elastic = Self::of(url?, index.unwrap_or(Index::One(INDEX.to_owned()))).http(http);
        if has_credential {
            elastic.endpoint.credential = Some(credential?);
        }
        Some(elastic)
    }

    /// Where it is, and how requests to it are made.
    pub(crate) fn address(&self) -> (&BaseUrl, &HttpConfig) {
        (&self.endpoint.url, &self.endpoint.http)
    }
}

/// An API key, or a user with a password.
fn credential(table: &mut Table<'_>, problems: &mut Problems) -> Option<Credential> {
    let has_key = table.has("api_key");
    for key in ["username", "password"] {
        if has_key && table.has(key) {
            table.blame_secret(key, "stands beside api_key", "one credential is shown: remove the other", problems);
        }
    }
    if !has_key && table.has("username") {
        table.require("password", "password = { env = \"ELASTIC_PASSWORD\" }", problems);
    }
    if !has_key && table.has("password") {
        table.require("username", "username = \"siem-forward\"", problems);
    }
    let key = keys::credential(table, "api_key", API_KEY, problems);
    let user = table.take_parsed("username", "\"siem-forward\"", problems, user_of);
    let password = keys::credential(table, "password", PASSWORD, problems);
    if has_key { key } else { Some(password?.of_user(user?)) }
}
