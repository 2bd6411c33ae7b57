//! Pieces out of blocks: a line or a record, without a copy where one block holds all of it, and never more of it in
//! memory than is allowed.

use std::io;
use std::ops::Range;

/// How much of a piece is kept that is too long, in bytes: what the record of its rejection shows.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes as they were read.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Vec<u8>,
    filled: usize,
    read: u64,
}

impl Block {
    /// `filled` of these bytes; up to their end, `read` bytes were read from disk, of all sources.
    pub(super) fn new(bytes: Vec<u8>, filled: usize, read: u64) -> Self {
        // A reader that claims more than it was given would be one of ours.
        debug_assert!(filled <= bytes.len());
        Self { filled: filled.min(bytes.len()), bytes, read }
    }

    pub(super) fn empty(read: u64) -> Self {
        Self::new(Vec::new(), 0, read)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// To be filled again; `None` of the empty one, which has no memory.
    pub(super) fn into_bytes(self) -> Option<Vec<u8>> {
        Some(self.bytes).filter(|bytes| !bytes.is_empty())
    }
}

/// Where blocks come from.
pub(super) trait Blocks {
    /// Exchanges the block for the next, which is not empty; false at the end.
    fn next(&mut self, block: &mut Block) -> io::Result<bool>;
}

/// One piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Whole(&'a [u8]),
    /// Longer than the limit: its first bytes, and how many it had with all that surrounds it.
    TooLong {
        head: &'a [u8],
        bytes: u64,
    },
}

/// Where a piece lies: the borrow comes last.
#[derive(Debug)]
pub(super) enum Found {
    InBlock(Range<usize>),
    InCarry(Range<usize>),
    TooLong(u64),
}

/// The block that is being scanned, and what earlier ones held of the piece that is open.
#[derive(Debug)]
pub(super) struct Pieces {
    block: Block,
    /// Where the open piece begins, or goes on, in the block.
    begin: usize,
    /// Up to here the block was scanned.
    scanned: usize,
    carry: Vec<u8>,
    /// The carry was handed out.
    is_spent: bool,
    bytes_max: usize,
    /// How much was skipped of a piece that is too long.
    long: Option<u64>,
    /// How that piece begins.
    head: Vec<u8>,
    /// Of this source, before the block.
    before: u64,
}

impl Pieces {
    /// Of at most so many bytes each.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            block: Block::empty(0),
            begin: 0,
            scanned: 0,
            carry: Vec::new(),
            is_spent: false,
            bytes_max,
            long: None,
            head: Vec::new(),
            before: 0,
        }
    }

    /// Begins another source.
    pub(super) fn restart(&mut self) {
        self.forget();
        self.before = 0;
    }

    /// Forgets everything that was read and not handed out.
    pub(super) fn forget(&mut self) {
        self.scanned = self.block.bytes().len();
        self.begin = self.scanned;
        self.carry.clear();
        self.is_spent = false;
        self.long = None;
    }

    /// How many bytes were read from disk, of all sources, up to the end of the block.
    pub(super) fn bytes_read(&self) -> u64 {
        self.block.read()
    }

    /// How many bytes of this source were scanned.
    pub(super) fn position(&self) -> u64 {
        self.before + self.scanned as u64
    }

    #[inline]
    pub(super) fn unscanned(&self) -> &[u8] {
        self.block.bytes().get(self.scanned..).unwrap_or_default()
    }

    /// So many more bytes belong to the open piece.
    #[inline]
    pub(super) fn keep(&mut self, bytes: usize) {
        self.scanned += bytes;
    }

    /// So many more bytes belong to no piece; none is open.
    #[inline]
    pub(super) fn skip(&mut self, bytes: usize) {
        self.scanned += bytes;
        self.begin = self.scanned;
    }

    /// The piece that was handed out before is done with.
    #[inline]
    pub(super) fn begin(&mut self) {
        if self.is_spent {
            self.carry.clear();
            self.is_spent = false;
        }
    }

    /// Whether anything belongs to the open piece.
    pub(super) fn is_open(&self) -> bool {
        self.begin < self.scanned || !self.carry.is_empty() || self.long.is_some()
    }

    /// Exchanges the block, all of which was scanned; false at the end. After an error nothing is left.
    pub(super) fn next_block(&mut self, blocks: &mut dyn Blocks) -> io::Result<bool> {
        debug_assert!(self.unscanned().is_empty());
        self.carry_over();
        self.before += self.block.bytes().len() as u64;
        let next = blocks.next(&mut self.block);
        (self.begin, self.scanned) = (0, 0);
        if next.is_err() {
            self.forget();
        }
        next
    }

    /// Ends the open piece.
    #[inline]
    pub(super) fn take(&mut self) -> Found {
        let range = self.begin..self.scanned;
        if self.carry.is_empty() && self.long.is_none() && range.len() <= self.bytes_max {
            self.begin = self.scanned;
            return Found::InBlock(range);
        }
        self.carry_over();
        if let Some(bytes) = self.long.take() {
            return Found::TooLong(bytes);
        }
        self.is_spent = true;
        Found::InCarry(0..self.carry.len())
    }

    /// Keeps what the block holds of the open piece, or of one that is too long its head.
    fn carry_over(&mut self) {
        let part = self.block.bytes().get(self.begin..self.scanned).unwrap_or_default();
        self.begin = self.scanned;
        if self.long.is_none() {
            if self.carry.len().saturating_add(part.len()) <= self.bytes_max {
                self.carry.extend_from_slice(part);
                return;
            }
            self.long = Some(self.carry.len() as u64);
            self.head.clear();
            self.head.extend(self.carry.iter().take(HEAD_BYTES_MAX));
            self.carry.clear();
        }
        self.long = self.long.map(|bytes| bytes + part.len() as u64);
        let room = HEAD_BYTES_MAX.saturating_sub(self.head.len());
        self.head.extend(part.iter().take(room));
    }

    pub(super) fn bytes_of(&self, found: &Found) -> &[u8] {
        match found {
            Found::InBlock(range) => self.block.bytes().get(range.clone()).unwrap_or_default(),
            Found::InCarry(range) => self.carry.get(range.clone()).unwrap_or_default(),
            Found::TooLong(_) => &self.head,
        }
    }

    pub(super) fn piece(&self, found: &Found) -> Piece<'_> {
        match found {
            Found::TooLong(bytes) => Piece::TooLong { head: &self.head, bytes: *bytes },
            _ => Piece::Whole(self.bytes_of(found)),
        }
    }
}

/// Blocks of a test: what it holds, in blocks of these sizes, over and over.
#[cfg(test)]
pub(super) struct Cut<'a> {
    rest: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

#[cfg(test)]
impl<'a> Cut<'a> {
    pub(super) fn new(bytes: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { rest: bytes, sizes: sizes.iter().cycle() }
    }
}

#[cfg(test)]
impl Blocks for Cut<'_> {
    fn next(&mut self, block: &mut Block) -> io::Result<bool> {
        let (now, rest) = self.rest.split_at((*self.sizes.next().unwrap()).min(self.rest.len()));
        self.rest = rest;
        *block = Block::new(now.to_vec(), now.len(), block.read() + now.len() as u64);
        Ok(!now.is_empty())
    }
}
