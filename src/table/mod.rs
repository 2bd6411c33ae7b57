//! A TOML table whose keys are taken out, and the problems found on the way.
//!
//! serde stops at the first mistake and forgets where it was. So each room takes its own keys out of a spanned table;
//! what nobody took is unknown; and all problems are told at once, each with its line. Used by the configuration file
//! of the program, once at start.

mod given;
mod key;
mod overlay;
mod paint;
mod place;
mod problems;
mod size;
mod syntax;
mod value;

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) use given::{Form, Given};
pub(crate) use key::{Key, Section, Unset};
pub(crate) use overlay::Overlay;
pub(crate) use paint::Paint;
pub(crate) use place::{SecretPlace, secret_of_variable};
pub(crate) use problems::{Place, Problems, Secrets};
pub(crate) use size::{grouped, show as show_size};

/// A table with more keys does not list them at each that is unknown.
const LISTED_MAX: usize = 12;

/// Where something stands in the file, in bytes.
pub(crate) type Span = Range<usize>;

/// The place of a value, and its path.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    span: Span,
    path: String,
}

/// A table, taken out key by key: every `take_…` answers `None` where the key is absent, and also where it is wrong,
/// having recorded the problem.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    /// From the root, such as `siem.splunk`; empty for the root itself.
    path: String,
    name: String,
    /// The header or key that opened this table.
    span: Span,
    entries: Vec<Entry<'t>>,
    /// Every key that was asked for: what an unknown key is compared with.
    asked: Vec<&'static str>,
}

#[derive(Debug)]
struct Entry<'t> {
    key: String,
    key_span: Span,
    value_span: Span,
    /// `None` once taken.
    value: Option<DeValue<'t>>,
}

/// What is taken where a table may be replaced by a word, as in `dead_letter = "none"`.
#[derive(Debug)]
pub(crate) enum TableOrWord<'t> {
    Table(Table<'t>),
    Word,
}

/// Records the mistakes in a text's syntax, of each line the first.
fn note_syntax(text: &str, errors: &[toml::de::Error], problems: &mut Problems) {
    let found = errors.iter().map(|error| (error.span().unwrap_or_default(), error.message()));
    for (span, told) in syntax::first_of_each_line(text, found) {
        problems.push_syntax(span, &told.what, told.help);
    }
}

impl<'t> Table<'t> {
    /// Reads a whole file. Mistakes in the syntax are recorded all together, and nothing more can be said then.
    #[cfg(test)]
    pub(crate) fn parse(text: &'t str, problems: &mut Problems) -> Option<Self> {
        let (table, errors) = DeTable::parse_recoverable(text);
        note_syntax(text, &errors, problems);
        errors.is_empty().then(|| Self::of(String::new(), String::new(), 0..0, table.into_inner()))
    }

    fn of(path: String, name: String, span: Span, table: DeTable<'t>) -> Self {
        let mut entries: Vec<Entry<'t>> = table.into_iter().map(|(key, value)| Entry::of(key, value)).collect();
        // The order of the file, for whoever iterates.
        entries.sort_by_key(|entry| entry.key_span.start);
        Self { path, name, span, entries, asked: Vec::new() }
    }

