//! What an input of rows is read as: which column is what, what will be measured, the first rows.

use eframe::egui::{ComboBox, Grid, Label, RichText, ScrollArea, Ui};

use crate::corpus::{DataColumns, Input, InputPreview};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::messages::sentence;
use crate::gui::widgets::{fault, heading, note, read_list};
use crate::gui::wording::worded;
use crate::run::{Field, Spec};

/// Characters of a cell that are shown; the rest is under the pointer.
const LONGEST: usize = 60;

/// Below the input: the columns of a table to choose from, and what comes of them.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    let Some(Ok(Some(preview))) = cx.state.first_rows() else {
        // A fault that stands beside the input already is not told again.
        let is_told = matches!(&cx.state.checked, Some(Err(faults)) if faults.iter().any(|f| f.field == Field::Input));
        if let (Some(Err(error)), false) = (cx.state.first_rows(), is_told) {
            ui.label(RichText::new(sentence(&worded(error))).small().color(cx.theme.warning));
        }
        return;
    };
    if let Some(Input::Data { columns, .. }) = &mut run.input {
        pickers(ui, cx, preview, columns);
    }
    match &preview.fault {
        Some(fault) => {
            ui.label(RichText::new(sentence(&worded(fault))).small().color(cx.theme.warning));
        }
        None => note(ui, cx.theme, format!("Each row is read as {}", preview.reads_as)),
    }
    let measures = cx.state.quality_measures();
    if preview.fault.is_none() && !measures.is_empty() {
        note(ui, cx.theme, format!("Quality is measured by {}", measures.join(", ")));
    }
    if ui.button("First rows…").on_hover_text("Look at the rows before anything is computed").clicked() {
        cx.send(Action::ShowRows);
    }
}

/// Which column is what: recognized by its name unless another is chosen.
fn pickers(ui: &mut Ui, cx: Cx<'_>, preview: &InputPreview, columns: &mut DataColumns) {
    let recognized = |roles: &[&str]| {
        let found = preview.columns.iter().find(|column| column.role.is_some_and(|role| roles.contains(&role)));
        found.map_or("none", |column| column.name.as_str())
    };
    let texts = ["text", "words", "question", "beginning", "first sentence"];
    let pairs = ["second text", "middle", "second sentence"];
    Grid::new("data columns").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| {
        for (name, roles, chosen) in [
            ("Text column", &texts[..], &mut columns.text),
            ("Pair column", &pairs[..], &mut columns.pair),
            ("Label column", &["label", "answers"][..], &mut columns.label),
        ] {
            let label = ui.label(RichText::new(name).color(cx.theme.muted));
            let (text, how) = match chosen.as_ref() {
                Some(column) => (column.clone(), "chosen here"),
                None => (recognized(roles).to_owned(), "recognized by its name"),
            };
            let hover = format!("{text}: {how}");
            // All end where the panel does; what a column is called matters more than how it was found.
            let combo = ComboBox::from_id_salt(name).selected_text(text).width(ui.available_width()).truncate();
            let combo = combo.show_ui(ui, |ui| {
                if ui.selectable_label(chosen.is_none(), "recognized by its name").clicked() {
                    *chosen = None;
                }
                for column in &preview.columns {
                    ui.selectable_value(chosen, Some(column.name.clone()), column.name.as_str());
                }
            });
            combo.response.labelled_by(label.id).on_hover_text(hover);
            ui.end_row();
        }
    });
}

/// The box with the first rows; `fresh` where it was opened just now.
pub(super) fn rows(ui: &mut Ui, cx: Cx<'_>, height: f32, fresh: bool) {
    heading(ui, cx.theme, "First rows");
    match cx.state.first_rows() {
        Some(Ok(Some(preview))) => table(ui, cx, preview, height, fresh),
        Some(Err(error)) => fault(ui, cx.theme, error),
        _ => note(ui, cx.theme, "This input has no rows to look at"),
    }
}

fn table(ui: &mut Ui, cx: Cx<'_>, preview: &InputPreview, height: f32, fresh: bool) {
    let theme = cx.theme;
    let text = match &preview.fault {
        Some(fault) => sentence(&worded(fault)),
        None => format!("Each row is read as {}", preview.reads_as),
    };
    note(ui, theme, text);
    read_list(ui, ScrollArea::both().auto_shrink([false, true]), height, fresh, |ui| {
        let grid = Grid::new("first rows").num_columns(preview.columns.len()).striped(true).spacing([16.0, 4.0]);
        grid.show(ui, |ui| {
            for column in &preview.columns {
                let name = RichText::new(&column.name).strong();
                ui.label(name.color(if column.role.is_some() { theme.ink } else { theme.muted }));
            }
            ui.end_row();
            for column in &preview.columns {
                let role = RichText::new(column.role.unwrap_or("not read")).small();
                ui.label(role.color(if column.role.is_some() { theme.accent } else { theme.muted }));
            }
            ui.end_row();
            for row in &preview.rows {
                for cell in row {
                    let short: String = cell.chars().take(LONGEST).collect();
                    let is_cut = short.len() < cell.len();
                    let shown = crate::figure::font::printable(&if is_cut { format!("{short}…") } else { short });
                    let label = ui.add(Label::new(shown).extend());
                    if is_cut {
                        label.on_hover_text(cell);
                    }
                }
                ui.end_row();
            }
        });
    });
}
