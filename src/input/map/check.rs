//! A record must not say one thing to one reader and another to the next: no key twice, and no nesting beyond what
//! readers bear.

use std::collections::HashSet;

use ::serde::de::Error;

use crate::event::{DETAILS_DEPTH_MAX, repeated, too_deep};
use crate::input::tape::{Item, Kind};
use crate::input::walk::Reason;

/// Up to so many keys are compared pair by pair, which costs no allocation.
const PAIRWISE_MAX: usize = 16;

/// Looks at all of a value.
pub(super) fn check<N: Item>(value: &[N]) -> Result<(), Reason> {
    check_within(value, 0).map(drop)
}

/// The same below so many objects and arrays; how many nodes there were.
fn check_within<N: Item>(value: &[N], depth: usize) -> Result<usize, Reason> {
    let (is_object, len) = match value.first().map(Item::kind) {
        Some(Kind::Object { len, .. }) => (true, len),
        Some(Kind::Array { len, .. }) => (false, len),
        _ => return Ok(1),
    };
    if depth >= DETAILS_DEPTH_MAX {
        return Err(too_deep());
    }
    let mut keys = Keys::default();
    let mut next = 1;
    for _ in 0..len {
        if is_object {
            let Some(Kind::Text(key)) = value.get(next).map(Item::kind) else {
                return Err(Reason::custom("a key is no text"));
            };
            if !keys.insert(key) {
                return Err(repeated(key));
            }
            next += 1;
        }
        next += check_within(value.get(next..).unwrap_or_default(), depth + 1)?;
    }
    Ok(next)
}

/// The keys of one object.
#[derive(Default)]
struct Keys<'t> {
    few: [&'t str; PAIRWISE_MAX],
    count: usize,
    many: HashSet<&'t str>,
}

impl<'t> Keys<'t> {
    /// Whether it is new.
    fn insert(&mut self, key: &'t str) -> bool {
        if self.few.iter().take(self.count).any(|other| *other == key) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(free) => {
                *free = key;
                self.count += 1;
                true
            }
            None => self.many.insert(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: &str) -> Result<(), String> {
        let mut bytes = json.as_bytes().to_vec();
        check(&simd_json::to_tape(&mut bytes).unwrap().0).map_err(|reason| reason.0)
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
