//! Keys that are set beside the file, for one run.
//!
//! Each argument is a small TOML document, such as `siem.splunk.senders = 4`, laid over the file's. To tell where a
//! mistake is, all of them stand in one text, the file first and each argument on lines of its own; a document of its own
//! is parsed behind as many blank lines as there are bytes before it, so that it knows its place in that text.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Problems, Table};

/// A file's text, and the arguments that override keys of it.
#[derive(Debug)]
pub(crate) struct Overlay {
    text: String,
    /// Each argument at its place in the text.
    arguments: Vec<Argument>,
}

#[derive(Debug)]
struct Argument {
    start: usize,
    behind_blanks: String,
}

impl Overlay {
    pub(crate) fn new(text: &str, arguments: &[String]) -> Self {
        let mut text = text.to_owned();
        let place = |argument: &String| {
            text.push('\n');
            let start = text.len();
            text.push_str(argument);
            Argument { start, behind_blanks: "\n".repeat(start) + argument }
        };
        let arguments = arguments.iter().map(place).collect();
        Self { text, arguments }
    }

    /// No problems yet, of the file at this path and what is laid over it.
    pub(crate) fn problems(&self, path: &Path) -> Problems {
        Problems::new(path, &self.text).arguments(self.arguments.iter().map(|argument| argument.start).collect())
    }

    fn file(&self) -> &str {
        // Before the line end that stands before the first argument.
        let end = self.arguments.first().map_or(self.text.len(), |argument| argument.start - 1);
        self.text.get(..end).unwrap_or_default()
    }
}

impl<'t> Table<'t> {
    /// Reads a file with what is laid over it. Mistakes in the syntax are recorded all together, and nothing more can be
    /// said then.
    pub(crate) fn parse_with(overlay: &'t Overlay, problems: &mut Problems) -> Option<Self> {
        let (file, errors) = DeTable::parse_recoverable(overlay.file());
        super::note_syntax(overlay.file(), &errors, problems);
        let mut table = file.into_inner();
        for Argument { start, behind_blanks } in &overlay.arguments {
            let (over, errors) = DeTable::parse_recoverable(behind_blanks);
            for error in &errors {
                let span = error.span().unwrap_or(*start..behind_blanks.len());
                problems.push_syntax(span, error.message(), HELP);
            }
            let over = over.into_inner();
            if errors.is_empty() && over.is_empty() {
                problems.push_syntax(*start..behind_blanks.len(), "sets nothing", HELP);
            }
            lay_over(&mut table, over, behind_blanks);
        }
        problems.is_empty().then(|| Self::of(String::new(), String::new(), 0..0, table))
    }
}

const HELP: &str = "write KEY=VALUE, the value in TOML: a text in quotes, which the shell must leave";

/// Lays one table over another: what stands in both is the upper one's, but tables on the way to a key are both's.
fn lay_over<'t>(table: &mut DeTable<'t>, over: DeTable<'t>, text: &str) {
    for (key, value) in over {
        // One in braces is a value, and replaces what was there.
        let is_on_the_way = value.get_ref().is_table() && text.as_bytes().get(value.span().start) != Some(&b'{');
        let below = table.remove_entry(&key);
        let span = value.span();
        match (below, value.into_inner()) {
            (Some((key, mut below)), DeValue::Table(over)) if is_on_the_way && below.get_ref().is_table() => {
                if let DeValue::Table(inner) = below.get_mut() {
                    lay_over(inner, over, text);
                }
                table.insert(key, below);
            }
            (_, value) => {
                table.insert(key, Spanned::new(span, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "[input]\nrejected = { path = \"r\", more = 1 }\n[siem.splunk]\nsenders = 2\nletter = \"none\"\n";

    /// What is left of the keys of `[siem.splunk]` and `[input.rejected]`, and the problems.
    fn read(arguments: &[&str]) -> (Vec<String>, String) {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let overlay = Overlay::new(FILE, &arguments);
        let mut problems = overlay.problems(Path::new("siem.toml"));
        let mut read = Vec::new();
        if let Some(mut root) = Table::parse_with(&overlay, &mut problems) {
            let mut input = root.take_table("input", &mut problems).unwrap();
            let mut rejected = input.take_table("rejected", &mut problems).unwrap();
            read.push(format!("path {:?}", rejected.take_string("path", &mut problems)));
            read.push(format!("more {:?}", rejected.take_integer("more", 0..=9, &mut problems)));
            let mut splunk =
                root.take_table("siem", &mut problems).unwrap().take_table("splunk", &mut problems).unwrap();
            read.push(format!("senders {:?}", splunk.take_integer("senders", 1..=9, &mut problems)));
            if let Some(mut letter) = splunk.take_table("letter", &mut problems) {
                read.push(format!("letter {:?}", letter.take_string("path", &mut problems)));
            }
            rejected.finish(&mut problems);
            splunk.finish(&mut problems);
        }
        (read, problems.to_string())
    }

    #[test]
    fn a_key_is_overridden_and_its_neighbours_stay() {
        let arguments = ["siem.splunk.senders=3", "input.rejected.path = 'x'", "siem.splunk.letter.path=\"dead\""];
        let expected = ["path Some(\"x\")", "more Some(1)", "senders Some(3)", "letter Some(\"dead\")"];
        assert_eq!(read(&arguments), (expected.map(str::to_owned).to_vec(), String::new()));
        // The last one counts.
        assert_eq!(read(&["siem.splunk.senders=3", "siem.splunk.senders=4"]).0[2], "senders Some(4)");
        // A table in braces is the whole value.
        assert_eq!(read(&["input.rejected={path='x'}"]).0[..2], ["path Some(\"x\")", "more None"]);
    }

    #[test]
    fn a_mistake_names_the_argument_and_not_a_line_of_the_file() {
        let (_, problems) = read(&["siem.splunk.letter={path='x'}", "siem.splunk.senders=99", "siem.splunk.sender=1"]);
        let expected = "--set: siem.splunk.senders: out of range
--set | siem.splunk.senders=99
      |                     ^^ must be 1 to 9
--set: siem.splunk.sender: unknown key
--set | siem.splunk.sender=1
      |             ^^^^^^ did you mean `senders`?";
        assert_eq!(problems, expected);
    }

    #[test]
    fn what_is_no_toml_is_told_without_its_value() {
        for argument in ["siem.splunk.url=http://hush", "siem.splunk.url=", "siem.splunk.url", "", "hush", "# hush"] {
            let (read, problems) = read(&[argument]);
            assert!(read.is_empty() && problems.starts_with("--set: "), "{argument}: {problems}");
            assert!(problems.contains("the value in TOML") && !problems.contains("hush"), "{argument}: {problems}");
        }
    }
}
