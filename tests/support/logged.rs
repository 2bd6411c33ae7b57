//! What is logged in this process, ours and our libraries', as text.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::fmt::Write as _;
use std::sync::{Mutex, Once};

use log::{LevelFilter, Log, Metadata, Record};

static LOGGED: Mutex<String> = Mutex::new(String::new());

struct Collect;

impl Log for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            writeln!(LOGGED.lock().unwrap(), "{} {}", record.target(), record.args()).unwrap();
        }
    }

    fn flush(&self) {}
}

/// Everything that anybody logs from now on, at this level or above.
pub fn collect(level: LevelFilter) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| log::set_logger(&Collect).unwrap());
    log::set_max_level(level);
}

/// A copy: a failed comparison must not hold the lock that the next line of the log waits for.
pub fn text() -> String {
    LOGGED.lock().unwrap().clone()
}

pub fn clear() {
    LOGGED.lock().unwrap().clear();
}
