//! What a collector says: status, code, text, and the bytes of an HTTP answer.
//!
//! Texts and codes are those of Splunk's `http_input` table. Codes travel with a fixed HTTP status, except where a fault
//! asks for another one.
//!
//! Made by [`super::collector`], [`super::reply`] and [`super::poll`], written by [`super::connection`].

use std::collections::BTreeMap;
use std::io::Write;

use super::play::Play;

/// The largest code of the table, and what a fault may ask for at most.
pub(super) const CODE_MAX: u16 = 28;

/// An answer, not yet bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Body,
    /// Seconds.
    pub(super) retry_after: Option<u32>,
    /// The number under which the events can be asked for.
    pub(super) ack_id: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// `{"text":…,"code":…}`, with the number of the event at fault if one is.
    Code {
        code: u16,
        event: Option<u64>,
    },
    /// `{"text":"The requested URL was not found on this server.","code":404}`.
    NotFound,
    /// What a proxy, or the web server in front of the collector, says.
    Html,
    /// `{"acks":{…}}`, by number in ascending order.
    Acks(BTreeMap<u64, bool>),
    /// Text that claims to be JSON.
    NotJson,
    /// Datadog's `{"errors":[{"status":…,"title":…}]}`.
    Errors,
    /// Datadog's `{}`.
    Taken,
    /// Datadog's `{"valid":true}`.
    Valid,
    /// Elasticsearch's `{"error":{…},"status":…}`.
    Failure,
    /// Elasticsearch's `{"errors":…,"items":[…]}`, by the status of each document.
    Items(Vec<u16>),
    /// The health of a cluster that is well.
    Green,
    Empty,
}

/// Whether the answer announces the end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announce {
    KeepAlive,
    Close,
}

impl Answer {
    /// The answer of this code, with the status that Splunk gives it.
    pub(super) fn code(code: u16) -> Self {
        Self::with(status_of(code), Body::Code { code, event: None })
    }

    /// A refusal that names an event.
    pub(super) fn event(code: u16, event: u64) -> Self {
        Self::with(status_of(code), Body::Code { code, event: Some(event) })
    }

    pub(super) fn with(status: u16, body: Body) -> Self {
        Self { status, body, retry_after: None, ack_id: None }
    }

    /// A refusal that says no more than its status.
    pub(super) fn plain(status: u16) -> Self {
        Self::with(status, Body::NotFound)
    }

    pub(super) fn success() -> Self {
        Self::code(0)
    }

    pub(super) fn is_success(&self) -> bool {
        self.status < 300
    }

    /// The same without codes, and with this status for success: in Datadog's words.
    fn without_code(&self, success: u16) -> Self {
        match self.body {
            Body::Code { .. } if self.is_success() => Self::with(success, Body::Taken),
            Body::Code { .. } | Body::NotFound => Self { body: Body::Errors, ..self.clone() },
            _ => self.clone(),
        }
    }

    /// A success is told document by document.
    pub(super) fn tell_items(&mut self, statuses: Vec<u16>) {
        if self.is_success() && matches!(self.body, Body::Code { .. }) {
            self.body = Body::Items(statuses);
        }
    }

    /// The same without codes: in Elasticsearch's words.
    fn as_elastic(&self) -> Self {
        match self.body {
            Body::Code { .. } | Body::NotFound => Self { body: Body::Failure, ..self.clone() },
            _ => self.clone(),
        }
    }

    /// Appends the answer as HTTP/1.1, in the words of whoever is played.
    pub(super) fn write(&self, play: Play, announce: Announce, out: &mut Vec<u8>) {
        match play {
            Play::Splunk => self.write_as_it_is(announce, out),
            Play::Datadog => self.without_code(202).write_as_it_is(announce, out),
            Play::Elastic => self.as_elastic().write_as_it_is(announce, out),
            Play::Webhook => self.without_code(200).write_as_it_is(announce, out),
        }
    }

