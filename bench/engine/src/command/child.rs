//! A measuring process. Its last line of output is the measurement.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use tokio::process::Command;

/// Last lines of a failed process that are shown.
const LINES_SHOWN: usize = 6;

/// Runs `command` to its end and parses its last line.
pub(crate) async fn measure<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, tail(&output.stderr));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("{name} printed no measurement:\n{}", tail(&output.stdout)))
}

/// Returns the last lines, without text that progress bars have overwritten.
fn tail(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().map(|line| line.rsplit('\r').next().unwrap_or(line)).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}
