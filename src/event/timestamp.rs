//! A point in time: nanoseconds since 1970 in UTC.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Of a fraction of one decimal, of two, and so on: what its last one counts.
const NANOS_OF_DECIMALS: [i64; 9] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// A point in time in UTC, in nanoseconds since 1970-01-01; from the year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Now, by the system's clock.
    pub fn now() -> Self {
        super::now().wall
    }

    /// From nanoseconds since 1970-01-01T00:00:00Z.
    pub fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn unix_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down, and the nanoseconds beyond them.
    fn split(self) -> (i64, u32) {
        let nanos = u32::try_from(self.0.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0);
        (self.0.div_euclid(NANOS_PER_SECOND), nanos)
    }

    /// Year, month and day in UTC.
    #[inline]
    pub(crate) fn date(self) -> (u32, u32, u32) {
        civil_from_days(self.split().0.div_euclid(86_400))
    }

    /// Writes RFC 3339 in UTC: microseconds, or nanoseconds where there are any.
    #[inline]
    pub(crate) fn write_rfc3339(self, out: &mut Vec<u8>) {
        let (second, nanos) = self.split();
        out.extend_from_slice(&second_in_words(second));
        let mut fraction = *b".000000000Z";
        if nanos % 1000 == 0 {
            put(&mut fraction, 1, 6, nanos / 1000);
            out.extend_from_slice(fraction.first_chunk::<7>().unwrap_or(b".000000"));
            out.push(b'Z');
        } else {
            put(&mut fraction, 1, 9, nanos);
            out.extend_from_slice(&fraction);
        }
    }

    /// Writes seconds since 1970 with six decimals, never with an exponent: what Splunk reads as `time`.
    #[inline]
    pub(crate) fn write_epoch_seconds(self, out: &mut Vec<u8>) {
        let micros = self.0.unsigned_abs() / 1000;
        if self.0 < 0 && micros > 0 {
            out.push(b'-');
        }
        out.extend_from_slice(itoa::Buffer::new().format(micros / 1_000_000).as_bytes());
        let mut text = *b".000000";
        put(&mut text, 1, 6, u32::try_from(micros % 1_000_000).unwrap_or(0));
        out.extend_from_slice(&text);
    }
}

