//! The real `csm` binary, as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod dev;
mod doctor;
mod fleet;
mod model;
mod output;
mod queue;
mod watermark;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Returns `csm` in `folder` with none of this shell's settings: no token, no proxy, a hub that
/// refuses every connection.
fn csm(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_csm"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HUB_CACHE", folder.join("hub"));
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_status(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "stdout:\n{}\nstderr:\n{}", stdout(output), stderr(output));
}
