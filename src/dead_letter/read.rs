//! The lines of a dead letter, each with its number and its place in the file, whatever stands in them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::record::Damage;

/// The longest line that is taken for a record: an event of 16 MiB of text, each character written as six, twice over.
const LINE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Reads a file line by line, in bounded memory.
#[derive(Debug)]
pub(crate) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    at: u64,
    line_bytes_max: usize,
}

/// One line.
#[derive(Debug)]
pub(crate) struct RawLine<'a> {
    /// From 1.
    pub(crate) number: u64,
    /// Its first byte in the file, and how many it has with its end.
    pub(crate) at: u64,
    pub(crate) bytes: u64,
    /// Without its end.
    pub(crate) text: Result<&'a [u8], Damage>,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(256 * 1024, File::open(path)?);
        Ok(Self { reader, line: Vec::new(), number: 0, at: 0, line_bytes_max: LINE_BYTES_MAX })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let limit = self.line_bytes_max as u64 + 1;
        let mut bytes = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        let is_whole = self.line.last() == Some(&b'\n');
        let is_long = !is_whole && bytes == limit;
        if is_long {
            self.line = Vec::new();
            bytes += self.reader.skip_until(b'\n')? as u64;
        }
        let (number, at) = (self.number + 1, self.at);
        self.number = number;
        self.at += bytes;
        let text = match self.line.strip_suffix(b"\n") {
            Some(text) => Ok(text),
            None if is_long => Err(Damage::TooLong { bytes_max: self.line_bytes_max }),
            None => Err(Damage::Torn),
        };
        Ok(Some(RawLine { number, at, bytes, text }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_comes_with_its_number_and_place_and_none_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.ndjson");
        let text = format!("one\n\n{}\ntwo\nhalf", "x".repeat(400_000));
        std::fs::write(&path, &text).unwrap();
        let mut lines = Lines { line_bytes_max: 1000, ..Lines::open(&path).unwrap() };
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let RawLine { number, at, bytes, text } = line;
            seen.push((number, at, bytes, text.map(<[u8]>::to_vec).map_err(|damage| damage.to_string())));
        }
        let expected = [
            (1, 0, 4, Ok(b"one".to_vec())),
            (2, 4, 1, Ok(Vec::new())),
            (3, 5, 400_001, Err("the line has more than 1000 bytes".to_owned())),
            (4, 400_006, 4, Ok(b"two".to_vec())),
            (5, 400_010, 4, Err("the line has no end: whoever wrote it was interrupted".to_owned())),
        ];
        assert_eq!(seen, expected);
    }
}
