//! `[input.map]`, read and checked.

use std::fmt;
use std::path::Path;

use super::choice::Choice;
use super::meanings::Meanings;
use super::places::Places;
use super::pointer::Pointer;
use super::time::TimeFormat;
use super::{InputMap, Parts};
use crate::event::{EventType, Field, Severity};
use crate::table::{Form, Given, Overlay, Problems, Table};

const POINTER: &str = "\"/user/name\": empty or begins with /, where ~1 is a / and ~0 a ~";

/// What a choice may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Id,
    Timestamp,
    EventType,
    Severity,
    Text,
}

/// The fields of text and their names.
const TEXTS: [(&str, Field); 9] = [
    ("user_id", Field::UserId),
    ("user_email", Field::UserEmail),
    ("server_id", Field::ServerId),
    ("tool_name", Field::ToolName),
    ("decision", Field::Decision),
    ("policy_id", Field::PolicyId),
    ("ip_address", Field::IpAddress),
    ("user_agent", Field::UserAgent),
    ("request_id", Field::RequestId),
];

/// A text that is no map, with all that is wrong with it.
#[derive(Debug)]
pub struct InvalidInputMap(Box<Problems>);

impl fmt::Display for InvalidInputMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InvalidInputMap {}

impl InputMap {
    /// Reads what stands below `[input.map]` in a configuration.
    ///
    /// # Errors
    /// When there are mistakes in it: all of them, each with its line.
    pub fn from_toml(text: &str) -> Result<Self, InvalidInputMap> {
        let overlay = Overlay::new(text, &[]);
        let mut problems = overlay.problems(Path::new("input.map"));
        let map = Table::parse_with(&overlay, &mut problems).map(|table| Self::read(table, &mut problems));
        match map {
            Some(map) if problems.is_empty() => Ok(map),
            _ => Err(InvalidInputMap(Box::new(problems))),
        }
    }

    /// Takes all keys of the table.
    pub(crate) fn read(mut table: Table<'_>, problems: &mut Problems) -> Self {
        table.require("timestamp", "timestamp = \"/time\"", problems);
        table.require("event_type", "event_type = { value = \"request\" }", problems);
        table.require("severity", "severity = { value = \"low\" }", problems);
        let mut take = |key, purpose| table.take_given(key).map(|given| choices(given, purpose, problems));
        let id = take("id", Purpose::Id).unwrap_or_default();
        let timestamp = take("timestamp", Purpose::Timestamp).unwrap_or_default();
        let event_type = take("event_type", Purpose::EventType).unwrap_or_default();
        let severity = take("severity", Purpose::Severity).unwrap_or_default();
        let texts = TEXTS.iter().filter_map(|(key, field)| Some((*field, take(key, Purpose::Text)?))).collect();
        let details = table.take_given("details").map_or(Parts::None, |given| parts(given, problems));
        table.finish(problems);
        let mut map = Self { id, timestamp, event_type, severity, texts, details, places: Places::default() };
        map.number_places();
        map
    }
}

/// One choice, or a list of them.
fn choices(given: Given<'_>, purpose: Purpose, problems: &mut Problems) -> Vec<Choice> {
    match given.form {
        Form::List(ref list) if list.is_empty() => {
            given.problem::<()>("is empty", "name a place, or remove the key", problems);
            Vec::new()
        }
        Form::List(list) => list.into_iter().filter_map(|given| choice(given, purpose, problems)).collect(),
        _ => choice(given, purpose, problems).into_iter().collect(),
    }
}

fn choice(given: Given<'_>, purpose: Purpose, problems: &mut Problems) -> Option<Choice> {
    match given.form {
        Form::Text(_) => {
            let pointer = pointer(&given, problems)?;
            Some(match purpose {
                Purpose::Timestamp => Choice::Time { from: vec![pointer], format: TimeFormat::Rfc3339 },
                _ => Choice::Pointer(pointer),
            })
        }
        Form::Table(table) => of_table(table, purpose, problems),
        _ => given.wrong_form("a JSON pointer or a table", POINTER, problems),
    }
}

