//! Whether a destination would take events: asked at a page of its own, with the credential.

use std::time::Instant;

use super::{Checkup, Condition, Endpoint, IntakeConnection};
use crate::net::{Answer, BaseUrl, Http, HttpError, HttpErrorKind};
use crate::siem::Health;
use crate::siem::words::readable;

/// The detail of a health that is only supposed.
pub(crate) const UNASKED: &str = "not asked";
/// The same where the destination keeps it to itself.
pub(crate) const UNTOLD: &str = "not told";

pub(super) fn check(endpoint: &Endpoint, connection: &mut IntakeConnection) -> Health {
    let health = Health::healthy().detail("url", endpoint.url.to_string());
    let Some(checkup) = &endpoint.checkup else { return health.detail(UNASKED, "nobody said where it can be asked") };
    let began = Instant::now();
    connection.authorization = endpoint.current();
    let answer = ask(endpoint, checkup, connection);
    let health = health.latency(began.elapsed());
    let complaint = match answer.map(|answer| connection.without_what_was_shown(answer)) {
        Ok(answer) => match (checkup.read)(&answer) {
            Condition::Well => None,
            Condition::Reserved(why) => return health.detail(UNTOLD, why),
            Condition::Ill(what) => Some(what.to_owned()),
            Condition::Unsaid => Some(complaint(endpoint, checkup, &answer, connection.secret())),
        },
        Err(error) => Some(unreachable(endpoint, checkup, &error)),
    };
    Health { healthy: complaint.is_none(), error_message: complaint, ..health }
}

fn ask(endpoint: &Endpoint, checkup: &Checkup, connection: &mut IntakeConnection) -> Result<Answer, HttpError> {
    let mut elsewhere = match &checkup.url {
        Some(url) => Some(Http::counting(endpoint.traffic.clone(), url, &endpoint.http, &connection.stop)?),
        None => None,
    };
    let headers = endpoint.headers(connection.authorization.as_deref());
    elsewhere.as_mut().unwrap_or(&mut connection.http).get(&checkup.path, &headers)
}

/// What is wrong, by the answer's status: pure.
fn complaint(endpoint: &Endpoint, checkup: &Checkup, answer: &Answer, secret: &str) -> String {
    let (name, status) = (endpoint.name, answer.status);
    let noun = endpoint.credential.as_ref().map_or("request", |credential| credential.scheme().noun);
    let words = readable(&String::from_utf8_lossy(&answer.body), secret);
    match status {
        401 | 403 => format!("{name} refuses the {noun}: {words} (http {status})"),
        408 | 425 | 429 | 500 | 502..=599 => format!("{name} takes no events now: {words} (http {status})"),
        200..=399 | 404 | 405 => format!("there is no {name} at {} (http {status})", asked(endpoint, checkup)),
        _ => format!("{name} refuses requests: {words} (http {status})"),
    }
}

fn unreachable(endpoint: &Endpoint, checkup: &Checkup, error: &HttpError) -> String {
    let advice = match error.kind() {
        HttpErrorKind::Dns => "; check the host's name",
        HttpErrorKind::Refused => "; check the port",
        HttpErrorKind::Unreachable | HttpErrorKind::Timeout => "; check the address and the firewalls on the way",
        _ => "",
    };
    // A firewall may let through what carries events alone.
    let elsewhere = match checkup.url {
        Some(_) => format!("; events go to {}", endpoint.url),
        None => String::new(),
    };
    format!("{} at {} gives no answer: {error}{advice}{elsewhere}", endpoint.name, asked(endpoint, checkup))
}

fn asked<'a>(endpoint: &'a Endpoint, checkup: &'a Checkup) -> &'a BaseUrl {
    checkup.url.as_ref().unwrap_or(&endpoint.url)
}
