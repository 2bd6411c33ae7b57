//! One step of the way to a destination, and what was found there.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::cli::figures::duration;
use crate::table::Paint;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// It works, and should not stay like this.
    Warning,
    Failed,
    /// Not asked for, or it needs one that failed.
    Skipped,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    name: &'static str,
    pub(super) status: Status,
    took: Option<Duration>,
    /// One line, without control characters.
    words: String,
    /// What else a program may want to know.
    facts: Map<String, Value>,
}

impl Step {
    pub(super) fn new(name: &'static str, status: Status, words: impl Into<String>) -> Self {
        let words: String = words.into();
        // Some of it was said by the other side.
        let words = words.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        Self { name, status, took: None, words, facts: Map::new() }
    }

    pub(super) fn took(mut self, took: Duration) -> Self {
        self.took = Some(took);
        self
    }

    pub(super) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// A line, in columns.
    pub(super) fn to_text(&self, paint: Paint) -> String {
        let status = format!("{:<8}", self.status.name());
        let status = match self.status {
            Status::Ok => paint.green(&status),
            Status::Warning => paint.yellow(&status),
            Status::Failed => paint.red(&status),
            Status::Skipped => status,
        };
        let took = self.took.map_or_else(String::new, duration);
        format!("  {:<7}{status}{took:>8}  {}\n", self.name, self.words)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut object = self.facts.clone();
        object.insert("step".to_owned(), json!(self.name.to_lowercase()));
        object.insert("status".to_owned(), json!(self.status.name()));
        object.insert("says".to_owned(), json!(self.words));
        object.insert("seconds".to_owned(), json!(self.took.map(|took| took.as_secs_f64())));
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_in_columns_and_bring_no_control_characters() {
        let steps = [
            Step::new("DNS", Status::Ok, "fine").took(Duration::from_micros(1240)),
            Step::new("health", Status::Warning, "b\u{1b}[31mad\n").took(Duration::from_nanos(7)),
            Step::new("event", Status::Skipped, "not sent"),
        ];
        let lines: Vec<String> = steps.iter().map(|step| step.to_text(Paint::Plain)).collect();
        assert_eq!(lines[0], "  DNS    ok       1.24 ms  fine\n");
        assert_eq!(lines[1], "  health warning     7 ns  b [31mad \n");
        assert_eq!(lines[2], "  event  skipped           not sent\n");
        assert!(steps[1].to_text(Paint::Coloured).contains("\u{1b}[33mwarning \u{1b}[0m"));
        let json = steps[0].clone().fact("addresses", vec!["::1"]).to_json();
        assert_eq!((json["step"].as_str(), json["addresses"][0].as_str()), (Some("dns"), Some("::1")));
    }
}
