//! Memory that the process may use: the operator's setting, the container's limit, or a share of
//! the machine's memory.

use std::fs;
use std::path::{Path, PathBuf};

/// Least memory of a gateway, in bytes: code, tokenizer, and the search for marks in one recording
/// of the greatest length.
const MEMORY_MIN: u64 = 512 * MIB;
/// Memory that a gateway without a limit of its own takes at most, in bytes.
const MEMORY_MAX_UNASKED: u64 = 4_096 * MIB;
/// Share of the machine's memory for a process without a limit: one part in this many.
const MACHINE_PART: u64 = 2;
/// Memory if nothing can be read about the machine, in bytes.
const MEMORY_UNKNOWN: u64 = 1_024 * MIB;
/// Bytes of a mebibyte.
const MIB: u64 = 1_024 * 1_024;

/// Root of the control groups of version 2, and that of the memory groups of version 1.
const CGROUP_ROOTS: [(&str, &str); 2] =
    [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// Returns the memory that the process may use, in bytes: `asked` if it is set.
pub(crate) fn memory_limit(asked: Option<u64>) -> u64 {
    let machine = machine_memory();
    let unasked = || {
        let share = machine.map_or(MEMORY_UNKNOWN, |machine| machine / MACHINE_PART).min(MEMORY_MAX_UNASKED);
        // A limit above the machine's memory is how version 1 says that there is none.
        container_limit().filter(|&limit| machine.is_none_or(|machine| limit <= machine)).unwrap_or(share)
    };
    asked.unwrap_or_else(unasked).max(MEMORY_MIN)
}

/// Returns the machine's memory in bytes.
fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Returns the smallest limit of the process's control groups.
fn container_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    CGROUP_ROOTS.iter().filter_map(|(root, file)| least_limit(Path::new(root), file, &groups)).min()
}

/// Returns the smallest limit of a group in `groups` and of the groups around it. In a container
/// the groups' paths may not exist below `root`; the container's own limit is at the root then.
fn least_limit(root: &Path, file: &str, groups: &str) -> Option<u64> {
    let paths = groups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let folders = paths.flat_map(|path| ancestors(root, path)).chain([root.to_owned()]);
    folders.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).min()
}

/// Returns the folder of a group below `root`, and the folders around it.
fn ancestors(root: &Path, path: &str) -> Vec<PathBuf> {
    let folder = root.join(path.trim_start_matches('/'));
    folder.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_path_buf).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_smallest_limit_of_the_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let limit = |groups: &str| least_limit(root.path(), "memory.max", groups);
        assert_eq!(limit("0::/pods/one"), None, "no file");
        fs::create_dir_all(root.path().join("pods/one")).unwrap();
        fs::write(root.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(limit("0::/pods/one"), None, "no limit");
        fs::write(root.path().join("pods/one/memory.max"), "1073741824\n").unwrap();
        assert_eq!(limit("0::/pods/one"), Some(1 << 30));
        fs::write(root.path().join("pods/memory.max"), "536870912\n").unwrap();
        assert_eq!(limit("0::/pods/one"), Some(1 << 29), "the group around it");
        assert_eq!(limit("0::/elsewhere"), None);
        fs::write(root.path().join("memory.max"), "268435456\n").unwrap();
        assert_eq!(limit("0::/elsewhere"), Some(1 << 28), "a container sees its group as the root");
    }

    #[test]
    fn a_setting_comes_before_the_machine() {
        assert_eq!(memory_limit(Some(512 * MIB)), 512 * MIB);
        assert_eq!(memory_limit(Some(1)), MEMORY_MIN);
        assert!((MEMORY_MIN..=MEMORY_MAX_UNASKED.max(container_limit().unwrap_or(0))).contains(&memory_limit(None)));
    }
}
