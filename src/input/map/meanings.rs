//! What values mean: a table of words, such as `{ delete = "high" }`.

use super::keys::{bucket, fingerprint};
use super::value::text_of;
use crate::input::tape::{Item, Kind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meanings {
    /// A value, and what it means.
    values: Vec<(Box<str>, Box<str>)>,
    /// A bit for each bucket that a value is in: nearly all that is asked for is in none of them.
    buckets: u64,
}

impl Meanings {
    pub(super) fn new(values: Vec<(Box<str>, Box<str>)>) -> Self {
        let buckets = values.iter().fold(0, |buckets, (value, _)| buckets | bit(value));
        Self { values, buckets }
    }

    /// Of a value; of an array the first element's that means something.
    pub(super) fn of<N: Item>(&self, nodes: &[N]) -> Option<&str> {
        match nodes.first()?.kind() {
            Kind::Array { len, .. } => self.of_elements(nodes.get(1..)?, len),
            Kind::Text(text) => self.of_text(text),
            Kind::Signed(value) => self.of_text(itoa::Buffer::new().format(value)),
            Kind::Unsigned(value) => self.of_text(itoa::Buffer::new().format(value)),
            _ => self.of_text(&text_of(nodes)?),
        }
    }

    #[inline]
    fn of_text(&self, text: &str) -> Option<&str> {
        if self.buckets & bit(text) == 0 {
            return None;
        }
        self.values.iter().find(|(value, _)| **value == *text).map(|(_, meaning)| &**meaning)
    }

    fn of_elements<N: Item>(&self, mut rest: &[N], len: usize) -> Option<&str> {
        for _ in 0..len {
            let element = rest.first()?;
            let is_nested = matches!(element.kind(), Kind::Array { .. } | Kind::Object { .. });
            if let Some(meaning) = (!is_nested).then(|| self.of(rest)).flatten() {
                return Some(meaning);
            }
            rest = rest.get(element.size()..)?;
        }
        None
    }
}

#[inline]
fn bit(text: &str) -> u64 {
    1 << bucket(fingerprint(text))
}
