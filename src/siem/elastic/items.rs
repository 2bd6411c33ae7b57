//! The items of an answer to a bulk request: what is said of each document, in the order of the request.
//!
//! Read one by one, so that an answer which is cut off still says what became of the first documents: there is a limit to
//! how much of one is kept. One that is whole has as many items as documents were sent, else it is not believed at all: with
//! some left out on the way, a place in the list is not one in the batch.
//!
//! Called by [`super::bulk`].

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What is said of one document, as far as it matters. A member that is not what it should be says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    pub(super) status: Value,
    pub(super) error: Value,
    pub(super) failure_store: Value,
}

/// What the usual answer is made of, byte for byte, as Elasticsearch and OpenSearch write it for what is asked of them.
const BEFORE_ITEMS: &[u8] = b"{\"errors\":false,\"items\":[";
const CREATED: &[u8] = b"{\"create\":{\"status\":201}},";
const BEHIND_ITEMS: &[u8] = b"]}";

/// Whether the answer is the usual one, that each of so many documents was created. False says nothing: then its items are
/// to be read. They cost as much as writing the documents does, and this a comparison.
pub(super) fn are_all_created(body: &[u8], events: usize) -> bool {
    let items = body.strip_prefix(BEFORE_ITEMS).and_then(|rest| rest.strip_suffix(BEHIND_ITEMS)).unwrap_or_default();
    // The last one has no comma behind it, and is one byte shorter.
    events > 0
        && items.len() + 1 == events.saturating_mul(CREATED.len())
        && items.chunks(CREATED.len()).all(|item| CREATED.starts_with(item))
}

/// The items for a batch of so many events: all, or the first of them; none where nothing is to be believed.
pub(super) fn read(body: &[u8], events: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_map(Members { items: &mut items, events }).and_then(|()| json.end());
    match read {
        Ok(()) => items,
        Err(error) if error.is_eof() => items,
        Err(_) => Vec::new(),
    }
}

/// The members of an answer, of which `items` is read.
struct Members<'i> {
    items: &'i mut Vec<Item>,
    events: usize,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer to a bulk request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut is_read = false;
        while let Some(name) = members.next_key::<String>()? {
            if name != "items" {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut is_read, true) {
                return Err(A::Error::duplicate_field("items"));
            }
            members.next_value_seed(Items { items: &mut *self.items, events: self.events })?;
        }
        if is_read { Ok(()) } else { Err(A::Error::missing_field("items")) }
    }
}

/// The list of items.
struct Items<'i> {
    items: &'i mut Vec<Item>,
    events: usize,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} items", self.events)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(Action(item)) = list.next_element()? {
            self.items.push(item);
            if self.items.len() > self.events {
                return Err(A::Error::invalid_length(self.items.len(), &self));
            }
        }
        if self.items.len() == self.events { Ok(()) } else { Err(A::Error::invalid_length(self.items.len(), &self)) }
    }
}

/// An item in the object that names its action.
struct Action(Item);

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneAction)
    }
}

struct OneAction;

impl<'de> Visitor<'de> for OneAction {
    type Value = Action;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of one action")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Action, A::Error> {
        let entry = members.next_entry::<IgnoredAny, Item>()?;
        let is_alone = members.next_key::<IgnoredAny>()?.is_none();
        match entry {
            Some((_, item)) if is_alone => Ok(Action(item)),
            _ => Err(A::Error::invalid_length(0, &self)),
        }
    }
}
