//! Weights of a head as a matrix: queries from the top, keys from the left.

use eframe::egui::{
    self, Align2, FontId, Painter, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, vec2,
};

use super::panel::{LabelRoom, PanelTexture, PanelView};
use super::words::shown;
use crate::chart::{AttentionPanel, Unit};
use crate::gui::theme::{WindowTheme, color};
use crate::gui::widgets::{cell_at, paint_texture};

/// Least room for a token.
const LINE: f32 = 10.5;
const SMALL: f32 = 10.0;
/// Which way queries and keys go.
const DOWN: &str = "query ↓";
const ACROSS: &str = "key →";
/// From this width and height on, cells hold their number.
const NUMBERED: Vec2 = vec2(27.0, 14.0);

/// What the longest words need, at most a third of `room`.
pub(super) fn label_room(painter: &Painter, panels: &[AttentionPanel], room: Vec2, theme: &WindowTheme) -> LabelRoom {
    let font = FontId::proportional(SMALL);
    let widest = |of: &dyn Fn(&AttentionPanel) -> &[String]| {
        let longest = panels.iter().flat_map(|p| of(p).iter()).map(|t| shown(t)).max_by_key(|t| t.chars().count());
        painter.layout_no_wrap(longest.unwrap_or_default(), font.clone(), theme.muted).size().x + 8.0
    };
    // No less than what says that queries go down.
    let tiny = FontId::proportional(9.0);
    let least = painter.layout_no_wrap(DOWN.to_owned(), tiny, theme.muted).size().x + 8.0;
    let most = (room / 3.0).max(vec2(least, 24.0));
    LabelRoom {
        left: widest(&|p| p.queries.as_slice()).clamp(least, most.x),
        above: widest(&|p| p.keys.as_slice()).clamp(24.0, most.y),
    }
}

