//! Which records of a dead letter are meant: `--filter` and `--since`.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::dead_letter::Record;
use crate::event::Timestamp;

#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only records whose KEY is VALUE: cause, severity, pipeline, destination, id or `possible_duplicate`. A `*` at the
    /// end stands for any rest. May be repeated: several of one key are alternatives, different keys must all fit
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Filter>,
    /// Only records that were written since then: a time in RFC 3339, or how long ago, such as 90s, 30m, 2h or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

impl Selection {
    pub(crate) fn takes(&self, record: &Record<'_>) -> bool {
        let fits = |key: Key| {
            let mut of_key = self.filters.iter().filter(|filter| filter.key == key).peekable();
            of_key.peek().is_none() || of_key.any(|filter| filter.takes(record))
        };
        self.since.is_none_or(|since| record.time >= since.0) && KEYS.iter().all(|(_, key)| fits(*key))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Cause,
    Severity,
    Pipeline,
    Destination,
    Id,
    PossibleDuplicate,
}

const KEYS: [(&str, Key); 6] = [
    ("cause", Key::Cause),
    ("severity", Key::Severity),
    ("pipeline", Key::Pipeline),
    ("destination", Key::Destination),
    ("id", Key::Id),
    ("possible_duplicate", Key::PossibleDuplicate),
];

#[derive(Debug, Clone)]
struct Filter {
    key: Key,
    value: String,
    /// Anything may follow.
    is_prefix: bool,
}

impl Filter {
    fn takes(&self, record: &Record<'_>) -> bool {
        match self.key {
            Key::Cause => self.fits(&record.cause),
            Key::Severity => self.fits(record.severity.name()),
            Key::Pipeline => self.fits(&record.pipeline),
            Key::Destination => self.fits(&record.destination),
            Key::Id => self.fits(&record.id.to_string()),
            Key::PossibleDuplicate => self.fits(if record.possible_duplicate { "true" } else { "false" }),
        }
    }

    fn fits(&self, value: &str) -> bool {
        if self.is_prefix { value.starts_with(&self.value) } else { value == self.value }
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let example = "such as cause=http_400 or cause=http_5*";
        let (key, value) = text.split_once('=').ok_or_else(|| format!("it is KEY=VALUE, {example}"))?;
        let known = KEYS.iter().find(|(name, _)| *name == key);
        let Some((_, key)) = known else {
            let names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
            return Err(format!("unknown key {key:?}, known are {}; {example}", names.join(", ")));
        };
        let prefix = value.strip_suffix('*');
        let filter = Self { key: *key, value: prefix.unwrap_or(value).to_owned(), is_prefix: prefix.is_some() };
        // What can only be a mistake is not searched for in vain.
        let values: &[&str] = match filter.key {
            Key::Severity => &["low", "medium", "high", "critical"],
            Key::PossibleDuplicate => &["true", "false"],
            _ => return Ok(filter),
        };
        if values.iter().any(|known| filter.fits(known)) {
            Ok(filter)
        } else {
            Err(format!("{value:?} is none of {}", values.join(", ")))
        }
    }
}

/// A point in time, given as such or as a time ago.
#[derive(Debug, Clone, Copy)]
struct Since(Timestamp);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match ago(text) {
            Some(ago) => {
                let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
                Ok(Self(Timestamp::from_unix_nanos(Timestamp::now().unix_nanos().saturating_sub(ago))))
            }
            None => {
                text.parse().map(Self).map_err(|error| format!("{error}; nor a time ago, such as 90s, 30m, 2h or 7d"))
            }
        }
    }
}

/// A whole number and its unit.
fn ago(text: &str) -> Option<Duration> {
    let at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-11-25T10:00:00Z","pipeline":"splunk","siem_type":"splunk","destination":"http://a","id":"01980000-0000-7000-8000-000000000001","event_time":"2026-01-01T00:00:00Z","severity":"high","cause":"http_400","attempts":1,"possible_duplicate":false,"wire":{}}"#;

    fn takes(filters: &[&str], since: Option<&str>) -> bool {
        let selection = Selection {
            filters: filters.iter().map(|text| text.parse().unwrap()).collect(),
            since: since.map(|text| text.parse().unwrap()),
        };
        selection.takes(&Record::parse(LINE.as_bytes()).unwrap())
    }

    #[test]
    fn several_of_one_key_are_alternatives_and_different_keys_must_all_fit() {
        assert!(takes(&[], None));
        assert!(takes(&["cause=http_400"], None) && !takes(&["cause=http_40"], None));
        assert!(takes(&["cause=http_4*"], None) && takes(&["cause=*"], None));
        assert!(takes(&["cause=timeout", "cause=http_400"], None));
        assert!(!takes(&["cause=http_400", "severity=low"], None));
        assert!(takes(&["cause=http_400", "severity=low", "severity=high", "pipeline=spl*"], None));
        assert!(takes(&["id=01980000-0000-7000-8000-000000000001", "destination=http://a"], None));
        assert!(takes(&["possible_duplicate=false"], None) && !takes(&["possible_duplicate=true"], None));
    }

    #[test]
    fn since_is_a_time_or_a_time_ago() {
        assert!(takes(&[], Some("2026-11-25T10:00:00Z")) && takes(&[], Some("2026-11-25T11:59:00+02:00")));
        assert!(!takes(&[], Some("2026-11-25T10:00:01Z")));
        assert!(takes(&[], Some("40000d")), "a hundred years");
        assert_eq!([ago("90s"), ago("2h")], [Some(Duration::from_secs(90)), Some(Duration::from_secs(7200))]);
        for text in ["h", "2", "2 h", "-2h", "2w", "yesterday", "2026-11-25", "99999999999999999999d"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
        let of_an_hour: Since = "1h".parse().unwrap();
        let age = Timestamp::now().unix_nanos() - of_an_hour.0.unix_nanos();
        assert!((3_600_000_000_000..3_660_000_000_000).contains(&age), "{age}");
    }

    #[test]
    fn what_can_only_be_a_mistake_is_said() {
        for (text, words) in [
            ("cause", "KEY=VALUE"),
            ("cuase=x", "known are cause, severity"),
            ("severity=urgent", "low, medium, high, critical"),
            ("possible_duplicate=yes", "true, false"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
