//! Figures for people: numbers with separators, durations and bytes with units.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `2 events`; the plural is made with an s.
pub(crate) fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// The form of a verb that fits.
pub(crate) fn verb(value: u64, one: &'static str, many: &'static str) -> &'static str {
    if value == 1 { one } else { many }
}

/// Three digits and the unit that fits: `350 ns`, `1.24 ms`, `2.50 s`.
pub(crate) fn duration(value: Duration) -> String {
    let nanos = value.as_secs_f64() * 1e9;
    let (scaled, unit) = match nanos {
        _ if nanos < 1e3 => (nanos, "ns"),
        _ if nanos < 1e6 => (nanos / 1e3, "µs"),
        _ if nanos < 1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    match scaled {
        _ if unit == "ns" => format!("{scaled:.0} {unit}"),
        _ if scaled < 10.0 => format!("{scaled:.2} {unit}"),
        _ if scaled < 100.0 => format!("{scaled:.1} {unit}"),
        _ => format!("{scaled:.0} {unit}"),
    }
}

/// How long something has waited: `0 s`, `12.3 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn age(value: Duration) -> String {
    let seconds = value.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, _) if value.is_zero() => "0 s".to_owned(),
        (0, 0, 0, _) => format!("{:.1} s", value.as_secs_f64()),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// `0.125` as `12 %`.
pub(crate) fn percent(ratio: f64) -> String {
    format!("{:.0} %", (ratio * 100.0).floor())
}

/// Bytes in the unit that fits: `900 B`, `12.3 KB`, `38.2 MB`.
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
pub(crate) fn bytes(value: u64) -> String {
    let bytes = value as f64;
    match value {
        0..1000 => format!("{value} B"),
        1000..1_000_000 => format!("{:.1} KB", bytes / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

/// How many a second.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
pub(crate) fn rate(events: u64, elapsed: Duration) -> u64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { (events as f64 / seconds) as u64 } else { 0 }
}

/// Seconds per million events.
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
pub(crate) fn per_million(time: Duration, events: u64) -> f64 {
    if events == 0 { 0.0 } else { time.as_secs_f64() * 1e6 / events as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_carry_units_and_separators() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!((counted(1, "event"), counted(2000, "event")), ("1 event".to_owned(), "2,000 events".to_owned()));
        assert_eq!((verb(1, "is", "are"), verb(0, "is", "are")), ("is", "are"));
        assert_eq!(duration(Duration::from_nanos(350)), "350 ns");
        assert_eq!(duration(Duration::from_micros(1240)), "1.24 ms");
        assert_eq!(duration(Duration::from_secs(150)), "150 s");
        assert_eq!([age(Duration::ZERO), age(Duration::from_millis(12_340))], ["0 s", "12.3 s"]);
        assert_eq!(
            [200, 7_500, 273_600].map(|seconds| age(Duration::from_secs(seconds))),
            ["3 min 20 s", "2 h 5 min", "3 d 4 h"]
        );
        assert_eq!([percent(0.0), percent(0.999), percent(1.0)], ["0 %", "99 %", "100 %"]);
        assert_eq!(bytes(38_200_000), "38.2 MB");
        assert_eq!(rate(10, Duration::ZERO), 0);
        assert!((per_million(Duration::from_secs(2), 4_000_000) - 0.5).abs() < 1e-9);
    }
}
