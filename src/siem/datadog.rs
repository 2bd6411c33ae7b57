//! Datadog, by its Logs API v2.
//!
//! A batch is a JSON array of logs. Datadog takes all of it or nothing, and names no culprit. It says 202 and then cuts
//! what is too large, and drops what is too old, without a word: both are stopped here, before they are sent.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::credential::{Credential, Scheme, Written};
use super::intake::{Checkup, Condition, Endpoint, Headers, Intake, Method};
use super::stamp::Stamp;
use super::words::readable;
use super::{Cause, CauseKind, FormatError, IntakeError, Verdict, machine, status};
use crate::batch::{Mark, Shape};
use crate::event::escape::write_escaped;
use crate::event::{AuditEvent, Field, Fields, Severity, Timestamp};
use crate::format::json::{self, write_field, write_two};
use crate::net::{Answer, BaseUrl, HttpConfig, Traffic};
use crate::secret::{Secret, SecretFile};

const SOURCE: &str = "ddsource";
const SERVICE: &str = "service";
const TAGS: &str = "ddtags";
const HOSTNAME: &str = "hostname";
const PATH: &str = "/api/v2/logs";
const SCHEME: Scheme = Scheme { noun: "API key", header: "DD-API-KEY", prefix: "", written: Written::AsItIs };
/// Datadog's own limits, the megabytes read as the smaller ones.
const SHAPE: Shape = Shape {
    batch_size_max: 1_000,
    batch_bytes_max: 5_000_000,
    event_bytes_max: 1_000_000,
    ..Shape::framed(b"[", b",", b"]")
};
/// Sites by their names; a new one of Datadog's is known by its domain.
const SITES: [(&str, &str); 10] = [
    ("us1", "datadoghq.com"),
    ("us3", "us3.datadoghq.com"),
    ("us5", "us5.datadoghq.com"),
    ("eu", "datadoghq.eu"),
    ("eu1", "datadoghq.eu"),
    ("ap1", "ap1.datadoghq.com"),
    ("ap2", "ap2.datadoghq.com"),
    ("uk1", "uk1.datadoghq.com"),
    ("us1-fed", "ddog-gov.com"),
    ("us2-fed", "us2.ddog-gov.com"),
];
const DOMAINS: [&str; 3] = ["datadoghq.com", "datadoghq.eu", "ddog-gov.com"];
/// As old as a log may be.
const AGE_MAX: Duration = Duration::from_secs(18 * 60 * 60);

/// Datadog's Logs API v2.
///
/// ```
/// use siem_forward::siem::Datadog;
///
/// let datadog = Datadog::new("us3.datadoghq.com", "00000000000000000000000000000000")?.service("gateway").tags("env:prod");
/// # Ok::<(), siem_forward::siem::IntakeError>(())
/// ```
#[derive(Debug)]
pub struct Datadog {
    endpoint: Endpoint,
    /// Zero for any age.
    age_max: Duration,
    stamp: Stamp,
}

impl Datadog {
    /// The site of this name or domain, such as `us3` or `us3.datadoghq.com`, with an API key.
    ///
    /// By default logs have the source `siem-forward`, no service, no tags and the machine's name as hostname, and those
    /// older than 18 hours are not sent.
    ///
    /// # Errors
    /// When Datadog has no such site, or the key is empty or holds what no header can hold.
    pub fn new(site: impl AsRef<str>, api_key: impl Into<Secret>) -> Result<Self, IntakeError> {
        let key = Credential::fixed(SCHEME, api_key.into()).map_err(IntakeError::of_credential(SCHEME))?;
        Ok(Self::of(place_of_site(site.as_ref())?, key))
    }

    /// The same with the key in a file, with or without a line end after it, which is read again for each new connection
    /// and after the key was refused.
    ///
    /// # Errors
    /// When Datadog has no such site, or the file holds no key now.
    pub fn api_key_file(site: impl AsRef<str>, path: impl Into<PathBuf>) -> Result<Self, IntakeError> {
        let key = Credential::of_file(SCHEME, SecretFile::new(path)).map_err(IntakeError::of_credential(SCHEME))?;
        Ok(Self::of(place_of_site(site.as_ref())?, key))
    }

