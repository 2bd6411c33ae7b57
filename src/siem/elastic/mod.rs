//! Elasticsearch and OpenSearch, by their bulk API.
//!
//! Each event is created under its own id, in a data stream or in an index by its own date. So an event that is sent again is
//! stored once; and the answer, which has an item for each, is read item by item.

mod document;
mod index;
mod items;
mod bulk;
#[cfg(feature = "cli")]
mod keys;

use std::path::PathBuf;

use serde_json::Value;

use super::credential::{Credential, Scheme, Written};
use super::intake::{Checkup, Condition, Endpoint, Headers, Intake, Method};
use super::{FormatError, IntakeError, Verdict};
use crate::batch::Shape;
use crate::event::AuditEvent;
use crate::event::escape::write_text;
use crate::net::{Answer, BaseUrl, HttpConfig, Traffic};
use crate::secret::{Secret, SecretFile};

use index::{Index, write_name};

const API_KEY: Scheme =
    Scheme { noun: "API key", header: "Authorization", prefix: "ApiKey ", written: Written::AsItIs };
const PASSWORD: Scheme =
    Scheme { noun: "password", header: "Authorization", prefix: "Basic ", written: Written::AsBase64 };
const INDEX: &str = "logs-audit-default";
/// The request, where the events name their index. Of each item what is read, and always its status: an item of which
/// nothing were left would move those behind it.
const PATH: &str =
    "/_bulk?filter_path=errors,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason";
const HEALTH_PATH: &str = "/_cluster/health?filter_path=status";
/// What a server takes by default (`http.max_content_length`), and as many documents as an answer of 1 MiB has items for,
/// with room for errors.
const SHAPE: Shape = Shape { batch_size_max: 10_000, batch_bytes_max: 100_000_000, ..Shape::DEFAULT };
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Elasticsearch or OpenSearch.
///
/// ```
/// use siem_forward::siem::Elastic;
///
/// let elastic = Elastic::new("https://elastic.example:9200")?
///     .api_key("VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==")?
///     .index("audit-%Y.%m.%d")?;
/// # Ok::<(), siem_forward::siem::IntakeError>(())
/// ```
#[derive(Debug)]
pub struct Elastic {
    endpoint: Endpoint,
    index: Index,
    /// Members that all documents have in common.
    shared: Vec<u8>,
}

impl Elastic {
    /// At this base, such as `https://elastic.example:9200`; by default without a credential, and into the data stream
    /// `logs-audit-default`.
    ///
    /// # Errors
    /// When the URL is no base URL.
    pub fn new(url: impl AsRef<str>) -> Result<Self, IntakeError> {
        Ok(Self::of(base(url.as_ref())?, Index::One(INDEX.to_owned())))
    }

    fn of(url: BaseUrl, index: Index) -> Self {
        let endpoint = Endpoint {
            siem_type: "elastic",
            name: "Elasticsearch",
            url,
            method: Method::Post,
            path: path(&index).into(),
            headers: Headers::default(),
            content_type: "application/x-ndjson",
            shape: SHAPE,
            answer_bytes_max: Some(ANSWER_BYTES_MAX),
            credential: None,
            http: HttpConfig::default(),
            checkup: Some(Checkup { url: None, path: HEALTH_PATH.into(), read: condition }),
            traffic: Traffic::default(),
        };
        Self { endpoint, shared: shared(&index), index }
    }

    /// An API key, in the form that Elasticsearch calls `encoded`.
    ///
    /// # Errors
    /// When it is empty or holds what no header can hold.
    pub fn api_key(self, key: impl Into<Secret>) -> Result<Self, IntakeError> {
        let key = Credential::fixed(API_KEY, key.into()).map_err(IntakeError::of_credential(API_KEY))?;
        Ok(self.credential(key))
    }

    /// The same with the key in a file, with or without a line end after it, which is read again for each new connection
    /// and after the key was refused.
    ///
    /// # Errors
    /// When the file holds no key now.
    pub fn api_key_file(self, path: impl Into<PathBuf>) -> Result<Self, IntakeError> {
        let key = Credential::of_file(API_KEY, SecretFile::new(path)).map_err(IntakeError::of_credential(API_KEY))?;
        Ok(self.credential(key))
    }

