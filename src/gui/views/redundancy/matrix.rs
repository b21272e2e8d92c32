//! The matrix of one layer under its tree.

use eframe::egui::{
    self, Align2, FontFamily, FontId, Painter, Rect, Role, Sense, Stroke, StrokeKind, TextureHandle, Ui, WidgetInfo,
    pos2, vec2,
};

use crate::analysis::{FeatureAnalysis, Metric, SiteAnalysis};
use crate::chart::Similarity;
use crate::chart::axis::Axis;
use crate::chart::tree::Tree;
use crate::chart::{GroupStyle, Unit};
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::theme::{STRONG, WindowTheme, color};
use crate::gui::widgets::{cell_at, paint_texture};
use crate::network::Head;

/// Height of the tree and width of the numbers of heads.
const TREE: f32 = 72.0;
const NUMBERS: f32 = 30.0;
/// Width of the strips that show groups.
const STRIP: f32 = 6.0;
/// Width of what stands beside the matrix.
const BESIDE: f32 = 230.0;

/// One layer with everything needed to draw it.
pub(super) struct Drawing<'a> {
    pub cx: Cx<'a>,
    pub site: &'a SiteAnalysis,
    pub feature: &'a FeatureAnalysis,
    pub metric: Metric,
    pub similarity: &'a Similarity,
    pub order: &'a [usize],
    pub most_alike: &'a [(usize, usize, f64)],
}

