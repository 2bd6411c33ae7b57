//! gzip, bounded: a body that inflates beyond its limit is refused before it fills the memory.
//!
//! The output is reused from request to request. Called by [`super::connection`].

use flate2::{Decompress, FlushDecompress, Status};

use super::answer::{Answer, Body};

/// Window bits of gzip's largest window.
const WINDOW_BITS: u8 = 15;

/// Grown by at least so much at a time.
const STEP: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Inflater {
    out: Vec<u8>,
}

impl Inflater {
    /// The inflated body, or what to answer instead of it: at most `bytes_max` are inflated, and some more.
    pub(super) fn inflate(&mut self, input: &[u8], bytes_max: usize) -> Result<&[u8], Answer> {
        let out = &mut self.out;
        out.clear();
        let mut state = Decompress::new_gzip(WINDOW_BITS);
        let mut rest = input;
        loop {
            if out.len() == out.capacity() {
                out.reserve(STEP.max(out.len()));
            }
            let (in_before, out_before) = (state.total_in(), out.len());
            let status = state.decompress_vec(rest, out, FlushDecompress::None).map_err(|_| Answer::event(6, 0))?;
            let read = usize::try_from(state.total_in() - in_before).unwrap_or(usize::MAX);
            rest = rest.get(read..).unwrap_or_default();
            if out.len() > bytes_max {
                return Err(Answer::with(413, Body::Html));
            }
            match status {
                Status::StreamEnd if rest.is_empty() => return Ok(out),
                Status::StreamEnd => state = Decompress::new_gzip(WINDOW_BITS), // a further member
                Status::Ok | Status::BufError => {
                    let stuck = read == 0 && out.len() == out_before && out.len() < out.capacity();
                    if stuck {
                        return Err(Answer::event(6, 0)); // cut short
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_inflated_one_after_the_other() {
        let mut inflater = Inflater::default();
        for size in [0, 1, 1000, STEP, STEP + 1, 700_000] {
            let body = (0..=250).cycle().take(size).collect::<Vec<u8>>();
            assert_eq!(inflater.inflate(&gzip(&body), 10_000_000).unwrap(), body);
        }
        let members = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflater.inflate(&members, 100).unwrap(), b"one two");
    }

    #[test]
    fn a_bomb_is_refused_without_being_unpacked() {
        let bomb = gzip(&vec![0; 8_000_000]);
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&bomb, 1_000_000).unwrap_err().status, 413);
        assert!(inflater.out.capacity() < 4_000_000, "{}", inflater.out.capacity());
        assert_eq!(inflater.inflate(&gzip(b"x"), 100).unwrap(), b"x");
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let mut inflater = Inflater::default();
        let whole = gzip(b"some text that is long enough to be damaged");
        for length in 0..whole.len() {
            assert!(inflater.inflate(&whole[..length], 1000).is_err(), "cut to {length}");
        }
        let mut flipped = whole.clone();
        flipped[15] ^= 0x55;
        assert!(inflater.inflate(&flipped, 1000).is_err());
        assert!(inflater.inflate(b"no gzip at all", 1000).is_err());
        assert!(inflater.inflate(&[whole, b"tail".to_vec()].concat(), 1000).is_err());
    }
}
