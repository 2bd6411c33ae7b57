//! Details: any JSON object, kept member by member.
//!
//! A member is a record: the key's length (4 bytes), the key, and the value, which is text still to be escaped or
//! finished JSON. The last of a repeated key wins, as with fields. Where the details came as a whole, as those of a mapped
//! record, they are one record instead: the finished object.

#[cfg(feature = "kafka")]
use std::borrow::Cow;
use std::collections::HashSet;

use super::escape::{write_float, write_known};
use super::text::{DETAIL_JSON, DETAIL_TEXT, DETAILS_JSON, Records, TextBuffer};

/// Up to this many members a repeated key is looked for pair by pair; beyond it by a set, so that an event of a
/// thousand members costs the batcher no million comparisons.
pub(super) const PAIRWISE_MAX: usize = 16;

/// A value of a detail. Numbers keep their 64 bits; a float that is not finite becomes `null`, as JSON has no other.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum DetailValue<'a> {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A floating-point number.
    Float(f64),
    /// Text, any at all: it is escaped when the event is encoded.
    Text(&'a str),
}

macro_rules! detail_values {
    ($($from:ty => $variant:ident),+ $(,)?) => {
        $(impl From<$from> for DetailValue<'_> {
            #[inline]
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })+
    };
}

detail_values! {
    bool => Bool, i8 => Signed, i16 => Signed, i32 => Signed, i64 => Signed,
    u8 => Unsigned, u16 => Unsigned, u32 => Unsigned, u64 => Unsigned, f32 => Float, f64 => Float,
}

impl From<usize> for DetailValue<'_> {
    #[inline]
    fn from(value: usize) -> Self {
        Self::Unsigned(value as u64)
    }
}

impl<'a> From<&'a str> for DetailValue<'a> {
    #[inline]
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for DetailValue<'a> {
    #[inline]
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a, T: Into<DetailValue<'a>>> From<Option<T>> for DetailValue<'a> {
    #[inline]
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl TextBuffer {
    /// Appends a member.
    #[inline]
    pub(crate) fn push_detail(&mut self, key: &str, value: DetailValue<'_>) {
        let mut digits = itoa::Buffer::new();
        let json = match value {
            DetailValue::Text(text) => return self.push_member(DETAIL_TEXT, key, text),
            DetailValue::Null => "null",
            DetailValue::Bool(value) => {
                if value {
                    "true"
                } else {
                    "false"
                }
            }
            DetailValue::Signed(value) => digits.format(value),
            DetailValue::Unsigned(value) => digits.format(value),
            DetailValue::Float(value) => return self.push_float(key, value),
        };
        self.push_member(DETAIL_JSON, key, json);
    }

    #[inline]
    fn push_member(&mut self, tag: u8, key: &str, value: &str) {
        let length = key_length(key);
        self.push_record(tag, [&length, key.as_bytes(), value.as_bytes()]);
    }

    fn push_float(&mut self, key: &str, value: f64) {
        let start = self.open_detail(key);
        write_float(value, self.tail());
        self.close_record(start);
    }

    /// Begins a member whose value is appended as finished JSON through `tail`, then closed or cut.
    pub(crate) fn open_detail(&mut self, key: &str) -> usize {
        let start = self.open_record(DETAIL_JSON, &key_length(key));
        self.tail().extend_from_slice(key.as_bytes());
        start
    }

    /// Appends all details at once, a finished object without a repeated key; no other may be there.
    #[cfg(feature = "cli")]
    pub(crate) fn push_details(&mut self, object: &[u8]) {
        self.push_record(DETAILS_JSON, [object]);
    }

    /// All members in the order of writing, repeated keys included.
    pub(super) fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.records().filter_map(Member::read)
    }

    /// The value of one detail: a text as it is, anything else as its JSON; `None` where there is none, or `null`.
    #[cfg(feature = "kafka")]
    pub(crate) fn detail(&self, key: &str) -> Option<Cow<'_, [u8]>> {
        if let Some(object) = self.fields(false).details().whole() {
            let mut members: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(object).ok()?;
            return match members.remove(key)? {
                serde_json::Value::Null => None,
                serde_json::Value::String(text) => Some(Cow::Owned(text.into_bytes())),
                other => Some(Cow::Owned(other.to_string().into_bytes())),
            };
        }
        let member = self.members().filter(|member| member.key == key.as_bytes()).last()?;
        match (member.is_json, member.value) {
            (true, b"null") => None,
            (true, [b'"', ..]) => {
                serde_json::from_slice(member.value).ok().map(|text: String| text.into_bytes().into())
            }
            (_, value) => Some(Cow::Borrowed(value)),
        }
    }
}

