//! The numbers of a view as rows and columns: what its picture shows, for those who cannot see it or want to read it.

use eframe::egui::{Button, RichText, ScrollArea, TextWrapMode, Ui};
use egui_extras::{Column, TableBuilder};

use super::shown::{Draw, PictureKey};
use crate::chart::table::Cell;
use crate::chart::{Table, Unit};
use crate::error::Result;
use crate::gui::context::Cx;
use crate::gui::view::View;
use crate::gui::widgets::{Background, note};
use crate::gui::wording::worded;
use crate::words::counted;

/// The table of one view, made anew when what it shows changes.
#[derive(Default)]
pub(super) struct TableView {
    made: Background<PictureKey, Table>,
    /// Which page of a very long table is shown.
    page: usize,
}

/// Height of a row.
const ROW: f32 = 20.0;
/// Rows of a page. The place of a row many millions of points down could no longer be told from that of its neighbor.
const PAGE: usize = 100_000;

impl TableView {
    /// Draws the table of `view`; `picture` makes the picture whose numbers they are, `key` changes with it.
    pub(super) fn ui(
        &mut self,
        ui: &mut Ui,
        cx: Cx<'_>,
        view: View,
        key: PictureKey,
        picture: impl FnOnce() -> Result<Draw>,
    ) {
        if !self.made.is_asked(&key) {
            match picture() {
                Ok(draw) => self.made.ask(ui.ctx(), key, move || Ok(draw()?.table())),
                Err(error) => return note(ui, cx.theme, worded(&error)),
            }
        }
        match self.made.made() {
            None => note(ui, cx.theme, "Collecting the numbers …"),
            Some(Err(error)) => _ = ui.label(RichText::new(worded(error)).color(cx.theme.danger)),
            Some(Ok(table)) => rows_ui(ui, cx, view, table, &mut self.page),
        }
    }
}

fn rows_ui(ui: &mut Ui, cx: Cx<'_>, view: View, table: &Table, page: &mut usize) {
    let count = table.len();
    let rows = counted(count, "rows");
    note(ui, cx.theme, format!("{} as a table of {rows}; saved as .csv it has every digit", view.title()));
    ui.add_space(4.0);
    let pages = count.div_ceil(PAGE).max(1);
    *page = (*page).min(pages - 1);
    if pages > 1 {
        pager(ui, count, pages, page);
    }
    let (first, shown) = (*page * PAGE, (count - *page * PAGE).min(PAGE));
    ScrollArea::horizontal().auto_shrink(false).show(ui, |ui| {
        ui.style_mut().wrap_mode = Some(TextWrapMode::Extend);
        let columns = table.columns().len();
        let width = (ui.available_width() / columns as f32 - 10.0).clamp(80.0, 160.0);
        let builder = TableBuilder::new(ui)
            .id_salt((view, *page))
            .striped(true)
            .auto_shrink(false)
            .columns(Column::initial(width).at_least(40.0).clip(true).resizable(true), columns);
        let headed = builder.header(ROW + 2.0, |mut row| {
            for name in table.columns() {
                row.col(|ui| {
                    ui.label(RichText::new(name.replace('_', " ")).small().color(cx.theme.muted));
                });
            }
        });
        headed.body(|body| {
            body.rows(ROW, shown, |mut row| {
                let Some(cells) = table.row(first + row.index()) else { return };
                for cell in cells {
                    row.col(|ui| {
                        ui.label(written(&cell));
                    });
                }
            });
        });
    });
}

/// Which rows are shown, and a way to the others.
fn pager(ui: &mut Ui, count: usize, pages: usize, page: &mut usize) {
    ui.horizontal(|ui| {
        if ui.add_enabled(*page > 0, Button::new("Previous rows")).clicked() {
            *page -= 1;
        }
        if ui.add_enabled(*page + 1 < pages, Button::new("Next rows")).clicked() {
            *page += 1;
        }
        let first = *page * PAGE;
        ui.label(format!("rows {} to {} of {count}", first + 1, (first + PAGE).min(count)));
    });
    ui.add_space(4.0);
}

fn written(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => crate::figure::font::printable(text),
        Cell::Number(number) => Unit::Plain.format(*number),
        Cell::Count(count) => count.to_string(),
        Cell::Empty => "–".to_owned(),
    }
}
