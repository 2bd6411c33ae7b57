//! The files that `--input` names: as they are, by pattern, and by folder.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use glob::{MatchOptions, glob_with};

use super::source::Pipe;
use super::tell;
use crate::input::Source;

/// A star matches no hidden file, and no slash.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Why `--input` cannot be read as it was meant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputsError {
    #[error("--input {pattern} matches no file")]
    NoMatch { pattern: String },
    #[error("--input {pattern} is no pattern: {source}")]
    Pattern { pattern: String, source: glob::PatternError },
    #[error("--input {}: the folder holds no file", path.display())]
    Empty { path: PathBuf },
    #[error("--input {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("--input {} is what this run itself writes to: name another file", path.display())]
    Own { path: PathBuf },
}

/// The sources, in the order of the arguments; standard input where there are none. What may stay open without a word
/// can be stopped. `own` are the files that the run writes to, which it must not read.
pub(crate) fn sources(inputs: &[PathBuf], own: &[&Path], stop: &Arc<AtomicBool>) -> Result<Vec<Source>, InputsError> {
    if inputs.is_empty() {
        return Ok(vec![stdin(stop)]);
    }
    let own = own.iter().filter_map(|path| identity(&std::fs::metadata(path).ok()?)).collect();
    let mut expanding = Expanding { files: Vec::new(), own };
    let mut sources = Vec::new();
    for input in inputs {
        if input == Path::new("-") {
            sources.push(stdin(stop));
            continue;
        }
        expanding.expand(input)?;
        for path in expanding.files.drain(..) {
            sources.push(source(path, stop)?);
        }
    }
    Ok(sources)
}

fn stdin(stop: &Arc<AtomicBool>) -> Source {
    let stdin = Source::stdin();
    if stdin.is_file() { stdin } else { Source::reader(stdin.name(), Pipe::stdin(Arc::clone(stop))) }
}

/// A file as it is; a pipe with an end that can be asked for.
fn source(path: PathBuf, stop: &Arc<AtomicBool>) -> Result<Source, InputsError> {
    // One that is not there is named by whoever opens it.
    if std::fs::metadata(&path).map_or(true, |metadata| metadata.is_file()) {
        return Ok(Source::file(path));
    }
    match Pipe::open(&path, Arc::clone(stop)) {
        Ok(pipe) => Ok(Source::reader(path.display().to_string(), pipe)),
        Err(source) => Err(InputsError::Unreadable { path, source }),
    }
}

/// What tells a file from all others.
type Identity = (u64, u64);

/// Of a file; nothing else is mistaken for one.
fn identity(metadata: &Metadata) -> Option<Identity> {
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}

struct Expanding {
    files: Vec<PathBuf>,
    own: Vec<Identity>,
}

impl Expanding {
    fn expand(&mut self, input: &Path) -> Result<(), InputsError> {
        let metadata = std::fs::metadata(input);
        match (&metadata, input.to_str()) {
            (Ok(metadata), _) if metadata.is_dir() => self.folder(input),
            (Ok(metadata), _) if self.is_own(metadata) => Err(InputsError::Own { path: input.to_owned() }),
            (Err(_), Some(pattern)) if pattern.contains(['*', '?', '[']) => self.pattern(pattern),
            // One that is not there is named by whoever opens it.
            _ => {
                self.files.push(input.to_owned());
                Ok(())
            }
        }
    }

