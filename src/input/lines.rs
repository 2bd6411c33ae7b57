//! Lines out of bytes: read in large chunks, handed out without a copy, never longer than the limit.

use std::io::{self, Read};
use std::ops::Range;

/// What one read asks for, in bytes: few system calls, and still within the second cache.
const CHUNK_BYTES: usize = 256 * 1024;
/// How much of a line is kept that is too long, in bytes: what the record of its rejection shows.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What may surround a line and does not count: the mark, and a carriage return before the end.
const AROUND_BYTES_MAX: usize = BYTE_ORDER_MARK.len() + 1;

/// Splits what a reader gives into lines. Its buffer holds one chunk more than the longest line, whatever comes in.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Read, but not handed out.
    filled: Range<usize>,
    /// Up to here there is no line end.
    scanned: usize,
    line_bytes_max: usize,
    number: u64,
    bytes_read: u64,
    ended: bool,
    /// How much was skipped of the line that is too long.
    long: Option<u64>,
    /// How that line begins.
    head: Vec<u8>,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than the limit: its first bytes, and how many it had with all that surrounds it.
    TooLong {
        head: &'a [u8],
        bytes: u64,
    },
}

/// What was found, as positions: the borrow comes last.
enum Found {
    Whole(Range<usize>),
    TooLong(u64),
}

impl Lines {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self {
            // Zeroed memory comes lazily from the system: a large limit costs nothing until a line needs it.
            buffer: vec![0; line_bytes_max.saturating_add(AROUND_BYTES_MAX + CHUNK_BYTES)],
            filled: 0..0,
            scanned: 0,
            line_bytes_max,
            number: 0,
            bytes_read: 0,
            ended: false,
            long: None,
            head: Vec::new(),
        }
    }

    /// Begins another source: its lines count from 1. The bytes read go on counting.
    pub(super) fn restart(&mut self) {
        self.forget();
        self.number = 0;
        self.ended = false;
    }

    fn forget(&mut self) {
        self.filled = 0..0;
        self.scanned = 0;
        self.long = None;
    }

    /// The number of the line handed out last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line that is not blank, with its number from 1; `None` at the end. After an error nothing more comes.
    pub(super) fn next(&mut self, source: &mut dyn Read) -> io::Result<Option<(u64, Line<'_>)>> {
        let Some(found) = self.find(source)? else { return Ok(None) };
        let line = match found {
            Found::Whole(range) => Line::Whole(self.buffer.get(range).unwrap_or_default()),
            Found::TooLong(bytes) => Line::TooLong { head: &self.head, bytes },
        };
        Ok(Some((self.number, line)))
    }

    fn find(&mut self, source: &mut dyn Read) -> io::Result<Option<Found>> {
        loop {
            let unscanned = self.buffer.get(self.scanned..self.filled.end).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', unscanned) {
                let end = self.scanned + length;
                if let Some(found) = self.take(end, end + 1) {
                    return Ok(Some(found));
                }
                continue;
            }
            self.scanned = self.filled.end;
            if self.ended {
                let last = !self.filled.is_empty() || self.long.is_some();
                return Ok(if last { self.take(self.filled.end, self.filled.end) } else { None });
            }
            if self.long.is_some() || self.filled.len() > self.line_bytes_max + AROUND_BYTES_MAX {
                self.skip(self.filled.end);
            }
            self.fill(source)?;
        }
    }

    /// Takes the line that ends at `end`, the next beginning at `next`; `None` where it is blank.
    fn take(&mut self, end: usize, next: usize) -> Option<Found> {
        self.number += 1;
        let mut range = self.filled.start..end;
        if self.long.is_none() {
            let line = self.buffer.get(range.clone()).unwrap_or_default();
            if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                range.start += BYTE_ORDER_MARK.len();
            }
            if line.ends_with(b"\r") {
                range.end -= 1;
            }
        }
        if self.long.is_some() || range.len() > self.line_bytes_max {
            self.skip(end);
        }
        self.filled.start = next;
        self.scanned = next;
        if let Some(bytes) = self.long.take() {
            return Some(Found::TooLong(bytes));
        }
        let line = self.buffer.get(range.clone()).unwrap_or_default();
        (!line.trim_ascii().is_empty()).then_some(Found::Whole(range))
    }

    /// Forgets the bytes up to `end`, which belong to a line that is too long, but for its head.
    fn skip(&mut self, end: usize) {
        let bytes = self.buffer.get(self.filled.start..end).unwrap_or_default();
        if self.long.is_none() {
            self.head.clear();
        }
        self.long = Some(self.long.unwrap_or(0) + bytes.len() as u64);
        let room = HEAD_BYTES_MAX.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(room));
        self.filled.start = end;
    }

    /// Reads another chunk behind what is left, which moves to the front first.
    fn fill(&mut self, source: &mut dyn Read) -> io::Result<()> {
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
            self.scanned = self.filled.end;
        }
        let end = self.filled.end;
        let room = self.buffer.get_mut(end..end + CHUNK_BYTES).unwrap_or_default();
        debug_assert!(!room.is_empty());
        let read = loop {
            match source.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(bytes) => {
                // A reader that claims more than it was given would be one of ours.
                let bytes = bytes.min(room.len());
                self.filled.end += bytes;
                self.bytes_read += bytes as u64;
                self.ended = bytes == 0;
                Ok(())
            }
            Err(error) => {
                // What is left is no whole line, and nothing more comes.
                self.forget();
                self.ended = true;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives what it holds in reads of these sizes, over and over; an interruption now and then changes nothing.
    struct Pieces<'a> {
        rest: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let size = *self.sizes.next().unwrap();
            if size == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let (piece, rest) = self.rest.split_at(size.min(self.rest.len()).min(out.len()));
            out[..piece.len()].copy_from_slice(piece);
            self.rest = rest;
            Ok(piece.len())
        }
    }

    type Read1 = (u64, Result<Vec<u8>, (Vec<u8>, u64)>);

    fn read_all(input: &[u8], sizes: &[usize], line_bytes_max: usize) -> Vec<Read1> {
        let mut lines = Lines::new(line_bytes_max);
        let mut source = Pieces { rest: input, sizes: sizes.iter().cycle() };
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next(&mut source).unwrap() {
            let line = match line {
                Line::Whole(line) => Ok(line.to_vec()),
                Line::TooLong { head, bytes } => Err((head.to_vec(), bytes)),
            };
            all.push((number, line));
        }
        assert_eq!(lines.bytes_read(), input.len() as u64);
        assert!(lines.next(&mut source).unwrap().is_none());
        assert!(lines.buffer.len() <= line_bytes_max + AROUND_BYTES_MAX + CHUNK_BYTES);
        assert!(lines.head.len() <= HEAD_BYTES_MAX);
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
        impl Read for Broken {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("the disk is gone"));
                }
                out[..6].copy_from_slice(b"a\nhalf");
                Ok(6)
            }
        }
        let mut lines = Lines::new(10);
        let mut source = Broken(false);
        assert_eq!(lines.next(&mut source).unwrap(), Some((1, Line::Whole(b"a"))));
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
            sizes in prop::collection::vec(0usize..40, 0..6),
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