    fn of((url, api): (BaseUrl, Option<BaseUrl>), credential: Credential) -> Self {
        let endpoint = Endpoint {
            siem_type: "datadog",
            name: "Datadog",
            url,
            method: Method::Post,
            path: PATH.into(),
            content_type: "application/json",
            shape: SHAPE,
            answer_bytes_max: None,
            credential: Some(credential),
            headers: Headers::default(),
            http: HttpConfig::default(),
            checkup: Some(Checkup { url: api, path: "/api/v1/validate".into(), read: condition }),
            traffic: Traffic::default(),
        };
        let stamp = Stamp::new([(SOURCE, "siem-forward".to_owned()), (HOSTNAME, machine::name())]);
        Self { endpoint, age_max: AGE_MAX, stamp }
    }

    /// Another address than the site's, for logs and for the health check: that of a proxy of Datadog's own, or of a
    /// private link. It is the base: `/api/v2/logs` is appended.
    ///
    /// # Errors
    /// When the URL is no base URL.
    pub fn url(mut self, url: impl AsRef<str>) -> Result<Self, IntakeError> {
        self.endpoint.url = base(url.as_ref())?;
        if let Some(checkup) = &mut self.endpoint.checkup {
            checkup.url = None;
        }
        Ok(self)
    }

    /// `ddsource`, by which Datadog finds its pipeline. Default `siem-forward`, also where empty: every log has one.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.stamp.set(SOURCE, source.into());
        self
    }

    /// The service. Default: none.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.stamp.set(SERVICE, service.into());
        self
    }

    /// Tags, `key:value` each and separated by commas. Default: none.
    #[must_use]
    pub fn tags(mut self, tags: impl Into<String>) -> Self {
        self.stamp.set(TAGS, tags.into());
        self
    }

    /// The hostname. Default the machine's name; left out where empty.
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.stamp.set(HOSTNAME, hostname.into());
        self
    }

    /// How old an event may be, by its own time and the wall clock, when it is sent; zero for any age. Default 18 hours,
    /// beyond which Datadog takes a log and drops it without a word. An older one goes to the dead letter as `too_old`.
    #[must_use]
    pub fn age_max(mut self, age_max: Duration) -> Self {
        self.age_max = age_max;
        self
    }

    /// How requests are made, all of it.
    #[must_use]
    pub fn http(mut self, http: HttpConfig) -> Self {
        self.endpoint.http = http;
        self
    }

    /// The events that are too old at this moment.
    fn too_old(&self, marks: &[Mark], now: Timestamp) -> Vec<(usize, Cause)> {
        if self.age_max.is_zero() {
            return Vec::new();
        }
        let seconds = self.age_max.as_secs_f64();
        let words = format!("older than {seconds} s (age_max_seconds): Datadog would take it and drop it silently");
        let oldest = i128::from(now.unix_nanos()) - i128::try_from(self.age_max.as_nanos()).unwrap_or(i128::MAX / 2);
        let old = marks.iter().enumerate().filter(|(_, mark)| i128::from(mark.timestamp.unix_nanos()) < oldest);
        old.map(|(index, _)| (index, Cause::new(CauseKind::Custom("too_old")).words(words.as_str()))).collect()
    }
}

