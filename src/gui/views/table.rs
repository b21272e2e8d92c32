//! The numbers of a view as rows and columns: what its picture shows, for those who cannot see it or want to read it. Rows are
//! sorted by a click on a name, filtered, selected and copied.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use eframe::egui::emath::GuiRounding as _;
use eframe::egui::{
    Align, Button, Event, Label, Layout, Rect, RichText, Role, ScrollArea, Sense, TextEdit, TextStyle, TextWrapMode,
    Ui, UiBuilder, WidgetInfo, WidgetText, pos2, vec2,
};
use egui_extras::{Column, TableBuilder};

use super::columns::{ColumnLook, NARROWEST, looks, spaced, written};
use super::shown::PictureKey;
use crate::chart::Table;
use crate::chart::sift::Sift;
use crate::chart::table::Cell;
use crate::error::Result;
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::view::View;
use crate::gui::widgets::{Background, OF_A_COLUMN, choice, explained_as, naming, note};
use crate::gui::wording::worded;
use crate::words::counted;

/// Tables of one thing each, with what it is.
type Tables = Vec<(&'static str, Arc<Table>)>;

/// What collects them, away from the window.
pub(super) type Collect = Box<dyn FnOnce() -> Result<Vec<(&'static str, Table)>> + Send>;

/// The table of one view, made anew when what it shows changes.
#[derive(Default)]
pub(super) struct TableView {
    made: Background<PictureKey, Arc<Tables>>,
    /// Which of several tables is shown.
    part: &'static str,
    /// How many tables were made, by which orders know theirs.
    revision: u64,
    held: Option<Arc<Table>>,
    /// Of the columns of that table, once it was drawn.
    looks: Vec<ColumnLook>,
    sift: Sift,
    /// The rows that are wanted, in their order.
    order: Background<(u64, Sift), Arc<Vec<usize>>>,
    rows: TableRows,
    written: WrittenRows,
}

/// Rows that were seen, as they are written: numbers are put into words once, not in every frame.
#[derive(Default)]
struct WrittenRows {
    rows: HashMap<usize, Vec<String>>,
}

/// Where a person is in the rows.
#[derive(Default)]
struct TableRows {
    /// Which page of a very long table is shown.
    page: usize,
    /// Selected rows by their place in the whole table.
    selected: BTreeSet<usize>,
    /// Where a range of rows begins, by its place among those shown.
    anchor: Option<usize>,
}

/// Height of a row.
const ROW: f32 = 20.0;
/// Rows of a page. The place of a row many millions of points down could no longer be told from that of its neighbor.
const PAGE: usize = 100_000;
/// Up to so many rows, they are sorted within a part of a frame.
const QUICK: usize = 2_000;
/// Rows that are kept as they are written: several windows full.
const MOST_WRITTEN: usize = 1000;
/// Rows that are copied at most: what takes them has its own limits.
const MOST_COPIED: usize = 1_000_000;

impl TableView {
    /// Draws the table of `view`; `numbers` tells what collects them, `key` changes with them.
    pub(super) fn ui(
        &mut self,
        ui: &mut Ui,
        cx: Cx<'_>,
        view: View,
        key: PictureKey,
        numbers: impl FnOnce() -> Result<Collect>,
    ) {
        if !self.made.is_asked(&key) {
            match numbers() {
                Ok(collect) => self.made.ask(ui.ctx(), key, move || {
                    let tables = collect()?.into_iter();
                    Ok(Arc::new(tables.map(|(name, table)| (name, Arc::new(table))).collect()))
                }),
                Err(error) => return note(ui, cx.theme, worded(&error)),
            }
        }
        let tables = match self.made.made() {
            None => return note(ui, cx.theme, "Collecting the numbers …"),
            Some(Err(error)) => {
                ui.label(RichText::new(worded(error)).color(cx.theme.danger));
                return;
            }
            Some(Ok(tables)) => Arc::clone(tables),
        };
        let shown = tables.iter().find(|(name, _)| *name == self.part).or_else(|| tables.first());
        let Some((name, table)) = shown.cloned() else { return note(ui, cx.theme, "There are no numbers to show") };
        self.part = name;
        self.hold(&table);
        if tables.len() > 1 {
            let options: Vec<_> =
                tables.iter().map(|(name, _)| (*name, *name, "Every number of the view about these")).collect();
            ui.horizontal_wrapped(|ui| choice(ui, cx, "Table of", &mut self.part, &options));
        }
        self.bar(ui, cx, view, &table);
        let (revision, sift, of) = (self.revision, self.sift.clone(), Arc::clone(&table));
        let asked = (revision, sift.clone());
        let order = move || Ok(Arc::new(of.sifted(&sift)?));
        match self.order.get_keyed(ui.ctx(), asked, table.len() <= QUICK, order).map(|(_, made)| made) {
            None => note(ui, cx.theme, "Sorting …"),
            Some(Err(error)) => {
                ui.label(RichText::new(worded(error)).color(cx.theme.warning));
            }
            Some(Ok(order)) => {
                let order = Arc::clone(order);
                self.rows_ui(ui, cx, view, &table, &order);
            }
        }
    }

    /// Notes whether the table is another one; rows of another are selected no more.
    fn hold(&mut self, table: &Arc<Table>) {
        if self.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, table)) {
            return;
        }
        let has_same_columns = self.held.as_ref().is_some_and(|held| held.columns() == table.columns());
        if !has_same_columns {
            self.sift = Sift::default();
        }
        if self.held.as_ref().is_none_or(|held| held.len() != table.len() || !has_same_columns) {
            self.rows = TableRows::default();
        }
        self.held = Some(Arc::clone(table));
        self.written.rows.clear();
        self.looks.clear();
        self.revision += 1;
    }

    /// The filter, and what is done with rows.
    fn bar(&mut self, ui: &mut Ui, cx: Cx<'_>, view: View, table: &Table) {
        let rows = counted(table.len(), "rows");
        note(ui, cx.theme, format!("{} as a table of {rows}; saved as .csv it has every digit", view.title()));
        ui.horizontal_wrapped(|ui| {
            let label = ui.label(RichText::new("Filter").color(cx.theme.muted));
            let hint = format!("words, or {}", example(table));
            let field = ui.add(TextEdit::singleline(&mut self.sift.wanted).hint_text(hint).desired_width(230.0));
            let field = field.labelled_by(label.id);
            let hover = || {
                format!(
                    "Rows that hold every word that stands here. Compare a column with >, <, >=, <=, = or != and no space, \
                     such as {}; a % divides by 100. Columns: {}",
                    example(table),
                    table.columns().join(", ")
                )
            };
            let field = if field.hovered() { field.on_hover_text(hover()) } else { field };
            if field.changed() {
                self.rows.page = 0;
                self.rows.anchor = None;
            }
            let selected = self.rows.selected.len();
            let text = if selected > 0 { "Copy selected rows" } else { "Copy all rows" };
            let hover = "To the clipboard with every digit, separated by tabs, for a spreadsheet";
            let wants =
                !ui.ctx().text_edit_focused() && ui.input(|i| i.events.iter().any(|e| matches!(e, Event::Copy)));
            if ui.button(text).on_hover_text(hover).clicked() || wants {
                self.copy(cx, table);
            }
            if selected > 0 {
                if ui.button("Select none").clicked() {
                    self.rows.selected.clear();
                }
                note(ui, cx.theme, format!("{} selected", counted(selected, "rows")));
            }
        });
        ui.add_space(4.0);
    }

    /// Puts the rows into the clipboard in the order in which they stand.
    fn copy(&self, cx: Cx<'_>, table: &Table) {
        let Some((_, Ok(order))) = self.order.held() else { return };
        let selected = &self.rows.selected;
        let wanted = order.iter().copied().filter(|place| selected.is_empty() || selected.contains(place));
        cx.send(Action::Copy(table.to_tsv(wanted.take(MOST_COPIED))));
    }

    fn rows_ui(&mut self, ui: &mut Ui, cx: Cx<'_>, view: View, table: &Table, order: &[usize]) {
        let count = order.len();
        let pages = count.div_ceil(PAGE);
        if self.looks.is_empty() {
            self.looks = looks(ui, table);
        }
        let (looks, rows, written) = (&self.looks, &mut self.rows, &mut self.written);
        rows.page = rows.page.min(pages.saturating_sub(1));
        if pages > 1 {
            pager(ui, count, pages, &mut rows.page);
        } else if count < table.len() {
            note(ui, cx.theme, format!("{count} of {} are shown", counted(table.len(), "rows")));
        }
        let first = rows.page * PAGE;
        let shown = order.get(first..(first + PAGE).min(count)).unwrap_or_default();
        let (sift, modifiers) = (&mut self.sift, ui.input(|i| i.modifiers));
        ScrollArea::horizontal().auto_shrink(false).show(ui, |ui| {
            ui.style_mut().wrap_mode = Some(TextWrapMode::Extend);
            // Widths that a person gave to columns are those of columns with these names.
            let mut builder = TableBuilder::new(ui)
                .id_salt((view, rows.page, table.columns()))
                .striped(true)
                .auto_shrink(false)
                .sense(Sense::click());
            for look in looks {
                builder = builder.column(Column::initial(look.width).at_least(NARROWEST).resizable(true));
            }
            let headed = builder.header(ROW + 2.0, |mut row| {
                for ((column, name), look) in table.columns().iter().enumerate().zip(looks) {
                    row.col(|ui| no_wider(ui, look.is_number, |ui| header(ui, cx, column, name, sift)));
                }
            });
            headed.body(|body| {
                body.rows(ROW, shown.len(), |mut row| {
                    let at = row.index();
                    let Some(place) = shown.get(at).copied() else { return };
                    row.set_selected(rows.selected.contains(&place));
                    for ((name, look), text) in table.columns().iter().zip(looks).zip(written.row(table, place)) {
                        row.col(|ui| {
                            // A table may be several times as wide as its place.
                            if ui.is_rect_visible(ui.max_rect()) {
                                cell(ui, name, text, look.is_number);
                            }
                        });
                    }
                    if row.response().clicked() {
                        rows.click(at, place, shown, modifiers.shift, modifiers.command);
                    }
                });
            });
        });
    }
}