/// `{ value = … }`, `{ from = …, … }` or `{ of = … }`.
fn of_table(mut table: Table<'_>, purpose: Purpose, problems: &mut Problems) -> Option<Choice> {
    let forms = match purpose {
        Purpose::Timestamp => "{ from = \"/time\", format = \"seconds\" }",
        Purpose::Id => "{ of = [\"/id\", \"/stage\"] }",
        _ => "{ value = \"…\" } or { from = \"/verb\", values = { delete = \"…\" }, default = \"…\" }",
    };
    let choice = if table.has("from") {
        let from = table.take_given("from").map(|given| pointers(given, problems));
        if purpose == Purpose::Timestamp {
            let format = table.take_choice("format", &TimeFormat::CHOICES, problems);
            Some(Choice::Time { from: from?, format: format.unwrap_or(TimeFormat::Rfc3339) })
        } else if table.has("values") {
            let values = Meanings::new(meanings(&mut table, purpose, problems));
            let default = table.take_given("default").and_then(|given| word(&given, purpose, problems));
            Some(Choice::Table { from: from?, values, default })
        } else {
            table.blame_whole("has no `values`", &format!("write {forms}"), problems);
            return None;
        }
    } else if table.has("of") && purpose == Purpose::Id {
        table.take_given("of").map(|given| Choice::Hash(pointers(given, problems)))
    } else if table.has("value") && !matches!(purpose, Purpose::Timestamp | Purpose::Id) {
        table.take_given("value").and_then(|given| word(&given, purpose, problems)).map(Choice::Constant)
    } else {
        table.blame_whole("gives no value here", &format!("write {forms}"), problems);
        return None;
    };
    table.finish(problems);
    choice
}

/// What each value means, in the order of the file.
fn meanings(table: &mut Table<'_>, purpose: Purpose, problems: &mut Problems) -> Vec<(Box<str>, Box<str>)> {
    let Some(mut values) = table.take_table("values", problems) else { return Vec::new() };
    let all = values.take_all_given();
    if all.is_empty() {
        values.blame_whole("is empty", "name a value and what it means: { delete = \"…\" }", problems);
    }
    all.into_iter().filter_map(|(value, given)| Some((value.into(), word(&given, purpose, problems)?))).collect()
}

/// A text that the field may hold.
fn word(given: &Given<'_>, purpose: Purpose, problems: &mut Problems) -> Option<Box<str>> {
    let Form::Text(text) = &given.form else {
        return given.wrong_form("a text", "\"low\"", problems);
    };
    let wrong = match purpose {
        Purpose::Severity => text.parse::<Severity>().err().map(|error| error.to_string()),
        Purpose::EventType => EventType::custom(text).err().map(|error| error.to_string()),
        _ => None,
    };
    match wrong {
        None => Some(text.as_str().into()),
        Some(wrong) => given.problem("is not possible here", &wrong, problems),
    }
}

/// One pointer, or a list of them.
fn pointers(given: Given<'_>, problems: &mut Problems) -> Vec<Pointer> {
    match given.form {
        Form::List(ref list) if list.is_empty() => {
            given.problem::<()>("is empty", &format!("name a place, such as {POINTER}"), problems);
            Vec::new()
        }
        Form::List(list) => list.iter().filter_map(|given| pointer(given, problems)).collect(),
        _ => pointer(&given, problems).into_iter().collect(),
    }
}

fn pointer(given: &Given<'_>, problems: &mut Problems) -> Option<Pointer> {
    let Form::Text(text) = &given.form else {
        return given.wrong_form("a JSON pointer", POINTER, problems);
    };
    match Pointer::parse(text) {
        Some(pointer) => Some(pointer),
        None => given.problem("no JSON pointer", &format!("such as {POINTER}"), problems),
    }
}

fn parts(given: Given<'_>, problems: &mut Problems) -> Parts {
    match given.form {
        Form::Text(_) => pointer(&given, problems).map_or(Parts::None, Parts::Object),
        Form::Table(mut table) => {
            let named = table.take_all_given();
            Parts::Named(
                named.into_iter().map(|(key, given)| (key.into(), choices(given, Purpose::Text, problems))).collect(),
            )
        }
        _ => {
            given.wrong_form::<()>("a JSON pointer or a table of parts", "\"\" or { verb = \"/verb\" }", problems);
            Parts::None
        }
    }
}
