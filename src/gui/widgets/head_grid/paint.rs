//! How a head grid looks.

use eframe::egui::{
    self, Align2, FontFamily, FontId, Mesh, Painter, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo,
    pos2, vec2,
};

use super::geometry::{Geometry, HEADING, NUMBERS, gaps_before};
use super::{HeadCell, HeadGrid};
use crate::gui::theme::{STRONG, WindowTheme};
use crate::gui::widgets::{OF_A_COLUMN, explained, naming};
use crate::network::{Head, Site, SiteKind};

/// Cells smaller than this are plain squares of one mesh, which keeps 16,384 of them within a frame.
const DENSE: f32 = 14.0;
/// From this size on, cells hold words.
const WORDED: [f32; 2] = [18.0, 18.0];

/// Where the color of a head that goes lies in its cell, which is this large without its gaps.
fn pruned_swatch(inner: Rect) -> Rect {
    if inner.width() < 30.0 {
        return Rect::from_center_size(inner.center(), (inner.size() * 0.4).round().max(vec2(1.0, 1.0)));
    }
    // Its number stands beside it.
    let side = (inner.height() * 0.42).round();
    Rect::from_center_size(pos2(inner.left() + 5.0 + side / 2.0, inner.center().y), vec2(side, side))
}

/// Where the words of a cell stand; none where they have no room.
fn words_room(place: Rect, is_kept: bool) -> Option<Rect> {
    let inner = place.shrink(1.5);
    let has_room = place.width() >= WORDED[0] && place.height() >= WORDED[1];
    match is_kept {
        true => has_room.then_some(inner),
        false if inner.width() < 30.0 => None,
        false => has_room.then(|| inner.with_min_x(pruned_swatch(inner).right() + 1.0)),
    }
}

/// The words over layers of one kind.
fn kind_title(kind: SiteKind) -> &'static str {
    match kind {
        SiteKind::Encoder => "Encoder self-attention",
        SiteKind::Decoder => "Decoder self-attention",
        SiteKind::Cross => "Cross-attention: decoder over encoder",
    }
}

