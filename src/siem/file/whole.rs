//! Whether a file ends where one of our writes ended, so that more may be written behind it.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whether it is empty, or ends with a whole line, or with a whole member of gzip where it holds gzip.
pub(super) fn ends_whole(mut file: &File, is_gzip: bool) -> io::Result<bool> {
    let bytes = file.seek(SeekFrom::End(0))?;
    if bytes == 0 {
        return Ok(true);
    }
    let mut first = [0; GZIP.len()];
    file.seek(SeekFrom::Start(0))?;
    let begins_as_gzip = bytes >= 2 && file.read_exact(&mut first).map(|()| first == GZIP)?;
    if begins_as_gzip != is_gzip {
        return Ok(false);
    }
    if is_gzip {
        file.seek(SeekFrom::Start(0))?;
        return match io::copy(&mut MultiGzDecoder::new(BufReader::new(file)), &mut io::sink()) {
            Ok(_) => Ok(true),
            Err(error) if is_of_its_bytes(error.kind()) => Ok(false),
            Err(error) => Err(error),
        };
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn is_of_its_bytes(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput)
}
