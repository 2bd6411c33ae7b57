//! The identity of an event: a UUID.
//!
//! Fresh ids are version 7 (RFC 9562): milliseconds, then 12 bits of the millisecond's fraction (its method 3), then 62
//! random bits. The random bits come from a generator of each thread, since asking the system for every id costs 520
//! ns; it is Lehmer's with a 128-bit state (Steele and Vigna, "Computationally easy, spectrally good multipliers").

use std::cell::RefCell;
use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Timestamp;
use super::fork::ForkGuard;

/// The identity of an event, unique across processes and machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

thread_local! {
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

impl EventId {
    /// A fresh id: a UUID of version 7, of the time given.
    #[inline]
    pub(crate) fn generate(at: Timestamp) -> Self {
        // In words of 64 bits: a division of 128 is a call.
        let nanos = at.unix_nanos().unsigned_abs();
        let millis = nanos / 1_000_000;
        // 4096 steps a millisecond: 244 ns each.
        let fraction = (nanos % 1_000_000) * 4096 / 1_000_000;
        let high = (millis & 0xffff_ffff_ffff) << 16 | 0x7 << 12 | fraction;
        Self(Uuid::from_u64_pair(high, 0b10 << 62 | random() >> 2))
    }

    /// The id with these 128 bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(Uuid::from_u128(bits))
    }

    /// The 128 bits.
    pub fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// Reads a UUID.
    ///
    /// # Errors
    /// When the text is no UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidEventId> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidEventId)
    }

    /// The id for a foreign text that is no UUID: a UUID of version 8, by SHA-256, the same on every machine.
    pub fn from_foreign(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut bytes = [0; 16];
        for (byte, hashed) in bytes.iter_mut().zip(digest) {
            *byte = hashed;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The characters of the id.
    #[inline]
    pub(crate) fn characters(self) -> [u8; 36] {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        self.0.hyphenated().encode_lower(&mut text);
        text
    }

    /// Writes them.
    #[inline]
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.characters());
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct InvalidEventId;

/// The random numbers of one thread in one process: a forked child draws others than its parent.
#[derive(Debug)]
struct Generator {
    state: u128,
    seeded_in: ForkGuard,
}

impl Generator {
    #[cold]
    fn seeded() -> Self {
        Self { state: seed(), seeded_in: ForkGuard::new() }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        const MULTIPLIER: u128 = 0xda94_2042_e4dd_58b5;
        self.state = self.state.wrapping_mul(MULTIPLIER);
        (self.state >> 64) as u64
    }
}

#[inline]
fn random() -> u64 {
    GENERATOR.with_borrow_mut(|generator| match generator {
        Some(generator) if !generator.seeded_in.has_forked() => generator.next(),
        _ => generator.insert(Generator::seeded()).next(),
    })
}

/// A random number in 0..1, for jitter.
pub(crate) fn random_unit() -> f64 {
    // 32 bits are exact in a float, and enough to spread waits.
    f64::from((random() >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

/// An odd state, as the generator needs it. Should the system refuse its randomness, the clock and the thread's own
/// address have to do: an id that may repeat beats a panic on the caller's path.
#[cold]
fn seed() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        let here = std::ptr::from_ref(&bytes).addr() as u128;
        return (here << 64 | u128::from(super::monotonic())) | 1;
    }
    u128::from_le_bytes(bytes) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn fresh_ids_are_version_7_and_carry_their_time() {
        let at: Timestamp = "2026-11-24T10:00:00.123456Z".parse().unwrap();
        let id = EventId::generate(at).0;
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let millis = u128::try_from(at.unix_nanos() / 1_000_000).unwrap();
        assert_eq!(id.as_u128() >> 80, millis);
    }

    #[test]
    fn ids_of_one_instant_on_many_threads_never_repeat() {
        let at = Timestamp::now();
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || (0..50_000).map(|_| EventId::generate(at)).collect::<Vec<_>>()))
            .collect();
        let ids: Vec<EventId> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 200_000);
    }

    #[test]
    fn a_foreign_text_always_gives_the_same_version_8_id() {
        let id = EventId::from_foreign("order-17/created");
        assert_eq!(id, EventId::from_foreign("order-17/created"));
        assert_ne!(id, EventId::from_foreign("order-17/updated"));
        assert_eq!(id.0.get_version_num(), 8);
        assert_eq!(EventId::parse(&id.to_string()), Ok(id));
    }
}