    /// A user and the password.
    ///
    /// # Errors
    /// When the user's name is empty or holds a colon or a control character, or the password is empty or holds a control
    /// character.
    pub fn basic(self, user: impl AsRef<str>, password: impl Into<Secret>) -> Result<Self, IntakeError> {
        let user = user_of(user.as_ref())?;
        let password = Credential::fixed(PASSWORD, password.into()).map_err(IntakeError::of_credential(PASSWORD))?;
        Ok(self.credential(password.of_user(user)))
    }

    fn credential(mut self, credential: Credential) -> Self {
        self.endpoint.credential = Some(credential);
        self
    }

    /// The data stream or index, or a pattern of index names by the event's own date in UTC: `%Y`, `%m` and `%d` are year,
    /// month and day. Default `logs-audit-default`.
    ///
    /// # Errors
    /// When there can be no index of that name.
    pub fn index(mut self, index: impl AsRef<str>) -> Result<Self, IntakeError> {
        let index = Index::parse(index.as_ref())?;
        self.endpoint.path = path(&index).into();
        self.shared = shared(&index);
        self.index = index;
        Ok(self)
    }

    /// How requests are made, all of it.
    #[must_use]
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.endpoint.http = http;
        self
    }
}

impl Intake for Elastic {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    #[inline]
    fn write(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        body.reserve(self.shared.len() + 640 + event.text.len());
        match &self.index {
            Index::One(_) => body.extend_from_slice(b"{\"create\":{\"_id\":\""),
            Index::ByDate(pieces) => {
                body.extend_from_slice(b"{\"create\":{\"_index\":\"");
                write_name(pieces, event.timestamp, body);
                body.extend_from_slice(b"\",\"_id\":\"");
            }
        }
        event.id.write(body);
        body.extend_from_slice(b"\"}}\n");
        document::write(event, &self.shared, body);
        Ok(())
    }

    fn read(&self, answer: &Answer, events: usize, secret: &str) -> Verdict {
        bulk::read(answer, events, secret)
    }
}

/// Where batches are posted.
fn path(index: &Index) -> String {
    match index {
        Index::One(name) => format!("/{name}{PATH}"),
        Index::ByDate(_) => PATH.to_owned(),
    }
}

/// The members that all documents of an index have in common; the last is `event`, which stays open.
fn shared(index: &Index) -> Vec<u8> {
    let mut shared = format!("\"ecs\":{{\"version\":\"{}\"}},", document::ECS_VERSION).into_bytes();
    shared.extend_from_slice(b"\"observer\":{\"product\":\"siem-forward\"},");
    let parts = index.data_stream();
    if let Some(parts) = parts {
        let names = ["\"data_stream\":{\"type\":", ",\"dataset\":", ",\"namespace\":"];
        for (name, part) in names.into_iter().zip(parts) {
            shared.extend_from_slice(name.as_bytes());
            write_text(part.as_bytes(), &mut shared);
        }
        shared.extend_from_slice(b"},");
    }
    shared.extend_from_slice(b"\"event\":{");
    if let Some([_, dataset, _]) = parts {
        shared.extend_from_slice(b"\"dataset\":");
        write_text(dataset.as_bytes(), &mut shared);
        shared.push(b',');
    }
    shared
}

/// Yellow is a cluster that has all it holds, though not twice. Who may write need not be allowed to ask for this.
fn condition(answer: &Answer) -> Condition {
    let object: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (answer.status, object.get("status").and_then(Value::as_str)) {
        (200, Some("green" | "yellow")) => Condition::Well,
        (200, Some("red")) => Condition::Ill("the cluster is red: not all of its shards can be reached"),
        (403, _) if object.get("error").is_some() => {
            Condition::Reserved("it knows the credential, which may not ask for the cluster's health")
        }
        _ => Condition::Unsaid,
    }
}

fn user_of(user: &str) -> Result<String, IntakeError> {
    if user.is_empty() || user.contains(|letter: char| letter == ':' || letter.is_control()) {
        return Err(IntakeError::Place(
            "a user's name is not empty, and holds no colon and no control character".to_owned(),
        ));
    }
    Ok(user.to_owned())
}

fn base(url: &str) -> Result<BaseUrl, IntakeError> {
    let url: BaseUrl = url.parse()?;
    if url.prefix().ends_with("/_bulk") {
        return Err(IntakeError::Place("the URL is the base: leave out /_bulk".to_owned()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
