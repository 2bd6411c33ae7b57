//! A value of a record as a text.

use std::borrow::Cow;

use super::compact::write_value;
use crate::event::write_float;
use crate::input::tape::{Item, Kind};

/// The text of a value, an object or array as compact JSON; `None` of null.
pub(super) fn text_of<N: Item>(nodes: &[N]) -> Option<Cow<'_, str>> {
    Some(match nodes.first()?.kind() {
        Kind::Text(text) | Kind::Written(text) => Cow::Borrowed(text),
        Kind::Null => return None,
        Kind::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Kind::Signed(value) => Cow::Owned(value.to_string()),
        Kind::Unsigned(value) => Cow::Owned(value.to_string()),
        Kind::Float(value) => {
            let mut out = Vec::new();
            write_float(value, &mut out);
            Cow::Owned(String::from_utf8(out).ok()?)
        }
        Kind::Object { .. } | Kind::Array { .. } => {
            let mut out = Vec::new();
            write_value(nodes, &mut out);
            Cow::Owned(String::from_utf8(out).ok()?)
        }
    })
}
