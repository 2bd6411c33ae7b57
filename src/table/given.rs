//! A value that may have several forms: its reader decides.

use toml::Spanned;
use toml::de::DeValue;

use super::{At, Problems, Table, Taken, value};

/// A value as it is given, and where.
pub(crate) struct Given<'t> {
    pub(crate) form: Form<'t>,
    at: At,
}

pub(crate) enum Form<'t> {
    Text(String),
    List(Vec<Given<'t>>),
    Table(Table<'t>),
    /// Something else, in words.
    Other(&'static str),
}

impl<'t> Table<'t> {
    /// Takes a value of any form.
    pub(crate) fn take_given(&mut self, key: &'static str) -> Option<Given<'t>> {
        self.take(key).map(|taken| Given::of(key, taken))
    }

    /// Takes everything that is left, whatever its key, in the order of the file.
    pub(crate) fn take_all_given(&mut self) -> Vec<(String, Given<'t>)> {
        let left: Vec<String> =
            self.entries.iter().filter(|entry| entry.value.is_some()).map(|entry| entry.key.clone()).collect();
        let given = left.into_iter().filter_map(|key| {
            let taken = self.take_entry(&key)?;
            let given = Given::of(&key, taken);
            Some((key, given))
        });
        given.collect()
    }
}

impl<'t> Given<'t> {
    fn of(key: &str, taken: Taken<'t>) -> Self {
        let Taken { value, path, at, .. } = taken;
        let form = match value {
            DeValue::String(text) => Form::Text(text.into_owned()),
            DeValue::Table(table) => Form::Table(Table::of(path, key.to_owned(), at.span.clone(), table)),
            DeValue::Array(array) => {
                let element = |(index, item): (usize, Spanned<DeValue<'t>>)| {
                    let (span, path) = (item.span(), format!("{path}[{index}]"));
                    let at = At { path: path.clone(), span: span.clone() };
                    Self::of(key, Taken { value: item.into_inner(), key_span: span, path, at })
                };
                Form::List(array.into_iter().enumerate().map(element).collect())
            }
            other => Form::Other(value::describe(&other)),
        };
        Self { form, at }
    }

    /// Records a problem of this value.
    pub(crate) fn problem<T>(&self, what: &str, help: &str, problems: &mut Problems) -> Option<T> {
        self.at.problem(what, help, problems)
    }

    /// Records that its form is none of those that belong here.
    pub(crate) fn wrong_form<T>(&self, wanted: &str, example: &str, problems: &mut Problems) -> Option<T> {
        let is = match &self.form {
            Form::Text(_) => "a text",
            Form::List(_) => "a list",
            Form::Table(_) => "a table",
            Form::Other(what) => what,
        };
        self.problem(&format!("is {is}, must be {wanted}"), &format!("such as {example}"), problems)
    }
}
