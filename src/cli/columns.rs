//! A table of text with its columns aligned.

use std::fmt::Write as _;

/// So many letters at most, the last one telling that there are more.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Each row a line, two spaces before each cell; the columns of `text` are read from the left, the others from the right.
pub(crate) fn aligned(rows: &[Vec<String>], text: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let written = if text.contains(&column) {
                write!(line, "  {cell:<width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
            // Writing to a String does not fail.
            debug_assert!(written.is_ok());
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}
