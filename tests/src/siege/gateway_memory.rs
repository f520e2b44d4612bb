//! The gateway's limit of memory, and a watch over what the gateway uses.
//!
//! The limit is a cgroup if this process may make one with a memory controller. Otherwise the
//! resident set is read every few milliseconds, and a gateway over the limit is killed. `ulimit -v`
//! is no substitute: address space that nobody touches is no memory.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use csm_testing::process::send_signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Pause between two reads of the resident set.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Beginning of this process's line in `/proc/self/cgroup`, mount and file of a limit: of version
/// 2, and of version 1. The beginning of version 1 follows a number.
const CGROUPS: [(&str, &str, &str); 2] =
    [("0::/", "/sys/fs/cgroup", "memory.max"), (":memory:/", "/sys/fs/cgroup/memory", "memory.limit_in_bytes")];

/// How the limit is held.
#[derive(Debug)]
pub(super) enum MemoryLimit {
    /// A group of the kernel; its out-of-memory killer holds the limit.
    Cgroup(PathBuf),
    /// This process reads the resident set and kills.
    Polled,
}

impl MemoryLimit {
    /// Makes a group with the limit below that of this process, if that is possible.
    pub(super) fn new(bytes: u64) -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let made = CGROUPS.iter().find_map(|&(line, mount, file)| {
            let own = groups.lines().find_map(|group| Some(group.split_once(line)?.1))?;
            let folder = Path::new(mount).join(own).join(format!("csm-siege-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = Self::Cgroup(folder.clone());
            // The kernel makes the file, unless the group has no controller of memory. Such a group
            // is removed when the value is dropped.
            let limited = File::options().write(true).open(folder.join(file));
            limited.and_then(|mut limit| limit.write_all(bytes.to_string().as_bytes())).ok()?;
            Some(group)
        });
        made.unwrap_or(Self::Polled)
    }

    /// Returns the setting that tells the gateway of its limit, if it cannot read its group.
    pub(super) fn setting(&self, bytes: u64) -> Option<(String, String)> {
        let told = ("CSM_GATEWAY_MEMORY_MIB".to_owned(), (bytes >> 20).to_string());
        matches!(self, Self::Polled).then_some(told)
    }

    /// Returns the folder of the group, if there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Cgroup(folder) => Some(folder),
            Self::Polled => None,
        }
    }

    /// Describes the limit for the report.
    pub(super) const fn describe(&self) -> &'static str {
        match self {
            Self::Cgroup(_) => "held by a cgroup",
            Self::Polled => "resident set, read every 10 ms",
        }
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Self::Cgroup(folder) = self {
            // It fails while a process is left in the group; an empty group does no harm.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resident {
    /// At this moment.
    pub(super) now: u64,
    /// The most so far.
    pub(super) peak: u64,
}

/// Reads the resident memory of a process; `None` if there is no such process.
fn resident(pid: u32) -> Option<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some(Resident { now: kib("VmRSS:")? * 1024, peak: kib("VmHWM:")? * 1024 })
}

/// Watches a process until it ends, and kills it if its memory passes `limit`.
pub(super) async fn watch_memory(pid: u32, limit: u64, told: watch::Sender<Resident>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(seen) = resident(pid) else { return };
        told.send_replace(seen);
        if seen.peak > limit {
            // It fails only if the process is gone.
            let _ = send_signal(pid, "KILL").await;
            return;
        }
    }
}

/// Waits until the memory is at most `bytes`; returns how long that took, or `None` if it took
/// longer than `limit` or the process is gone.
pub(super) async fn until_below(seen: &mut watch::Receiver<Resident>, bytes: u64, limit: Duration) -> Option<Duration> {
    let began = Instant::now();
    let below = timeout(limit, seen.wait_for(|seen| seen.now <= bytes)).await;
    matches!(below, Ok(Ok(_))).then(|| began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_no_process_has_none() {
        let own = resident(std::process::id()).expect("this process");
        assert!(own.now > 0 && own.peak >= own.now, "{own:?}");
        assert_eq!(resident(u32::MAX), None);
    }
}
