//! Compressed sources, recognised by how they begin, whatever they are called: gzip with all its members, zstd with all
//! its frames. Everything else is as it is.
//!
//! Memory is bounded by the window that a stream may ask for: 32 KB for gzip, 128 MB for zstd, whose own tools stop there
//! too. What was decompressed before a stream breaks off comes first; then the error, which says where.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// A frame without data, of which `pzstd` writes some: its first byte is any from 0x50 to 0x5f.
const ZSTD_SKIPPED: &[u8] = b"\x2a\x4d\x18";
const MAGIC_BYTES: usize = 4;
/// What is read of a compressed source at a time.
const READ_BYTES: usize = 128 * 1024;
/// The base-2 logarithm of the largest window of a zstd stream.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// A reader whose bytes are counted.
struct Counted {
    reader: Box<dyn Read + Send>,
    /// Written by this thread alone.
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        self.count.store(self.count.load(Ordering::Relaxed) + read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What the reader holds, decompressed where it is compressed. The bytes that are read of it are counted as they are.
///
/// # Errors
/// When not even its first bytes can be read.
pub(super) fn recognise(reader: Box<dyn Read + Send>, count: Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
    let mut reader = Counted { reader, count };
    let mut magic = [0; MAGIC_BYTES];
    let mut filled = 0;
    // A pipe may give less than it takes to tell, and then nothing for long: it is waited for only while that may be a
    // compressed stream.
    while may_be_compressed(magic.get(..filled).unwrap_or_default()) {
        let room = magic.get_mut(filled..).unwrap_or_default();
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let magic = magic.get(..filled).unwrap_or_default();
    let (is_gzip, is_zstd) = (magic.starts_with(GZIP), magic.len() == MAGIC_BYTES && is_zstd(magic));
    let count = Arc::clone(&reader.count);
    let whole = Cursor::new(magic.to_vec()).chain(reader);
    Ok(match (is_gzip, is_zstd) {
        (true, _) => Box::new(Gzip { state: State::Between(BufReader::with_capacity(READ_BYTES, whole)), count }),
        (_, true) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(READ_BYTES, whole))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(Zstd { decoder, count })
        }
        _ => Box::new(whole),
    })
}

/// Whether more has to be read before that is known.
fn may_be_compressed(begin: &[u8]) -> bool {
    begin.len() < MAGIC_BYTES && (GZIP.starts_with(begin) || is_zstd(begin))
}

/// Whether these are its first bytes, as far as they go.
fn is_zstd(begin: &[u8]) -> bool {
    let is_skipped = match begin {
        [first, rest @ ..] => (0x50..=0x5f).contains(first) && ZSTD_SKIPPED.starts_with(rest),
        [] => true,
    };
    is_skipped || ZSTD.starts_with(begin)
}

/// A gzip stream: one member after the other.
struct Gzip<R> {
    state: State<R>,
    count: Arc<AtomicU64>,
}

enum State<R> {
    /// Before the first member, or behind one.
    Between(R),
    Member(Box<GzDecoder<R>>),
    Over,
}

impl<R: BufRead> Gzip<R> {
    fn broken(&mut self, what: &str) -> io::Error {
        self.state = State::Over;
        broken("gzip", what, &self.count)
    }

    /// Begins the next member; `None` when there is none. Zeros behind the last are what tapes fill their blocks with.
    fn begin(&mut self, mut input: R) -> io::Result<Option<GzDecoder<R>>> {
        loop {
            let next = input.fill_buf()?;
            let Some(first) = next.first() else { return Ok(None) };
            if *first == 0 {
                let zeros = next.iter().take_while(|byte| **byte == 0).count();
                input.consume(zeros);
            } else if GZIP.starts_with(&[*first]) {
                return Ok(Some(GzDecoder::new(input)));
            } else {
                return Err(self.broken("is followed by something else"));
            }
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(input) => match self.begin(input)? {
                    Some(member) => self.state = State::Member(Box::new(member)),
                    None => return Ok(0),
                },
                State::Member(mut member) => match member.read(out) {
                    Ok(0) => self.state = State::Between(member.into_inner()),
                    Ok(read) => {
                        self.state = State::Member(member);
                        return Ok(read);
                    }
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return Err(self.broken("is cut off: it ends within a member"));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => self.state = State::Member(member),
                    Err(error) => return Err(self.broken(&format!("is damaged: {error}"))),
                },
            }
        }
    }
}

