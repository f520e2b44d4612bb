//! Cores of the processes: one for the server, the rest for everything else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Program that sets the cores of a process.
const TASKSET: &str = "taskset";

/// Cores as lists in the form of `taskset`.
#[derive(Clone, Debug)]
pub(crate) struct CorePlan {
    /// Core of the gateway, or of the server beside it.
    pub(crate) server: usize,
    /// Cores of Redis and of this process.
    pub(crate) others: Vec<usize>,
}

impl CorePlan {
    /// Divides the cores that this process may use, and moves this process to its part.
    pub(crate) async fn begin() -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("/proc/self/status: Linux only")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        let cores = cores_of_list(list.trim());
        let Some((&server, others)) = cores.split_first() else { anyhow::bail!("no cores in {list:?}") };
        ensure!(!others.is_empty(), "two cores at least are needed, so that the gateway has one of its own");
        let plan = Self { server, others: others.to_vec() };
        plan.move_to_others(std::process::id()).await?;
        Ok(plan)
    }

    /// Moves all threads of a process to the cores beside the server's.
    pub(crate) async fn move_to_others(&self, pid: u32) -> anyhow::Result<()> {
        let list: Vec<_> = self.others.iter().map(usize::to_string).collect();
        let mut command = Command::new(TASKSET);
        command.args(["--all-tasks", "--cpu-list", "--pid", &list.join(","), &pid.to_string()]);
        let done =
            command.stdout(std::process::Stdio::null()).status().await.context("taskset is missing: util-linux")?;
        ensure!(done.success(), "taskset of {pid} ended with {done}");
        Ok(())
    }

    /// Returns the program and first arguments that start `program` on the server's core.
    pub(crate) fn on_server_core(&self, program: &Path) -> (PathBuf, Vec<String>) {
        let arguments = ["--cpu-list".to_owned(), self.server.to_string(), program.display().to_string()];
        (PathBuf::from(TASKSET), arguments.to_vec())
    }
}

/// Reads a list of the form `0-2,5`.
fn cores_of_list(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(cores_of_list("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cores_of_list("7"), [7]);
        assert!(cores_of_list("").is_empty());
    }
}
