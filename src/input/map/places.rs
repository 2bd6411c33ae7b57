//! All places that a map looks at, found in a record in one pass.

use super::pointer::Pointer;
use crate::input::tape::{Item, Kind};

/// A place that the record does not have.
const NOWHERE: u32 = u32::MAX;

/// The pointers of a map as a tree of their tokens, so that none of them is followed from the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    root: Branch,
    count: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Branch {
    token: Box<str>,
    /// The token as a place in an array, where it is one.
    index: Option<usize>,
    /// The number of the pointers that end here.
    slot: Option<usize>,
    branches: Vec<Self>,
}

impl Places {
    /// Enters a pointer, and numbers it: the same place has the same number.
    pub(super) fn enter(&mut self, pointer: &mut Pointer) {
        let mut branch = &mut self.root;
        for token in pointer.tokens() {
            let known = branch.branches.iter().position(|known| known.token == *token);
            let place = known.unwrap_or_else(|| {
                branch.branches.push(Branch { token: token.clone(), index: index_of(token), ..Branch::default() });
                branch.branches.len() - 1
            });
            let Some(next) = branch.branches.get_mut(place) else { return };
            branch = next;
        }
        let slot = *branch.slot.get_or_insert(self.count);
        self.count = self.count.max(slot + 1);
        pointer.set_slot(slot);
    }

    /// Finds all of them. `at` is memory that is kept from record to record.
    pub(super) fn find<'r, N: Item>(&self, record: &'r [N], at: &'r mut Vec<u32>) -> Found<'r, N> {
        at.clear();
        at.resize(self.count, NOWHERE);
        self.root.follow(record, 0, at);
        Found { record, at }
    }
}

/// RFC 6901 allows no leading zero and no sign.
fn index_of(token: &str) -> Option<usize> {
    token.parse::<usize>().ok().filter(|index| index.to_string() == token)
}

impl Branch {
    /// Notes what is at and below the value that begins at this node of the record.
    fn follow<N: Item>(&self, record: &[N], start: usize, at: &mut [u32]) {
        if let Some(place) = self.slot.and_then(|slot| at.get_mut(slot)) {
            *place = u32::try_from(start).unwrap_or(NOWHERE);
        }
        let Some(head) = record.get(start).filter(|_| !self.branches.is_empty()) else { return };
        let mut left = self.branches.len();
        let mut next = start + 1;
        match head.kind() {
            Kind::Object { len, .. } => {
                for _ in 0..len {
                    let Some(Kind::Text(key)) = record.get(next).map(Item::kind) else { return };
                    if let Some(branch) = self.branches.iter().find(|branch| *branch.token == *key) {
                        branch.follow(record, next + 1, at);
                        left -= 1;
                    }
                    next += 1 + record.get(next + 1).map_or(1, Item::size);
                    if left == 0 {
                        return;
                    }
                }
            }
            Kind::Array { len, .. } => {
                for index in 0..len {
                    if let Some(branch) = self.branches.iter().find(|branch| branch.index == Some(index)) {
                        branch.follow(record, next, at);
                        left -= 1;
                    }
                    next += record.get(next).map_or(1, Item::size);
                    if left == 0 {
                        return;
                    }
                }
            }
            _ => {}
        }
    }
}

/// A record, and where in it the places of a map are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'r, N> {
    pub(super) record: &'r [N],
    at: &'r [u32],
}

impl<'r, N: Item> Found<'r, N> {
    /// The nodes of the value, and whatever follows it; `None` where there is no such value, or null.
    pub(super) fn get(&self, pointer: &Pointer) -> Option<&'r [N]> {
        let start = *self.at.get(pointer.slot())?;
        let nodes = self.record.get(usize::try_from(start).ok()?..)?;
        (!matches!(nodes.first()?.kind(), Kind::Null)).then_some(nodes)
    }

    /// The first of these places that is there and not null.
    pub(super) fn first<'p>(&self, from: &'p [Pointer]) -> Option<(&'p Pointer, &'r [N])> {
        from.iter().find_map(|pointer| Some((pointer, self.get(pointer)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_found_past_nested_values_whatever_the_order() {
        let json = r#"{"x":{"y":[1,{"z":2}]},"a/b":"slash","m~n":"tilde","l":[[1,2],{},"third"],"":"empty","n":null}"#;
        let cases = [
            ("/a~1b", Some("slash")),
            ("/m~0n", Some("tilde")),
            ("/l/2", Some("third")),
            ("/", Some("empty")),
            ("", Some("?")),
            ("/x/y/1/z", Some("?")),
            ("/x/y", Some("?")),
            ("/l/3", None),
            ("/l/02", None),
            ("/l/+2", None),
            ("/l/-", None),
            ("/x/y/z", None),
            ("/l/2/0", None),
            ("/n", None),
            ("/n/0", None),
        ];
        let mut bytes = json.as_bytes().to_vec();
        let tape = simd_json::to_tape(&mut bytes).unwrap();
        for reversed in [false, true] {
            let mut places = Places::default();
            let mut pointers: Vec<Pointer> = cases.iter().map(|(text, _)| Pointer::parse(text).unwrap()).collect();
            if reversed {
                pointers.iter_mut().rev().for_each(|pointer| places.enter(pointer));
            } else {
                pointers.iter_mut().for_each(|pointer| places.enter(pointer));
            }
            let mut again = Pointer::parse("/l/2").unwrap();
            places.enter(&mut again);
            assert_eq!((again.slot(), places.count), (pointers[2].slot(), cases.len()));
            // What an earlier record left there counts for nothing.
            let mut at = vec![7; 99];
            let found = places.find(&tape.0, &mut at);
            for ((text, expected), pointer) in cases.iter().zip(&pointers) {
                let kind = found.get(pointer).and_then(|nodes| nodes.first()).map(Item::kind);
                let text_there = kind.map(|kind| if let Kind::Text(text) = kind { text } else { "?" });
                assert_eq!(text_there, *expected, "{text}");
            }
        }
    }
}
