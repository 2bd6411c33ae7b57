//! A webhook: whatever takes JSON by a request, described rather than programmed.
//!
//! What the original's custom SIEM is written for: an address, a secret, the shape of the body and of the events in it, and
//! the statuses that mean success.

#[cfg(feature = "cli")]
mod keys;
mod layout;

use super::credential::{Credential, Scheme, Written};
use super::intake::{Checkup, Condition, Endpoint, Headers, Intake, Method};
use super::words::readable;
use super::{FormatError, IntakeError, Verdict, status};
use crate::batch::Shape;
use crate::event::AuditEvent;
use crate::format::json;
use crate::net::{Answer, BaseUrl, HttpConfig, Traffic};
use crate::secret::Secret;

use layout::{FIELDS, Layout};

const BEARER: Scheme = Scheme { noun: "token", header: "Authorization", prefix: "Bearer ", written: Written::AsItIs };
const BASIC: Scheme = Scheme { noun: "token", header: "Authorization", prefix: "Basic ", written: Written::AsBase64 };
const ACCEPTED: [u16; 4] = [200, 201, 202, 204];
/// Headers that have a meaning of their own here, or would let somebody put a secret into the configuration.
const RESERVED: [&str; 8] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "proxy-authorization",
    "transfer-encoding",
];

/// A webhook.
///
/// ```
/// use siem_forward::siem::{Webhook, WebhookBody};
///
/// let webhook = Webhook::new("https://siem.example/api")?
///     .bearer("a-token")?
///     .path("/events/batch")?
///     .body(WebhookBody::Under("events".to_owned()))
///     .field("user_id", "user.id")?;
/// # Ok::<(), siem_forward::siem::IntakeError>(())
/// ```
#[derive(Debug)]
pub struct Webhook {
    endpoint: Endpoint,
    /// Empty: our own layout.
    layout: Layout,
    accepted: Vec<u16>,
}

/// How the events of a batch stand in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookBody {
    /// An event a line.
    Ndjson,
    /// A JSON array.
    Array,
    /// An object whose one member, of this name, is the array.
    Under(String),
}

impl Webhook {
    /// At this base, to which the [path](Self::path) is appended; by default NDJSON in our own layout is posted to `/`,
    /// without a secret, and 200, 201, 202 and 204 mean that it is taken.
    ///
    /// # Errors
    /// When the URL is no base URL.
    pub fn new(url: impl AsRef<str>) -> Result<Self, IntakeError> {
        Ok(Self::of(url.as_ref().parse()?))
    }

    fn of(url: BaseUrl) -> Self {
        let endpoint = Endpoint {
            siem_type: "webhook",
            name: "the webhook",
            url,
            method: Method::Post,
            path: "/".into(),
            headers: Headers::default(),
            content_type: "",
            shape: Shape::DEFAULT,
            answer_bytes_max: None,
            credential: None,
            http: HttpConfig::default(),
            checkup: None,
            traffic: Traffic::default(),
        };
        Self { endpoint, layout: Layout::default(), accepted: ACCEPTED.to_vec() }.body(WebhookBody::Ndjson)
    }

    /// A token, shown as `Authorization: Bearer TOKEN`.
    ///
    /// # Errors
    /// When it is empty or holds what no header can hold.
    pub fn bearer(self, token: impl Into<Secret>) -> Result<Self, IntakeError> {
        self.shown_as(BEARER, token.into())
    }

    /// `USER:PASSWORD`, shown as `Authorization: Basic …`.
    ///
    /// # Errors
    /// When it is empty or holds a line end or another control character.
    pub fn basic(self, user_and_password: impl Into<Secret>) -> Result<Self, IntakeError> {
        self.shown_as(BASIC, user_and_password.into())
    }

    fn shown_as(mut self, scheme: Scheme, secret: Secret) -> Result<Self, IntakeError> {
        let credential = Credential::fixed(scheme, secret).map_err(IntakeError::of_credential(scheme))?;
        self.endpoint.credential = Some(credential);
        Ok(self)
    }

    /// Where batches are sent, under the base. Default `/`.
    ///
    /// # Errors
    /// When it does not begin with a slash, or holds a space or what is no ASCII.
    pub fn path(mut self, path: impl AsRef<str>) -> Result<Self, IntakeError> {
        self.endpoint.path = path_of(path.as_ref())?.into();
        Ok(self)
    }