/// The details of one event.
#[derive(Debug)]
pub(crate) struct Details<'a> {
    /// From the first of them on.
    records: Records<'a>,
    /// Repeated keys included.
    count: usize,
    /// Whether it is known that none of their texts needs an escape.
    is_plain: bool,
}

impl<'a> Details<'a> {
    pub(super) fn none(is_plain: bool) -> Self {
        Self { records: Records::NONE, count: 0, is_plain }
    }

    /// One more, which is the next of `records`.
    #[inline]
    pub(super) fn count_one(&mut self, records: Records<'a>) {
        if self.count == 0 {
            self.records = records;
        }
        self.count += 1;
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where they came as a whole.
    #[inline]
    pub(super) fn whole(&self) -> Option<&'a [u8]> {
        let (tag, object) = self.records.clone().next().filter(|_| self.count == 1)?;
        (tag == DETAILS_JSON).then_some(object)
    }

    /// Writes them as one object.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if let Some(object) = self.whole() {
            return out.extend_from_slice(object);
        }
        out.push(b'{');
        let mut is_first = true;
        self.for_each(|member| {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            member.write(self.is_plain, out);
        });
        out.push(b'}');
    }

    /// Calls `each` with every member that no later one of the same key replaces, in order.
    #[inline]
    pub(crate) fn for_each(&self, mut each: impl FnMut(Member<'a>)) {
        let members = self.records.clone().filter_map(Member::read);
        if self.count <= PAIRWISE_MAX {
            let mut all = [None; PAIRWISE_MAX];
            let found = all.iter_mut().zip(members).map(|(place, member)| *place = Some(member)).count();
            let mut left = all.get(..found).unwrap_or_default();
            while let Some((Some(member), later)) = left.split_first() {
                if !later.iter().flatten().any(|later: &Member<'_>| later.key == member.key) {
                    each(*member);
                }
                left = later;
            }
            return;
        }
        let all: Vec<Member<'a>> = members.collect();
        let mut seen = HashSet::with_capacity(all.len());
        let last: Vec<bool> = all.iter().rev().map(|member| seen.insert(member.key)).collect();
        all.into_iter().zip(last.into_iter().rev()).filter(|(_, last)| *last).for_each(|(member, _)| each(member));
    }
}

/// A key of a member is at most the event's limit, so its length fits.
fn key_length(key: &str) -> [u8; 4] {
    u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// One member of the details.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// Whether the value is finished JSON, else it is text.
    pub(super) is_json: bool,
}

impl<'a> Member<'a> {
    fn read((tag, bytes): (u8, &'a [u8])) -> Option<Self> {
        if !matches!(tag, DETAIL_TEXT | DETAIL_JSON) {
            return None;
        }
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Self { key, value, is_json: tag == DETAIL_JSON })
    }

    /// Writes `"key":value`; `is_plain` where none of it needs an escape.
    #[inline]
    pub(crate) fn write(&self, is_plain: bool, out: &mut Vec<u8>) {
        out.push(b'"');
        write_known(self.key, is_plain, out);
        out.extend_from_slice(b"\":");
        if self.is_json {
            out.extend_from_slice(self.value);
        } else {
            out.push(b'"');
            write_known(self.value, is_plain, out);
            out.push(b'"');
        }
    }
}
