//! Whether Splunk would take events: is the collector up, and is the token good?
//!
//! The collector's own health answers any token. A request without events shows whether the token is good: Splunk
//! then misses the data (code 5), and nothing is written. Whether the token acknowledges is asked on a channel without
//! events.

use std::time::Instant;

use super::ack::{self, Examined};
use super::read::{NO_ACKNOWLEDGEMENT, Reply, read};
use super::{HEALTH_PATH, Splunk, SplunkConnection};
use crate::net::{HttpError, HttpErrorKind};
use crate::siem::{Health, Verdict};

pub(super) fn check(splunk: &Splunk, connection: &mut SplunkConnection) -> Health {
    let began = Instant::now();
    let health = match examine(splunk, connection) {
        Ok(()) => Health::healthy(),
        Err(complaint) => Health::unhealthy(complaint),
    };
    let health = health.latency(began.elapsed()).detail("url", splunk.url.to_string());
    match splunk.envelope.as_index() {
        Some(index) => health.detail("index", index),
        None => health,
    }
}

fn examine(splunk: &Splunk, connection: &mut SplunkConnection) -> Result<(), String> {
    connection.authorization = splunk.token.current();
    let answer = connection.http.get(HEALTH_PATH, &[]).map_err(|error| unreachable(splunk, &error))?;
    // Other answers leave it to the token's test to say what is wrong: not every collector has this page.
    if answer.status == 429 || answer.status >= 500 {
        let words = Reply::of(&answer, connection.authorization.secret()).words;
        return Err(format!("Splunk takes no events now: {words} (http {})", answer.status));
    }
    let answer = Splunk::post(connection, b"").map_err(|error| unreachable(splunk, &error))?;
    let reply = Reply::of(&answer, connection.authorization.secret());
    let words = reply.words;
    // Nothing was sent that could be acknowledged.
    match (answer.status, reply.code, read(&answer, connection.sent(0, 0, false))) {
        (400, Some(5), _) | (_, _, Verdict::Accept) => acknowledges(splunk, connection),
        (401 | 403, ..) | (400, Some(1..=4 | 21 | 22), _) => Err(format!(
            "Splunk refuses the token: {words}; check it under Settings > Data inputs > HTTP Event Collector"
        )),
        (200..=399 | 404 | 405, ..) => Err(format!(
            "there is no HTTP Event Collector at {} (http {}): the URL is the collector's base, port 8088 by default",
            splunk.url, answer.status
        )),
        (status, _, Verdict::Retry { .. }) => Err(format!("Splunk takes no events now: {words} (http {status})")),
        (status, ..) => Err(format!("Splunk refuses requests: {words} (http {status})")),
    }
}

/// Whether batches will be acknowledged, where they must be.
fn acknowledges(splunk: &Splunk, connection: &mut SplunkConnection) -> Result<(), String> {
    if !splunk.ack {
        return Ok(());
    }
    match ack::examine(connection).map_err(|error| unreachable(splunk, &error))? {
        Examined::Acknowledges => Ok(()),
        Examined::Disabled(words) => Err(format!("{NO_ACKNOWLEDGEMENT}; Splunk says: {words}")),
        Examined::Unknown(answer, words) => Err(format!(
            "{} does not answer questions about acknowledgement, without which nothing counts as delivered (ack = \
             true): {words} (http {})",
            splunk.url, answer.status
        )),
    }
}

fn unreachable(splunk: &Splunk, error: &HttpError) -> String {
    let advice = match error.kind() {
        HttpErrorKind::Refused => "; check the port (8088 by default) and that HTTP Event Collector is enabled",
        HttpErrorKind::Dns => "; check the host's name",
        HttpErrorKind::Unreachable | HttpErrorKind::Timeout => "; check the address and the firewalls on the way",
        HttpErrorKind::Reset | HttpErrorKind::Garbage if !splunk.url.is_https() => {
            "; check whether the port speaks https"
        }
        _ => "",
    };
    format!("Splunk at {} gives no answer: {error}{advice}", splunk.url)
}
