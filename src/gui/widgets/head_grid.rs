//! All heads of a model as cells: a row per layer, a column per head.

use eframe::egui::{
    self, Align2, Color32, FontId, Id, Mesh, Pos2, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use super::super::theme::Theme;
use crate::network::Site;
use crate::plan::{Shape, SiteShape};
use crate::workspace::HeadRef;

/// How one head is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Its colour.
    pub fill: Color32,
    /// Whether it stays; pruned heads are hollow.
    pub kept: bool,
    /// Whether a person fixed it.
    pub pinned: bool,
    /// Whether it is selected.
    pub selected: bool,
    /// Notches that tell groups of one colour apart.
    pub notches: usize,
}

/// A column of words to the right of the heads.
pub struct Summary {
    /// Its title.
    pub title: &'static str,
    /// What it means.
    pub width: f32,
    /// One entry per layer.
    pub entries: Vec<String>,
}

/// A grid of heads that can be clicked, dragged over and walked with the arrow keys.
pub struct HeadGrid<'a> {
    /// The layers.
    pub shape: &'a Shape,
    /// Heads of each layer from left to right, where they are not in their own order.
    pub order: Option<&'a [Vec<usize>]>,
    /// Columns about whole layers, where there is room.
    pub summaries: &'a [Summary],
    /// Where the keyboard is.
    pub cursor: Option<HeadRef>,
    /// The layer shown by other views.
    pub site: Option<Site>,
}

/// What the pointer is over and did.
pub struct Pointed {
    /// The whole grid.
    pub response: Response,
    /// The head under the pointer.
    pub head: Option<HeadRef>,
    /// The name of a layer was clicked.
    pub row: Option<Site>,
}

/// Width of the names of layers.
const NAMES: f32 = 76.0;
/// Height of the numbers of heads.
const NUMBERS: f32 = 18.0;
/// Room between key/value groups.
const GROUP_GAP: f32 = 5.0;
/// Cells of which each gets a node of its own for screen readers; beyond, only the cursor is spoken.
const SPOKEN: usize = 2048;

struct Geometry {
    origin: Pos2,
    cell: f32,
    row: f32,
}

