//! All heads of a model as cells: a row per layer, a column per head.

mod bars;
mod geometry;
mod paint;

use eframe::egui::accesskit::{Action, Toggled};
use eframe::egui::{Color32, Id, Pos2, Rect, Response, Role, Sense, Ui, WidgetInfo};

use self::geometry::Geometry;
pub(crate) use self::geometry::Summary;
use crate::chart::{LayerBars, OverviewRow};
use crate::gui::theme::WindowTheme;
use crate::network::{Head, Site};
use crate::plan::{Shape, SiteShape};

/// How one head is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadCell {
    pub fill: Color32,
    /// Whether it stays; of pruned heads a small piece remains.
    pub kept: bool,
    /// Whether a person fixed it.
    pub pinned: bool,
    /// Whether it is selected.
    pub selected: bool,
    /// Notches that tell groups of one color apart.
    pub notches: usize,
}

/// A grid of heads that can be clicked, dragged over and walked with the arrow keys.
pub(crate) struct HeadGrid<'a> {
    pub shape: &'a Shape,
    /// The layers in which heads are not in their own order.
    pub order: Option<&'a [OverviewRow]>,
    /// Columns about whole layers, where there is room.
    pub summaries: &'a [Summary],
    /// Bars of whole layers, where there is room.
    pub bars: Option<&'a LayerBars>,
    /// Where the keyboard is.
    pub cursor: Option<Head>,
    /// The layer shown by other views.
    pub site: Option<Site>,
    /// Whether a head does something when it is clicked.
    pub is_clickable: bool,
}

/// What the pointer is over and did.
pub(crate) struct Pointed {
    pub response: Response,
    /// The head under the pointer; under a click by the keyboard, the one that the cursor is on.
    pub head: Option<Head>,
    /// The head on which the button went down, from which a drag begins.
    pub pressed: Option<Head>,
    /// The name of a layer was clicked.
    pub row: Option<Site>,
    /// The head that a screen reader clicked.
    pub asked: Option<Head>,
}

/// Cells of which each gets a node of its own for screen readers; beyond, only the cursor is spoken.
const SPOKEN: usize = 2048;

impl HeadGrid<'_> {
    /// Draws the grid; `row` says for a layer how each of its heads looks, `label` what stands in it where there is room
    /// of a width, and `spoken` what a screen reader says of it.
    pub(crate) fn show<Row: Fn(usize) -> HeadCell>(
        &self,
        ui: &mut Ui,
        theme: &WindowTheme,
        row: impl Fn(Site) -> Row,
        label: impl Fn(Head, f32) -> String,
        spoken: impl Fn(Head) -> String,
    ) -> Pointed {
        let (in_order, room) = (self.order.is_none(), ui.available_size());
        let geometry = Geometry::fit(self.shape, in_order, self.summaries, self.bars.is_some(), room);
        let (rect, response) = ui.allocate_exact_size(geometry.size, Sense::click_and_drag());
        let geometry = geometry.at(rect.min);
        self.paint(ui, theme, &geometry, &response, &row, &label);
        if geometry.has_summaries {
            self.summarize(ui, theme, &geometry, &response);
        }
        self.layer_bars(ui, theme, &geometry, &response);
        let asked = self.speak(ui, &geometry, &response, &|head: Head| row(head.site)(head.head), &spoken);
        let pointer = response.interact_pointer_pos().or(response.hover_pos());
        let (by_pointer, origin) = ui.input(|i| (i.pointer.any_click(), i.pointer.press_origin()));
        let by_key = response.clicked() && !by_pointer;
        let head = if by_key { self.cursor } else { pointer.and_then(|p| self.head_at(&geometry, p)) };
        let pressed = origin.and_then(|p| self.head_at(&geometry, p));
        let name = pointer
            .filter(|p| response.clicked() && by_pointer && p.x < geometry.origin.x)
            .and_then(|p| self.shape.sites().get(geometry.row_at(p.y)?))
            .map(|s| s.site);
        Pointed { response, head, pressed, row: name, asked }
    }

    /// Names the grid and, where they are few enough, every cell for screen readers; the head that one of them clicked.
    fn speak(
        &self,
        ui: &Ui,
        geometry: &Geometry,
        response: &Response,
        cell: &impl Fn(Head) -> HeadCell,
        spoken: &impl Fn(Head) -> String,
    ) -> Option<Head> {
        let state = |head: Head| {
            let cell = cell(head);
            let pinned = if cell.pinned { ", pinned" } else { "" };
            format!("{}{pinned}, {}", if cell.kept { "kept" } else { "pruned" }, spoken(head))
        };
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Grid, ui.is_enabled(), "Heads");
            info.current_text_value = self.cursor.map(|head| format!("{head}: {}", state(head)));
            info
        });
        // Off unless a screen reader (or a test) listens.
        ui.ctx().accesskit_node_builder(response.id, |_| ())?;
        let total: usize = self.shape.sites().iter().map(|s| s.heads).sum();
        if total > SPOKEN {
            return None;
        }
        let mut asked = None;
        for (row, site) in self.shape.sites().iter().enumerate() {
            for column in 0..site.heads {
                let head = Head::new(site.site, self.head_in(row, column));
                let id: Id = response.id.with(head);
                let place = geometry.place(row, site, column);
                let cell_response = ui.interact(place, id, Sense::hover());
                let (look, words) = (cell(head), state(head));
                cell_response.widget_info(|| {
                    let mut info = WidgetInfo::labeled(Role::Cell, ui.is_enabled(), head.to_string());
                    info.current_text_value = Some(words.clone());
                    info
                });
                ui.ctx().accesskit_node_builder(id, |node| {
                    node.set_toggled(if look.kept { Toggled::True } else { Toggled::False });
                    node.set_selected(look.selected);
                    // Not every screen reader reads the value of a cell.
                    node.set_description(words);
                    if self.is_clickable {
                        node.add_action(Action::Click);
                    }
                });
                if self.is_clickable && ui.input(|i| i.has_accesskit_action_request(id, Action::Click)) {
                    asked = Some(head);
                }
            }
        }
        asked
    }

    fn head_in(&self, row: usize, column: usize) -> usize {
        self.order.and_then(|rows| rows.get(row)?.order.get(column).copied()).unwrap_or(column)
    }

    fn place_of(&self, geometry: &Geometry, head: Head) -> Option<Rect> {
        let row = self.shape.sites().iter().position(|s| s.site == head.site)?;
        let site = self.shape.sites().get(row)?;
        let column = (0..site.heads).find(|c| self.head_in(row, *c) == head.head)?;
        Some(geometry.place(row, site, column))
    }

    fn head_at(&self, geometry: &Geometry, at: Pos2) -> Option<Head> {
        let row = geometry.row_at(at.y)?;
        let site: &SiteShape = self.shape.sites().get(row)?;
        let column = geometry.column_at(site, at.x)?;
        Some(Head::new(site.site, self.head_in(row, column)))
    }
}
