//! Which event ids were received, how often, and whether they were indexed and acknowledged.
//!
//! Ten million ids must fit (24 to 48 bytes an id) and connections must not wait for each other, so the map is cut into
//! shards, each behind its own lock, and a request takes a shard's lock once, not once an event. Ids are UUIDs and mostly
//! random already, so hashing is folding.
//!
//! Written by [`super::books`], read through [`super::Receiver`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use uuid::Uuid;

/// A power of two: few enough that a batch of 500 gives each lock some thirty ids, many enough for a few connections.
const SHARDS: usize = 16;

/// The id under which an event with this id text is counted: the UUID itself, or a hash of any other text.
///
/// Stable for the life of a process.
pub fn id_of(text: &[u8]) -> u128 {
    Uuid::try_parse_ascii(text).map_or_else(|_| hashed(text), |uuid| uuid.as_u128())
}

#[cold]
fn hashed(text: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(text);
        hasher.finish()
    };
    (u128::from(half(0)) << 64) | u128::from(half(1))
}

/// How the ids of one request went in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) unique: u64,
    pub(super) duplicated: u64,
}

/// The ids of one request, sorted by shard; reused from request to request.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    shards: [Vec<Key>; SHARDS],
}

impl Sorted {
    #[inline]
    pub(super) fn push(&mut self, id: u128) {
        let key = Key::new(id);
        if let Some(shard) = self.shards.get_mut(key.shard()) {
            shard.push(key);
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = u128> {
        self.shards.iter_mut().flat_map(|shard| shard.drain(..)).map(Key::id)
    }
}

/// What else there is to know of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    Indexed,
    Acknowledged,
}

/// How often an id came, and its flags in the two highest bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen(u32);

impl Seen {
    const TIMES: u32 = (1 << 30) - 1;

    fn once(flags: u32) -> Self {
        Self(flags | 1)
    }

    fn times(self) -> u32 {
        self.0 & Self::TIMES
    }

    fn again(&mut self, flags: u32) {
        self.0 = (self.0 & !Self::TIMES) | flags | (self.times() + 1).min(Self::TIMES);
    }

    fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }
}

impl Flag {
    fn bit(self) -> u32 {
        match self {
            Self::Indexed => 1 << 31,
            Self::Acknowledged => 1 << 30,
        }
    }
}

/// What the books write ids into.
pub(super) trait Register: fmt::Debug + Send + Sync {
    /// Takes in the ids of a request, with this flag if any, and empties `sorted`.
    fn add(&self, sorted: &mut Sorted, flag: Option<Flag>) -> Added;
    /// Takes in one id as indexed, unless it came before; whether it did not.
    fn create(&self, id: u128) -> bool;
    /// Sets a flag of these ids, which were taken in before, and tells how many did not have it.
    fn set(&self, ids: &[u128], flag: Flag) -> u64;
    fn has(&self, id: u128, flag: Flag) -> bool;
    /// Every id and how often it came, as far as that is known.
    fn all(&self) -> Vec<(u128, u32)>;
}

/// The map.
#[derive(Debug, Default)]
pub(super) struct Ids {
    shards: [CachePadded<Mutex<Shard>>; SHARDS],
}

type Shard = HashMap<Key, Seen, BuildHasherDefault<Fold>>;

impl Register for Ids {
    fn add(&self, sorted: &mut Sorted, flag: Option<Flag>) -> Added {
        let flags = flag.map_or(0, Flag::bit);
        let mut added = Added::default();
        for (shard, keys) in self.shards.iter().zip(&mut sorted.shards) {
            if keys.is_empty() {
                continue;
            }
            let mut shard = shard.lock();
            for key in keys.drain(..) {
                match shard.entry(key) {
                    Entry::Vacant(vacant) => {
                        let _ = vacant.insert(Seen::once(flags));
                        added.unique += 1;
                    }
                    Entry::Occupied(mut occupied) => {
                        occupied.get_mut().again(flags);
                        added.duplicated += 1;
                    }
                }
            }
        }
        added
    }

    fn create(&self, id: u128) -> bool {
        let key = Key::new(id);
        let Some(shard) = self.shards.get(key.shard()) else { return false };
        match shard.lock().entry(key) {
            Entry::Vacant(vacant) => {
                let _ = vacant.insert(Seen::once(Flag::Indexed.bit()));
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    fn set(&self, ids: &[u128], flag: Flag) -> u64 {
        let mut set = 0;
        for key in ids.iter().map(|id| Key::new(*id)) {
            let Some(mut shard) = self.shards.get(key.shard()).map(|shard| shard.lock()) else { continue };
            if let Some(seen) = shard.get_mut(&key).filter(|seen| !seen.has(flag)) {
                seen.0 |= flag.bit();
                set += 1;
            }
        }
        set
    }

    fn has(&self, id: u128, flag: Flag) -> bool {
        let key = Key::new(id);
        self.shards.get(key.shard()).is_some_and(|shard| shard.lock().get(&key).is_some_and(|seen| seen.has(flag)))
    }

    fn all(&self) -> Vec<(u128, u32)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().iter().map(|(key, seen)| (key.id(), seen.times())));
        }
        all
    }
}

