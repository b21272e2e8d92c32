//! Names with values, headings, notes.

use eframe::egui::{self, RichText, ScrollArea, TextWrapMode, Ui};

use crate::chart::terms;
use crate::gui::theme::{STRONG, WindowTheme};
use crate::words::{printed, unbroken};

/// A small heading over a part of a panel.
pub(crate) fn heading(ui: &mut Ui, theme: &WindowTheme, text: &str) {
    ui.add_space(6.0);
    ui.label(RichText::new(text).color(theme.ink).family(egui::FontFamily::Name(STRONG.into())));
    ui.add_space(1.0);
}

/// A muted line that explains.
pub(crate) fn note(ui: &mut Ui, theme: &WindowTheme, text: impl Into<String>) {
    let text: String = text.into();
    ui.label(RichText::new(unbroken(&text)).small().color(theme.muted));
}

/// A number to five digits, for measures that differ in the last of them; four behind the point at most.
pub(crate) fn five_digits(value: f64) -> String {
    let before = value.abs().max(1.0).log10().floor();
    let behind = if before.is_finite() { 4usize.saturating_sub(before as usize) } else { 0 };
    printed(format!("{value:.behind$}"))
}

/// A table of names and values; fill it with [`fact`].
pub(crate) fn facts(ui: &mut Ui, id: &str, add: impl FnOnce(&mut Ui)) {
    egui::Grid::new(id).num_columns(2).spacing([10.0, 3.0]).show(ui, add);
}

/// What lies beyond an edge of `ui` shows itself by a bar that is there before the pointer is.
pub(crate) fn show_bars(ui: &mut Ui) {
    // Its rail has the color of fields, and so would have its handle.
    ui.spacing_mut().scroll = egui::style::ScrollStyle { foreground_color: true, ..egui::style::ScrollStyle::solid() };
}

/// A table of numbers, none of which is broken into two lines: where it is wider than its column, it is scrolled.
pub(crate) fn number_table(ui: &mut Ui, id: &str, columns: usize, apart: f32, rows: impl FnOnce(&mut Ui)) {
    ui.scope(|ui| {
        show_bars(ui);
        rows_ui(ui, id, columns, apart, rows);
    });
}

fn rows_ui(ui: &mut Ui, id: &str, columns: usize, apart: f32, rows: impl FnOnce(&mut Ui)) {
    ScrollArea::horizontal().id_salt((id, "scroll")).auto_shrink([false, true]).show(ui, |ui| {
        ui.style_mut().wrap_mode = Some(TextWrapMode::Extend);
        egui::Grid::new(id).num_columns(columns).spacing([apart, 3.0]).show(ui, rows);
    });
}

/// One name with its value.
pub(crate) fn fact(ui: &mut Ui, theme: &WindowTheme, name: &str, value: impl Into<String>) -> egui::Response {
    let label = ui.label(RichText::new(name).color(theme.muted));
    let response = ui.add(egui::Label::new(RichText::new(value).color(theme.ink)).truncate());
    ui.end_row();
    naming(&label, OF_A_NUMBER);
    explained(label, name);
    explained(response, name)
}

/// What a screen reader calls the name beside a number, and that over a column.
const OF_A_NUMBER: &str = "name of a number";
pub(crate) const OF_A_COLUMN: &str = "column header";

/// Tells a screen reader what a name is the name of.
pub(crate) fn naming(response: &egui::Response, role: &str) {
    if response.ctx.has_accesskit_node(response.id) {
        response.ctx.accesskit_node_builder(response.id, |node| node.set_role_description(role));
    }
}

/// A number in a column, with what the column means under the pointer.
pub(crate) fn number_cell(ui: &mut Ui, column: &str, text: impl Into<egui::WidgetText>) -> egui::Response {
    explained(ui.label(text), column)
}

/// Says under the pointer, and to a screen reader, what a word means, where that is known. It is looked up only then: words are
/// many, and a frame is short.
pub(crate) fn explained(response: egui::Response, word: &str) -> egui::Response {
    let is_asked = response.hovered() || response.ctx.has_accesskit_node(response.id);
    match is_asked.then(|| terms::meaning(word)).flatten() {
        Some(meaning) => response.on_hover_text(meaning),
        None => response,
    }
}

/// The same below a `title`, in one box: for what may be cut where it stands.
pub(crate) fn explained_as(response: egui::Response, word: &str, title: &str) -> egui::Response {
    let is_asked = response.hovered() || response.ctx.has_accesskit_node(response.id);
    match is_asked.then(|| terms::meaning(word)) {
        Some(Some(meaning)) => response.on_hover_text(format!("{title}\n{meaning}")),
        // A title alone is no meaning that a screen reader could tell.
        Some(None) => response.on_hover_ui(|ui| {
            ui.label(title);
        }),
        None => response,
    }
}

/// The names over the columns of a grid, each with what it means under the pointer, and the end of their row.
pub(crate) fn headers<S: AsRef<str>>(ui: &mut Ui, theme: &WindowTheme, names: impl IntoIterator<Item = S>) {
    for name in names {
        header(ui, theme, name.as_ref());
    }
    ui.end_row();
}

/// A small name beside or above a number, with what it means under the pointer.
fn header(ui: &mut Ui, theme: &WindowTheme, name: &str) {
    let label = ui.label(RichText::new(name).small().color(theme.muted));
    naming(&label, OF_A_COLUMN);
    explained(label, name);
}

#[cfg(test)]
mod tests {
    use super::five_digits;

    #[test]
    fn numbers_of_any_size_have_five_digits() {
        for (value, text) in [(4.83126, "4.8313"), (0.99812, "0.9981"), (120.433, "120.43"), (20_312.6, "20313")] {
            assert_eq!(five_digits(value), text);
        }
        assert_eq!((five_digits(f64::NAN).as_str(), five_digits(f64::INFINITY).as_str()), ("NaN", "inf"));
    }
}