impl PanelView<'_> {
    /// Draws queries by keys; the query under the pointer.
    pub(super) fn matrix(&self, ui: &mut Ui, texture: &mut PanelTexture) -> Option<usize> {
        let (theme, panel) = (self.cx.theme, self.panel);
        let grid = &panel.weights;
        let (rect, response) = self.place(ui, Sense::hover());
        let painter = ui.painter_at(response.rect.expand(1.0));
        let (rows, columns) = (grid.rows(), grid.cols());
        let cell = rect.size() / vec2(columns.max(1) as f32, rows.max(1) as f32);
        let scale = self.maps.scale(panel);
        let image =
            texture.get(ui, self.key.clone(), theme.figure.surface, || (self.maps.shown(panel).into_owned(), scale));
        paint_texture(&painter, image, rect);
        painter.rect_stroke(rect, 0.0, Stroke::new(1.0, theme.border), StrokeKind::Outside);
        self.words(&painter, rect, cell);
        if cell.x >= NUMBERED.x && cell.y >= NUMBERED.y {
            self.numbers(&painter, ui.clip_rect(), rect, cell);
        }
        let stroke = Stroke::new(1.0, theme.accent);
        let across = |row: usize| {
            let top = rect.top() + row as f32 * cell.y;
            Rect::from_x_y_ranges(rect.x_range(), top..=top + cell.y)
        };
        if let Some(row) = self.lit.and_then(|query| panel.row_of(query)) {
            painter.rect_stroke(across(row), 0.0, Stroke::new(1.0, theme.ink), StrokeKind::Outside);
        }
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Attention of {}", panel.name())));
        let (row, column) = response.hover_pos().and_then(|at| cell_at(rect, rows, columns, at))?;
        // The row and the column under the pointer.
        let beside = rect.left() + column as f32 * cell.x;
        let down = Rect::from_x_y_ranges(beside..=beside + cell.x, rect.y_range());
        painter.rect_stroke(across(row), 0.0, stroke, StrokeKind::Outside);
        painter.rect_stroke(down, 0.0, stroke, StrokeKind::Outside);
        let name = |(place, word): (usize, Option<&String>)| {
            word.map_or_else(|| place.to_string(), |word| format!("{} ({place})", shown(word)))
        };
        let (query, key) = (name(panel.query(row)), name(panel.key(column)));
        let value = grid.get(row, column);
        let text = if value.is_nan() {
            format!("{query} cannot see {key}")
        } else {
            format!("{query} looks at {key}: {}", Unit::Plain.format(value))
        };
        response.on_hover_text_at_pointer(text);
        Some(panel.query(row).0)
    }

    /// Words beside and above the matrix, as many as have room.
    fn words(&self, painter: &Painter, rect: Rect, cell: Vec2) {
        let (panel, theme, font) = (self.panel, self.cx.theme, FontId::proportional(SMALL));
        let every = |side: f32| (LINE / side.max(1e-3)).ceil().max(1.0) as usize;
        let is_beside = self.words.left > 0.0;
        let is_above = self.words.above > 0.0;
        for row in (0..panel.weights.rows()).step_by(every(cell.y)).filter(|_| is_beside) {
            if let (_, Some(token)) = panel.query(row) {
                let at = Pos2::new(rect.left() - 4.0, rect.top() + (row as f32 + 0.5) * cell.y);
                painter.text(at, Align2::RIGHT_CENTER, shown(token), font.clone(), theme.muted);
            }
        }
        for column in (0..panel.weights.cols()).step_by(every(cell.x)).filter(|_| is_above) {
            if let (_, Some(token)) = panel.key(column) {
                let at = Pos2::new(rect.left() + (column as f32 + 0.5) * cell.x, rect.top() - 4.0);
                upright(painter, at, &shown(token), font.clone(), theme);
            }
        }
        if is_beside && is_above {
            let (corner, tiny) = (rect.left_top() - vec2(4.0, 3.0), FontId::proportional(9.0));
            painter.text(corner, Align2::RIGHT_BOTTOM, DOWN, tiny.clone(), theme.muted);
            painter.text(corner - vec2(0.0, 10.0), Align2::RIGHT_BOTTOM, ACROSS, tiny, theme.muted);
        }
    }

    /// The weight in every cell that is seen.
    fn numbers(&self, painter: &Painter, seen: Rect, rect: Rect, cell: Vec2) {
        let panel = self.panel;
        let (grid, scale, colors) = (&panel.weights, self.maps.scale(panel), self.maps.shown(panel));
        for row in 0..grid.rows() {
            for column in 0..grid.cols() {
                let corner = rect.min + vec2(column as f32 * cell.x, row as f32 * cell.y);
                let place = Rect::from_min_size(corner, cell);
                let value = grid.get(row, column);
                if value.is_nan() || !place.intersects(seen) {
                    continue;
                }
                let fill = color(scale.color(colors.get(row, column), self.cx.theme.figure.surface));
                let ink = WindowTheme::ink_on(fill);
                painter.text(place.center(), Align2::CENTER_CENTER, brief(value), FontId::proportional(9.5), ink);
            }
        }
    }
}

/// A weight in so few characters that it fits a cell: `.43`, `1.0`, and nothing but a dot below a hundredth.
fn brief(weight: f64) -> String {
    match weight {
        w if w >= 0.995 => "1.0".to_owned(),
        w if w < 0.005 => "·".to_owned(),
        w => format!("{w:.2}").trim_start_matches('0').to_owned(),
    }
}

/// A word that reads upwards and ends at `at`.
fn upright(painter: &Painter, at: Pos2, text: &str, font: FontId, theme: &WindowTheme) {
    let galley = painter.layout_no_wrap(text.to_owned(), font, theme.muted);
    let middle = galley.size().y / 2.0;
    let shape = egui::epaint::TextShape::new(at - vec2(middle, 0.0), galley, theme.muted);
    painter.add(shape.with_angle(-std::f32::consts::FRAC_PI_2));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_brief() {
        assert_eq!([0.434, 0.999, 0.05, 0.0004].map(brief), [".43", "1.0", ".05", "·"]);
    }
}
