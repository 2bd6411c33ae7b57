//! Sizes in bytes, and ranges, as people write them.

use std::ops::RangeInclusive;

/// Units with their bytes, the largest first; where two fit a size, the decimal one is shown.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// Reads `900 KB`, `64MB` or `1 GiB`: a whole number and a unit, in any case.
pub(super) fn read(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start();
    let (_, bytes) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// The size in the largest unit that shows it whole.
pub(crate) fn show(bytes: u64) -> String {
    let whole = UNITS.iter().filter(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match whole.min_by_key(|(_, unit)| bytes / unit) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

/// A range of sizes in words.
pub(super) fn show_range(range: &RangeInclusive<u64>) -> String {
    words(range, &u64::MAX, |bytes| show(*bytes))
}

/// A range of counts in words.
pub(super) fn show_count_range(range: &RangeInclusive<u64>) -> String {
    words(range, &u64::MAX, |count| grouped(*count))
}

/// A range of numbers in words.
pub(super) fn show_float_range(range: &RangeInclusive<f64>) -> String {
    words(range, &f64::MAX, f64::to_string)
}

fn words<T: PartialOrd>(range: &RangeInclusive<T>, unlimited: &T, show: impl Fn(&T) -> String) -> String {
    let start = show(range.start());
    if range.end() >= unlimited { format!("{start} or more") } else { format!("{start} to {}", show(range.end())) }
}

/// `16777216` as `16,777,216`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(read("900 KB"), Some(900_000));
        assert_eq!(read("64MB"), Some(64_000_000));
        assert_eq!(read("1 GiB"), Some(1 << 30));
        assert_eq!(read(" 2 kb "), Some(2000));
        assert_eq!(read("512 B"), Some(512));
        for wrong in ["", "KB", "900", "1.5 MB", "-1 KB", "900 K", "900 KBs", "99999999999 TB", "٣ KB"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_and_ranges_are_shown_whole() {
        assert_eq!(show(900_000), "900 KB");
        assert_eq!(show(16 * 1024 * 1024), "16 MiB");
        assert_eq!(show(0), "0 B");
        assert_eq!(show(65_536), "64 KiB");
        assert_eq!(show_range(&(1000..=1_000_000_000)), "1 KB to 1 GB");
        assert_eq!(show_count_range(&(2..=16_777_216)), "2 to 16,777,216");
        assert_eq!(show_count_range(&(1..=u64::MAX)), "1 or more");
        assert_eq!(show_float_range(&(0.5..=60.0)), "0.5 to 60");
        assert_eq!(show_float_range(&(0.0..=f64::MAX)), "0 or more");
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes: u64) {
            proptest::prop_assert_eq!(read(&show(bytes)), Some(bytes));
        }
    }
}
