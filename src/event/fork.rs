//! Whether this is still the process that something was made in.

use std::cell::Cell;

/// Where asking the system costs as much as all else, every so many questions of a thread it is asked: fewer than one in a
/// hundred, so that its time is none of a caller's usual ones.
const ASKED_EVERY: u32 = 256;

thread_local! {
    static QUESTIONS: Cell<u32> = const { Cell::new(0) };
}

/// Remembers the process that it was made in.
#[derive(Debug)]
pub(crate) struct ForkGuard {
    process: u32,
    /// `None` where the C library refused to tell of forks.
    forks: Option<forkguard::Guard>,
}

impl ForkGuard {
    pub(crate) fn new() -> Self {
        Self { process: std::process::id(), forks: forkguard::Guard::try_new().ok() }
    }

    /// Whether `fork` was called since: two loads. A bare `clone` system call goes by unnoticed.
    #[inline]
    pub(crate) fn has_forked(&self) -> bool {
        self.forks.clone().is_some_and(|mut guard| guard.detected_fork())
    }

    /// The same, and at a thread's first question and every 256th also of a bare `clone`: for those who have little time.
    pub(crate) fn is_elsewhere_by_samples(&self) -> bool {
        let is_due = QUESTIONS.try_with(|questions| {
            let number = questions.get();
            questions.set(number.wrapping_add(1));
            number.is_multiple_of(ASKED_EVERY)
        });
        self.has_forked() || is_due.unwrap_or(true) && self.is_elsewhere()
    }

    /// Whether this is another process, however it came to be: a system call, for those who have time.
    pub(crate) fn is_elsewhere(&self) -> bool {
        std::process::id() != self.process
    }
}
