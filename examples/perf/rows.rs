//! Rows of a record: comma-separated values, for `perf/plot` and for whoever compares machines.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::times::Times;

/// Where the rows go: to a file, or nowhere. No value of ours holds a comma.
pub(crate) struct Rows(Option<BufWriter<File>>);

impl Rows {
    /// Appends to the file, behind what the script has written about the run, beginning with the columns' names.
    pub(crate) fn begin(path: Option<&Path>, columns: &[&str]) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().append(true).create(true).open(path)).transpose()?;
        let mut rows = Self(file.map(BufWriter::new));
        rows.write(&columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())?;
        Ok(rows)
    }

    pub(crate) fn write(&mut self, values: &[String]) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => writeln!(file, "{}", values.join(",")),
            None => Ok(()),
        }
    }

    /// A row for each level of these times, behind what they all begin with.
    pub(crate) fn write_levels(&mut self, begin: &[&str], times: &Times) -> io::Result<()> {
        let calls = times.calls().to_string();
        times.levels().try_for_each(|(level, nanos)| {
            let begin = begin.iter().map(|value| (*value).to_owned());
            self.write(&begin.chain([calls.clone(), level.to_string(), nanos.to_string()]).collect::<Vec<_>>())
        })
    }

    /// To the disk: an error must not be lost.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}
