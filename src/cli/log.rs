//! Everything that is said on standard error, a line each: as text for people, or as JSON objects (`--log-format json`).

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Map, Value, json};

use crate::event::Timestamp;

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    // Plain comments: documented values would make every command's help three times as long.
    // Sentences, and figures as key=value.
    Text,
    // An object a line, with time, level and message.
    Json,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Takes what libraries and the engine warn of; a logger that is there already stays.
pub(crate) fn install(format: LogFormat) {
    // The first call counts; there is no second.
    FORMAT.get_or_init(|| format);
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or(LogFormat::Text)
}

/// Whether a status line can be drawn: nobody who reads objects wants one between them.
pub(crate) fn is_for_people() -> bool {
    format() == LogFormat::Text && std::io::stderr().is_terminal()
}

/// Says something of the program's own. Text that begins with `error: ` or `warning: ` has that level.
pub(crate) fn tell(text: &str) {
    match format() {
        LogFormat::Text => write_line(text),
        LogFormat::Json => {
            let (level, message) = match (text.strip_prefix("error: "), text.strip_prefix("warning: ")) {
                (Some(message), _) => (Level::Error, message),
                (_, Some(message)) => (Level::Warn, message),
                _ => (Level::Info, text),
            };
            write_line(&object(&Timestamp::now().to_string(), level, message, &[]));
        }
    }
}

/// Says figures by their names.
pub(crate) fn tell_figures(message: &str, figures: &[(&str, Value)]) {
    let now = Timestamp::now().to_string();
    write_line(&match format() {
        LogFormat::Text => sentence(&now, Level::Info, message, figures),
        LogFormat::Json => object(&now, Level::Info, message, figures),
    });
}

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries say below a warning is for their authors.
        metadata.level() <= LevelFilter::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let (now, message) = (Timestamp::now().to_string(), record.args().to_string());
            write_line(&match format() {
                LogFormat::Text => sentence(&now, record.level(), &message, &[]),
                LogFormat::Json => object(&now, record.level(), &message, &[]),
            });
        }
    }

    fn flush(&self) {}
}

fn name(level: Level) -> String {
    level.as_str().to_lowercase()
}

/// `2026-01-01T00:00:00Z info: progress delivered=12 health="ok so far"`.
fn sentence(time: &str, level: Level, message: &str, figures: &[(&str, Value)]) -> String {
    let mut line = format!("{time} {}: {message}", name(level));
    let is_bare =
        |text: &&str| !text.is_empty() && !text.contains([' ', '"', '=', '\\']) && !text.contains(char::is_control);
    for (key, value) in figures {
        let value = value.as_str().filter(is_bare).map_or_else(|| value.to_string(), str::to_owned);
        line.extend([" ", key, "=", &value]);
    }
    line
}

fn object(time: &str, level: Level, message: &str, figures: &[(&str, Value)]) -> String {
    let mut object = Map::new();
    object.extend(figures.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    object.extend([("time", json!(time)), ("level", json!(name(level))), ("message", json!(message))].map(own));
    Value::Object(object).to_string()
}

fn own((key, value): (&str, Value)) -> (String, Value) {
    (key.to_owned(), value)
}

/// In one write, so that lines of several threads stay whole. Where standard error is gone there is nobody to tell.
fn write_line(line: &str) {
    drop(std::io::stderr().lock().write_all(format!("{line}\n").as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_by_their_names_and_read_back() {
        let figures = [("delivered", json!(12)), ("health", json!("no \"room\"\n")), ("breaker", json!("open"))];
        assert_eq!(
            sentence("T", Level::Info, "progress", &figures),
            r#"T info: progress delivered=12 health="no \"room\"\n" breaker=open"#
        );
        let object: Value = serde_json::from_str(&object("T", Level::Warn, "a\nb", &figures)).unwrap();
        let expected = json!({
            "time": "T", "level": "warn", "message": "a\nb", "delivered": 12, "health": "no \"room\"\n", "breaker": "open",
        });
        assert_eq!(object, expected);
    }
}
