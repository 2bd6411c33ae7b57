//! Where in a body the plain part of a string may end: at quotes, backslashes and control characters.
//!
//! As in Langdale and Lemire, "Parsing Gigabytes of JSON per Second" (2019): one bit a byte is set beforehand, sixteen bytes
//! at a time, and the end of a string is then a count of zeros, however long the string. Window by window, and with a
//! check of UTF-8, so that the bytes are fetched once.
//!
//! Used by [`super::json`] only.

/// Bytes that are marked at a time: few enough to be still in the first cache when they are read.
const WINDOW: usize = 4096;

/// The places of a body where the plain part of a string may end, in order.
#[derive(Debug)]
pub(super) struct Marks {
    /// What is left of the word at hand, and the place of its lowest bit.
    bits: u64,
    base: usize,
    /// The words of the window at hand, and how many of them are taken.
    words: [u64; WINDOW / 64],
    taken: usize,
    /// Where the window ends in the body: up to there it is UTF-8.
    end: usize,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self { bits: 0, base: 0, words: [0; WINDOW / 64], taken: WINDOW / 64, end: 0 }
    }

    /// The next mark at `from` or behind it; all before it is UTF-8.
    ///
    /// Marks are taken off one by one rather than looked up, so that the next one does not have to wait for this one.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as a call it costs a tenth of the walk")]
    pub(super) fn next(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        loop {
            while self.bits == 0 {
                match self.words.get(self.taken) {
                    Some(bits) => {
                        self.bits = *bits;
                        self.base = self.base.wrapping_add(64);
                        self.taken += 1;
                    }
                    None => self.slide(bytes)?,
                }
            }
            let place = self.base + self.bits.trailing_zeros() as usize;
            self.bits &= self.bits - 1;
            if place >= from {
                return Some(place);
            }
        }
    }

    /// Goes on to the next window; `None` where the body ends, or is no longer UTF-8.
    #[cold]
    fn slide(&mut self, bytes: &[u8]) -> Option<()> {
        let start = self.end;
        let window = bytes.get(start..bytes.len().min(start + WINDOW))?;
        // A character that the window cuts through is left to the next one.
        let window = match std::str::from_utf8(window) {
            Ok(_) => window,
            Err(error) => window.get(..error.valid_up_to())?,
        };
        if window.is_empty() {
            return None;
        }
        let (blocks, rest) = window.as_chunks::<64>();
        let mut last = [b' '; 64];
        last.iter_mut().zip(rest).for_each(|(byte, rest)| *byte = *rest);
        self.words = [0; WINDOW / 64];
        for (word, block) in self.words.iter_mut().zip(blocks.iter().chain([&last])) {
            *word = mark(block);
        }
        self.base = start.wrapping_sub(64);
        self.taken = 0;
        self.end = start + window.len();
        Some(())
    }
}

/// The bits of 64 bytes. Written so that the compiler compares sixteen bytes at a time; the multiplication gathers the
/// lowest bits of eight bytes in the highest byte.
fn mark(block: &[u8; 64]) -> u64 {
    let mut marks = [0; 64];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
    }
    let gather = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    marks.as_chunks::<8>().0.iter().rev().fold(0, |bits, eight| (bits << 8) | gather(eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_byte_is_found_at_every_place() {
        for place in [0, 1, 62, 63, 64, 65, 127, 4094, 4095, 4096, 4097, 8191, 8192, 8998, 8999] {
            for byte in 0..=0x7f_u8 {
                let mut text = [b'x'; 9000];
                text[place] = byte;
                let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                let mut marks = Marks::new();
                assert_eq!(marks.next(&text, 0), special.then_some(place), "byte {byte:#x} at {place}");
                assert_eq!(marks.next(&text, 0), None);
                assert_eq!(Marks::new().next(&text, place + 1), None);
            }
        }
    }
}
