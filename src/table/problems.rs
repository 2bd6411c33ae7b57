//! What is wrong with a file: every problem with its line, its key and what to do, in a compiler's style.
//!
//! A configuration names secrets, and now and then someone writes one straight into it. So an excerpt never shows text
//! in quotes that the problem is not about, and under a mistake in the syntax, where nobody can tell a key from a value,
//! it shows no values at all.

use std::fmt;
use std::path::Path;

use super::Span;

/// More problems than these help nobody.
const SHOWN_MAX: usize = 50;
/// The longest excerpt of a line, in characters.
const EXCERPT_CHARS_MAX: usize = 160;

/// All problems of one file, and of what is laid over it. `Display` shows them in the order of the file.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    text: String,
    /// Where the arguments begin that are laid over the file.
    arguments: Vec<usize>,
    secrets: Secrets,
    list: Vec<Problem>,
    /// The paths of all keys that were asked for, for the test that compares them with those that are described.
    #[cfg(test)]
    asked: std::collections::BTreeSet<String>,
}

/// Whether the secrets that a file names are fetched from their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    Fetched,
    /// Nobody will need them: their places may be empty.
    Omitted,
}

#[derive(Debug)]
struct Problem {
    span: Span,
    key: String,
    what: String,
    help: String,
    excerpt: Excerpt,
}

/// How much of the line may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excerpt {
    /// Everything but quoted text elsewhere on the line.
    Open,
    /// The same without the place itself: it holds what no terminal should.
    Secret,
    /// Of the values only their punctuation.
    Syntax,
}

impl Problems {
    /// None yet, of this file with this text.
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        Self {
            file: path.display().to_string(),
            text: text.to_owned(),
            arguments: Vec::new(),
            secrets: Secrets::Fetched,
            list: Vec::new(),
            #[cfg(test)]
            asked: Default::default(),
        }
    }

    /// The same, where the text goes on behind the file's with arguments that begin at these places.
    pub(super) fn arguments(mut self, starts: Vec<usize>) -> Self {
        self.arguments = starts;
        self
    }

    /// The same, with the secrets treated so.
    pub(crate) fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    pub(super) fn omits_secrets(&self) -> bool {
        self.secrets == Secrets::Omitted
    }

    #[cfg(test)]
    pub(super) fn note_asked(&mut self, paths: impl Iterator<Item = String>) {
        self.asked.extend(paths);
    }

    #[cfg(test)]
    pub(crate) fn asked(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// Records a problem: the path of the key, what is wrong, and what to do.
    pub(crate) fn push(&mut self, span: Span, key: &str, what: &str, help: &str) {
        self.record(span, key, what, help, Excerpt::Open);
    }

    /// The same, of a value that must not be shown.
    pub(crate) fn push_secret(&mut self, span: Span, key: &str, what: &str, help: &str) {
        self.record(span, key, what, help, Excerpt::Secret);
    }

    /// Records a mistake in the syntax.
    pub(super) fn push_syntax(&mut self, span: Span, what: &str) {
        self.push_syntax_help(span, what, "");
    }

    /// The same, where there is something to advise.
    pub(super) fn push_syntax_help(&mut self, span: Span, what: &str, help: &str) {
        self.record(span, "", what, help, Excerpt::Syntax);
    }

    fn record(&mut self, span: Span, key: &str, what: &str, help: &str, excerpt: Excerpt) {
        let (key, what, help) = (key.to_owned(), what.to_owned(), help.to_owned());
        self.list.push(Problem { span, key, what, help, excerpt });
    }

    /// The line that a byte stands in: its number from 1, its start, and its text.
    fn line_at(&self, byte: usize) -> (usize, usize, &str) {
        // Back to a whole character: a span may end within none, but nothing here may panic if it did.
        let before = (0..=byte.min(self.text.len())).rev().find_map(|end| self.text.get(..end)).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let number = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let line = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        (number, start, line)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| problem.span.start);
        for (index, problem) in sorted.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.fmt_one(problem, f)?;
        }
        match sorted.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl Problems {
    fn fmt_one(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, start, line) = self.line_at(problem.span.start);
        let is_argument = self.arguments.first().is_some_and(|first| problem.span.start >= *first);
        let number = if is_argument {
            f.write_str("--set: ")?;
            "--set".to_owned()
        } else {
            write!(f, "{}:{number}: ", self.file)?;
            number.to_string()
        };
        if !problem.key.is_empty() {
            write!(f, "{}: ", problem.key)?;
        }
        if problem.span == (0..0) && problem.excerpt == Excerpt::Open {
            // Of the whole file: no line of it is to be marked.
            return write!(f, "{}\n      = {}", problem.what, problem.help);
        }
        writeln!(f, "{}", problem.what)?;
        let marked = problem.span.start.saturating_sub(start)..problem.span.end.saturating_sub(start);
        let shown = show(line, &marked, problem.excerpt);
        writeln!(f, "{number:>5} | {}", shown.text)?;
        let marks = "^".repeat(shown.width.max(1));
        let blank = " ".repeat(shown.column);
        let help = if problem.help.is_empty() { String::new() } else { format!(" {}", problem.help) };
        write!(f, "      | {blank}{marks}{help}")
    }
}

/// A line as it is printed, and which of its characters are marked.
struct Shown {
    text: String,
    column: usize,
    width: usize,
}

/// Cuts, hides and cleans a line: no control character may reach a terminal.
fn show(line: &str, marked: &Span, excerpt: Excerpt) -> Shown {
    let hidden = hidden_from(line, excerpt);
    let mut text: Vec<char> = Vec::new();
    let (mut column, mut width) = (0, 0);
    let (mut quote, mut is_comment) = (None, false);
    for (at, char) in line.char_indices() {
        let is_marked = marked.contains(&at);
        column += usize::from(at < marked.start);
        width += usize::from(is_marked);
        let quoted = quote.is_some() && quote != Some(char);
        quote = match quote {
            Some(open) if open == char => None,
            None if char == '"' || char == '\'' => Some(char),
            open => open,
        };
        is_comment |= char == '#' && quote.is_none();
        let hide = match excerpt {
            // A comment is no part of any problem, and may hold last year's secret.
            _ if is_comment => char.is_alphanumeric(),
            Excerpt::Open => quoted && !is_marked,
            Excerpt::Secret => quoted || is_marked && char.is_alphanumeric(),
            Excerpt::Syntax => at >= hidden && char.is_alphanumeric(),
        };
        text.push(match char {
            _ if hide => '•',
            _ if char == '\t' => ' ',
            _ if char.is_control() => '\u{fffd}',
            _ => char,
        });
    }
    // A long line is cut around its mark.
    let from = if text.len() > EXCERPT_CHARS_MAX { column.saturating_sub(EXCERPT_CHARS_MAX / 4) } else { 0 };
    let text: String = text.into_iter().skip(from).take(EXCERPT_CHARS_MAX).collect();
    let column = column - from;
    Shown { text, column, width: width.min(EXCERPT_CHARS_MAX.saturating_sub(column)) }
}

/// Where the values of a line begin that has a mistake in its syntax: after a key of ours and its sign, else at once.
fn hidden_from(line: &str, excerpt: Excerpt) -> usize {
    if excerpt != Excerpt::Syntax || line.trim_start().starts_with('[') {
        return line.len();
    }
    let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_. \t".contains(&byte));
    match line.find('=') {
        Some(sign) if line.get(..sign).is_some_and(is_key) => sign,
        _ => 0,
    }
}