impl Intake for Datadog {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    #[inline]
    fn write(&self, event: &AuditEvent, body: &mut Vec<u8>) -> Result<(), FormatError> {
        let fields = event.fields();
        body.reserve(self.stamp.as_bytes().len() + 384 + event.text.len());
        body.push(b'{');
        body.extend_from_slice(self.stamp.as_bytes());
        body.extend_from_slice(b",\"timestamp\":\"");
        event.timestamp.write_rfc3339(body);
        body.extend_from_slice(b"\",\"status\":\"");
        body.extend_from_slice(status_of(event.severity).as_bytes());
        body.extend_from_slice(b"\",\"message\":\"");
        write_message(event, &fields, body);
        body.extend_from_slice(b"\",\"event\":{\"id\":\"");
        event.id.write(body);
        body.extend_from_slice(b"\"},\"evt\":{\"name\":");
        json::write_type(event, &fields, body);
        write_field(&fields, Field::Decision, b",\"outcome\":\"", body);
        // Datadog's own names where it has some; ours stand under `audit`.
        body.extend_from_slice(b"},\"audit\":{\"severity\":\"");
        body.extend_from_slice(event.severity.name().as_bytes());
        body.push(b'"');
        write_field(&fields, Field::ServerId, b",\"server_id\":\"", body);
        write_field(&fields, Field::ToolName, b",\"tool_name\":\"", body);
        write_field(&fields, Field::PolicyId, b",\"policy_id\":\"", body);
        if !fields.details().is_empty() {
            body.extend_from_slice(b",\"details\":");
            fields.details().write(body);
        }
        body.push(b'}');
        let email = (Field::UserEmail, b",\"usr\":{\"email\":\"", b",\"email\":\"");
        write_two(&fields, (Field::UserId, b",\"usr\":{\"id\":\""), email, body);
        if write_field(&fields, Field::IpAddress, b",\"network\":{\"client\":{\"ip\":\"", body) {
            body.extend_from_slice(b"}}");
        }
        let request = (Field::RequestId, b",\"http\":{\"request_id\":\"", b",\"request_id\":\"");
        write_two(&fields, (Field::UserAgent, b",\"http\":{\"useragent\":\""), request, body);
        body.push(b'}');
        Ok(())
    }

    fn read(&self, answer: &Answer, _events: usize, secret: &str) -> Verdict {
        match answer.status {
            202 => Verdict::Accept,
            // Of its other answers the header says how long a window still is that is not used up.
            429 => status::verdict(&patient(answer), &words_of(answer, secret)),
            _ => status::verdict(answer, &words_of(answer, secret)),
        }
    }

    fn outdated(&self, marks: &[Mark]) -> Vec<(usize, Cause)> {
        self.too_old(marks, Timestamp::now())
    }
}

/// The severity, in the words that Datadog colours.
fn status_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "info",
        Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    }
}

/// The answer with the wait that Datadog asks for in its own way, where it asks in no other: `X-RateLimit-Reset` is the
/// seconds until it takes more.
fn patient(answer: &Answer) -> Answer {
    Answer { retry_after: answer.retry_after.or(answer.rate_limit_reset), ..answer.clone() }
}

/// What happened in a line, for whoever looks at a list of logs: what, with which tool, the decision, and who.
fn write_message(event: &AuditEvent, fields: &Fields<'_>, body: &mut Vec<u8>) {
    write_escaped(event.event_type().name().as_bytes(), body);
    let who = if fields.get(Field::UserEmail).is_some() { Field::UserEmail } else { Field::UserId };
    for text in [Field::ToolName, Field::Decision, who].into_iter().filter_map(|field| fields.get(field)) {
        body.push(b' ');
        write_escaped(text, body);
    }
}

/// Datadog's own words: each error's title and detail, else the beginning of the body.
fn words_of(answer: &Answer, secret: &str) -> String {
    let object: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let errors = object.get("errors").and_then(Value::as_array).into_iter().flatten();
    let told = errors.filter_map(|error| match error {
        Value::String(text) => Some(text.clone()),
        error => {
            let part = |key| error.get(key).and_then(Value::as_str);
            let parts: Vec<&str> = [part("title"), part("detail")].into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(": "))
        }
    });
    let told: Vec<String> = told.collect();
    let told = if told.is_empty() { String::from_utf8_lossy(&answer.body) } else { told.join("; ").into() };
    readable(&told, secret)
}

fn condition(answer: &Answer) -> Condition {
    let object: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let is_valid = object.get("valid") == Some(&Value::Bool(true));
    if (200..=299).contains(&answer.status) && is_valid { Condition::Well } else { Condition::Unsaid }
}

/// Where logs go, and where the API is.
fn place_of_site(site: &str) -> Result<(BaseUrl, Option<BaseUrl>), IntakeError> {
    let site = site.trim().to_ascii_lowercase();
    let domain = SITES.iter().find(|(name, _)| *name == site).map_or(site.as_str(), |(_, domain)| domain);
    // A name in front of a domain of Datadog's, and no part of an address: the key goes there.
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let front = DOMAINS.iter().find_map(|known| domain.strip_suffix(known));
    if !front.is_some_and(|front| front.is_empty() || front.strip_suffix('.').is_some_and(is_name)) {
        let words = "is no site of Datadog's: take the domain of its web pages without `app.`, or set `url`";
        return Err(IntakeError::Place(words.to_owned()));
    }
    let (logs, api) = (format!("https://http-intake.logs.{domain}"), format!("https://api.{domain}"));
    Ok((logs.parse()?, Some(api.parse()?)))
}

