//! Lines out of blocks: handed out without what surrounds them, never longer than the limit.

use std::io;

use super::pieces::{Blocks, Found, HEAD_BYTES_MAX, Piece, Pieces};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What may surround a line and does not count: the mark, and a carriage return before the end.
const AROUND_BYTES_MAX: usize = BYTE_ORDER_MARK.len() + 1;

/// Splits blocks into lines.
#[derive(Debug)]
pub(super) struct Lines {
    pieces: Pieces,
    line_bytes_max: usize,
    number: u64,
    ended: bool,
}

impl Lines {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        let pieces = Pieces::new(line_bytes_max.saturating_add(AROUND_BYTES_MAX));
        Self { pieces, line_bytes_max, number: 0, ended: false }
    }

    /// Begins another source: its lines count from 1.
    pub(super) fn restart(&mut self) {
        self.pieces.restart();
        self.number = 0;
        self.ended = false;
    }

    /// The number of the line handed out last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.pieces.bytes_read()
    }

    /// The next line that is not blank, with its number from 1; `None` at the end. After an error nothing more comes.
    pub(super) fn next(&mut self, blocks: &mut dyn Blocks) -> io::Result<Option<(u64, Piece<'_>)>> {
        let Some(found) = self.find(blocks)? else { return Ok(None) };
        let piece = match self.pieces.piece(&found) {
            // Not too long with what surrounds it, but without.
            Piece::Whole(line) if line.len() > self.line_bytes_max => {
                Piece::TooLong { head: line.get(..HEAD_BYTES_MAX).unwrap_or(line), bytes: line.len() as u64 }
            }
            piece => piece,
        };
        Ok(Some((self.number, piece)))
    }

    fn find(&mut self, blocks: &mut dyn Blocks) -> io::Result<Option<Found>> {
        self.pieces.begin();
        loop {
            let unscanned = self.pieces.unscanned();
            let found = if let Some(length) = memchr::memchr(b'\n', unscanned) {
                self.pieces.keep(length);
                let found = self.pieces.take();
                self.pieces.skip(1);
                found
            } else {
                let length = unscanned.len();
                self.pieces.keep(length);
                if self.ended {
                    return Ok(None);
                }
                match self.pieces.next_block(blocks) {
                    Ok(true) => continue,
                    // What is left is no whole line, and nothing more comes.
                    Err(error) => {
                        self.ended = true;
                        return Err(error);
                    }
                    Ok(false) => self.ended = true,
                }
                if !self.pieces.is_open() {
                    return Ok(None);
                }
                self.pieces.take()
            };
            self.number += 1;
            if let Some(found) = self.strip(found) {
                return Ok(Some(found));
            }
            self.pieces.begin();
        }
    }

    /// Takes away what surrounds the line; `None` where nothing but white space is left. A line that remains too long
    /// is left as it is.
    fn strip(&self, found: Found) -> Option<Found> {
        let line = self.pieces.bytes_of(&found);
        let (Found::InBlock(range) | Found::InCarry(range), false) = (&found, line.is_empty()) else {
            return (!line.is_empty()).then_some(found);
        };
        let mark = if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let stripped = range.start + mark..range.end - usize::from(line.ends_with(b"\r"));
        if stripped.len() > self.line_bytes_max {
            return Some(found);
        }
        if line.get(mark..).is_none_or(|line| line.trim_ascii().is_empty()) {
            return None;
        }
        Some(match found {
            Found::InCarry(_) => Found::InCarry(stripped),
            _ => Found::InBlock(stripped),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pieces::{Block, Cut};
    use super::*;
    use proptest::prelude::*;

    type Read1 = (u64, Result<Vec<u8>, (Vec<u8>, u64)>);

    fn read_all(input: &[u8], sizes: &[usize], line_bytes_max: usize) -> Vec<Read1> {
        let mut lines = Lines::new(line_bytes_max);
        let mut source = Cut::new(input, sizes);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next(&mut source).unwrap() {
            let line = match line {
                Piece::Whole(line) => Ok(line.to_vec()),
                Piece::TooLong { head, bytes } => Err((head.to_vec(), bytes)),
            };
            all.push((number, line));
        }
        assert_eq!(lines.bytes_read(), input.len() as u64);
        assert!(lines.next(&mut source).unwrap().is_none());
        all
    }

    fn naive(input: &[u8], line_bytes_max: usize) -> Vec<Read1> {
        let mut all = Vec::new();
        for (number, raw) in (1..).zip(input.split(|byte| *byte == b'\n')) {
            let line = if number == 1 { raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw) } else { raw };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > line_bytes_max {
                let head = raw.iter().take(HEAD_BYTES_MAX).copied().collect();
                all.push((number, Err((head, raw.len() as u64))));
            } else if !line.trim_ascii().is_empty() {
                all.push((number, Ok(line.to_vec())));
            }
        }
        all
    }

    fn whole(number: u64, line: &str) -> Read1 {
        (number, Ok(line.as_bytes().to_vec()))
    }

    #[test]
    fn blank_lines_count_but_are_not_handed_out() {
        let read = read_all(b"\xef\xbb\xbfa\r\n\n \t\r\nb\nlast", &[3], 10);
        assert_eq!(read, [whole(1, "a"), whole(4, "b"), whole(5, "last")]);
        assert_eq!(read_all(b"", &[1], 10), []);
        assert_eq!(read_all(b"\n\n", &[1], 10), []);
    }

    #[test]
    fn a_line_of_any_length_is_skipped_in_bounded_memory() {
        let mut input = vec![b'x'; 3_000_000];
        input.extend_from_slice(b"\nshort\n");
        let read = read_all(&input, &[1_000_000], 1000);
        assert_eq!(read, [(1, Err((vec![b'x'; HEAD_BYTES_MAX], 3_000_000))), whole(2, "short")]);
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole_whatever_surrounds_it() {
        let read = read_all(b"\xef\xbb\xbf0123456789\r\n0123456789\r\n01234567890\n", &[1], 10);
        assert_eq!(read, [whole(1, "0123456789"), whole(2, "0123456789"), (3, Err((b"01234567890".to_vec(), 11)))]);
    }

    #[test]
    fn after_an_error_nothing_more_comes() {
        struct Broken(bool);
        impl Blocks for Broken {
            fn next(&mut self, block: &mut Block) -> io::Result<bool> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("the disk is gone"));
                }
                *block = Block::new(b"a\nhalf".to_vec(), 6, 6);
                Ok(true)
            }
        }
        let mut lines = Lines::new(10);
        let mut source = Broken(false);
        assert_eq!(lines.next(&mut source).unwrap(), Some((1, Piece::Whole(b"a"))));
        assert!(lines.next(&mut source).is_err());
        assert_eq!(lines.number(), 1);
        assert_eq!(lines.next(&mut source).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_lines_of_a_naive_splitter(
            input in prop::collection::vec(
                prop_oneof![3 => Just(b"\n".to_vec()), 1 => Just(b"\r".to_vec()), 1 => Just(BYTE_ORDER_MARK.to_vec()),
                    3 => prop::collection::vec(any::<u8>(), 0..30)], 0..40),
            sizes in prop::collection::vec(1usize..40, 0..6),
            line_bytes_max in 0usize..40,
        ) {
            let input = input.concat();
            let sizes = [sizes.as_slice(), &[7]].concat();
            prop_assert_eq!(read_all(&input, &sizes, line_bytes_max), naive(&input, line_bytes_max));
        }
    }

    #[test]
    fn long_lines_that_span_chunks_are_the_lines_of_a_naive_splitter() {
        let input: Vec<u8> = (0..2_000_000u32).map(|at| if at % 77_777 == 0 { b'\n' } else { b'a' }).collect();
        for line_bytes_max in [100_000, 77_776, 77_775] {
            assert_eq!(read_all(&input, &[300_000, 5, 70_001], line_bytes_max), naive(&input, line_bytes_max));
        }
    }
}