impl Drawing<'_> {
    /// The matrix, and beside or below it the pair under the pointer.
    pub(super) fn show(&self, ui: &mut Ui, texture: &TextureHandle) {
        let room = ui.available_size();
        let around = vec2(NUMBERS + STRIP + 7.0, TREE + STRIP + 3.0 + NUMBERS);
        let is_beside = room.x > room.y * 0.8 + BESIDE;
        let side = if is_beside {
            (room.y - around.y).min(room.x - BESIDE - 20.0 - around.x)
        } else {
            (room.x - around.x).min(room.y - around.y - 190.0)
        };
        let side = side.max(60.0);
        if is_beside {
            ui.horizontal_top(|ui| {
                let hovered = ui.vertical(|ui| self.matrix(ui, side, texture)).inner;
                ui.add_space(12.0);
                ui.vertical(|ui| self.beside(ui, hovered));
            });
        } else {
            let hovered = self.matrix(ui, side, texture);
            self.beside(ui, hovered);
        }
    }

    /// The matrix with its tree, strips and numbers; returns the pair under the pointer.
    fn matrix(&self, ui: &mut Ui, side: f32, texture: &TextureHandle) -> Option<(usize, usize)> {
        let theme = self.cx.theme;
        let n = self.order.len();
        let side = ((side / n as f32).floor().max(1.0) * n as f32).min(side.max(n as f32));
        let cell = side / n as f32;
        let tree = if self.similarity.tree.is_some() { TREE } else { 0.0 };
        let left = NUMBERS + STRIP + 3.0;
        let size = vec2(left + side + 4.0, tree + STRIP + 3.0 + side + NUMBERS);
        let (outer, response) = ui.allocate_exact_size(size, Sense::click());
        let rect = Rect::from_min_size(outer.min + vec2(left, tree + STRIP + 3.0), vec2(side, side));
        let painter = ui.painter_at(outer);
        paint_texture(&painter, texture, rect);
        if let Some(tree) = &self.similarity.tree {
            self.dendrogram(&painter, tree, rect, outer.top() + 6.0);
        }
        let size = if cell >= 12.0 { 11.0 } else { 9.0 };
        let stride = [1, 2, 4, 8, 16].into_iter().find(|s| *s as f32 * cell >= 13.0).unwrap_or(32);
        for (place, head) in self.order.iter().enumerate() {
            let middle = (place as f32 + 0.5) * cell;
            let group = self.similarity.groups.get(*head).copied().unwrap_or(0);
            let fill = color(GroupStyle::of(theme.figure, group).color);
            let strip = |at, size| painter.rect_filled(Rect::from_min_size(at, size), 0.0, fill);
            strip(rect.min + vec2(place as f32 * cell, -STRIP - 3.0), vec2(cell, STRIP));
            strip(rect.min + vec2(-STRIP - 3.0, place as f32 * cell), vec2(STRIP, cell));
            let kept = self.similarity.keeps(*head);
            let ink = if kept { theme.ink } else { theme.muted };
            let name = if kept { FontFamily::Name(STRONG.into()) } else { FontFamily::Proportional };
            let font = FontId::new(size, name);
            if place % stride == 0 {
                let text = head.to_string();
                let row = pos2(rect.left() - STRIP - 7.0, rect.top() + middle);
                painter.text(row, Align2::RIGHT_CENTER, &text, font.clone(), ink);
                let column = pos2(rect.left() + middle, rect.bottom() + 4.0);
                painter.text(column, Align2::CENTER_TOP, &text, font, ink);
            }
        }
        if cell >= 30.0 {
            self.numbers(&painter, rect, cell);
        }
        let pair = |at| cell_at(rect, n, n, at).and_then(|(r, c)| Some((*self.order.get(r)?, *self.order.get(c)?)));
        let hovered = response.hover_pos().and_then(pair);
        self.marks(&painter, rect, cell, hovered, theme);
        if response.clicked()
            && let Some((row, column)) = hovered
        {
            self.cx.send(Action::Select(Head::new(self.site.site, row)));
            if row != column {
                self.cx.send(Action::SelectAlso(Head::new(self.site.site, column)));
            }
        }
        response.widget_info(|| {
            let words = format!("{} between the heads of {}", self.similarity.likeness.label(), self.site.site);
            WidgetInfo::labeled(Role::Image, true, words)
        });
        if let Some((i, j)) = hovered {
            let value = Unit::Plain.format(self.similarity.matrix.get(i, j));
            response.on_hover_text_at_pointer(format!(
                "heads {i} and {j}: {} {value}",
                self.similarity.likeness.label().to_lowercase()
            ));
        }
        hovered
    }

    fn numbers(&self, painter: &Painter, rect: Rect, cell: f32) {
        let scale = self.similarity.scale();
        for (r, i) in self.order.iter().enumerate() {
            for (c, j) in self.order.iter().enumerate() {
                let value = self.similarity.matrix.get(*i, *j);
                let fill = color(scale.color(value, self.cx.theme.figure.missing));
                let at = rect.min + vec2((c as f32 + 0.5) * cell, (r as f32 + 0.5) * cell);
                painter.text(
                    at,
                    Align2::CENTER_CENTER,
                    short(value),
                    FontId::proportional(if cell >= 40.0 { 11.0 } else { 10.0 }),
                    WindowTheme::ink_on(fill),
                );
            }
        }
    }

    fn marks(&self, painter: &Painter, rect: Rect, cell: f32, hovered: Option<(usize, usize)>, theme: &WindowTheme) {
        let place = |head: usize| self.order.iter().position(|h| *h == head);
        let square = |i: usize, j: usize| {
            let (Some(r), Some(c)) = (place(i), place(j)) else { return Rect::NOTHING };
            Rect::from_min_size(rect.min + vec2(c as f32 * cell, r as f32 * cell), vec2(cell, cell))
        };
        if let Some((i, j)) = hovered {
            painter.rect_stroke(square(i, j), 0.0, Stroke::new(1.5, theme.ink), StrokeKind::Outside);
        }
        if let Some((i, j)) = self.selected_pair() {
            painter.rect_stroke(square(i, j), 0.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
            painter.rect_stroke(square(j, i), 0.0, Stroke::new(2.0, theme.accent), StrokeKind::Outside);
        }
    }

    /// The tree over the columns, branches inside a group in its color.
    fn dendrogram(&self, painter: &Painter, tree: &Tree, rect: Rect, top: f32) {
        let theme = self.cx.theme;
        let n = tree.order.len();
        let cell = rect.width() / n as f32;
        let base = rect.top() - STRIP - 5.0;
        let highest = tree.joins.iter().map(|j| j.height).fold(0.0, f64::max);
        if highest <= 0.0 {
            return;
        }
        let axis = Axis::linear("", Unit::Plain, (tree.foot(), highest), 2);
        let level = |height: f64| base - (base - top) * axis.position(height) as f32;
        for (tick, text) in axis.ticks.iter().zip(axis.tick_labels()) {
            let y = level(*tick);
            if *tick > axis.low && y >= top - 1.0 {
                painter.hline(rect.x_range(), y, Stroke::new(1.0, theme.grid));
                let at = pos2(rect.left() - STRIP - 7.0, y);
                painter.text(at, Align2::RIGHT_CENTER, text, FontId::proportional(9.5), theme.muted);
            }
        }
        // Every node: where it stands and the group that it lies in, if it lies in one.
        let mut nodes: Vec<(f32, f32, Option<usize>)> =
            (0..n).map(|leaf| (0.0, base, self.similarity.groups.get(leaf).copied())).collect();
        for (place, leaf) in tree.order.iter().enumerate() {
            if let Some(node) = nodes.get_mut(*leaf) {
                node.0 = rect.left() + (place as f32 + 0.5) * cell;
            }
        }
        let width = if cell >= 8.0 { 1.5 } else { 1.0 };
        for join in &tree.joins {
            let (Some(a), Some(b)) = (nodes.get(join.left).copied(), nodes.get(join.right).copied()) else { return };
            let y = level(join.height);
            let group = if a.2 == b.2 { a.2 } else { None };
            let ink = group.map_or(theme.outline, |g| theme.group(g));
            let corners = vec![pos2(a.0, a.1), pos2(a.0, y), pos2(b.0, y), pos2(b.0, b.1)];
            painter.add(egui::Shape::line(corners, Stroke::new(width, ink)));
            nodes.push(((a.0 + b.0) / 2.0, y, group));
        }
    }
}

/// A number in so few characters that it fits a cell.
fn short(value: f64) -> String {
    match value {
        v if v.is_nan() => "–".to_owned(),
        v if v.abs() >= 10.0 => Unit::Count.format(v.round()),
        v => Unit::Plain.labels(&[v], 0.01).concat(),
    }
}