    /// Sends by PUT instead of POST.
    #[must_use]
    pub fn put(mut self) -> Self {
        self.endpoint.method = Method::Put;
        self
    }

    /// One more header in each request, written `Name: value`. It is no place for a secret.
    ///
    /// # Errors
    /// When it is not written so, or the name is one that requests have already.
    pub fn header(mut self, header: impl AsRef<str>) -> Result<Self, IntakeError> {
        self.endpoint.headers.0.push(header_of(header.as_ref())?);
        Ok(self)
    }

    /// How events stand in a body. Default [`WebhookBody::Ndjson`].
    #[must_use]
    pub fn body(mut self, body: WebhookBody) -> Self {
        let json = "application/json";
        (self.endpoint.shape, self.endpoint.content_type) = match body {
            WebhookBody::Ndjson => (Shape::DEFAULT, "application/x-ndjson"),
            WebhookBody::Array => (Shape::framed(b"[", b",", b"]"), json),
            WebhookBody::Under(key) => {
                let mut prefix = vec![b'{'];
                crate::event::escape::write_text(key.as_bytes(), &mut prefix);
                prefix.extend_from_slice(b":[");
                // A shape is copied everywhere and lives as long as the program: a few bytes, once for each webhook.
                (Shape::framed(prefix.leak(), b",", b"]}"), json)
            }
        };
        self
    }

    /// Puts a field of an event, by its name, at a path of names with dots between them, such as `user.id`. Once a field
    /// has a place, those that have none are left out; without any, events stand in our own layout.
    ///
    /// # Errors
    /// When there is no such field, or something else stands at the path or above it.
    pub fn field(mut self, field: &str, path: &str) -> Result<Self, IntakeError> {
        let source = FIELDS.iter().find(|(name, _)| *name == field).map(|(_, source)| *source);
        let source = source.ok_or_else(|| IntakeError::Place(format!("an event has no field {field}")))?;
        self.layout.put(path, source)?;
        Ok(self)
    }

    /// The statuses that mean that all of a batch is taken. Default 200, 201, 202 and 204.
    #[must_use]
    pub fn accepted(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.accepted = statuses.into_iter().collect();
        self
    }

    /// Where its health is asked, under the base: any status from 200 to 299 is healthy. Default: it is not asked.
    ///
    /// # Errors
    /// As for [`path`](Self::path).
    pub fn health_path(mut self, path: impl AsRef<str>) -> Result<Self, IntakeError> {
        self.endpoint.checkup = Some(checkup(path_of(path.as_ref())?));
        Ok(self)
    }

    /// How requests are made, all of it.
    #[must_use]
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.endpoint.http = http;
        self
    }
}

impl Intake for Webhook {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn write(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        if self.layout.is_empty() {
            json::write(event, body);
        } else {
            self.layout.write(event, &event.fields(), body);
        }
        Ok(())
    }

    fn read(&self, answer: &Answer, _events: usize, secret: &str) -> Verdict {
        if self.accepted.contains(&answer.status) {
            return Verdict::Accept;
        }
        status::verdict(answer, &readable(&String::from_utf8_lossy(&answer.body), secret))
    }
}

fn checkup(path: String) -> Checkup {
    let read = |answer: &Answer| match answer.status {
        200..=299 => Condition::Well,
        _ => Condition::Unsaid,
    };
    Checkup { url: None, path: path.into(), read }
}

fn path_of(path: &str) -> Result<String, IntakeError> {
    if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Ok(path.to_owned());
    }
    Err(IntakeError::Place(
        "is no path: it begins with a slash, and other characters than ASCII are written %XX".to_owned(),
    ))
}

/// The text is not repeated: somebody may have put a secret into it.
fn header_of(header: &str) -> Result<(String, String), IntakeError> {
    let wrong = |words: &str| Err(IntakeError::Place(words.to_owned()));
    let Some((name, value)) = header.split_once(':') else { return wrong("a header is written \"Name: value\"") };
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return wrong("a header's name is made of letters, digits, - and _");
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return wrong("a header's value holds a line end or what is no ASCII");
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
        return wrong("requests have this header already; a secret is put where `token` says");
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
