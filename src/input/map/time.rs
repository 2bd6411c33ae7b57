//! Times as logs write them.

use crate::event::Timestamp;

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeFormat {
    Rfc3339,
    Seconds,
    Milliseconds,
    Nanoseconds,
}

impl TimeFormat {
    pub(super) const CHOICES: [(&'static str, Self); 4] = [
        ("rfc3339", Self::Rfc3339),
        ("seconds", Self::Seconds),
        ("milliseconds", Self::Milliseconds),
        ("nanoseconds", Self::Nanoseconds),
    ];

    /// What it is called where a text is none.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rfc3339 => "time in RFC 3339 with an offset",
            Self::Seconds => "number of seconds since 1970",
            Self::Milliseconds => "number of milliseconds since 1970",
            Self::Nanoseconds => "number of nanoseconds since 1970",
        }
    }

    /// Reads a time, between the years 1677 and 2262.
    pub(super) fn read(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Rfc3339 => text.parse().ok(),
            Self::Seconds => nanos(without_serial(text), 9),
            Self::Milliseconds => nanos(text, 6),
            Self::Nanoseconds => nanos(text, 0),
        }
    }
}

/// The stamp of Linux' audit, `audit(1767614400.123:456)`, has a serial number behind the seconds.
fn without_serial(text: &str) -> &str {
    let text = text.split_once("audit(").map_or(text, |(_, stamp)| stamp);
    text.split([':', ')']).next().unwrap_or(text)
}

/// A decimal number in units of ten to the `scale` nanoseconds; what is less than one is cut off.
fn nanos(text: &str, scale: i64) -> Option<Timestamp> {
    let (sign, digits) = text.trim().strip_prefix('-').map_or((1, text.trim()), |rest| (-1, rest));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let exponent: i64 = exponent.parse::<i8>().ok()?.into();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // So many of all digits stand before the point once the number counts nanoseconds.
    let before = i64::try_from(whole.len()).ok()? + exponent + scale;
    let mut all = whole.bytes().chain(fraction.bytes());
    let mut value: i64 = 0;
    for _ in 0..before.max(0) {
        let digit = all.next().map_or(0, |byte| byte - b'0');
        value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
    }
    Some(Timestamp::from_unix_nanos(sign * value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_the_nanosecond_in_their_unit() {
        use TimeFormat::{Milliseconds, Nanoseconds, Rfc3339, Seconds};
        for (format, text, nanos) in [
            (Seconds, "1767614400", Some(1_767_614_400_000_000_000)),
            (Seconds, "1767614400.123456789", Some(1_767_614_400_123_456_789)),
            (Seconds, "1767614400.123:456", Some(1_767_614_400_123_000_000)),
            (Seconds, "audit(1767614400.123:456)", Some(1_767_614_400_123_000_000)),
            (Seconds, "type=X msg=audit(1767614400.5:9): a=1", Some(1_767_614_400_500_000_000)),
            (Seconds, "1.7676144e9", Some(1_767_614_400_000_000_000)),
            (Seconds, "-1.5", Some(-1_500_000_000)),
            (Seconds, "1767614400123", None),
            (Seconds, "1e127", None),
            (Seconds, "1e999", None),
            (Milliseconds, "1767614400123", Some(1_767_614_400_123_000_000)),
            (Milliseconds, "1767614400123.5", Some(1_767_614_400_123_500_000)),
            (Nanoseconds, "1767614400123456789", Some(1_767_614_400_123_456_789)),
            (Nanoseconds, "12.9", Some(12)),
            (Nanoseconds, "9223372036854775808", None),
            (Rfc3339, "2026-01-05T12:00:00Z", Some(1_767_614_400_000_000_000)),
            (Rfc3339, "1767614400", None),
            (Seconds, "", None),
            (Seconds, "now", None),
            (Seconds, "1,5", None),
            (Seconds, ".5", None),
        ] {
            assert_eq!(format.read(text).map(Timestamp::unix_nanos), nanos, "{text}");
        }
    }
}