    /// What matches, in name order; folders among it with all that they hold.
    fn pattern(&mut self, pattern: &str) -> Result<(), InputsError> {
        let matches = glob_with(pattern, MATCHING)
            .map_err(|source| InputsError::Pattern { pattern: pattern.to_owned(), source })?;
        let before = self.files.len();
        for path in matches {
            let path =
                path.map_err(|error| InputsError::Unreadable { path: error.path().to_owned(), source: error.into() })?;
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.walk(&path)?,
                Ok(metadata) if self.is_own(&metadata) => skipped(&path),
                _ => self.files.push(path),
            }
        }
        if self.files.len() == before { Err(InputsError::NoMatch { pattern: pattern.to_owned() }) } else { Ok(()) }
    }

    fn folder(&mut self, path: &Path) -> Result<(), InputsError> {
        let before = self.files.len();
        self.walk(path)?;
        if self.files.len() == before { Err(InputsError::Empty { path: path.to_owned() }) } else { Ok(()) }
    }

    /// The files below a folder in name order, a folder where its name stands. Neither hidden ones nor what links lead to
    /// folders: those could lead round in a circle; nor pipes and devices.
    fn walk(&mut self, folder: &Path) -> Result<(), InputsError> {
        let mut folders = vec![folder.to_owned()];
        // The next one is the last: of a folder's entries the first comes first.
        while let Some(path) = folders.pop() {
            let failed = |source| InputsError::Unreadable { path: path.clone(), source };
            let is_folder = path == folder || std::fs::symlink_metadata(&path).map_err(failed)?.is_dir();
            if !is_folder {
                match std::fs::metadata(&path) {
                    Ok(metadata) if !metadata.is_file() => {}
                    Ok(metadata) if self.is_own(&metadata) => skipped(&path),
                    // A link that leads nowhere is named by whoever opens it.
                    _ => self.files.push(path),
                }
                continue;
            }
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                if !is_hidden(&name) {
                    entries.push(path.join(name));
                }
            }
            entries.sort_unstable_by(|left, right| right.cmp(left));
            folders.append(&mut entries);
        }
        Ok(())
    }

    fn is_own(&self, metadata: &Metadata) -> bool {
        identity(metadata).is_some_and(|identity| self.own.contains(&identity))
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Reading it would bring each of its lines in again, for ever.
fn skipped(path: &Path) {
    tell(&format!("not read, since this run writes to it: {}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn expanded(folder: &tempfile::TempDir, input: &str, own: &[&str]) -> Result<Vec<String>, String> {
        let own = own.iter().map(|name| identity(&std::fs::metadata(folder.path().join(name)).unwrap()).unwrap());
        let mut expanding = Expanding { files: Vec::new(), own: own.collect() };
        let short = |path: &Path| path.strip_prefix(folder.path()).unwrap_or(path).display().to_string();
        match expanding.expand(&folder.path().join(input)) {
            Ok(()) => Ok(expanding.files.iter().map(|path| short(path)).collect()),
            Err(error) => Err(error.to_string().replace(&format!("{}/", folder.path().display()), "")),
        }
    }

    #[test]
    fn folders_are_read_in_name_order_with_what_lies_below_and_without_what_is_hidden() {
        let folder =
            folder(&["logs/b.gz", "logs/a/2", "logs/a/1", "logs/c", "logs/.hidden", "logs/.git/x", "logs/a.txt"]);
        let logs = folder.path().join("logs");
        std::os::unix::fs::symlink(&logs, logs.join("round")).unwrap();
        std::os::unix::fs::symlink(logs.join("c"), logs.join("a/link")).unwrap();
        let expected = ["logs/a/1", "logs/a/2", "logs/a/link", "logs/a.txt", "logs/b.gz", "logs/c"];
        assert_eq!(expanded(&folder, "logs", &[]).unwrap(), expected);
        // Named itself, a link may lead to a folder.
        assert_eq!(expanded(&folder, "logs/round", &[]).unwrap().len(), expected.len());
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        assert_eq!(expanded(&folder, "empty", &[]).unwrap_err(), "--input empty: the folder holds no file");
    }

    #[test]
    fn patterns_match_in_name_order_and_one_that_matches_nothing_is_named() {
        let folder = folder(&["b.gz", "a.gz", ".c.gz", "d.txt", "days/1/x", "days/2/x", "[1]"]);
        assert_eq!(expanded(&folder, "*.gz", &[]).unwrap(), ["a.gz", "b.gz"]);
        assert_eq!(expanded(&folder, "days/*/x", &[]).unwrap(), ["days/1/x", "days/2/x"]);
        assert_eq!(expanded(&folder, "da*", &[]).unwrap(), ["days/1/x", "days/2/x"]);
        assert_eq!(expanded(&folder, "[1]", &[]).unwrap(), ["[1]"], "a file of this name is no pattern");
        assert_eq!(expanded(&folder, "*.zst", &[]).unwrap_err(), "--input *.zst matches no file");
        assert!(expanded(&folder, "a***", &[]).unwrap_err().contains("is no pattern"));
        assert_eq!(expanded(&folder, "absent", &[]).unwrap(), ["absent"], "named when it is opened");
    }

    #[test]
    fn what_the_run_writes_to_is_not_read() {
        let folder = folder(&["a", "b", "rejected"]);
        std::fs::hard_link(folder.path().join("rejected"), folder.path().join("same")).unwrap();
        for input in ["", "*"] {
            assert_eq!(expanded(&folder, input, &["rejected"]).unwrap(), ["a", "b"]);
        }
        let error = expanded(&folder, "rejected", &["rejected"]).unwrap_err();
        assert_eq!(error, "--input rejected is what this run itself writes to: name another file");
    }
}