fn base(url: &str) -> Result<BaseUrl, IntakeError> {
    let url: BaseUrl = url.parse()?;
    if url.prefix().ends_with(PATH) {
        return Err(IntakeError::Place(format!("the URL is the base: leave out {PATH}")));
    }
    Ok(url)
}

#[cfg(feature = "cli")]
mod keys {
    use super::{AGE_MAX, Datadog, HOSTNAME, HttpConfig, SCHEME, SERVICE, SOURCE, TAGS, base, place_of_site};
    use crate::net::BaseUrl;
    use crate::siem::keys;
    use crate::table::{Key, Problems, Section, Table};

    /// A year: what is older belongs in no SIEM.
    const AGE_SECONDS_MAX: f64 = 31_536_000.0;

    impl Datadog {
        pub(crate) const KEYS: Section = Section {
            title: "Datadog Logs API",
            keys: &[
                Key::required("site", "\"datadoghq.com\"").range("a text").meaning(
                    "the site's domain, or its name as `\"us3\"`; not needed where `url` says where logs go",
                ),
                Key::optional("url", "the site's own addresses", "\"https://proxy.example:8443\"")
                    .range("a text")
                    .meaning("another base for logs and the health check; `/api/v2/logs` is appended"),
                Key::required("api_key", "{ env = \"DD_API_KEY\" }")
                    .range("`{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
                    .meaning(
                        "where the API key is; never the key itself. A file is read again for each connection and after \
                         a refusal",
                    ),
                Key::default("source", "\"siem-forward\"")
                    .range("a text")
                    .meaning("Datadog's `ddsource`, by which it finds a pipeline"),
                Key::optional("service", "none", "\"gateway\"").range("a text").meaning("Datadog's `service`"),
                Key::optional("tags", "none", "\"env:prod,team:security\"")
                    .range("a text")
                    .meaning("Datadog's `ddtags`, separated by commas"),
                Key::optional("hostname", "this machine's name", "\"web-1\"")
                    .range("a text")
                    .meaning("Datadog's `hostname`"),
                Key::default("age_max_seconds", "64800").unit("seconds").range("0 to 31536000").meaning(
                    "an older event goes to the dead letter as `too_old` before it is sent, since Datadog takes it and \
                     drops it silently; 0 for any age",
                ),
            ],
        };

        /// Takes Datadog's keys out of a pipeline's table, and fetches the API key from its place.
        pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
            if !table.has("url") {
                table.require("site", "site = \"datadoghq.com\"", problems);
            }
            table.require("api_key", "api_key = { env = \"DD_API_KEY\" }", problems);
            let is_elsewhere = table.has("url");
            let site = table.take_parsed("site", "\"datadoghq.com\"", problems, place_of_site);
            let url = keys::url(table, "https://proxy.example:8443", problems, base);
            let key = keys::credential(table, "api_key", SCHEME, problems);
            let http = HttpConfig::read(table, problems);
            let age_max = table.take_seconds("age_max_seconds", 0.0..=AGE_SECONDS_MAX, problems);
            let members = [("source", SOURCE), ("service", SERVICE), ("tags", TAGS), ("hostname", HOSTNAME)];
            let set = members.map(|(key, member)| (member, table.take_string(key, problems)));
            let place = if is_elsewhere { url.map(|url| (url, None)) } else { site };
            let mut datadog = Self::of(place?, key?).http(http).age_max(age_max.unwrap_or(AGE_MAX));
            for (member, text) in set {
                if let Some(text) = text {
                    datadog.stamp.set(member, text);
                }
            }
            Some(datadog)
        }

        /// Where it is, and how requests to it are made.
        pub(crate) fn address(&self) -> (&BaseUrl, &HttpConfig) {
            (&self.endpoint.url, &self.endpoint.http)
        }
    }
}

#[cfg(test)]
#[path = "datadog_tests.rs"]
mod tests;
