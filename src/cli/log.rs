//! Warnings of the engine on standard error, a line each.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

use crate::event::Timestamp;

struct StandardError;

/// Installs it; a logger that is there already stays.
pub(crate) fn install() {
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries say below a warning is for their authors.
        metadata.level() <= LevelFilter::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_lowercase();
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(std::io::stderr(), "{} {level}: {}", Timestamp::now(), record.args()));
        }
    }

    fn flush(&self) {}
}
