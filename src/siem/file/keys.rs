//! The keys of a file in the configuration.

use std::path::Path;

use super::{File, Fsync, STDOUT};
use crate::table::{Key, Problems, Section, Table};

/// A larger file is one of any size.
const ROTATE_BYTES_MAX: u64 = 1_000_000_000_000_000;

impl File {
    pub(crate) const KEYS: Section = Section {
        title: "File",
        keys: &[
            Key::required("path", "\"audit.ndjson\"")
                .range("a text")
                .meaning("the file, made with mode 0600; \"-\" is standard output"),
            Key::default("rotate_bytes", "\"100 MB\"")
                .range("0 B to 1000 TB")
                .unit("bytes")
                .meaning("how large it becomes before it gets another name and a new one is begun; 0 for any size"),
            Key::default("rotate_daily", "true")
                .range("true or false")
                .meaning("whether that happens with the first batch of a new day (UTC), too"),
            Key::default("compression", "\"none\"")
                .range("\"gzip\" or \"none\"")
                .meaning("how it is written; gzip is a member a batch, which `zcat` reads while it grows"),
            Key::default("fsync", "\"batch\"").range("\"batch\", \"rotation\" or \"never\"").meaning(
                "when it must have reached the disk: before a batch counts as delivered, with another name and at \
                     the end, or when the system likes",
            ),
        ],
    };

    /// Takes a file's keys out of a pipeline's table.
    pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Option<Self> {
        table.require("path", "path = \"audit.ndjson\"", problems);
        let path = table.take_output_path_or("path", STDOUT, problems);
        let rotate_bytes = table.take_bytes("rotate_bytes", 0..=ROTATE_BYTES_MAX, problems);
        let rotate_daily = table.take_bool("rotate_daily", problems);
        let is_gzip = table.take_choice("compression", &[("gzip", true), ("none", false)], problems);
        let fsyncs = [("batch", Fsync::Batch), ("rotation", Fsync::Rotation), ("never", Fsync::Never)];
        let fsync = table.take_choice("fsync", &fsyncs, problems);
        let path = path?;
        let mut file = if path == Path::new(STDOUT) { Self::stdout() } else { Self::new(path) };
        let manner = &mut file.manner;
        manner.rotate_bytes = rotate_bytes.unwrap_or(manner.rotate_bytes);
        manner.rotates_daily = rotate_daily.unwrap_or(manner.rotates_daily);
        manner.is_gzip = is_gzip.unwrap_or(manner.is_gzip);
        manner.fsync = fsync.unwrap_or(manner.fsync);
        Some(file)
    }

    /// The file's path; `None` for standard output.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
