//! The fields of an event as a table: what an encoder asks for.

use super::details::Details;
use super::text::{FIELDS, Field, TextBuffer};

/// The fields of one event as slices of its buffer.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    slices: [Option<&'a [u8]>; FIELDS],
    details: Details<'a>,
    is_plain: bool,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.slices.get(field as usize).copied().flatten()
    }

    /// Whether it is known that none of their texts needs an escape.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    #[inline]
    pub(crate) fn details(&self) -> &Details<'a> {
        &self.details
    }
}

impl TextBuffer {
    /// The table of fields, in one pass.
    pub(crate) fn fields(&self, is_plain: bool) -> Fields<'_> {
        let mut fields = Fields { slices: [None; FIELDS], details: Details::none(is_plain), is_plain };
        let mut records = self.records();
        loop {
            let here = records.clone();
            let Some((tag, bytes)) = records.next() else { return fields };
            match fields.slices.get_mut(usize::from(tag)) {
                Some(slice) => *slice = Some(bytes),
                None => fields.details.count_one(here),
            }
        }
    }
}
