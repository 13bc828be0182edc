//! A table for a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::printable;
use crate::columns::{Cell, write_csv_line};

/// The maximum width of every column but the last.
const MAX_COLUMN_WIDTH: usize = 40;

/// Rows under headings. Each column is as wide as its widest cell so far, and lines are cut to the width of the
/// terminal, if there is one. Cells come from events, so they are not trusted.
pub(super) struct Table {
    headings: Option<Vec<String>>,
    widths: Vec<usize>,
    /// Not yet rendered.
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        let headings: Vec<_> = headings.into_iter().map(str::to_owned).collect();
        Self { widths: vec![0; headings.len()], headings: Some(headings), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Renders the rows since the last call, with the headings before the first ones; empty if there are none.
    pub(super) fn render(&mut self, terminal_width: Option<usize>) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        // Terminal control characters are replaced.
        let one_line = |cell: &String| printable(&cell.replace(['\n', '\r', '\t'], " "));
        let rows = self.headings.take().into_iter().chain(std::mem::take(&mut self.rows));
        let rows: Vec<Vec<_>> = rows.map(|row| row.iter().map(one_line).collect()).collect();
        for row in &rows {
            for (cell, width) in row.iter().zip(&mut self.widths) {
                *width = cell.width().min(MAX_COLUMN_WIDTH).max(*width);
            }
        }
        let line = |row: &Vec<String>| {
            let line = line(row, &self.widths);
            terminal_width.map_or_else(|| line.clone(), |width| truncate(&line, width)) + "\n"
        };
        rows.iter().map(line).collect()
    }

    /// Returns the headings and all rows as CSV.
    pub(super) fn into_csv(self) -> Vec<u8> {
        let mut lines = Vec::new();
        for row in self.headings.into_iter().chain(self.rows) {
            write_csv_line(row.into_iter().map(Cell::Text), &mut lines);
        }
        lines
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        if index + 1 == row.len() {
            line.push_str(cell);
        } else {
            let cell = truncate(cell, *width);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + 2));
        }
    }
    line.trim_end().to_owned()
}

/// Truncates with an ellipsis.
fn truncate(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Returns the width of standard output, if it is a terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rows: &[&[&str]], width: Option<usize>, expected: &str) {
        let mut table = Table::new(["a", "b", "c"]);
        for row in rows {
            table.row(row.iter().map(|cell| (*cell).to_owned()));
        }
        assert_eq!(table.render(width), expected);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        check(&[&["1", "long cell", "x"], &["22", "", ""]], None, "a   b          c\n1   long cell  x\n22\n");
    }

    #[test]
    fn later_rows_are_aligned_with_earlier_ones() {
        let mut table = Table::new(["a", "b"]);
        let mut shown = |cell: &str| {
            table.row([cell.to_owned(), "x".to_owned()]);
            table.render(None)
        };
        assert_eq!(shown("long"), "a     b\nlong  x\n");
        assert_eq!(shown("1"), "1     x\n");
        assert_eq!(table.render(None), "");
    }

    #[test]
    fn lines_are_cut_to_the_terminal_and_wide_letters_count_twice() {
        check(&[&["日本", "b", "a long message"]], Some(12), "a     b  c\n日本  b  a …\n");
    }

    #[test]
    fn a_long_cell_leaves_room_for_the_others() {
        let long = "x".repeat(100);
        let expected = format!("a{}b  c\n{}…  1  2\n", " ".repeat(41), "x".repeat(39));
        check(&[&[&long, "1", "2"]], None, &expected);
    }

    #[test]
    fn events_cannot_control_the_terminal() {
        check(
            &[&["\u{1b}[2J", "two\nlines", "\u{9b}1m"]],
            None,
            "a     b          c\n\u{fffd}[2J  two lines  \u{fffd}1m\n",
        );
    }
}
