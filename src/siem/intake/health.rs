//! Whether a destination would take events: asked at a page of its own, with the credential.

use std::time::Instant;

use super::{Endpoint, IntakeConnection};
use crate::net::{Answer, Http, HttpError, HttpErrorKind};
use crate::siem::Health;
use crate::siem::words::readable;

pub(super) fn check(endpoint: &Endpoint, connection: &mut IntakeConnection) -> Health {
    let began = Instant::now();
    connection.authorization = endpoint.credential.current();
    let complaint = match ask(endpoint, connection) {
        Ok(answer) => complaint(endpoint, &answer, connection.authorization.secret()),
        Err(error) => Some(unreachable(endpoint, &error)),
    };
    let health = complaint.map_or_else(Health::healthy, Health::unhealthy);
    health.latency(began.elapsed()).detail("url", endpoint.url.to_string())
}

fn ask(endpoint: &Endpoint, connection: &mut IntakeConnection) -> Result<Answer, HttpError> {
    let mut elsewhere = match &endpoint.checkup.url {
        Some(url) => Some(Http::counting(endpoint.traffic.clone(), url, &endpoint.http, &connection.stop)?),
        None => None,
    };
    let headers = [(endpoint.credential.scheme().header, connection.authorization.as_str())];
    elsewhere.as_mut().unwrap_or(&mut connection.http).get(endpoint.checkup.path, &headers)
}

/// What is wrong, as the answer says: pure.
fn complaint(endpoint: &Endpoint, answer: &Answer, secret: &str) -> Option<String> {
    let (name, status) = (endpoint.name, answer.status);
    let words = readable(&String::from_utf8_lossy(&answer.body), secret);
    Some(match status {
        200..=299 if (endpoint.checkup.is_own)(&answer.body) => return None,
        401 | 403 => format!("{name} refuses the {}: {words} (http {status})", endpoint.credential.scheme().noun),
        408 | 425 | 429 | 500 | 502..=599 => format!("{name} takes no events now: {words} (http {status})"),
        200..=399 | 404 | 405 => format!("there is no {name} at {} (http {status})", asked(endpoint)),
        _ => format!("{name} refuses requests: {words} (http {status})"),
    })
}

fn unreachable(endpoint: &Endpoint, error: &HttpError) -> String {
    let advice = match error.kind() {
        HttpErrorKind::Dns => "; check the host's name",
        HttpErrorKind::Refused => "; check the port",
        HttpErrorKind::Unreachable | HttpErrorKind::Timeout => "; check the address and the firewalls on the way",
        _ => "",
    };
    // A firewall may let through what carries events alone.
    let elsewhere = match endpoint.checkup.url {
        Some(_) => format!("; events go to {}", endpoint.url),
        None => String::new(),
    };
    format!("{} at {} gives no answer: {error}{advice}{elsewhere}", endpoint.name, asked(endpoint))
}

fn asked(endpoint: &Endpoint) -> &crate::net::BaseUrl {
    endpoint.checkup.url.as_ref().unwrap_or(&endpoint.url)
}
