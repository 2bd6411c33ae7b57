//! Reading ahead: a thread of its own opens the sources, reads and decompresses them, while another one parses.
//!
//! It hands over blocks of bytes and gets them back to fill them again; there are a handful, so that it never gets
//! further ahead, and of a pipe never takes more, than they hold. It ends with the last source, or with the first
//! block that nobody takes any more. Nobody waits for its end: it may hang in a read that nothing can interrupt.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Source;
use super::decompress::recognise;
use super::pieces::{Block, Blocks};

/// What one read asks for, in bytes: what a pipe holds. All blocks together fit into the second cache; with blocks of
/// 256 KB, a million events of 634 bytes cost 0.2 s of CPU more, which is what this thread costs over reading in place.
const BLOCK_BYTES: usize = 64 * 1024;
/// One that is parsed, one that is filled, and two between them, of which one may wait to be given back: neither waits for the
/// other's moods.
const BLOCKS: usize = 4;
/// So many are given back together: to wake the thread costs as much as to parse ten lines.
const GIVEN_BACK: usize = 2;
const _: () = assert!(GIVEN_BACK < BLOCKS, "the thread would wait for blocks that are never given back");

/// What the reading thread tells, in the order of the sources.
enum Told {
    Began(Began),
    Block(Block),
    Ended,
    Broken(io::Error),
    /// There is no further source.
    Done,
}

/// A source whose turn it is.
pub(super) struct Began {
    pub(super) name: String,
    pub(super) is_file: bool,
}

/// The sources, as they are read ahead.
pub(super) struct Ahead {
    told: Receiver<Told>,
    spare: Sender<Vec<u8>>,
    /// Not given back yet. The thread has all others but the one that is parsed, and so never waits for these.
    spent: Vec<Vec<u8>>,
    /// How many have begun.
    begun: usize,
    sources: usize,
    /// Sources up to this number need not be read any further.
    abandoned: Arc<AtomicUsize>,
    /// Of the source whose turn it is, the end was told.
    is_at_end: bool,
    is_done: bool,
}

impl Ahead {
    /// Begins to read, on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(sources: Vec<Source>) -> io::Result<Self> {
        let (tell, told) = bounded(2 * BLOCKS);
        let (spare, take) = bounded(BLOCKS);
        for _ in 0..BLOCKS {
            // It has room for all of them.
            drop(spare.try_send(Vec::new()));
        }
        let abandoned = Arc::new(AtomicUsize::new(0));
        let count = sources.len();
        let mut reading = Reading { tell, take, held: None, abandoned: Arc::clone(&abandoned), bytes: 0 };
        let read = move || {
            // Where nobody listens any more there is nothing to be done.
            let _ = reading.read_all(sources);
        };
        thread::Builder::new().name("input".to_owned()).spawn(read)?;
        Ok(Self {
            told,
            spare,
            spent: Vec::with_capacity(GIVEN_BACK),
            begun: 0,
            sources: count,
            abandoned,
            is_at_end: true,
            is_done: false,
        })
    }

    /// Goes on to the next source; `None` when there is none.
    pub(super) fn advance(&mut self) -> Option<io::Result<Began>> {
        while !self.is_done {
            match self.told.recv() {
                Ok(Told::Began(began)) => {
                    self.begun += 1;
                    self.is_at_end = false;
                    return Some(Ok(began));
                }
                Ok(Told::Done) => self.is_done = true,
                // What is left of a source that was abandoned.
                Ok(Told::Block(block)) => self.give_back(block),
                Ok(Told::Ended | Told::Broken(_)) => {}
                Err(_) => {
                    self.is_done = true;
                    return Some(Err(gone()));
                }
            }
        }
        None
    }

    /// Reads the source whose turn it is no further.
    pub(super) fn abandon(&mut self) {
        // Relaxed: a block later is soon enough.
        self.abandoned.store(self.begun, Ordering::Relaxed);
        // Whoever writes to the last one shall notice that nobody reads it: it is not awaited.
        self.is_done |= self.begun == self.sources;
    }

    fn give_back(&mut self, block: Block) {
        self.spent.extend(block.into_bytes());
        if self.spent.len() >= GIVEN_BACK {
            // As many as there are have room; without the thread nobody needs them.
            self.spent.drain(..).for_each(|bytes| drop(self.spare.try_send(bytes)));
        }
    }
}

