//! Report of the measurements, for terminal and file alike, and of the demands that were not met.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use csm_shared::outln;

/// Text so far, and the demands that were not met.
#[derive(Default)]
pub(crate) struct AttackReport {
    text: String,
    failures: Vec<String>,
}

impl AttackReport {
    /// Prints a paragraph or table, with a blank line before it, and keeps it for the file.
    pub(crate) fn say(&mut self, block: impl fmt::Display) {
        let block = block.to_string();
        let (block, apart) = (block.trim_matches('\n'), if self.text.is_empty() { "" } else { "\n" });
        outln!("{apart}{block}");
        writeln!(self.text, "{apart}{block}").unwrap_or_default();
    }

    /// Makes a demand on the results. A failure is named at the end.
    pub(crate) fn demand(&mut self, met: bool, failure: impl FnOnce() -> String) {
        if !met {
            self.failures.push(failure());
        }
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Writes the text so far into `file`.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, &self.text));
        written.with_context(|| file.display().to_string())
    }
}
