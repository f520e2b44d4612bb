//! Tables in Markdown, their columns aligned for a terminal.

use std::fmt;

/// Rows of cells under headings. The first column is text, the others are numbers.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table of headings without rows.
    #[must_use]
    pub fn new<S: AsRef<str>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![headings.into_iter().map(|heading| heading.as_ref().to_owned()).collect()] }
    }

    /// Adds a row. Missing cells are empty, and surplus cells are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<_> = cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }

    /// Returns true if the table has no row under its headings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl fmt::Display for Table {
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
