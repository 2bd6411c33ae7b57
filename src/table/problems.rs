//! What is wrong with a file: every problem with its line, its key and what to do, in a compiler's style.
//!
//! A configuration names secrets, and now and then someone writes one straight into it. So an excerpt never shows text
//! in quotes that the problem is not about, and under a mistake in the syntax, where nobody can tell a key from a value,
//! it shows no values at all.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use super::{Paint, Span, Spot};

/// More problems than these help nobody.
const SHOWN_MAX: usize = 50;
/// More are only counted: a large file may have as many mistakes as it has lines.
const KEPT_MAX: usize = 1000;
/// As many tables as we know, and more.
const KNOWN_MAX: usize = 100;
/// What is said of a key that no one has asked for.
const UNKNOWN: &str = "unknown key";
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
    /// How many there were besides.
    uncounted: usize,
    /// The paths of tables, and the keys that belong into them.
    known: Vec<(String, Vec<&'static str>)>,
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

/// A problem as it is told.
#[derive(Debug)]
pub(crate) struct Told<'p> {
    pub(crate) place: Place,
    /// The path of the key; empty where the syntax is wrong.
    pub(crate) key: &'p str,
    pub(crate) what: &'p str,
    pub(crate) help: Cow<'p, str>,
    excerpt: Option<Shown>,
}

/// Where a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file as a whole.
    File,
    /// In this line and column of it, from 1, in characters.
    Line(usize, usize),
    /// In an argument that is laid over it.
    Argument,
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
            uncounted: 0,
            known: Vec::new(),
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

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len() + self.uncounted
    }

    /// Whether one more is only counted.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= KEPT_MAX
    }

    /// Records a problem: the path of the key, what is wrong, and what to do.
    pub(crate) fn push(&mut self, span: Span, key: &str, what: &str, help: &str) {
        self.record(span, key, what, help, Excerpt::Open);
    }

    /// The same of a value that was taken before.
    pub(crate) fn push_at(&mut self, spot: &Spot, what: &str, help: &str) {
        self.push(spot.span.clone(), &spot.path, what, help);
    }

    /// The same, of a value that must not be shown.
    pub(crate) fn push_secret(&mut self, span: Span, key: &str, what: &str, help: &str) {
        self.record(span, key, what, help, Excerpt::Secret);
    }

    /// Records an unknown key.
    pub(super) fn push_unknown(&mut self, span: Span, key: &str, help: &str) {
        self.push(span, key, UNKNOWN, help);
    }

    /// Notes which keys belong into a table, for those that stand elsewhere.
    pub(super) fn note_known(&mut self, path: &str, keys: Vec<&'static str>) {
        if self.known.len() < KNOWN_MAX {
            self.known.push((path.to_owned(), keys));
        }
    }

    /// The table that an unknown key belongs into, where it only stands in the wrong one.
    fn home_of(&self, path: &str) -> Option<&str> {
        let name = path.rsplit('.').next()?;
        let homes = self.known.iter().filter(|(home, keys)| !home.is_empty() && keys.contains(&name));
        homes.map(|(home, _)| home.as_str()).next()
    }

    /// Records that the file is no text from this byte on.
    pub(crate) fn not_utf8(&mut self, from: usize) {
        self.push_syntax(from..from + 1, "is no UTF-8 from here on", "save the file as UTF-8");
    }

    /// Records a mistake in the syntax.
    pub(super) fn push_syntax(&mut self, span: Span, what: &str, help: &str) {
        self.record(span, "", what, help, Excerpt::Syntax);
    }

    fn record(&mut self, span: Span, key: &str, what: &str, help: &str, excerpt: Excerpt) {
        if self.is_full() {
            self.uncounted += 1;
            return;
        }
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

impl Problems {
    /// The first of them, in the order of the file.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told<'_>> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| problem.span.start);
        sorted.into_iter().take(SHOWN_MAX).map(|problem| self.tell(problem))
    }

    fn tell<'p>(&self, problem: &'p Problem) -> Told<'p> {
        let Problem { span, key, what, help, excerpt } = problem;
        let home = if what == UNKNOWN { self.home_of(key) } else { None };
        let help = home.map_or(Cow::Borrowed(help.as_str()), |home| Cow::Owned(format!("it belongs into [{home}]")));
        if *span == (0..0) && *excerpt == Excerpt::Open {
            // Of the whole file: no line of it is to be marked.
            return Told { place: Place::File, key, what, help, excerpt: None };
        }
        let (number, start, line) = self.line_at(span.start);
        let marked = span.start.saturating_sub(start)..span.end.saturating_sub(start);
        let column = line.char_indices().take_while(|(at, _)| *at < marked.start).count() + 1;
        let is_argument = self.arguments.first().is_some_and(|first| span.start >= *first);
        let place = if is_argument { Place::Argument } else { Place::Line(number, column) };
        Told { place, key, what, help, excerpt: Some(show(line, &marked, *excerpt)) }
    }

    /// All that is told, for a terminal that shows colours or for anything else.
    pub(crate) fn to_text(&self, paint: Paint) -> String {
        let mut blocks: Vec<String> = self.told().map(|told| told.to_text(&self.file, paint)).collect();
        match self.count() - blocks.len() {
            0 => {}
            more => blocks.push(format!("and {more} more")),
        }
        blocks.join("\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(Paint::Plain))
    }
}

impl Told<'_> {
    fn to_text(&self, file: &str, paint: Paint) -> String {
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        let (place, number) = match self.place {
            Place::File => (format!("{file}:"), String::new()),
            Place::Line(line, column) => (format!("{file}:{line}:{column}:"), line.to_string()),
            Place::Argument => ("--set:".to_owned(), "--set".to_owned()),
        };
        let headline = format!("{} {key}{}", paint.bold(&place), paint.red(self.what));
        let Some(Shown { text, column, width }) = &self.excerpt else {
            return format!("{headline}\n      {} {}", paint.blue("="), self.help);
        };
        let gutter = paint.blue(&format!("{number:>5} |"));
        let marks = paint.red(&"^".repeat((*width).max(1)));
        let help = if self.help.is_empty() { String::new() } else { format!(" {}", self.help) };
        format!("{headline}\n{gutter} {text}\n      {} {}{marks}{help}", paint.blue("|"), " ".repeat(*column))
    }
}

/// A line as it is printed, and which of its characters are marked.
#[derive(Debug)]
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
