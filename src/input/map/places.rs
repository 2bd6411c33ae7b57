//! All places that a map looks at, found in a record in one pass.

use ::serde::de::Error;

use super::keys::{BUCKETS, Keys, bucket, fingerprint, is_same};
use super::pointer::Pointer;
use crate::event::{DETAILS_DEPTH_MAX, repeated, too_deep};
use crate::input::tape::{Item, Kind};
use crate::input::walk::Reason;

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
    /// By the buckets of their fingerprints, these and where the branches are; empty without branches.
    buckets: Vec<Vec<(u64, usize)>>,
}

impl Places {
    /// Enters a pointer, and numbers it: the same place has the same number.
    pub(super) fn enter(&mut self, pointer: &mut Pointer) {
        let mut branch = &mut self.root;
        for token in pointer.tokens() {
            let known = branch.branches.iter().position(|known| known.token == *token);
            let place = known.unwrap_or_else(|| {
                let its = fingerprint(token);
                branch.buckets.resize(BUCKETS, Vec::new());
                if let Some(known) = branch.buckets.get_mut(bucket(its)) {
                    known.push((its, branch.branches.len()));
                }
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

    /// Finds all of them.
    ///
    /// A record must not say one thing to one reader and another to the next, so all of it is looked at, whatever is
    /// looked for.
    ///
    /// # Errors
    /// Where a key comes twice in an object, or what is nested too deep for readers to bear.
    pub(super) fn find<'r, N: Item>(&self, record: &'r [N], memory: &'r mut Memory) -> Result<Found<'r, N>, Reason> {
        let Memory { at, keys } = memory;
        keys.clear();
        at.clear();
        at.resize(self.count, NOWHERE);
        Search { record, at, keys }.value(0, 0, Some(&self.root)).map_err(|reason| *reason)?;
        Ok(Found { record, at })
    }
}

/// RFC 6901 allows no leading zero and no sign.
fn index_of(token: &str) -> Option<usize> {
    token.parse::<usize>().ok().filter(|index| index.to_string() == token)
}

impl Branch {
    #[inline]
    fn of_key(&self, fingerprint: u64, key: &str) -> Option<&Self> {
        let mut likely = self.buckets.get(bucket(fingerprint))?.iter().filter(|(its, _)| *its == fingerprint);
        likely.find_map(|(_, at)| self.branches.get(*at).filter(|branch| is_same(&branch.token, key)))
    }

    fn of_index(&self, index: usize) -> Option<&Self> {
        self.branches.iter().find(|branch| branch.index == Some(index))
    }
}

/// What is kept from record to record: memory alone.
#[derive(Debug, Default)]
pub(in crate::input) struct Memory {
    /// Where each place is.
    at: Vec<u32>,
    keys: Keys,
}

/// On its way through a record.
struct Search<'r, 'm, N> {
    record: &'r [N],
    at: &'m mut [u32],
    keys: &'m mut Keys,
}

impl<N: Item> Search<'_, '_, N> {
    /// Looks at all of the value that begins at this node, below so many objects and arrays; notes what the branch and
    /// those below it are looking for. Answers the node behind it.
    #[inline]
    fn value(&mut self, start: usize, depth: usize, branch: Option<&Branch>) -> Result<usize, Box<Reason>> {
        if let Some(place) = branch.and_then(|branch| self.at.get_mut(branch.slot?)) {
            *place = u32::try_from(start).unwrap_or(NOWHERE);
        }
        let (kind, inner) = (self.record.get(start).map(Item::kind), start + 1);
        // Most values hold no others.
        let Some(Kind::Object { len, .. } | Kind::Array { len, .. }) = kind else { return Ok(inner) };
        if depth >= DETAILS_DEPTH_MAX {
            return Err(Box::new(too_deep()));
        }
        if matches!(kind, Some(Kind::Object { .. })) {
            self.members(inner, len, depth + 1, branch)
        } else {
            self.elements(inner, len, depth + 1, branch)
        }
    }

    /// The members of an object, so many from this node on.
    fn members(
        &mut self,
        mut next: usize,
        len: usize,
        depth: usize,
        branch: Option<&Branch>,
    ) -> Result<usize, Box<Reason>> {
        let mut object = self.keys.begin();
        for _ in 0..len {
            let Some(Kind::Text(key)) = self.record.get(next).map(Item::kind) else {
                return Err(Box::new(Reason::custom("a key is no text")));
            };
            let its = fingerprint(key);
            if !self.keys.insert(&mut object, (its, key, next), self.record) {
                return Err(Box::new(repeated(key)));
            }
            next = self.value(next + 1, depth, branch.and_then(|branch| branch.of_key(its, key)))?;
        }
        self.keys.end(&object);
        Ok(next)
    }

    /// The elements of an array, so many from this node on.
    fn elements(
        &mut self,
        start: usize,
        len: usize,
        depth: usize,
        branch: Option<&Branch>,
    ) -> Result<usize, Box<Reason>> {
        (0..len)
            .try_fold(start, |next, index| self.value(next, depth, branch.and_then(|branch| branch.of_index(index))))
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
            }
            for pointer in &mut pointers {
                // One that was entered keeps its number.
                places.enter(pointer);
            }
            let mut again = Pointer::parse("/l/2").unwrap();
            places.enter(&mut again);
            assert_eq!((again.slot(), places.count), (pointers[2].slot(), cases.len()));
            // What an earlier record left there counts for nothing.
            let mut memory = Memory { at: vec![7; 99], ..Memory::default() };
            let found = places.find(&tape.0, &mut memory).unwrap();
            for ((text, expected), pointer) in cases.iter().zip(&pointers) {
                let kind = found.get(pointer).and_then(|nodes| nodes.first()).map(Item::kind);
                let text_there = kind.map(|kind| if let Kind::Text(text) = kind { text } else { "?" });
                assert_eq!(text_there, *expected, "{text}");
            }
        }
    }

    fn checked(json: &str) -> Result<(), String> {
        let mut bytes = json.as_bytes().to_vec();
        let tape = simd_json::to_tape(&mut bytes).unwrap();
        Places::default().find(&tape.0, &mut Memory::default()).map(drop).map_err(|reason| reason.0)
    }

    #[test]
    fn a_key_is_looked_for_in_its_own_object_and_however_many_there_are() {
        let many = |last: usize| {
            let members: Vec<String> = (0..40).chain([last]).map(|number| format!("\"k{number}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(checked(r#"{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":3}}"#), Ok(()));
        assert_eq!(checked(&many(40)), Ok(()));
        for twice in [3, 15, 16, 39] {
            assert_eq!(checked(&many(twice)), Err(format!("the key \"k{twice}\" is repeated")));
        }
        assert_eq!(checked(r#"{"x":[1,[{"a":1,"\u0061":2}]]}"#), Err("the key \"a\" is repeated".to_owned()));
    }

    #[test]
    fn sixty_four_levels_are_borne() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(checked(&nested(64)), Ok(()));
        assert_eq!(checked(&nested(65)), Err("details are nested deeper than 64".to_owned()));
    }
}