/// A zstd stream: the decoder goes from frame to frame by itself.
struct Zstd<R: BufRead> {
    decoder: zstd::stream::read::Decoder<'static, R>,
    count: Arc<AtomicU64>,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            io::ErrorKind::UnexpectedEof => broken("zstd", "is cut off: it ends within a frame", &self.count),
            _ if error.to_string().contains("Unknown frame descriptor") => {
                broken("zstd", "is followed by something else", &self.count)
            }
            _ => broken("zstd", &format!("is damaged: {error}"), &self.count),
        })
    }
}

fn broken(format: &str, what: &str, count: &AtomicU64) -> io::Error {
    let bytes = count.load(Ordering::Relaxed);
    // A damage lies up to a read's length before it.
    let place = if what.starts_with("is cut off") { "after" } else { "within the first" };
    io::Error::new(io::ErrorKind::InvalidData, format!("the {format} data {what}, {place} {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    /// Gives a byte at a time: no recognition, header or trailer may rely on more.
    struct Trickle(Cursor<Vec<u8>>);

    impl Read for Trickle {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let length = out.len().min(1);
            self.0.read(&mut out[..length])
        }
    }

    fn read(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        let both = [true, false].map(|trickles| {
            let cursor = Cursor::new(bytes.to_vec());
            let reader: Box<dyn Read + Send> = if trickles { Box::new(Trickle(cursor)) } else { Box::new(cursor) };
            let count = Arc::default();
            let mut all = Vec::new();
            let error = recognise(reader, Arc::clone(&count)).and_then(|mut reader| reader.read_to_end(&mut all)).err();
            if error.is_none() {
                assert_eq!(count.load(Ordering::Relaxed), bytes.len() as u64);
            }
            (all, error.map(|error| error.to_string()))
        });
        let [trickled, read] = both;
        assert_eq!(trickled.0, read.0);
        assert_eq!(trickled.1.is_some(), read.1.is_some());
        read
    }

    fn text(number: u32) -> Vec<u8> {
        (0..100_000u32).flat_map(|at| (at * number).to_le_bytes()).collect()
    }

    #[test]
    fn members_and_frames_follow_one_another_and_plain_text_is_as_it_is() {
        for plain in [&b""[..], b"{", b"[", b"(", b"\x1f", b"P*M", b"{\"a\":1}\n"] {
            assert_eq!(read(plain), (plain.to_vec(), None));
        }
        let whole = [text(1), Vec::new(), text(3)].concat();
        assert_eq!(read(&[gzip(&text(1)), gzip(b""), gzip(&text(3))].concat()), (whole.clone(), None));
        assert_eq!(read(&[zstd(&text(1)), zstd(b""), zstd(&text(3))].concat()), (whole.clone(), None));
        let skipped = [&b"\x50\x2a\x4d\x18\x02\x00\x00\x00hi"[..], &zstd(&whole)].concat();
        assert_eq!(read(&skipped), (whole, None));
    }

    #[test]
    fn zeros_behind_gzip_are_padding() {
        assert_eq!(read(&[gzip(b"one"), vec![0; 1_000], gzip(b"two"), vec![0; 300_000]].concat()).0, b"onetwo");
    }

    #[test]
    fn what_is_cut_off_gives_what_came_before_and_says_where_it_ended() {
        for (packed, unit) in [(gzip(&text(7)), "member"), (zstd(&text(7)), "frame")] {
            for bytes in [packed.len() - 1, packed.len() / 2, 9] {
                let (before, error) = read(&packed[..bytes]);
                assert!(text(7).starts_with(&before));
                assert!(bytes < 10 || before.len() > 100_000, "{unit} of {bytes} bytes: {}", before.len());
                let end = format!("data is cut off: it ends within a {unit}, after {bytes} bytes");
                assert!(error.as_ref().unwrap().ends_with(&end), "{error:?}");
            }
        }
    }

    #[test]
    fn what_follows_or_is_damaged_is_an_error_behind_all_that_is_right() {
        for packed in [gzip(b"right"), zstd(b"right")] {
            let (before, error) = read(&[&packed[..], b"garbage"].concat());
            assert_eq!(before, b"right");
            assert!(error.unwrap().contains(" data is followed by something else, "));
        }
        let mut packed = gzip(&text(7));
        let crc = packed.len() - 6;
        packed[crc] ^= 1;
        let (before, error) = read(&packed);
        assert_eq!(before.len(), text(7).len());
        assert!(error.unwrap().starts_with("the gzip data is damaged: "));
        let packed = [ZSTD, &[0xff; 100]].concat();
        assert!(read(&packed).1.unwrap().starts_with("the zstd data is damaged: "));
    }
}
