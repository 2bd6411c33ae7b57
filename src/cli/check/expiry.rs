//! How long a server's certificate is still good for.

/// Who is warned later than this may not get a new one in time.
const WARN_DAYS: i64 = 14;
const DAY_SECONDS: i64 = 86_400;

/// When a certificate ends, in words and as a moment to be warned of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry {
    /// RFC 3339.
    pub(super) date: String,
    /// Whole days that are left; negative once it has expired.
    pub(super) days_left: i64,
    pub(super) words: String,
    pub(super) is_near: bool,
}

impl Expiry {
    /// Of a certificate that is good until `not_after`, looked at at `now`, both in Unix seconds.
    pub(super) fn of(not_after: i64, now: i64) -> Self {
        let date = jiff::Timestamp::from_second(not_after);
        let date = date.map_or_else(|_| "a date beyond the calendar".to_owned(), |at| at.to_string());
        let left = not_after.saturating_sub(now);
        let days_left = left.div_euclid(DAY_SECONDS);
        let is_near = left < WARN_DAYS * DAY_SECONDS;
        let words = match days_left {
            _ if left < 0 => format!("expired on {date}: have it renewed"),
            0 => format!("expires within a day, on {date}: have it renewed now"),
            days if is_near => format!("expires in {}, on {date}: have it renewed", counted_days(days)),
            days => format!("expires in {}, on {date}", counted_days(days)),
        };
        Self { date, days_left, words, is_near }
    }
}

fn counted_days(days: i64) -> String {
    crate::cli::figures::counted(days.unsigned_abs(), "day")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_fourteen_days_is_near() {
        let now = 1_767_225_600;
        let of = |seconds: i64| Expiry::of(now + seconds, now);
        let fourteen = 14 * DAY_SECONDS;
        assert_eq!((of(fourteen).is_near, of(fourteen).days_left), (false, 14));
        assert_eq!((of(fourteen - 1).is_near, of(fourteen - 1).days_left), (true, 13));
        assert_eq!(of(fourteen).words, "expires in 14 days, on 2026-01-15T00:00:00Z");
        assert_eq!(of(DAY_SECONDS).words, "expires in 1 day, on 2026-01-02T00:00:00Z: have it renewed");
        assert_eq!(of(5).words, "expires within a day, on 2026-01-01T00:00:05Z: have it renewed now");
        assert_eq!((of(-1).is_near, of(-1).days_left), (true, -1));
        assert!(of(-1).words.starts_with("expired on 2025-12-31T23:59:59Z"));
        assert!(!Expiry::of(i64::MAX, now).is_near && Expiry::of(i64::MIN, now).is_near);
    }
}
