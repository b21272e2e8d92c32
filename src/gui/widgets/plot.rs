//! Axes and bars in a rectangle, with the ticks of the exported figures.

use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{Align2, FontId, Painter, Pos2, Rect, Shape, Stroke, pos2, vec2};

use super::super::theme::Theme;
use crate::figure::axis::Axis;

/// A rectangle between two axes.
pub struct PlotArea {
    /// Where data lie.
    pub rect: Rect,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
}

const SMALL: f32 = 11.0;

impl PlotArea {
    /// Fits a plot into `outer`: the rest is for ticks and labels.
    pub fn fit(outer: Rect, x: Axis, y: Axis) -> Self {
        let widest = y.tick_labels().iter().map(|l| l.chars().count()).max().unwrap_or(1);
        let left = 14.0 + widest as f32 * 6.2;
        let top = if y.label.is_empty() { 6.0 } else { 20.0 };
        let bottom = if x.label.is_empty() { 20.0 } else { 36.0 };
        let rect = Rect::from_min_max(outer.min + vec2(left, top), outer.max - vec2(8.0, bottom));
        Self { rect, x, y }
    }

    /// Where a pair of values lies.
    pub fn at(&self, x: f64, y: f64) -> Pos2 {
        pos2(self.across(x), self.down(y))
    }

    /// Where a value of the x axis lies.
    pub fn across(&self, x: f64) -> f32 {
        self.rect.left() + self.rect.width() * self.x.position(x) as f32
    }

    /// Where a value of the y axis lies.
    pub fn down(&self, y: f64) -> f32 {
        self.rect.bottom() - self.rect.height() * self.y.position(y) as f32
    }

    /// The value of the x axis at a place in the window.
    pub fn x_at(&self, across: f32) -> f64 {
        let share = f64::from((across - self.rect.left()) / self.rect.width().max(1.0));
        self.x.low + share * (self.x.high - self.x.low)
    }

    /// The value of the y axis at a height in the window.
    pub fn y_at(&self, down: f32) -> f64 {
        let share = f64::from((self.rect.bottom() - down) / self.rect.height().max(1.0));
        self.y.low + share * (self.y.high - self.y.low)
    }

    /// Draws ticks, grid and labels.
    pub fn frame(&self, painter: &Painter, theme: &Theme) {
        let font = FontId::proportional(SMALL);
        let grid = Stroke::new(1.0, theme.grid);
        for (tick, text) in self.y.ticks.iter().zip(self.y.tick_labels()) {
            let y = self.down(*tick);
            painter.hline(self.rect.x_range(), y, grid);
            painter.text(pos2(self.rect.left() - 6.0, y), Align2::RIGHT_CENTER, text, font.clone(), theme.muted);
        }
        for (tick, text) in self.x.ticks.iter().zip(self.x.tick_labels()) {
            let at = pos2(self.across(*tick), self.rect.bottom() + 4.0);
            painter.text(at, Align2::CENTER_TOP, text, font.clone(), theme.muted);
        }
        painter.hline(self.rect.x_range(), self.rect.bottom(), Stroke::new(1.0, theme.outline));
        let above = self.rect.left_top() + vec2(0.0, -5.0);
        // In a narrow plot the label ends in an ellipsis, not in half a letter.
        let mut label = LayoutJob::simple_singleline(self.y.label.clone(), font.clone(), theme.muted);
        label.wrap = TextWrapping::truncate_at_width((painter.clip_rect().right() - above.x - 2.0).max(0.0));
        let label = painter.layout_job(label);
        painter.galley(above - vec2(0.0, label.size().y), label, theme.muted);
        let below = pos2(self.rect.center().x, self.rect.bottom() + 19.0);
        painter.text(below, Align2::CENTER_TOP, &self.x.label, font, theme.muted);
    }

    /// A line through points; it is interrupted where a value cannot be drawn.
    pub fn line(&self, painter: &Painter, points: impl IntoIterator<Item = [f64; 2]>, stroke: Stroke) {
        let clipped = painter.with_clip_rect(self.rect.expand(2.0).intersect(painter.clip_rect()));
        let mut piece: Vec<Pos2> = Vec::new();
        for [x, y] in points {
            let at = self.at(x, y);
            if at.x.is_finite() && at.y.is_finite() {
                piece.push(at);
            } else {
                clipped.add(Shape::line(std::mem::take(&mut piece), stroke));
            }
        }
        clipped.add(Shape::line(piece, stroke));
    }
}

/// A dashed line across a plot.
pub fn dashed(painter: &Painter, from: Pos2, to: Pos2, stroke: Stroke) {
    painter.extend(Shape::dashed_line(&[from, to], stroke, 5.0, 4.0));
}
