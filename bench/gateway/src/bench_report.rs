//! Report of the measurements, for the terminal and for a file.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use csm_shared::{errln, outln};

use csm_report::percentile;

/// Text so far.
#[derive(Default)]
pub(crate) struct BenchReport(String);

impl BenchReport {
    /// Prints a paragraph or table, with a blank line before it, and keeps it for the file.
    pub(crate) fn say(&mut self, block: impl fmt::Display) {
        let block = block.to_string();
        let (block, apart) = (block.trim_matches('\n'), if self.0.is_empty() { "" } else { "\n" });
        outln!("{apart}{block}");
        writeln!(self.0, "{apart}{block}").unwrap_or_default();
    }

    /// Writes the text so far into a file of `folder`, named after the day.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join(format!("{}-gateway.md", csm_report::today()));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, &self.0));
        written.with_context(|| file.display().to_string())?;
        errln!("written: {}", file.display());
        Ok(())
    }
}

/// Returns a percentile in milliseconds as a cell.
pub(crate) fn ms(values: &[f64], percent: f64) -> String {
    let value = percentile(&mut values.to_vec(), percent);
    if value.is_nan() { "-".to_owned() } else { format!("{value:.1}") }
}

/// Returns a share as a cell.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Returns bytes in MiB as a cell.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}
