//! How many records of which kind: a table for people, an object for machines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::columns::aligned;
use super::figures::{bytes, count};
use crate::dead_letter::Record;
use crate::event::{Severity, Timestamp};

/// Records by cause and pipeline.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    kinds: BTreeMap<(String, String), Kind>,
    total: Kind,
}

#[derive(Debug, Clone, Default)]
struct Kind {
    by_severity: [u64; 4],
    possible_duplicates: u64,
    bytes: u64,
    /// When the first and the last were written.
    span: Option<(Timestamp, Timestamp)>,
}

impl Kind {
    fn add(&mut self, record: &Record<'_>, bytes: u64) {
        for (severity, count) in Severity::ALL.iter().zip(&mut self.by_severity) {
            *count += u64::from(*severity == record.severity);
        }
        self.possible_duplicates += u64::from(record.possible_duplicate);
        self.bytes += bytes;
        let (first, last) = self.span.unwrap_or((record.time, record.time));
        self.span = Some((first.min(record.time), last.max(record.time)));
    }

    fn records(&self) -> u64 {
        self.by_severity.iter().sum()
    }

    fn cells(&self, cause: &str, pipeline: &str) -> Vec<String> {
        let mut cells = vec![cause.to_owned(), pipeline.to_owned()];
        cells.extend(self.by_severity.iter().map(|number| count(*number)));
        cells.push(count(self.records()));
        cells.push(bytes(self.bytes));
        let time = |time: Option<Timestamp>| {
            let text = time.map_or_else(String::new, |time| time.to_string());
            // To the second.
            text.get(..19).map_or(String::new(), |text| format!("{text}Z"))
        };
        cells.push(time(self.span.map(|span| span.0)));
        cells.push(time(self.span.map(|span| span.1)));
        cells
    }

    fn to_json(&self) -> Value {
        let severities = Severity::ALL.iter().zip(self.by_severity).map(|(severity, count)| (severity.name(), count));
        json!({
            "records": self.records(),
            "severity": severities.collect::<BTreeMap<_, _>>(),
            "possible_duplicates": self.possible_duplicates,
            "bytes": self.bytes,
            "first": self.span.map(|span| span.0.to_string()),
            "last": self.span.map(|span| span.1.to_string()),
        })
    }
}

const TITLES: [&str; 10] =
    ["cause", "pipeline", "low", "medium", "high", "critical", "records", "bytes", "first", "last"];
/// These columns are read from the left, the others from the right.
const TEXT: [usize; 4] = [0, 1, 8, 9];

impl Tally {
    /// Counts a record, of a line of so many bytes.
    pub(crate) fn add(&mut self, record: &Record<'_>, bytes: u64) {
        let kind = self.kinds.entry((record.cause.clone().into_owned(), record.pipeline.clone().into_owned()));
        kind.or_default().add(record, bytes);
        self.total.add(record, bytes);
    }

    pub(crate) fn records(&self) -> u64 {
        self.total.records()
    }

    /// A row for each cause and pipeline, and one for all where there are several.
    pub(crate) fn to_text(&self) -> String {
        let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
        rows.extend(self.kinds.iter().map(|((cause, pipeline), kind)| kind.cells(cause, pipeline)));
        if self.kinds.len() > 1 {
            rows.push(self.total.cells("all", ""));
        }
        aligned(&rows, &TEXT)
    }

    pub(crate) fn to_json(&self) -> Value {
        let kinds = self.kinds.iter().map(|((cause, pipeline), kind)| {
            let mut object = kind.to_json();
            if let Value::Object(object) = &mut object {
                object.insert("cause".to_owned(), json!(cause));
                object.insert("pipeline".to_owned(), json!(pipeline));
            }
            object
        });
        let mut object = self.total.to_json();
        if let Value::Object(object) = &mut object {
            object.insert("kinds".to_owned(), Value::Array(kinds.collect()));
        }
        object
    }
}
