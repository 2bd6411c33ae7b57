//! Whether this is still the process that something was made in.

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

    /// Whether this is another process, however it came to be: a system call, for those who have time.
    pub(crate) fn is_elsewhere(&self) -> bool {
        std::process::id() != self.process
    }
}