    /// The key under which this table stands.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is such a key, taken or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether a table stands there, and was not taken yet.
    pub(crate) fn holds_table(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && matches!(entry.value, Some(DeValue::Table(_))))
    }

    /// Records a problem where a key is missing; `example` shows how it is written.
    pub(crate) fn require(&mut self, key: &'static str, example: &str, problems: &mut Problems) {
        self.ask(key);
        if !self.has(key) {
            let help = format!("add {example}");
            problems.push(self.span.clone(), &self.path_of(key), "missing", &help);
        }
    }

    /// Records a problem of a key that was taken already, or is absent: at its value, else at the table's head.
    pub(crate) fn blame(&self, key: &str, what: &str, help: &str, problems: &mut Problems) {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let span = entry.map_or(&self.span, |entry| &entry.value_span);
        problems.push(span.clone(), &self.path_of(key), what, help);
    }

    /// Where a key's value stands, for a problem that is only found later.
    pub(crate) fn spot(&self, key: &str) -> Spot {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let span = entry.map_or(&self.span, |entry| &entry.value_span);
        Spot { span: span.clone(), path: self.path_of(key) }
    }

    /// Records a problem of the table as a whole.
    pub(crate) fn blame_whole(&self, what: &str, help: &str, problems: &mut Problems) {
        problems.push(self.span.clone(), &self.path, what, help);
    }

    /// The same for a value that may hold a secret: it is not shown.
    pub(crate) fn blame_secret(&self, key: &str, what: &str, help: &str, problems: &mut Problems) {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let span = entry.map_or(&self.span, |entry| &entry.value_span);
        problems.push_secret(span.clone(), &self.path_of(key), what, help);
    }

    /// Takes a table.
    pub(crate) fn take_table(&mut self, key: &'static str, problems: &mut Problems) -> Option<Self> {
        let taken = self.take(key)?;
        match taken.value {
            DeValue::Table(table) => Some(Self::of(taken.path, key.to_owned(), taken.key_span, table)),
            other => taken.at.wrong_type(&other, "a table", &format!("[{}]", taken.path), problems),
        }
    }

    /// Takes a table, or the one word that may stand in its place.
    pub(crate) fn take_table_or(
        &mut self,
        key: &'static str,
        word: &str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<TableOrWord<'t>> {
        let taken = self.take(key)?;
        match taken.value {
            DeValue::Table(table) => {
                Some(TableOrWord::Table(Self::of(taken.path, key.to_owned(), taken.key_span, table)))
            }
            DeValue::String(text) if text == word => Some(TableOrWord::Word),
            other => taken.at.wrong_type(&other, &format!("a table or \"{word}\""), example, problems),
        }
    }

    /// Takes everything that is left, which must be tables, in the order of the file.
    pub(crate) fn take_tables(&mut self, problems: &mut Problems) -> Vec<Self> {
        let left: Vec<String> =
            self.entries.iter().filter(|entry| entry.value.is_some()).map(|entry| entry.key.clone()).collect();
        let path = self.path.clone();
        let tables = left.into_iter().filter_map(|key| {
            let taken = self.take_entry(&key)?;
            match taken.value {
                DeValue::Table(table) => Some(Self::of(taken.path, key, taken.key_span, table)),
                other => {
                    let what = format!("is {}, must be a table", value::describe(&other));
                    let help = format!("what stands here is a table with a name, such as [{path}.NAME]");
                    taken.at.problem(&what, &help, problems)
                }
            }
        });
        tables.collect()
    }

    /// Ends the reading: what nobody took is unknown.
    pub(crate) fn finish(self, problems: &mut Problems) {
        #[cfg(test)]
        problems.note_asked(self.asked.iter().map(|key| self.path_of(key)));
        for entry in self.entries.iter().filter(|entry| entry.value.is_some()) {
            // One that is only counted need not be compared with all that are known.
            let help = if problems.is_full() { String::new() } else { self.help_with(&entry.key) };
            problems.push_unknown(entry.key_span.clone(), &self.path_of(&entry.key), &help);
        }
        problems.note_known(&self.path, self.asked);
    }

    /// What an unknown key may have been meant to be.
    fn help_with(&self, key: &str) -> String {
        match nearest(key, self.asked.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.asked.is_empty() => "remove it".to_owned(),
            None if self.asked.len() > LISTED_MAX => "remove it; `siem-forward init` shows every key".to_owned(),
            None => {
                let mut known = self.asked.clone();
                known.sort_unstable();
                format!("known here: {}", known.join(", "))
            }
        }
    }

    fn ask(&mut self, key: &'static str) {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Taken<'t>> {
        self.ask(key);
        self.take_entry(key)
    }

    fn take_entry(&mut self, key: &str) -> Option<Taken<'t>> {
        let path = self.path_of(key);
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        let at = At { path: path.clone(), span: entry.value_span.clone() };
        Some(Taken { value: entry.value.take()?, key_span: entry.key_span.clone(), path, at })
    }

    fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let key = if bare { Cow::Borrowed(key) } else { Cow::Owned(format!("\"{}\"", key.escape_debug())) };
        if self.path.is_empty() { key.into_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'t> Entry<'t> {
    fn of(key: Spanned<Cow<'t, str>>, value: Spanned<DeValue<'t>>) -> Self {
        let (key_span, value_span) = (key.span(), value.span());
        let value = Some(value.into_inner());
        Self { key: key.into_inner().into_owned(), key_span, value_span, value }
    }
}

/// A value that was taken, and where it stood.
struct Taken<'t> {
    value: DeValue<'t>,
    key_span: Span,
    path: String,
    at: At,
}

/// Where a value stands: its path and its place in the file.
struct At {
    path: String,
    span: Span,
}

impl At {
    fn problem<T>(&self, what: &str, help: &str, problems: &mut Problems) -> Option<T> {
        problems.push(self.span.clone(), &self.path, what, help);
        None
    }

    /// Records what is there, what belongs there, and how that is written. Always `None`, to be returned as it is.
    fn wrong_type<T>(&self, is: &DeValue<'_>, wanted: &str, example: &str, problems: &mut Problems) -> Option<T> {
        let what = format!("is {}, must be {wanted}", value::describe(is));
        self.problem(&what, &format!("such as {example}"), problems)
    }
}

/// The known word that a misspelt one is nearest to, where one is near enough to be meant.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A word longer than any of ours is near to none, and the distance costs the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let distances = known.map(|known| (distance(word, known), known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + known.len() / 4).then_some(known)
}

/// The edit distance of Levenshtein, by the two rows of Wagner and Fischer's table.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.chars().enumerate() {
        let mut diagonal = row;
        let mut before = row + 1;
        for (cell, to) in above.iter_mut().zip(std::iter::once(None).chain(right.iter().map(Some))) {
            let next = match to {
                None => row + 1,
                Some(to) => (diagonal + usize::from(from != *to)).min(before + 1).min(*cell + 1),
            };
            diagonal = std::mem::replace(cell, next);
            before = next;
        }
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
