//! How much memory there is for a setting: no setting is tried that may take a larger part of it than is decent.

use std::fs;

/// Of what the machine or the container has, a pipeline may reckon with this part; one that is configured with more may
/// have that.
const PART: u64 = 4;

/// The most that a setting may take at most, where the configuration's own may take so much.
pub(super) fn memory_max(base: Option<u64>) -> Option<u64> {
    let limits = [of_container(), of_machine()];
    let least = limits.into_iter().flatten().min()?;
    Some((least / PART).max(base.unwrap_or(0)))
}

/// What the control group may use; none where it has no limit, or there is none.
fn of_container() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let paths = [format!("/sys/fs/cgroup{path}/memory.max"), "/sys/fs/cgroup/memory.max".to_owned()];
    // Within a container its own group is the root.
    paths.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
}

fn of_machine() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:").map(|kilobytes| kilobytes * 1024)
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_never_too_much_and_more_is_bounded() {
        assert_eq!(kilobytes("MemFree: 7 kB\nMemTotal:       16265484 kB\n", "MemTotal:"), Some(16_265_484));
        assert_eq!(kilobytes("MemTotal: some\n", "MemTotal:"), None);
        let most = memory_max(None);
        assert!(most.is_none_or(|most| most > 0));
        assert_eq!(memory_max(Some(u64::MAX)), most.map(|_| u64::MAX));
    }
}
