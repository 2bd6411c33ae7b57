//! Where lines come from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One place that lines come from.
pub struct Source {
    name: String,
    place: Place,
}

enum Place {
    Stdin,
    File(PathBuf),
    Open(Box<dyn Read + Send>),
}

impl Source {
    /// Standard input; its name is `-`.
    pub fn stdin() -> Self {
        Self { name: "-".to_owned(), place: Place::Stdin }
    }

    /// A file, or anything else with a path that can be read.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), place: Place::File(path) }
    }

    /// Anything that reads, under this name.
    pub fn reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self { name: name.into(), place: Place::Open(Box::new(reader)) }
    }

    /// What problems and rejections call it: the path, or `-`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it lies on disk and can be read again.
    pub(crate) fn is_file(&self) -> bool {
        match &self.place {
            Place::Stdin => {
                let kind = rustix::fs::fstat(io::stdin()).map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
                kind == Ok(rustix::fs::FileType::RegularFile)
            }
            Place::File(_) => true,
            Place::Open(_) => false,
        }
    }

    /// Checks that it can be read, before anything starts. Answers its size where it is known.
    ///
    /// A regular file is opened again when its turn comes, so that a thousand of them hold no thousand descriptors; a
    /// pipe must not be opened twice and stays open.
    pub(super) fn check(&mut self) -> Result<Option<u64>, OpenError> {
        let path = match &self.place {
            Place::File(path) => path,
            Place::Stdin if self.is_file() => return Ok(left_of_stdin().ok()),
            Place::Stdin | Place::Open(_) => return Ok(None),
        };
        let failed = |error| OpenError { name: path.display().to_string(), error };
        let file = open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if metadata.is_file() {
            return Ok(Some(metadata.len()));
        }
        self.place = Place::Open(Box::new(file));
        Ok(None)
    }

    pub(super) fn open(self) -> io::Result<Box<dyn Read + Send>> {
        match self.place {
            Place::Stdin => Ok(Box::new(io::stdin())),
            Place::File(path) => Ok(Box::new(open(&path)?)),
            Place::Open(reader) => Ok(reader),
        }
    }
}

/// How much of the file that standard input is has not been read; another program may have read the rest.
fn left_of_stdin() -> io::Result<u64> {
    let size = u64::try_from(rustix::fs::fstat(io::stdin())?.st_size).unwrap_or(0);
    Ok(size.saturating_sub(rustix::fs::tell(io::stdin())?))
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

impl OpenError {
    pub(super) fn new(name: &str, error: io::Error) -> Self {
        Self { name: name.to_owned(), error }
    }
}

/// A source cannot be read; found before anything started.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}: {error}")]
pub struct OpenError {
    name: String,
    #[source]
    error: io::Error,
}