impl WrittenRows {
    /// The cells of a row.
    fn row(&mut self, table: &Table, place: usize) -> &[String] {
        if self.rows.len() > MOST_WRITTEN && !self.rows.contains_key(&place) {
            self.rows.clear();
        }
        let write = || table.row(place).unwrap_or_default().iter().map(written).collect();
        self.rows.entry(place).or_insert_with(write)
    }
}

impl TableRows {
    /// Selects a row alone; with Shift up to it from the one before, with Ctrl or Cmd beside others.
    fn click(&mut self, at: usize, place: usize, shown: &[usize], extends: bool, adds: bool) {
        match self.anchor.filter(|_| extends) {
            Some(anchor) => {
                let range = shown.get(anchor.min(at)..=anchor.max(at)).unwrap_or_default();
                self.selected.extend(range);
            }
            None if adds => {
                if !self.selected.remove(&place) {
                    self.selected.insert(place);
                }
            }
            None => {
                let was_alone = self.selected.len() == 1 && self.selected.contains(&place);
                self.selected = if was_alone { BTreeSet::new() } else { BTreeSet::from([place]) };
            }
        }
        if !extends {
            self.anchor = Some(at);
        }
    }
}

/// A comparison that this table can answer: of its first column of measurements, else of its last.
fn example(table: &Table) -> String {
    let row = table.row(0).unwrap_or_default();
    let measured = row.iter().position(|cell| matches!(cell, Cell::Number(_)));
    let counted = row.iter().rposition(|cell| matches!(cell, Cell::Count(_)));
    let named = |at: Option<usize>| table.columns().get(at?);
    match (named(measured), named(counted), table.columns().last()) {
        (Some(column), ..) => format!("{column}>0.2"),
        (None, Some(column), _) => format!("{column}>0"),
        (None, None, column) => format!("{}=word", column.map_or("", String::as_str)),
    }
}

