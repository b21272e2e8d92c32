//! How the columns of a table are laid out: as wide as what stands in them, numbers at their right end.

use eframe::egui::{TextStyle, Ui};

use crate::chart::table::Cell;
use crate::chart::{Table, Unit};
use crate::figure::font::{self, Weight};

/// Rows by which the width of a column is chosen.
const SAMPLE: usize = 200;
/// Columns are no narrower, whatever a person draws them to.
pub(super) const NARROWEST: f32 = 40.0;
/// A column of long texts is no wider until a person draws it wider.
const WIDEST: f32 = 260.0;
/// Room beside what is written.
const PAD: f64 = 10.0;

/// How one column is laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ColumnLook {
    /// At first, in points.
    pub width: f32,
    /// Whether it holds numbers and no words.
    pub is_number: bool,
}

/// How each column is laid out, for names and cells in the window's letters.
pub(super) fn looks(ui: &Ui, table: &Table) -> Vec<ColumnLook> {
    let [small, body] = [TextStyle::Small, TextStyle::Body].map(|style| f64::from(style.resolve(ui.style()).size));
    looks_in(table, small, body)
}

/// The same for names of the size `small` and cells of the size `body`.
fn looks_in(table: &Table, small: f64, body: f64) -> Vec<ColumnLook> {
    let width = |text: &str, size: f64| font::width(text, size, Weight::Regular);
    // The column by which rows are sorted has a mark behind its name.
    let names = table.columns().iter().map(|name| width(&format!("{} ↓", spaced(name)), small));
    let mut columns: Vec<(f64, bool, bool)> = names.map(|wide| (wide, false, false)).collect();
    for row in (0..table.len().min(SAMPLE)).filter_map(|place| table.row(place)) {
        for ((wide, has_numbers, has_words), cell) in columns.iter_mut().zip(&row) {
            *wide = wide.max(width(&written(cell), body));
            *has_numbers |= matches!(cell, Cell::Number(_) | Cell::Count(_));
            *has_words |= matches!(cell, Cell::Text(_));
        }
    }
    let look = |(wide, has_numbers, has_words): (f64, bool, bool)| ColumnLook {
        width: ((wide + PAD) as f32).clamp(NARROWEST, WIDEST),
        is_number: has_numbers && !has_words,
    };
    columns.into_iter().map(look).collect()
}

/// The name of a column as it is read.
pub(super) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// A cell as it is read.
pub(super) fn written(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => font::printable(text),
        Cell::Number(number) => Unit::Plain.format(*number),
        Cell::Count(count) => count.to_string(),
        Cell::Empty => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_names_and_cells() {
        let mut table = Table::new(["site", "head", "redundancy_in_layer", "note"]);
        for head in 0..3usize {
            let note = if head == 1 { Cell::from("x".repeat(200)) } else { Cell::Empty };
            table.push([Cell::from("encoder.0"), Cell::from(head), Cell::from(0.5), note]);
        }
        let looks = looks_in(&table, 11.0, 13.0);
        let numbers: Vec<bool> = looks.iter().map(|look| look.is_number).collect();
        assert_eq!(numbers, [false, true, true, false]);
        let [site, head, redundancy, note] = [0, 1, 2, 3].map(|column: usize| looks[column].width);
        let wide = |text: &str, size| font::width(text, size, Weight::Regular) as f32;
        assert!(site > wide("encoder.0", 13.0) && redundancy > wide("redundancy in layer ↓", 11.0));
        assert!(head < redundancy / 2.0 && note == WIDEST, "{looks:?}");
    }
}
