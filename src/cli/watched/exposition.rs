//! Prometheus' text, as much of it as a registry of ours writes. The crates for it bring regular expressions and a calendar
//! for what is a page here.

use std::collections::HashMap;

/// What all families of ours begin with. A service shows others beside them, which are not looked at.
const OURS: &str = "siem_";

/// The samples of one scrape by their names.
#[derive(Debug, Default)]
pub(super) struct Exposition(HashMap<String, Vec<Sample>>);

#[derive(Debug, PartialEq)]
pub(super) struct Sample {
    labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// A line that is no sample.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} is no sample of Prometheus' text format")]
pub(super) struct NoSample {
    number: usize,
}

impl Exposition {
    pub(super) fn parse(text: &str) -> Result<Self, NoSample> {
        let mut all = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with(OURS)) {
            let (name, sample) = read_sample(line).ok_or(NoSample { number: index + 1 })?;
            all.0.entry(name.to_owned()).or_default().push(sample);
        }
        Ok(all)
    }

    /// The samples of this name, of any pipeline.
    pub(super) fn of(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The samples of this name and pipeline.
    pub(super) fn of_pipeline<'a>(&'a self, name: &str, pipeline: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.of(name).iter().filter(move |sample| sample.label("pipeline") == Some(pipeline))
    }

    /// Their sum; 0 where there is none.
    pub(super) fn sum(&self, name: &str, pipeline: &str) -> f64 {
        // Not `sum`, which makes -0 of nothing.
        self.of_pipeline(name, pipeline).map(|sample| sample.value).fold(0.0, |sum, value| sum + value)
    }
}

impl Sample {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(theirs, _)| theirs == name).map(|(_, value)| value.as_str())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter, which is a whole number")]
pub(super) fn whole(value: f64) -> u64 {
    value as u64
}

/// `name{label="value"} 1.5`, with a time behind it or not.
fn read_sample(line: &str) -> Option<(&str, Sample)> {
    let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(labels) => read_labels(labels)?,
        None => (Vec::new(), rest),
    };
    // Rust reads `NaN`, `+Inf` and `-Inf` as Prometheus writes them.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, Sample { labels, value }))
}

/// Labels up to their brace, and what stands behind it.
fn read_labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = read_value(quoted)?;
        labels.push((name.to_owned(), value));
        rest = behind;
    }
}

/// A label's value up to its quote, and what stands behind that.
fn read_value(quoted: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), quoted.chars());
    loop {
        match letters.next()? {
            '"' => return Some((value, letters.as_str())),
            '\\' => value.push(match letters.next()? {
                'n' => '\n',
                letter => letter,
            }),
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_whatever_their_labels_hold() {
        let text = "# HELP siem_a Words.\n# TYPE siem_a counter\nsiem_a 3\nsiem_b{pipeline=\"p\",reason=\"a } \\\"b\\\"\\n\\\\, c\"} 0.5\n\
                    siem_b{pipeline=\"p\",reason=\"d\",} 1.25 1700000000000\nsiem_c{pipeline=\"p\"} NaN\nsiem_c{le=\"+Inf\"} +Inf\n";
        let read = Exposition::parse(text).unwrap();
        assert_eq!(read.of("siem_a"), [Sample { labels: vec![], value: 3.0 }]);
        assert_eq!(read.of("siem_b")[0].label("reason"), Some("a } \"b\"\n\\, c"));
        assert!((read.sum("siem_b", "p") - 1.75).abs() < 1e-12 && read.sum("siem_b", "q") == 0.0);
        assert!(read.of("siem_c")[0].value.is_nan() && read.of("siem_c")[1].value.is_infinite());
    }

    #[test]
    fn what_is_not_ours_may_look_as_it_likes_and_what_is_ours_may_not() {
        assert!(Exposition::parse("<html>\nhttp_requests{x 1 # {trace=\"7\"}\n").unwrap().of("siem_a").is_empty());
        for bad in ["siem_a", "siem_a{", "siem_a{x=\"1} 3", "siem_a{x=\"1\"}", "siem_a three", "siem_a{x=\"1\\"] {
            let text = format!("# a comment\n{bad}\n");
            assert_eq!(Exposition::parse(&text).unwrap_err(), NoSample { number: 2 }, "{bad}");
        }
    }
}