    fn write_as_it_is(&self, announce: Announce, out: &mut Vec<u8>) {
        let (kind, body) = match &self.body {
            Body::Code { code, event } => {
                let text = text_of(*code);
                let event = event.map_or(String::new(), |event| format!(r#","invalid-event-number":{event}"#));
                let ack = self.ack_id.map_or(String::new(), |ack| format!(r#","ackId":{ack}"#));
                ("application/json; charset=UTF-8", format!(r#"{{"text":"{text}","code":{code}{event}{ack}}}"#))
            }
            Body::Acks(acks) => {
                let acks = acks.iter().map(|(id, given)| format!(r#""{id}":{given}"#)).collect::<Vec<_>>();
                ("application/json; charset=UTF-8", format!(r#"{{"acks":{{{}}}}}"#, acks.join(",")))
            }
            Body::NotFound => (
                "application/json; charset=UTF-8",
                r#"{"text":"The requested URL was not found on this server.","code":404}"#.to_owned(),
            ),
            Body::Html => {
                let title = format!("{} {}", self.status, reason(self.status));
                (
                    "text/html; charset=UTF-8",
                    format!("<!doctype html><html><title>{title}</title><h1>{title}</h1></html>"),
                )
            }
            Body::NotJson => ("application/json; charset=UTF-8", "{\"text\":\"Succ".to_owned()),
            Body::Errors => {
                let (status, title) = (self.status, reason(self.status));
                ("application/json", format!(r#"{{"errors":[{{"status":"{status}","title":"{title}"}}]}}"#))
            }
            Body::Taken => ("application/json", "{}".to_owned()),
            Body::Valid => ("application/json", r#"{"valid":true}"#.to_owned()),
            Body::Failure => {
                let error = error_of(self.status);
                ("application/json", format!(r#"{{"error":{error},"status":{}}}"#, self.status))
            }
            Body::Items(statuses) => ("application/json", items(statuses)),
            Body::Green => ("application/json", r#"{"status":"green"}"#.to_owned()),
            Body::Empty => ("text/plain", String::new()),
        };
        let retry_after = self.retry_after.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
        let connection = match announce {
            Announce::KeepAlive => "Keep-Alive",
            Announce::Close => "Close",
        };
        // Writing into a Vec cannot fail.
        drop(write!(
            out,
            "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: {connection}\r\n{retry_after}\r\n{body}",
            self.status,
            reason(self.status),
            body.len(),
        ));
    }
}

/// What Elasticsearch answers of documents with these statuses, with the members that a sender asks for by `filter_path`.
fn items(statuses: &[u16]) -> String {
    let has_errors = statuses.iter().any(|status| *status != 201);
    let mut text = format!(r#"{{"errors":{has_errors},"items":["#);
    text.reserve(statuses.len() * 27);
    for (number, status) in statuses.iter().enumerate() {
        text.push_str(if number > 0 { "," } else { "" });
        match status {
            201 => text.push_str(r#"{"create":{"status":201}}"#),
            _ => {
                text.extend([r#"{"create":{"status":"#, &status.to_string(), r#","error":"#, &error_of(*status), "}}"]);
            }
        }
    }
    text.push_str("]}");
    text
}

/// What Elasticsearch calls the error of a status.
fn error_of(status: u16) -> String {
    let (kind, why) = match status {
        400 => ("mapper_parsing_exception", "failed to parse"),
        401 | 403 => ("security_exception", "the credential does not allow it"),
        404 => ("index_not_found_exception", "no such index"),
        409 => ("version_conflict_engine_exception", "version conflict, document already exists"),
        429 => ("es_rejected_execution_exception", "rejected execution"),
        503 => ("unavailable_shards_exception", "primary shard is not active"),
        _ => ("exception", reason(status)),
    };
    format!(r#"{{"type":"{kind}","reason":"{why}"}}"#)
}

/// The HTTP status that Splunk sends with a code.
pub(super) fn status_of(code: u16) -> u16 {
    match code {
        0 | 17 | 24 | 25 => 200,
        1 | 4 => 403,
        2 | 3 => 401,
        8 => 500,
        9 | 18..=20 | 23 => 503,
        26 | 27 => 429,
        _ => 400,
    }
}

/// The code that a status means when nobody says more; none where Splunk's web server answers HTML.
pub(super) fn code_of(status: u16) -> Option<u16> {
    match status {
        200 => Some(0),
        400 => Some(6),
        401 => Some(3),
        403 => Some(4),
        429 => Some(26),
        500 => Some(8),
        503 => Some(9),
        _ => None,
    }
}

/// Whether a code blames one event and names it.
pub(super) fn blames_event(code: u16) -> bool {
    matches!(code, 6 | 7 | 12 | 13 | 15)
}

fn text_of(code: u16) -> &'static str {
    match code {
        0 => "Success",
        1 | 22 => "Token disabled",
        2 => "Token is required",
        3 => "Invalid authorization",
        4 | 21 => "Invalid token",
        5 => "No data",
        6 => "Invalid data format",
        7 => "Incorrect index",
        8 => "Internal server error",
        9 => "Server is busy",
        10 => "Data channel is missing",
        11 => "Invalid data channel",
        12 => "Event field is required",
        13 => "Event field cannot be blank",
        14 => "ACK is disabled",
        15 => "Error in handling indexed fields",
        16 => "Query string authorization is not enabled",
        17 => "HEC is healthy",
        18 => "HEC is unhealthy, queues are full",
        19 => "HEC is unhealthy, ack service unavailable",
        20 => "HEC is unhealthy, queues are full, ack service unavailable",
        23 => "Server is shutting down",
        24 => "HEC queue is approaching its capacity limit",
        25 => "HEC ACK is approaching its capacity limit",
        26 => "HEC queue is at capacity and cannot process any more requests",
        27 => "HEC ACK channel is at capacity and cannot process any more requests",
        28 => {
            "Data channel is missing. If you have multiple indexers, sticky session load balancers must be provisioned"
        }
        _ => "Unknown",
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(answer: &Answer, announce: Announce) -> String {
        let mut out = Vec::new();
        answer.write(Play::Splunk, announce, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn success_reads_as_splunk_writes_it() {
        assert_eq!(
            written(&Answer::success(), Announce::KeepAlive),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 27\r\n\
             Connection: Keep-Alive\r\n\r\n{\"text\":\"Success\",\"code\":0}"
        );
    }

    #[test]
    fn a_refusal_names_its_event_and_its_wait() {
        let answer = Answer { retry_after: Some(7), ..Answer::event(6, 3) };
        let text = written(&answer, Announce::Close);
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
        assert!(text.contains("\r\nRetry-After: 7\r\n") && text.contains("\r\nConnection: Close\r\n"), "{text}");
        assert!(text.ends_with(r#"{"text":"Invalid data format","code":6,"invalid-event-number":3}"#), "{text}");
    }

    #[test]
    fn acknowledgements_read_as_splunk_writes_them() {
        let promise = Answer { ack_id: Some(3), ..Answer::success() };
        assert!(written(&promise, Announce::Close).ends_with("\r\n\r\n{\"text\":\"Success\",\"code\":0,\"ackId\":3}"));
        let told = Answer::with(200, Body::Acks([(7, false), (0, true)].into()));
        assert!(written(&told, Announce::Close).ends_with("\r\n\r\n{\"acks\":{\"0\":true,\"7\":false}}"));
        let none = Answer::with(200, Body::Acks(BTreeMap::new()));
        assert!(written(&none, Announce::Close).ends_with("\r\n\r\n{\"acks\":{}}"));
    }

    #[test]
    fn every_code_has_a_text_and_the_default_code_of_a_status_has_that_status() {
        for code in 0..=CODE_MAX {
            assert_ne!(text_of(code), "Unknown", "{code}");
        }
        assert_eq!(text_of(CODE_MAX + 1), "Unknown");
        for status in 200..600 {
            if let Some(code) = code_of(status) {
                assert_eq!(status_of(code), status);
            }
        }
    }
}
