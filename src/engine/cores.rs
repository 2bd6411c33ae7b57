//! Cores and CPU time: pinning a thread, and how long it has computed.

use rustix::time::{ClockId, clock_gettime};

/// As many cores as a mask of the system has bits. Beyond it, pinning would not fail but abort the process.
const CORES_MAX: usize = 1024;

/// Pins this thread; a warning if the system refuses, since a wrong core number must not stop an audit trail.
pub(crate) fn pin(core: Option<usize>) {
    let Some(core) = core else { return };
    if core >= CORES_MAX || !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        log::warn!("thread {} could not be pinned to core {core}: it runs unpinned", thread_name());
    }
}

/// CPU time of this thread, in nanoseconds.
pub(crate) fn thread_cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or("unnamed").to_owned()
}