impl HeadGrid<'_> {
    pub(super) fn paint<Row: Fn(usize) -> HeadCell>(
        &self,
        ui: &Ui,
        theme: &WindowTheme,
        geometry: &Geometry,
        response: &Response,
        look: &impl Fn(Site) -> Row,
        label: &impl Fn(Head, f32) -> String,
    ) {
        let clip = ui.clip_rect();
        let painter = ui.painter_at(response.rect.intersect(clip));
        let small = FontId::proportional(if geometry.cell.y >= DENSE { 11.0 } else { 9.0 });
        self.numbers(&painter, theme, geometry, &small);
        for (kind, top) in &geometry.headings {
            let at = pos2(response.rect.left(), geometry.origin.y + top + HEADING - 6.0);
            let font = FontId::new(12.0, FontFamily::Name(STRONG.into()));
            painter.text(at, Align2::LEFT_BOTTOM, kind_title(*kind), font, theme.muted);
        }
        let mut fills = Mesh::default();
        let mut labels = Vec::new();
        let name_stride = [1, 2, 4, 8].into_iter().find(|s| *s as f32 * geometry.cell.y >= 12.0).unwrap_or(16);
        for (row, site) in self.shape.sites().iter().enumerate() {
            let top = geometry.top(row);
            if top > clip.bottom() || top + geometry.cell.y < clip.top() {
                continue;
            }
            let shown = self.site == Some(site.site);
            if row % name_stride == 0 || shown {
                let at = pos2(geometry.origin.x - 12.0, top + geometry.cell.y / 2.0);
                let color = if shown { theme.accent } else { theme.muted };
                painter.text(at, Align2::RIGHT_CENTER, site.site, small.clone(), color);
            }
            if geometry.grouped && site.kv_heads < site.heads && geometry.cell.y >= 8.0 {
                let per = site.queries_per_kv();
                for first in (0..site.heads).step_by(per) {
                    let last = (first + per).min(site.heads) - 1;
                    let plate = geometry.place(row, site, first).union(geometry.place(row, site, last));
                    let inset = if geometry.cell.y >= DENSE { vec2(-2.0, 1.0) } else { vec2(-1.0, 0.0) };
                    painter.rect_filled(plate.shrink2(inset), 4.0, theme.plate);
                }
            }
            let look = look(site.site);
            for column in 0..site.heads {
                let place = geometry.place(row, site, column);
                if !place.intersects(clip) {
                    continue;
                }
                let head = Head::new(site.site, self.head_in(row, column));
                let cell = look(head.head);
                self.paint_cell(&painter, theme, place, cell, &mut fills);
                if let Some(room) = words_room(place, cell.kept) {
                    let ink = if cell.kept { WindowTheme::ink_on(cell.fill) } else { theme.muted };
                    labels.push((room, head, ink));
                }
            }
        }
        painter.add(fills);
        for (room, head, ink) in labels {
            let words = painter.layout_no_wrap(label(head, room.width()), FontId::proportional(10.5), ink);
            if words.size().x <= room.width() {
                let at = Align2::CENTER_CENTER.anchor_size(room.center(), words.size()).min;
                painter.galley(at, words, ink);
            }
        }
        if response.has_focus()
            && let Some(place) = self.cursor.and_then(|h| self.place_of(geometry, h))
        {
            painter.rect_stroke(place.expand(1.0), 4.0, Stroke::new(2.0, theme.ink), StrokeKind::Outside);
        }
    }

    /// Numbers over the columns, where columns are heads in their own order.
    fn numbers(&self, painter: &Painter, theme: &WindowTheme, geometry: &Geometry, font: &FontId) {
        let sites = self.shape.sites();
        let Some(widest) = sites.iter().max_by_key(|s| (s.heads, gaps_before(s, s.heads))) else { return };
        let alike = sites.iter().all(|s| gaps_before(s, s.heads) == gaps_before(widest, widest.heads));
        if self.order.is_some() || (geometry.grouped && !alike) {
            return;
        }
        let stride = [1, 2, 4, 8, 16, 32].into_iter().find(|s| *s as f32 * geometry.cell.x >= 20.0).unwrap_or(64);
        for column in (0..widest.heads).step_by(stride) {
            let at = pos2(geometry.place(0, widest, column).center().x, geometry.origin.y - 5.0);
            painter.text(at, Align2::CENTER_BOTTOM, column, font.clone(), theme.muted);
        }
        let at = pos2(geometry.origin.x - 12.0, geometry.origin.y - 5.0);
        painter.text(at, Align2::RIGHT_BOTTOM, "Head", font.clone(), theme.muted);
    }

    pub(super) fn summarize(&self, ui: &Ui, theme: &WindowTheme, geometry: &Geometry, grid: &Response) {
        let font = FontId::proportional(11.0);
        let mut left = geometry.origin.x + geometry.width + 8.0;
        for summary in self.summaries {
            let right = left + summary.width;
            let top = pos2(right, geometry.origin.y - 5.0);
            ui.painter().text(top, Align2::RIGHT_BOTTOM, summary.title, font.clone(), theme.muted);
            let stride = if geometry.cell.y >= 12.0 { 1 } else { 2 };
            for (row, text) in summary.entries.iter().enumerate().step_by(stride) {
                let at = pos2(right, geometry.top(row) + geometry.cell.y / 2.0);
                if ui.clip_rect().y_range().contains(at.y) {
                    ui.painter().text(at, Align2::RIGHT_CENTER, text, font.clone(), theme.ink);
                }
            }
            let down = geometry.origin.y - NUMBERS..=geometry.origin.y - NUMBERS + geometry.size.y;
            let column =
                ui.interact(Rect::from_x_y_ranges(left..=right, down), grid.id.with(summary.title), Sense::hover());
            column.widget_info(|| WidgetInfo::labeled(Role::Label, ui.is_enabled(), summary.title));
            naming(&column, OF_A_COLUMN);
            explained(column, summary.title);
            left = right;
        }
    }

    /// A kept head fills its cell; of a pruned one a small piece remains, as in exported pictures, and its number beside it.
    fn paint_cell(&self, painter: &Painter, theme: &WindowTheme, place: Rect, cell: HeadCell, fills: &mut Mesh) {
        let side = place.height();
        let inner = place.shrink(if side > 10.0 { 1.5 } else { 0.5 });
        let small = pruned_swatch(inner);
        if side < DENSE {
            fills.add_colored_rect(if cell.kept { inner } else { small }, cell.fill);
        } else if cell.kept {
            painter.rect_filled(inner, 3.0, cell.fill);
        } else {
            painter.rect_stroke(inner, 3.0, Stroke::new(1.0, theme.border), StrokeKind::Inside);
            painter.rect_filled(small, 2.0, cell.fill);
        }
        if cell.pinned && side >= 9.0 {
            let at = inner.right_top() + vec2(-5.0, 5.0);
            let color = if cell.kept { WindowTheme::ink_on(cell.fill) } else { theme.ink };
            painter.circle_filled(at, 2.0, color);
        }
        for notch in 0..cell.notches.min(3) {
            let at = inner.left_bottom() + vec2(3.0 + 4.0 * notch as f32, -2.0);
            painter.vline(at.x, at.y - side * 0.2..=at.y, Stroke::new(1.5, WindowTheme::ink_on(cell.fill)));
        }
        if cell.selected {
            painter.rect_stroke(place.shrink(0.5), 4.0, Stroke::new(2.0, theme.ink), egui::StrokeKind::Inside);
        }
    }
}