/// An id as bytes: a `u128` would be aligned to 16 and take 32 bytes a slot instead of 20.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key([u8; 16]);

impl Key {
    fn new(id: u128) -> Self {
        Self(id.to_ne_bytes())
    }

    fn id(self) -> u128 {
        u128::from_ne_bytes(self.0)
    }

    /// The multiplication spreads ids that differ in few bits, such as a test's 1, 2, 3.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is folded into the lower one")]
    fn folded(self) -> u64 {
        let id = self.id();
        (((id >> 64) ^ id) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// The map uses the lowest and the highest bits, so the shard is taken from the middle.
    #[inline]
    fn shard(self) -> usize {
        (self.folded() >> 40) as usize % SHARDS
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.folded());
    }
}

/// Hands on the one number that [`Key`] writes.
#[derive(Debug, Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(ids: impl IntoIterator<Item = u128>) -> Sorted {
        let mut sorted = Sorted::default();
        ids.into_iter().for_each(|id| sorted.push(id));
        sorted
    }

    #[test]
    fn repeated_ids_are_counted_as_duplicates() {
        let ids = Ids::default();
        let mut first = sorted([1, 2, 2, u128::MAX]);
        assert_eq!(ids.add(&mut first, None), Added { unique: 3, duplicated: 1 });
        assert_eq!(ids.add(&mut first, None), Added::default(), "a request's ids are taken in once");
        assert_eq!(ids.add(&mut sorted([2, 5]), None), Added { unique: 1, duplicated: 1 });
        let mut all = ids.all();
        all.sort_unstable();
        assert_eq!(all, [(1, 1), (2, 3), (5, 1), (u128::MAX, 1)]);
    }

    #[test]
    fn an_id_is_created_once() {
        let ids = Ids::default();
        ids.add(&mut sorted([1]), None);
        assert_eq!([ids.create(1), ids.create(2), ids.create(2)], [false, true, false]);
        let mut all = ids.all();
        all.sort_unstable();
        assert_eq!(all, [(1, 1), (2, 1)]);
        assert!(ids.has(2, Flag::Indexed));
    }

    #[test]
    fn flags_stay_and_do_not_count() {
        let ids = Ids::default();
        ids.add(&mut sorted([1, 2]), None);
        ids.add(&mut sorted([3]), Some(Flag::Indexed));
        assert_eq!([1, 3, 4].map(|id| ids.has(id, Flag::Indexed)), [false, true, false]);
        assert_eq!((ids.set(&[1, 3, 4], Flag::Indexed), ids.set(&[1], Flag::Indexed)), (1, 0));
        assert_eq!(ids.set(&[2], Flag::Acknowledged), 1);
        ids.add(&mut sorted([1, 2]), None);
        assert_eq!([1, 2, 3, 4].map(|id| ids.has(id, Flag::Indexed)), [true, false, true, false]);
        assert_eq!([1, 2, 3].map(|id| ids.has(id, Flag::Acknowledged)), [false, true, false]);
        let mut all = ids.all();
        all.sort_unstable();
        assert_eq!(all, [(1, 2), (2, 2), (3, 1)]);
        let mut full = Seen(Seen::TIMES | Flag::Acknowledged.bit());
        full.again(0);
        assert_eq!((full.times(), full.has(Flag::Indexed)), (Seen::TIMES, false));
    }

    #[test]
    fn neighbouring_ids_spread_over_the_shards() {
        for shift in [0, 64, 80] {
            let sorted = sorted((0..16_000_u128).map(|id| id << shift));
            for shard in &sorted.shards {
                assert!((700..1300).contains(&shard.len()), "{} of 16,000 in one shard", shard.len());
            }
        }
    }

    #[test]
    fn a_uuid_is_its_own_id_and_other_text_is_hashed() {
        assert_eq!(id_of(b"00000000-0000-0000-0000-0000000000ff"), 0xff);
        assert_eq!(id_of(b"00000000-0000-0000-0000-0000000000FF"), 0xff);
        assert_eq!(id_of(b"order-1"), id_of(b"order-1"));
        assert_ne!(id_of(b"order-1"), id_of(b"order-2"));
        assert!(id_of(b"order-1") >> 64 != 0);
    }

    #[test]
    fn an_id_takes_twenty_bytes_a_slot() {
        assert_eq!(size_of::<(Key, Seen)>(), 20);
    }
}