/// Draws `add` in its cell, that of numbers at its right end, and cuts it at the side. It takes no room there, so that its
/// column can become narrower. The column could do that too, but at a price for each of its cells: a style of its own, and a
/// mesh that lies alone.
fn no_wider(ui: &mut Ui, is_number: bool, add: impl FnOnce(&mut Ui)) {
    // A double click asks how much room it takes.
    if ui.is_sizing_pass() {
        return add(ui);
    }
    let end = Layout::top_down(if is_number { Align::Max } else { Align::Min });
    let mut inside = ui.new_child(UiBuilder::new().max_rect(ui.max_rect()).layout(end));
    inside.shrink_clip_rect(ui.max_rect());
    inside.style_mut().wrap_mode = Some(TextWrapMode::Truncate);
    add(&mut inside);
}

/// The text of a cell, shortened to its column, numbers at the right; all of it is under the pointer. There are hundreds in
/// a frame, so it is painted as a label is, without what a label has beyond that.
fn cell(ui: &mut Ui, column: &str, text: &str, is_number: bool) {
    if ui.is_sizing_pass() {
        ui.add(Label::new(text).selectable(false));
        return;
    }
    let place = ui.max_rect();
    let shortened = Some(TextWrapMode::Truncate);
    let galley = WidgetText::from(text).into_galley(ui, shortened, place.width(), TextStyle::Body);
    let left = if is_number { place.left().max(place.right() - galley.size().x) } else { place.left() };
    let rect = Rect::from_min_size(pos2(left, place.top()), galley.size()).round_ui();
    let response = ui.interact(rect, ui.next_auto_id(), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    if response.hovered() {
        explained_as(response, column, &format!("{}: {text}", spaced(column)));
    }
    ui.painter().galley(rect.min, galley, ui.visuals().text_color());
}

/// The name of a column: a click sorts by it, another turns the order, a third goes back to the order of the picture.
fn header(ui: &mut Ui, cx: Cx<'_>, column: usize, name: &str, sift: &mut Sift) {
    let sign = match sift.by {
        Some((by, false)) if by == column => " ↑",
        Some((by, true)) if by == column => " ↓",
        _ => "",
    };
    let text = RichText::new(format!("{}{sign}", spaced(name))).small().color(cx.theme.muted);
    // All of the column's width is clicked.
    let width = if ui.is_sizing_pass() { 0.0 } else { ui.max_rect().width() };
    let button = ui.add(Button::new(text).frame(false).min_size(vec2(width, 0.0)));
    naming(&button, OF_A_COLUMN);
    if explained_as(button, name, &spaced(name)).on_hover_text("Click to sort").clicked() {
        sift.by = match sift.by {
            Some((by, false)) if by == column => Some((column, true)),
            Some((by, true)) if by == column => None,
            _ => Some((column, false)),
        };
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_filter_is_one_that_the_table_answers() {
        let mut table = Table::new(["site", "head", "vote_share"]);
        table.push([Cell::from("encoder.0"), Cell::from(1usize), Cell::from(0.5)]);
        assert_eq!(example(&table), "vote_share>0.2");
        let mut words = Table::new(["site", "kind"]);
        words.push([Cell::from("encoder.0"), Cell::from("induction")]);
        assert_eq!(example(&words), "kind=word");
        for table in [table, words] {
            let sift = Sift { by: None, wanted: example(&table) };
            assert!(table.sifted(&sift).is_ok());
        }
    }

    #[test]
    fn rows_are_selected_alone_in_ranges_and_beside_others() {
        let shown = [4, 2, 9, 7];
        let mut rows = TableRows::default();
        rows.click(1, 2, &shown, false, false);
        rows.click(3, 7, &shown, true, false);
        assert_eq!(rows.selected, BTreeSet::from([2, 7, 9]));
        rows.click(2, 9, &shown, false, true);
        rows.click(0, 4, &shown, false, true);
        assert_eq!(rows.selected, BTreeSet::from([2, 4, 7]));
        rows.click(0, 4, &shown, false, false);
        assert_eq!(rows.selected, BTreeSet::from([4]));
        rows.click(0, 4, &shown, false, false);
        assert!(rows.selected.is_empty(), "a second click lets go");
    }
}
