//! How long a server asks us to wait: both forms of `Retry-After`, and `X-RateLimit-Reset`, whatever it writes there.

use std::time::{Duration, SystemTime};

use ureq::http::{HeaderMap, HeaderName, header};

/// The longest wait that is told: a day. Whoever waits has a ceiling of its own, and a lower one.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What `Retry-After` says, as a wait from `now` on: none without it, or where it is neither whole seconds nor a date.
///
/// A date is a moment by the server's clock, which its own `Date` tells: ours may be wrong by more than the wait.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, &header::RETRY_AFTER)?;
    let wait = seconds(text).or_else(|| {
        let moment = date(text)?;
        let servers_now = clock_of(headers).unwrap_or(now);
        // A date that has passed asks for no patience any more.
        Some(moment.duration_since(servers_now).unwrap_or_default())
    })?;
    Some(wait.min(WAIT_MAX))
}

/// What `X-RateLimit-Reset` says, where that is whole seconds.
pub(super) fn rate_limit_reset(headers: &HeaderMap) -> Option<Duration> {
    let wait = seconds(text(headers, &HeaderName::from_static("x-ratelimit-reset"))?)?;
    Some(wait.min(WAIT_MAX))
}

/// Digits alone: a sign, a fraction or an exponent is none of the protocol's, and guessing would be ours.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Digits beyond 64 bits are a long time too.
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// The server's own clock, where it tells it.
fn clock_of(headers: &HeaderMap) -> Option<SystemTime> {
    date(text(headers, &header::DATE)?)
}

/// The form of today, and the two obsolete ones that a recipient must still read (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By our clock, which the server of these tests is years behind.
    const NOW: &str = "Tue, 24 Nov 2026 05:00:00 GMT";
    const SERVERS_NOW: &str = "Sun, 06 Nov 1994 08:49:00 GMT";

    fn asked(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        super::retry_after(&headers, super::date(NOW).unwrap())
    }

    /// T19: zero, negative, garbage, and what overflows; whatever the server's clock says.
    #[test]
    fn seconds_are_whole_and_not_negative_or_nothing() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("00", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("86400", Some(86_400)),
            ("1000000000", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("-1", None),
            ("-0", None),
            ("+1", None),
            ("1.5", None),
            ("1e9", None),
            ("0x10", None),
            ("3 s", None),
            ("", None),
            ("soon", None),
            ("\u{663}", None),
        ] {
            for date in [None, Some(SERVERS_NOW), Some("yesterday")] {
                assert_eq!(asked(text, date), seconds.map(Duration::from_secs), "{text:?} {date:?}");
            }
        }
        assert_eq!(super::retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }

    /// T19: the other form, today's and the obsolete ones, counted from the moment at which the server wrote it.
    #[test]
    fn a_date_is_counted_from_the_servers_own_clock() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:48:59 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:49:00 GMT", Some(86_400)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            // No such forms, days or zones.
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 36 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 28:49:37 GMT", None),
            ("06 Nov 1994 08:49:37 GMT", None),
            ("1994-11-06T08:49:37Z", None),
        ] {
            assert_eq!(asked(text, Some(SERVERS_NOW)), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_date_without_a_clock_of_the_servers_is_counted_from_ours() {
        for date in [None, Some(""), Some("yesterday"), Some("-1")] {
            assert_eq!(asked("Tue, 24 Nov 2026 05:01:00 GMT", date), Some(Duration::from_secs(60)), "{date:?}");
            assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT", date), Some(Duration::ZERO), "{date:?}");
        }
    }

    #[test]
    fn a_rate_limit_that_is_reset_says_in_how_many_seconds() {
        let reset = |text: Option<&str>| {
            let named = text.map(|text| (HeaderName::from_static("x-ratelimit-reset"), text.parse().unwrap()));
            rate_limit_reset(&named.into_iter().collect())
        };
        for (text, seconds) in [("0", Some(0)), (" 27 ", Some(27)), ("1763960400", Some(86_400)), ("", None)] {
            assert_eq!(reset(Some(text)), seconds.map(Duration::from_secs), "{text:?}");
        }
        for text in ["-1", "2.5", "soon", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(reset(Some(text)), None, "{text:?}");
        }
        assert_eq!(reset(None), None);
    }

    proptest! {
        /// Any moment, and any wait up to a day.
        #[test]
        fn a_date_is_exact_to_the_second(begun in 0u64..4_000_000_000, wait in 0u64..=86_400) {
            let moment = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let date = httpdate::fmt_http_date(moment(begun));
            let retry_after = httpdate::fmt_http_date(moment(begun + wait));
            prop_assert_eq!(asked(&retry_after, Some(&date)), Some(Duration::from_secs(wait)));
        }

        #[test]
        fn no_header_breaks_it_or_asks_for_more_than_a_day(
            retry_after in "[ -~]{0,40}|[A-Z][a-z]{2,8}, [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8} GMT|[0-9]{0,40}",
            date in proptest::option::of("[ -~]{0,40}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT"),
        ) {
            prop_assert!(asked(&retry_after, date.as_deref()).unwrap_or_default() <= WAIT_MAX);
        }
    }
}
