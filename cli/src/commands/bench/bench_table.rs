//! Tables in Markdown, their columns aligned so that a terminal shows them well too.

use std::fmt;

/// Rows of cells under headings. The first column is words, the others are numbers.
#[derive(Debug)]
pub(crate) struct BenchTable {
    rows: Vec<Vec<String>>,
}

impl BenchTable {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row; cells that it lacks are empty, and those it has too many are left out.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<_> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for BenchTable {
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
