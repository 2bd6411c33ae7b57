//! SIGTERM, SIGINT and SIGHUP, counted: the first asks to end, the second to end now.
//!
//! SIGHUP is what a terminal that is closed sends; whoever is to outlive it has it ignored (`nohup`), and it stays so.
//! SIGPIPE is ignored by every Rust program: a reader that goes away is an error of that write, not the end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::failure::Failure;

/// How many have come.
#[derive(Debug, Clone)]
pub(crate) struct Ended(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    times: AtomicUsize,
    /// When the first came.
    asked: OnceLock<Instant>,
}

impl Ended {
    /// Begins to count, on a thread of its own.
    ///
    /// # Errors
    /// When the system does not let us.
    pub(crate) fn watch() -> Result<Self, Failure> {
        // A file that grows past the system's limit is an error of that write, not the end of the process.
        signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(Failure::Signals)?;
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        let mut signals = Signals::new([SIGTERM, SIGINT].into_iter().chain(hangup)).map_err(Failure::Signals)?;
        let ended = Self(Arc::default());
        let count = Arc::clone(&ended.0);
        let watch = move || {
            for _ in signals.forever() {
                count.asked.get_or_init(Instant::now);
                count.times.fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(watch).map_err(Failure::Thread)?;
        Ok(ended)
    }

    /// Whether to end: stop taking new work, deliver what was taken.
    pub(crate) fn is_asked(&self) -> bool {
        self.times() >= 1
    }

    /// Since when that is asked.
    #[cfg(feature = "kafka")]
    pub(crate) fn asked_at(&self) -> Option<Instant> {
        self.0.asked.get().copied()
    }

    /// Whether to end now.
    pub(crate) fn is_urged(&self) -> bool {
        self.times() >= 2
    }

    fn times(&self) -> usize {
        self.0.times.load(Ordering::Relaxed)
    }
}

/// Whether whoever started us wants this signal ignored; unknown where the system does not tell.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signal > 0 && mask >> (signal - 1) & 1 == 1
}
