//! What was measured, for terminal and file alike, and whether it is enough.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

/// Everything said so far, and what was found wanting.
#[derive(Default)]
pub(crate) struct AttackReport {
    text: String,
    failures: Vec<String>,
}

impl AttackReport {
    /// Prints a paragraph or table, apart from what went before, and keeps it.
    pub(crate) fn say(&mut self, block: impl fmt::Display) {
        let block = block.to_string();
        let (block, apart) = (block.trim_matches('\n'), if self.text.is_empty() { "" } else { "\n" });
        println!("{apart}{block}");
        writeln!(self.text, "{apart}{block}").unwrap_or_default();
    }

    /// A demand on the results: its failure is named at the end.
    pub(crate) fn demand(&mut self, met: bool, failure: impl FnOnce() -> String) {
        if !met {
            self.failures.push(failure());
        }
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Writes everything said into `file`, under the head.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, &self.text));
        written.with_context(|| file.display().to_string())
    }
}

/// A table in Markdown, its columns aligned. The first column is words, the others are numbers.
pub(crate) struct MarkdownTable {
    rows: Vec<Vec<String>>,
}

impl MarkdownTable {
    pub(crate) fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![headings.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row; cells that it lacks are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<_> = cells.into_iter().collect();
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }
}

impl fmt::Display for MarkdownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.rows[0].len()).map(width).collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 { write!(f, "| {cell:width$} ")? } else { write!(f, "| {cell:>width$} ")? }
            }
            writeln!(f, "|")?;
            if index == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let rule = "-".repeat(width);
                    if column == 0 { write!(f, "|-{rule}-")? } else { write!(f, "|-{rule}:")? }
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// The day by UTC, as YYYY-MM-DD.
pub(crate) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (mut day, mut year) = (seconds / 86_400, 1970);
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

/// Processor, cores, kernel, as Linux tells them; and the load, where others were at work.
pub(crate) fn machine() -> (String, String) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("unknown processor", |(_, name)| name.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg").split_whitespace().next().unwrap_or("unknown").to_owned();
    (format!("{} cores of an {name}, Linux {}", super::parallel::cores(), kernel.trim()), load)
}
