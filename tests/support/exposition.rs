//! A strict reader of Prometheus' text: what `promtool check metrics` demands, and that no sample comes twice.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::collections::{BTreeMap, BTreeSet};

type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Debug)]
pub struct Scrape {
    /// The kind of each family.
    pub kinds: BTreeMap<String, String>,
    pub samples: BTreeMap<(String, Labels), f64>,
}

/// Abbreviations and units that are no base units: a name that holds one as a word says its unit wrong.
const FORBIDDEN_WORDS: [&str; 19] = [
    "ms",
    "milliseconds",
    "us",
    "microseconds",
    "ns",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "sec",
    "secs",
    "kb",
    "kilobytes",
    "mb",
    "megabytes",
    "percent",
    "gauge",
    "counter",
    "histogram",
];

impl Scrape {
    /// Reads the text, and fails at whatever a strict reader would not take.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut scrape = Self { kinds: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut family): (BTreeSet<String>, String) = (BTreeSet::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help has words");
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "HELP comes twice: {line}");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(name == family && helped.contains(name), "TYPE follows its HELP: {line}");
                assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{line}");
                let before = scrape.kinds.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "TYPE comes twice: {line}");
                assert_named_well(name, kind);
            } else {
                assert!(!line.starts_with('#'), "a comment of no kind: {line}");
                scrape.sample(line, &family);
            }
        }
        scrape.assert_complete();
        scrape
    }

    fn sample(&mut self, line: &str, family: &str) {
        let kind = &self.kinds[family];
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, read_labels(labels.strip_suffix('}').expect("an end of labels"))),
            None => (series, Labels::new()),
        };
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} is no sample of {family}"));
        let suffixes: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["", "_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{name} is no sample of the {kind} {family}");
        assert_eq!(labels.contains_key("le"), suffix == "_bucket", "{line}");
        assert_eq!(labels.contains_key("quantile"), kind == "summary" && suffix.is_empty(), "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(kind != "counter" || value >= 0.0, "{line}");
        let before = self.samples.insert((name.to_owned(), labels), value);
        assert!(before.is_none(), "the series comes twice: {line}");
    }

    /// Every family has a sample, and a histogram's buckets add up.
    fn assert_complete(&self) {
        for (family, kind) in &self.kinds {
            let name =
                if kind == "histogram" || kind == "summary" { format!("{family}_count") } else { family.clone() };
            let counts: Vec<_> = self.of(&name).collect();
            assert!(!counts.is_empty(), "{family} has no sample");
            if kind != "histogram" {
                continue;
            }
            for (labels, count) in counts {
                let mut buckets: Vec<(f64, f64)> = Vec::new();
                for (theirs, up_to) in self.of(&format!("{family}_bucket")) {
                    let (mut theirs, bound) = (theirs.clone(), theirs["le"].parse::<f64>().unwrap());
                    theirs.remove("le");
                    if theirs == *labels {
                        buckets.push((bound, up_to));
                    }
                }
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{family}: {buckets:?}");
                assert_eq!(buckets.last().copied(), Some((f64::INFINITY, count)), "{family}");
                assert!(self.samples.contains_key(&(format!("{family}_sum"), labels.clone())), "{family} has a sum");
            }
        }
    }

    /// The samples of a name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, f64)> + 'a {
        self.samples.iter().filter(move |((theirs, _), _)| theirs == name).map(|((_, labels), value)| (labels, *value))
    }

    /// The sum of the samples of a name whose labels hold these.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |theirs: &Labels| labels.iter().all(|(name, value)| theirs.get(*name).is_some_and(|is| is == value));
        let values: Vec<f64> = self.of(name).filter(|(theirs, _)| fits(theirs)).map(|(_, value)| value).collect();
        assert!(!values.is_empty(), "{name} has no sample with {labels:?}");
        values.iter().sum()
    }

    /// The same as a whole number.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{name}: {sum}");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number, as was asserted")]
        let count = sum as u64;
        count
    }

    /// The values of a label of a name.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        self.of(name).map(|(labels, _)| labels[label].clone()).collect()
    }
}

fn read_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").expect("a label's name");
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        let (mut value, mut letters) = (String::new(), after.char_indices());
        let end = loop {
            match letters.next().expect("a label's end") {
                (at, '"') => break at,
                (_, '\\') => match letters.next().expect("what is escaped").1 {
                    'n' => value.push('\n'),
                    letter @ ('\\' | '"') => value.push(letter),
                    other => panic!("\\{other} escapes nothing: {text}"),
                },
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "a label comes twice: {text}");
        rest = &after[end + 1..];
        if let Some(more) = rest.strip_prefix(',') {
            rest = more;
            assert!(!rest.is_empty(), "{text}");
        } else {
            assert!(rest.is_empty(), "{text}");
        }
    }
    labels
}

/// What promtool says of a name.
fn assert_named_well(name: &str, kind: &str) {
    assert!(
        name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'),
        "{name}"
    );
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    assert!(!["_count", "_sum", "_bucket", "_info_total"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
    for word in FORBIDDEN_WORDS {
        assert!(!name.split('_').any(|part| part == word), "{name} holds {word}");
    }
    // A unit stands last, before `_total`.
    let base = name.strip_suffix("_total").unwrap_or(name);
    for unit in ["seconds", "bytes", "ratio"] {
        assert!(!base.split('_').any(|part| part == unit) || base.ends_with(unit), "{name}: the unit stands last");
    }
}
