//! A dead letter, read from its first line to its last as a replay has left it, with the damaged lines told.

use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::tell;
use crate::append::beside;
use crate::dead_letter::{Damage, Fates, Folded, Lines, RawLine, Record};

/// What a replay calls the file that says how far it has come.
pub(crate) const PROGRESS: &str = ".progress";
/// Damaged lines that are told one by one.
const TOLD_MAX: u64 = 20;

/// Damaged lines, told as they come.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    pub(crate) lines: u64,
}

impl Damaged {
    fn tell(&mut self, path: &Path, number: u64, damage: &Damage) {
        self.lines += 1;
        if self.lines <= TOLD_MAX {
            tell(&format!("{}:{number}: {damage}; skipped, and left where it is", path.display()));
        }
        if self.lines == TOLD_MAX {
            tell("further damaged lines are only counted");
        }
    }
}

/// Shows every record to `each`, with its line; damaged lines are told.
///
/// # Errors
/// When the file cannot be read, or `each` fails.
pub(crate) fn survey(
    path: &Path,
    damaged: &mut Damaged,
    mut each: impl FnMut(&Record<'_>, &[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |source: io::Error| Failure::Open { path: path.to_owned(), source };
    let mut fates = Fates::read(&progress(path)).map_err(failed)?;
    let mut lines = Lines::open(path).map_err(failed)?;
    while let Some(RawLine { number, text, .. }) = lines.next().map_err(failed)? {
        match text.and_then(|text| Record::parse(text).map(|record| (text, record))) {
            Ok((text, record)) => match fates.fold(&record) {
                Folded::Gone => {}
                Folded::Same => each(&record, text)?,
                Folded::Now(line) => {
                    let line = line.strip_suffix(b"\n").unwrap_or(&line);
                    // What we have written ourselves is a record.
                    if let Ok(record) = Record::parse(line) {
                        each(&record, line)?;
                    }
                }
            },
            Err(damage) => damaged.tell(path, number, &damage),
        }
    }
    Ok(())
}

pub(crate) fn progress(path: &Path) -> PathBuf {
    beside(path, PROGRESS)
}
