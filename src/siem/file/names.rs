//! The names of files that are set aside: in the order of their names they are in the order of their writing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::day::Day;
use crate::append::folder_of;

/// Endings that stand behind another one.
const COMPRESSIONS: [&str; 2] = [".gz", ".zst"];

/// Where a file of this day goes that is set aside: `audit.2026-11-29.0001.ndjson` for `audit.ndjson`, with the next number
/// that no file of the day has.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn set_aside(path: &Path, day: Day) -> io::Result<PathBuf> {
    let (stem, ending) = split(path.file_name().unwrap_or_default());
    let begin = [stem, b".", day.to_string().as_bytes(), b"."].concat();
    let mut highest = 0;
    for entry in std::fs::read_dir(folder_of(path))? {
        let name = entry?.file_name();
        let number = name.as_bytes().strip_prefix(begin.as_slice()).and_then(|rest| rest.strip_suffix(ending));
        let number = number.and_then(|number| std::str::from_utf8(number).ok()?.parse::<u32>().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    let name = [&begin, format!("{:04}", highest.saturating_add(1)).as_bytes(), ending].concat();
    Ok(path.with_file_name(OsString::from(OsStr::from_bytes(&name))))
}

/// A name before its endings, and these.
fn split(name: &OsStr) -> (&[u8], &[u8]) {
    let name = name.as_bytes();
    let compression = COMPRESSIONS.iter().find(|ending| name.ends_with(ending.as_bytes())).map_or(0, |it| it.len());
    let plain = name.get(..name.len() - compression).unwrap_or(name);
    match memchr::memrchr(b'.', plain) {
        // A name that begins with a dot is hidden, and has no ending by that.
        Some(dot) if dot > 0 => name.split_at_checked(dot).unwrap_or((name, b"")),
        _ => (plain, name.get(plain.len()..).unwrap_or_default()),
    }
}
