//! The gateway's limit of memory, and a watch over what the gateway uses.
//!
//! The limit is a cgroup v2 if this process may make one with a memory controller. Otherwise the
//! resident set is read every few milliseconds, and a gateway over the limit is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use csm_testing::process::send_signal;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Pause between two reads of the resident set.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Mount of the unified hierarchy.
const CGROUPS: &str = "/sys/fs/cgroup";

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
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return Self::Polled };
        let folder = Path::new(CGROUPS).join(own).join(format!("csm-siege-{}", std::process::id()));
        if fs::create_dir(&folder).is_err() {
            return Self::Polled;
        }
        let limited = fs::write(folder.join("memory.max"), bytes.to_string())
            .and_then(|()| fs::write(folder.join("memory.oom.group"), "1"));
        // Without swap the file does not exist.
        let _ = fs::write(folder.join("memory.swap.max"), "0");
        let group = Self::Cgroup(folder);
        // A group without the controller is removed when the value is dropped.
        if limited.is_ok() { group } else { Self::Polled }
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
            Self::Cgroup(_) => "held by a cgroup v2",
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
    /// True once the process was killed for it.
    pub(super) killed: bool,
}

/// Reads the resident memory of a process; `None` if there is no such process.
fn resident(pid: u32) -> Option<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some(Resident { now: kib("VmRSS:")? * 1024, peak: kib("VmHWM:")? * 1024, killed: false })
}

/// Watches a process until it ends, and kills it if its memory passes `limit`.
pub(super) async fn watch_memory(pid: u32, limit: u64, told: watch::Sender<Resident>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(seen) = resident(pid) else { return };
        let killed = seen.peak > limit;
        told.send_replace(Resident { killed, ..seen });
        if killed {
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
    let below = timeout(limit, seen.wait_for(|seen| seen.now <= bytes && !seen.killed)).await;
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
