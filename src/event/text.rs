//! The text of an event: one buffer, a sequence of records.
//!
//! A record is a tag (1 byte), a length (4 bytes, little endian) and its bytes, in the order of the calls that wrote
//! it; the last of a field wins. Appending is what the caller pays, so it never looks back. Readers walk the records
//! once: the batcher into a table on its stack.

/// A field that holds text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    UserId = 0,
    UserEmail = 1,
    ServerId = 2,
    ToolName = 3,
    Decision = 4,
    PolicyId = 5,
    IpAddress = 6,
    UserAgent = 7,
    RequestId = 8,
    CustomType = 9,
}

/// How many fields there are: the size of the table of slices.
pub(super) const FIELDS: usize = 10;
/// A detail whose value is text, still to be escaped.
pub(super) const DETAIL_TEXT: u8 = 16;
/// A detail whose value is finished JSON.
pub(super) const DETAIL_JSON: u8 = 17;
/// All details at once, as a finished object.
pub(super) const DETAILS_JSON: u8 = 18;
const HEADER_BYTES: usize = 5;

/// The buffer itself. It always holds whole records of valid UTF-8 text.
#[derive(Debug, Clone)]
pub(crate) struct TextBuffer(Vec<u8>);

impl TextBuffer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// The same, with memory that is there: what is fresh costs its first writer a page fault. One byte is enough where
    /// buffers are smaller than a page, since each page begins or holds one.
    pub(crate) fn at_hand(bytes: usize) -> Self {
        let mut buffer = Self::with_capacity(bytes);
        buffer.0.push(0);
        buffer.0.clear();
        buffer
    }

    /// Touches each of its whole pieces of 64 bytes, so that the cache lines are asked for together. They come from the core of
    /// whoever filled it, and whoever reads record by record waits for one after the other.
    #[inline]
    pub(crate) fn fetch(&self) {
        let (lines, _) = self.0.as_chunks::<64>();
        std::hint::black_box(lines.iter().fold(0, |seen, line| seen ^ line[0]));
    }

    /// Without memory of its own.
    pub(crate) const fn empty() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Becomes a copy of another one, in its own memory where that is large enough.
    pub(crate) fn refill(&mut self, from: &Self) {
        self.0.clear();
        self.0.extend_from_slice(&from.0);
    }

    /// Appends a field. Beyond the event limit the text is cut, and the event is too large by then.
    #[inline]
    pub(crate) fn push(&mut self, field: Field, text: &str) {
        self.push_record(field as u8, [text.as_bytes()]);
    }

    /// Appends a record made of several parts, one after the other. How many is known when it is compiled, and so is the copy
    /// of what is short: a caller pays for this with each field.
    #[inline]
    pub(super) fn push_record<const N: usize>(&mut self, tag: u8, parts: [&[u8]; N]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > super::EVENT_BYTES_LIMIT {
            return self.push_excess();
        }
        self.0.reserve(HEADER_BYTES + length);
        #[expect(clippy::cast_possible_truncation, reason = "at most EVENT_BYTES_LIMIT, 16 MiB")]
        let [a, b, c, d] = (length as u32).to_le_bytes();
        self.0.extend_from_slice(&[tag, a, b, c, d]);
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    /// Opens a record whose length is not known yet, for [`TextBuffer::close_record`].
    pub(super) fn open_record(&mut self, tag: u8, first: &[u8]) -> usize {
        let start = self.0.len();
        self.push_record(tag, [first]);
        start
    }

    /// Writes the true length into a record that was opened at `start` and appended to through [`TextBuffer::tail`].
    pub(crate) fn close_record(&mut self, start: usize) {
        let length = self.0.len().saturating_sub(start + HEADER_BYTES);
        if length > super::EVENT_BYTES_LIMIT {
            self.0.truncate(start);
            return self.push_excess();
        }
        if let Some(header) = self.0.get_mut(start + 1..start + HEADER_BYTES) {
            #[expect(clippy::cast_possible_truncation, reason = "at most EVENT_BYTES_LIMIT, 16 MiB")]
            header.copy_from_slice(&(length as u32).to_le_bytes());
        }
    }

    /// Removes everything from `start`, the position that [`TextBuffer::open_record`] returned.
    pub(super) fn cut(&mut self, start: usize) {
        self.0.truncate(start);
    }

    /// The bytes themselves, to append the value of an open record.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The last text of a field, `None` where it was never set.
    pub(crate) fn field(&self, field: Field) -> Option<&str> {
        let last = self.records().filter(|(tag, _)| *tag == field as u8).last();
        last.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok())
    }

    /// All records in the order of writing.
    pub(super) fn records(&self) -> Records<'_> {
        Records { rest: &self.0 }
    }

    /// Makes the event larger than any limit without copying what is too large.
    #[cold]
    fn push_excess(&mut self) {
        self.0.resize(self.0.len() + HEADER_BYTES + super::EVENT_BYTES_LIMIT + 1, 0);
        // Zeroed records of no length follow: the tag 0 is a field, and reads as an empty one.
    }
}

/// An iterator over `(tag, bytes)`.
#[derive(Debug, Clone)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl Records<'_> {
    pub(super) const NONE: Self = Self { rest: &[] };
}

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest.split_at_checked(HEADER_BYTES)?;
        let [tag, length @ ..] = header else { return None };
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (bytes, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((*tag, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_field_wins() {
        let mut text = TextBuffer::with_capacity(64);
        text.push(Field::UserId, "first");
        text.push(Field::ToolName, "");
        text.push(Field::UserId, "second");
        assert_eq!(text.field(Field::UserId), Some("second"));
        assert_eq!(text.fields(false).get(Field::UserId), Some(b"second".as_slice()));
        assert_eq!(text.field(Field::ToolName), Some(""));
        assert_eq!(text.field(Field::UserEmail), None);
    }

    #[test]
    fn a_text_beyond_the_limit_is_not_copied_but_makes_the_event_too_large() {
        let mut text = TextBuffer::with_capacity(64);
        text.push(Field::UserAgent, &"x".repeat(crate::event::EVENT_BYTES_LIMIT + 1));
        assert!(text.len() > crate::event::EVENT_BYTES_LIMIT);
        assert_eq!(text.field(Field::UserAgent), None);
    }
}