impl HeadGrid<'_> {
    /// Draws the grid; `cell` says how a head looks and `spoken` what a screen reader says of it.
    pub fn show(
        &self,
        ui: &mut Ui,
        theme: &Theme,
        cell: impl Fn(HeadRef) -> Cell,
        spoken: impl Fn(HeadRef) -> String,
    ) -> Pointed {
        let sites = self.shape.sites();
        let columns = sites.iter().map(|s| s.heads).max().unwrap_or(0);
        let gaps = sites.iter().map(|s| gaps_before(s, s.heads)).max().unwrap_or(0) as f32 * GROUP_GAP;
        let room = ui.available_size();
        let words: f32 = self.summaries.iter().map(|s| s.width).sum::<f32>() + 16.0;
        let heads_room = room.x - NAMES - gaps - 12.0;
        let with_summaries = (heads_room - words) / columns.max(1) as f32 >= 16.0;
        let words = if with_summaries && !self.summaries.is_empty() { words } else { 0.0 };
        let by_width = (heads_room - words) / columns.max(1) as f32;
        let by_height = (room.y - NUMBERS - 4.0) / sites.len().max(1) as f32;
        let cell_side = by_width.min(by_height.max(13.0)).clamp(5.0, 34.0).floor();
        let size =
            vec2(NAMES + cell_side * columns as f32 + gaps + 8.0, NUMBERS + cell_side * sites.len() as f32 + 4.0);
        let (rect, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
        let geometry = Geometry { origin: rect.min + vec2(NAMES, NUMBERS), cell: cell_side, row: cell_side };

        self.paint(ui, theme, &geometry, rect, &response, &cell);
        if words > 0.0 {
            self.summarise(ui, theme, &geometry, geometry.origin.x + cell_side * columns as f32 + gaps + 16.0);
        }
        self.speak(ui, &geometry, &response, &cell, &spoken);
        let pointer = response.interact_pointer_pos().or(response.hover_pos());
        let head = pointer.and_then(|p| self.head_at(&geometry, p));
        let row = pointer
            .filter(|p| response.clicked() && p.x < geometry.origin.x)
            .and_then(|p| self.row_at(&geometry, p))
            .map(|s| s.site);
        Pointed { response, head, row }
    }

    fn paint(
        &self,
        ui: &Ui,
        theme: &Theme,
        geometry: &Geometry,
        rect: Rect,
        response: &Response,
        cell: &impl Fn(HeadRef) -> Cell,
    ) {
        let clip = ui.clip_rect();
        let painter = ui.painter_at(rect.intersect(clip));
        let side = geometry.cell;
        let small = FontId::proportional(if side >= 14.0 { 11.0 } else { 9.0 });
        let mut fills = Mesh::default();
        let columns = self.shape.sites().iter().map(|s| s.heads).max().unwrap_or(0);
        // Numbers stand over the columns only where columns are heads in their own order.
        let stride = [1, 2, 4, 8, 16, 32].into_iter().find(|s| *s as f32 * side >= 18.0).unwrap_or(64);
        let straight = self.order.is_none() && self.shape.sites().iter().all(|s| gaps_before(s, s.heads) == 0);
        if straight {
            for column in (0..columns).step_by(stride) {
                let at = pos2(geometry.origin.x + (column as f32 + 0.5) * side, geometry.origin.y - 4.0);
                painter.text(at, Align2::CENTER_BOTTOM, column, small.clone(), theme.muted);
            }
        }
        let rows = self.shape.sites().iter().enumerate();
        let name_stride = [1, 2, 4, 8].into_iter().find(|s| *s as f32 * geometry.row >= 12.0).unwrap_or(16);
        for (row, site) in rows {
            let top = geometry.origin.y + row as f32 * geometry.row;
            if top > clip.bottom() || top + geometry.row < clip.top() {
                continue;
            }
            let shown = self.site == Some(site.site);
            if row % name_stride == 0 || shown {
                let at = pos2(geometry.origin.x - 10.0, top + geometry.row / 2.0);
                let color = if shown { theme.accent } else { theme.muted };
                painter.text(at, Align2::RIGHT_CENTER, site.site, small.clone(), color);
            }
            for column in 0..site.heads {
                let head = HeadRef::new(site.site, self.head_in(row, column));
                let place = self.place(geometry, row, site, column);
                if !place.intersects(clip) {
                    continue;
                }
                self.paint_cell(&painter, theme, place, head, cell(head), &mut fills);
            }
        }
        painter.add(fills);
        if response.has_focus()
            && let Some(place) = self.cursor.and_then(|h| self.place_of(geometry, h))
        {
            painter.rect_stroke(place.expand(1.0), 3.0, Stroke::new(2.0, theme.ink), StrokeKind::Outside);
        }
    }

    fn summarise(&self, ui: &Ui, theme: &Theme, geometry: &Geometry, mut left: f32) {
        let font = FontId::proportional(11.0);
        for summary in self.summaries {
            let right = left + summary.width - 12.0;
            let top = pos2(right, geometry.origin.y - 4.0);
            ui.painter().text(top, Align2::RIGHT_BOTTOM, summary.title, font.clone(), theme.muted);
            for (row, text) in summary.entries.iter().enumerate() {
                let at = pos2(right, geometry.origin.y + (row as f32 + 0.5) * geometry.row);
                if geometry.row >= 12.0 || row % 2 == 0 {
                    ui.painter().text(at, Align2::RIGHT_CENTER, text, font.clone(), theme.ink);
                }
            }
            left += summary.width;
        }
    }

    fn paint_cell(
        &self,
        painter: &egui::Painter,
        theme: &Theme,
        place: Rect,
        head: HeadRef,
        cell: Cell,
        fills: &mut Mesh,
    ) {
        let side = place.width();
        let inner = place.shrink(if side > 10.0 { 1.5 } else { 0.5 });
        if cell.kept {
            // One mesh for all fills keeps 16,384 cells within a frame.
            if side >= 14.0 {
                painter.rect_filled(inner, 2.0, cell.fill);
            } else {
                fills.add_colored_rect(inner, cell.fill);
            }
        } else if side >= 14.0 {
            painter.rect_filled(inner, 2.0, cell.fill.gamma_multiply(0.16));
            painter.rect_stroke(inner, 2.0, Stroke::new(1.0, cell.fill.gamma_multiply(0.75)), StrokeKind::Inside);
            let cross = inner.shrink(side * 0.28);
            let stroke = Stroke::new(1.2, theme.muted);
            painter.line_segment([cross.left_top(), cross.right_bottom()], stroke);
            painter.line_segment([cross.right_top(), cross.left_bottom()], stroke);
        } else {
            fills.add_colored_rect(inner, cell.fill.gamma_multiply(0.16));
        }
        if cell.pinned && side >= 9.0 {
            let at = inner.right_top() + vec2(-3.5, 3.5);
            let color = if cell.kept { Theme::ink_on(cell.fill) } else { theme.ink };
            painter.circle_filled(at, 1.8, color);
        }
        for notch in 0..cell.notches.min(3) {
            let at = inner.left_bottom() + vec2(2.0 + 4.0 * notch as f32, -2.0);
            painter.vline(at.x, at.y - side * 0.2..=at.y, Stroke::new(1.5, Theme::ink_on(cell.fill)));
        }
        if side >= 20.0 && cell.kept {
            let at = inner.center();
            painter.text(at, Align2::CENTER_CENTER, head.head, FontId::proportional(10.0), Theme::ink_on(cell.fill));
        }
        if cell.selected {
            painter.rect_stroke(place.shrink(0.5), 3.0, Stroke::new(2.0, theme.accent), StrokeKind::Inside);
        }
    }

    /// Names the grid and, where they are few enough, every cell for screen readers.
    fn speak(
        &self,
        ui: &Ui,
        geometry: &Geometry,
        response: &Response,
        cell: &impl Fn(HeadRef) -> Cell,
        spoken: &impl Fn(HeadRef) -> String,
    ) {
        let state = |head: HeadRef| {
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
        if ui.ctx().accesskit_node_builder(response.id, |_| ()).is_none() {
            return;
        }
        let total: usize = self.shape.sites().iter().map(|s| s.heads).sum();
        if total > SPOKEN {
            return;
        }
        for (row, site) in self.shape.sites().iter().enumerate() {
            for column in 0..site.heads {
                let head = HeadRef::new(site.site, self.head_in(row, column));
                let id: Id = response.id.with(head);
                let place = self.place(geometry, row, site, column);
                let cell_response = ui.interact(place, id, Sense::hover());
                cell_response.widget_info(|| {
                    let mut info =
                        WidgetInfo::selected(Role::Cell, ui.is_enabled(), cell(head).selected, head.to_string());
                    info.current_text_value = Some(state(head));
                    info
                });
            }
        }
    }

    fn head_in(&self, row: usize, column: usize) -> usize {
        self.order.and_then(|o| o.get(row)?.get(column).copied()).unwrap_or(column)
    }

    fn place(&self, geometry: &Geometry, row: usize, site: &SiteShape, column: usize) -> Rect {
        let gaps = if self.order.is_none() { gaps_before(site, column) as f32 * GROUP_GAP } else { 0.0 };
        let at = geometry.origin + vec2(column as f32 * geometry.cell + gaps, row as f32 * geometry.row);
        Rect::from_min_size(at, vec2(geometry.cell, geometry.row))
    }

    fn place_of(&self, geometry: &Geometry, head: HeadRef) -> Option<Rect> {
        let row = self.shape.sites().iter().position(|s| s.site == head.site)?;
        let site = self.shape.sites().get(row)?;
        let column = (0..site.heads).find(|c| self.head_in(row, *c) == head.head)?;
        Some(self.place(geometry, row, site, column))
    }

    fn row_at(&self, geometry: &Geometry, at: Pos2) -> Option<&SiteShape> {
        let row = ((at.y - geometry.origin.y) / geometry.row).floor();
        if row < 0.0 { None } else { self.shape.sites().get(row as usize) }
    }

    fn head_at(&self, geometry: &Geometry, at: Pos2) -> Option<HeadRef> {
        let site = self.row_at(geometry, at)?;
        let row = self.shape.sites().iter().position(|s| s.site == site.site)?;
        let column = (0..site.heads).find(|c| self.place(geometry, row, site, *c).x_range().contains(at.x))?;
        Some(HeadRef::new(site.site, self.head_in(row, column)))
    }
}

/// Gaps between key/value groups to the left of a head; none where every query head has its own.
fn gaps_before(site: &SiteShape, column: usize) -> usize {
    if site.kv_heads == site.heads { 0 } else { column.min(site.heads.saturating_sub(1)) / site.queries_per_kv() }
}