thread_local! {
    /// The second that was last asked for: most events of a thread are of the same one.
    static LAST_SECOND: Cell<(i64, [u8; 19])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

/// A second since 1970 as RFC 3339 has it, without fraction and offset.
#[inline]
fn second_in_words(second: i64) -> [u8; 19] {
    let (last, words) = LAST_SECOND.get();
    if last == second {
        return words;
    }
    let words = put_second(second);
    LAST_SECOND.set((second, words));
    words
}

fn put_second(second: i64) -> [u8; 19] {
    let (year, month, day) = civil_from_days(second.div_euclid(86_400));
    let of_day = u32::try_from(second.rem_euclid(86_400)).unwrap_or(0);
    let mut words = *b"0000-00-00T00:00:00";
    put(&mut words, 0, 4, year);
    put(&mut words, 5, 2, month);
    put(&mut words, 8, 2, day);
    put(&mut words, 11, 2, of_day / 3600);
    put(&mut words, 14, 2, of_day / 60 % 60);
    put(&mut words, 17, 2, of_day % 60);
    words
}

/// Writes `value` as `width` decimal digits at `start`.
#[inline]
fn put<const N: usize>(text: &mut [u8; N], start: usize, width: usize, mut value: u32) {
    debug_assert!(start + width <= N);
    for digit in text.iter_mut().skip(start).take(width).rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

/// Days since 1970 to year, month, day: Howard Hinnant's `civil_from_days` ("chrono-Compatible Low-Level Date
/// Algorithms"), for the years 1677 to 2262 that a timestamp can hold.
fn civil_from_days(days: i64) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (u32::try_from(year).unwrap_or(0), u32::try_from(month).unwrap_or(0), u32::try_from(day).unwrap_or(0))
}

/// The same the other way round, `days_from_civil` of the same source, for a year after 0.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // The year begins with March, so that a leap day is its last.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Nanoseconds since 1970 of a time as nearly all logs write it, `2026-01-01T00:00:00.031983Z`, with nine decimals at most. `None`
/// of any other, right or wrong: a reader of all that RFC 3339 allows takes four times as long.
fn usual(text: &[u8]) -> Option<i64> {
    let (date_and_time, fraction) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', mi1, mi2, b':', s1, s2] = date_and_time
    else {
        return None;
    };
    let year = decimal(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (decimal(&[*mo1, *mo2])?, decimal(&[*d1, *d2])?);
    let (hour, minute, second) = (decimal(&[*h1, *h2])?, decimal(&[*mi1, *mi2])?, decimal(&[*s1, *s2])?);
    let days = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // Leap seconds and the ends of what we can hold are left to the other reader.
    let is_plain = (1700..2200).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let nanos = match fraction {
        [b'Z'] => 0,
        [b'.', digits @ .., b'Z'] => {
            let unit = NANOS_OF_DECIMALS.get(digits.len().checked_sub(1)?)?;
            decimal(digits)? * unit
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    is_plain.then(|| seconds * NANOS_PER_SECOND + nanos)
}

/// A few decimal digits.
#[inline]
fn decimal(digits: &[u8]) -> Option<i64> {
    debug_assert!(digits.len() <= 9);
    let (mut value, mut are_digits) = (0, true);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        are_digits &= digit < 10;
        value = value * 10 + i64::from(digit);
    }
    are_digits.then_some(value)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos)),
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339 with its offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(nanos) = usual(text.as_bytes()) {
            return Ok(Self(nanos));
        }
        let parsed: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        i64::try_from(parsed.as_nanosecond()).map(Self).map_err(|_| InvalidTimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(30);
        self.write_rfc3339(&mut out);
        f.write_str(std::str::from_utf8(&out).unwrap_or_default())
    }
}

/// The text is no point in time that we can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time in RFC 3339 with an offset, such as 2026-01-01T00:00:00.031983Z, between the years 1677 and 2262")]
pub struct InvalidTimestamp;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epoch_seconds(nanos: i64) -> String {
        let mut out = Vec::new();
        Timestamp(nanos).write_epoch_seconds(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn epoch_seconds_never_show_an_exponent() {
        assert_eq!(epoch_seconds(0), "0.000000");
        assert_eq!(epoch_seconds(1_000_000), "0.001000");
        assert_eq!(epoch_seconds(1_763_958_400_999_000_000), "1763958400.999000");
        assert_eq!(epoch_seconds(4_102_444_800_000_000_000), "4102444800.000000");
        assert_eq!(epoch_seconds(-1_500_000_000), "-1.500000");
        assert_eq!(epoch_seconds(-1), "0.000000");
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        assert!("2026-01-01T00:00:00".parse::<Timestamp>().is_err());
        assert!("9999-01-01T00:00:00Z".parse::<Timestamp>().is_err());
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert_eq!("2026-01-01T01:00:00.5+01:00".parse(), Ok(Timestamp(1_767_225_600_500_000_000)));
    }

    #[test]
    fn the_usual_form_is_read_fast_on_every_day() {
        for year in [1600, 1699, 1700, 1900, 1970, 1999, 2000, 2024, 2026, 2100, 2199, 2200, 2300] {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                let text = format!("{year}-{month:02}-{day:02}T12:34:56.123456Z");
                let expected = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond);
                let is_held = (1700..2200).contains(&year);
                assert_eq!(usual(text.as_bytes()).map(i128::from), expected.filter(|_| is_held), "{text}");
            }
        }
        for usual_form in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.031983Z", "2026-12-28T23:59:59.123456789Z"] {
            assert!(usual(usual_form.as_bytes()).is_some(), "{usual_form}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos: i64) {
            let written = Timestamp(nanos).to_string();
            prop_assert_eq!(written.parse::<Timestamp>(), Ok(Timestamp(nanos)));
            let expected = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
            prop_assert_eq!(written.parse::<jiff::Timestamp>().unwrap(), expected);
        }

        #[test]
        fn what_is_read_fast_is_read_as_the_calendar_has_it(
            date in "(1[6-9]|2[0-3])[0-9]{2}-(0[0-9]|1[0-3])-[0-3][0-9]", time in "[0-2][0-9]:[0-6][0-9]:[0-6][0-9]",
            fraction in "(\\.[0-9]{0,10})?", changed in prop::option::of((0usize..30, any::<u8>())),
        ) {
            let mut text = format!("{date}T{time}{fraction}Z").into_bytes();
            if let Some((at, byte)) = changed {
                let at = at % text.len();
                text[at] = byte;
            }
            let Ok(text) = std::str::from_utf8(&text) else { return Ok(()) };
            if let Some(nanos) = usual(text.as_bytes()) {
                let expected = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_nanosecond);
                prop_assert_eq!(expected.ok(), Some(i128::from(nanos)), "{}", text);
            }
        }
    }
}