impl Blocks for Ahead {
    fn next(&mut self, block: &mut Block) -> io::Result<bool> {
        let spent = std::mem::replace(block, Block::empty(block.read()));
        self.give_back(spent);
        if self.is_at_end {
            return Ok(false);
        }
        match self.told.recv() {
            Ok(Told::Block(next)) => {
                *block = next;
                Ok(true)
            }
            Ok(Told::Broken(error)) => {
                self.is_at_end = true;
                Err(error)
            }
            Ok(Told::Ended) => {
                self.is_at_end = true;
                Ok(false)
            }
            Ok(Told::Began(_) | Told::Done) | Err(_) => {
                self.is_at_end = true;
                Err(gone())
            }
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread that reads is gone")
}

/// The other side: what the thread works with.
struct Reading {
    tell: Sender<Told>,
    take: Receiver<Vec<u8>>,
    /// A block that was taken and not filled.
    held: Option<Vec<u8>>,
    abandoned: Arc<AtomicUsize>,
    /// Of the sources that were read before.
    bytes: u64,
}

impl Reading {
    /// `None` when nobody listens any more.
    fn read_all(&mut self, sources: Vec<Source>) -> Option<()> {
        for (source, number) in sources.into_iter().zip(1..) {
            self.tell.send(Told::Began(Began { name: source.name().to_owned(), is_file: source.is_file() })).ok()?;
            let count = Arc::new(AtomicU64::new(0));
            match source.open().and_then(|reader| recognise(reader, Arc::clone(&count))) {
                Ok(mut reader) => self.read_one(number, reader.as_mut(), &count)?,
                Err(error) => self.tell.send(Told::Broken(error)).ok()?,
            }
            self.bytes += count.load(Ordering::Relaxed);
        }
        self.tell.send(Told::Done).ok()
    }

    fn read_one(&mut self, number: usize, reader: &mut dyn Read, count: &AtomicU64) -> Option<()> {
        while self.abandoned.load(Ordering::Relaxed) < number {
            let mut bytes = match self.held.take() {
                Some(bytes) => bytes,
                None => self.take.recv().ok()?,
            };
            if bytes.len() < BLOCK_BYTES {
                // Zeroed by the system: growing it would write each byte, one by one where nothing is optimized.
                bytes = vec![0; BLOCK_BYTES];
            }
            match reader.read(&mut bytes) {
                Ok(0) => {
                    self.held = Some(bytes);
                    break;
                }
                Ok(filled) => {
                    let read = self.bytes + count.load(Ordering::Relaxed);
                    self.tell.send(Told::Block(Block::new(bytes, filled, read))).ok()?;
                }
                Err(error) => {
                    self.held = Some(bytes);
                    if error.kind() != io::ErrorKind::Interrupted {
                        return self.tell.send(Told::Broken(error)).ok();
                    }
                }
            }
        }
        self.tell.send(Told::Ended).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Gives a block at each read, and counts them.
    struct Counted(Arc<AtomicUsize>);

    impl Read for Counted {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            out.fill(b'x');
            Ok(out.len())
        }
    }

    fn until(condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition() {
            assert!(Instant::now() < deadline, "it never happens");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_never_gets_further_ahead_than_its_blocks_and_ends_when_nobody_listens() {
        let reads = Arc::new(AtomicUsize::new(0));
        let mut ahead = Ahead::start(vec![Source::reader("endless", Counted(Arc::clone(&reads)))]).unwrap();
        assert_eq!(ahead.advance().unwrap().unwrap().name, "endless");
        // One of them for the first few bytes, which tell a compressed source: they are a block of their own.
        let most = BLOCKS;
        until(|| reads.load(Ordering::SeqCst) >= most);
        let mut block = Block::empty(0);
        for more in 1..20 {
            assert!(ahead.next(&mut block).unwrap());
            // The one in our hands came back when it was exchanged for the next, but for the first, and some come together.
            let back = (more - 1) / GIVEN_BACK * GIVEN_BACK;
            until(|| reads.load(Ordering::SeqCst) >= most + back);
            assert_eq!(reads.load(Ordering::SeqCst), most + back);
            assert_eq!(ahead.spent.len(), more - 1 - back);
        }
        // The reader, and what it holds, goes with the thread.
        drop(ahead);
        until(|| Arc::strong_count(&reads) == 1);
    }

    #[test]
    fn a_source_that_is_abandoned_is_not_read_to_its_end() {
        let reads = Arc::new(AtomicUsize::new(0));
        let endless = Source::reader("endless", Counted(Arc::clone(&reads)));
        let mut ahead = Ahead::start(vec![endless, Source::reader("next", &b"abc"[..])]).unwrap();
        assert_eq!(ahead.advance().unwrap().unwrap().name, "endless");
        ahead.abandon();
        assert_eq!(ahead.advance().unwrap().unwrap().name, "next");
        let mut block = Block::empty(0);
        let mut bytes = 0;
        while ahead.next(&mut block).unwrap() {
            bytes += block.bytes().len();
        }
        assert_eq!(bytes, 3);
        assert!(ahead.advance().is_none());
    }
}
