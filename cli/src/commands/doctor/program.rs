//! Programs on this machine: their paths and their answers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

/// Longest time for a program to answer a question such as `--version`.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Finds a program's file in `PATH`.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Runs a program to its end. Returns `None` if it cannot be started, or if it was killed at the
/// time limit.
pub(super) async fn answer(program: impl AsRef<OsStr>, arguments: &[&str], env: &[(&str, &str)]) -> Option<Output> {
    let child = Command::new(program)
        .args(arguments)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(ANSWER_LIMIT, child).await.ok()?.ok()
}

/// Returns the first line of a program's output, without the space around it.
pub(super) fn first_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}
