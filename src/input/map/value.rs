//! A value of a record as a text.

use std::borrow::Cow;

use serde::de::DeserializeSeed;

use crate::event::{JsonValue, write_float};
use crate::input::tape::{Item, Kind};
use crate::input::walk::Walk;

/// The text of a value, an object or array as compact JSON; `None` of null, and of what no event could hold.
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
            JsonValue::new(&mut out).deserialize(&mut Walk::new(nodes)).ok()?;
            Cow::Owned(String::from_utf8(out).ok()?)
        }
    })
}
