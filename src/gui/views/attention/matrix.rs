//! Weights of a head as a matrix: queries from the top, keys from the left.

use eframe::egui::{self, Align2, FontId, Painter, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, vec2};

use super::words::shown;
use super::{PanelTexture, PanelView, TITLE};
use crate::chart::Unit;
use crate::gui::theme::WindowTheme;
use crate::gui::widgets::{cell_at, paint_texture};

/// Least room for a token.
const LINE: f32 = 10.5;
const SMALL: f32 = 10.0;
/// Which way queries go.
const DOWN: &str = "query ↓";

impl PanelView<'_> {
    /// Draws queries by keys.
    pub(super) fn matrix(&self, ui: &mut Ui, texture: &mut PanelTexture) {
        let (theme, panel) = (self.cx.theme, self.panel);
        let grid = &panel.weights;
        let (outer, response) = ui.allocate_exact_size(self.size, Sense::hover());
        let painter = ui.painter_at(outer);
        self.title(ui, outer.min);
        let font = FontId::proportional(SMALL);
        let width_of = |words: &[String]| {
            let longest = words.iter().map(|t| shown(t)).max_by_key(|t| t.chars().count()).unwrap_or_default();
            painter.layout_no_wrap(longest, font.clone(), theme.muted).size().x + 8.0
        };
        // Names take at most a third of the room, and no less than what says that queries go down.
        let tiny = FontId::proportional(9.0);
        let least = painter.layout_no_wrap(DOWN.to_owned(), tiny.clone(), theme.muted).size().x + 6.0;
        let most = outer.width() / 3.0;
        let (left, above) =
            (width_of(&panel.queries).clamp(least, most.max(least)), width_of(&panel.keys).clamp(18.0, most.max(18.0)));
        let (rows, cols) = (grid.rows() as f32, grid.cols() as f32);
        let room = outer.size() - vec2(left + 4.0, TITLE + above + 2.0);
        let cell = (room.x / cols).min(room.y / rows).max(0.0);
        let rect = Rect::from_min_size(outer.min + vec2(left, TITLE + above), vec2(cell * cols, cell * rows));
        let image = texture.get(ui, self.key.clone(), theme.figure.surface, || (grid.clone(), self.maps.scale(panel)));
        paint_texture(&painter, image, rect);
        painter.rect_stroke(rect, 0.0, Stroke::new(1.0, theme.border), StrokeKind::Outside);
        let every = (LINE / cell.max(1e-3)).ceil().max(1.0) as usize;
        for row in (0..grid.rows()).step_by(every) {
            if let (_, Some(token)) = panel.query(row) {
                let at = Pos2::new(rect.left() - 4.0, rect.top() + (row as f32 + 0.5) * cell);
                painter.text(at, Align2::RIGHT_CENTER, shown(token), font.clone(), theme.muted);
            }
        }
        for column in (0..grid.cols()).step_by(every) {
            if let (_, Some(token)) = panel.key(column) {
                let at = Pos2::new(rect.left() + (column as f32 + 0.5) * cell, rect.top() - 4.0);
                upright(&painter, at, &shown(token), font.clone(), theme);
            }
        }
        let corner = rect.left_top() - vec2(4.0, 4.0);
        if above >= 30.0 {
            painter.text(corner, Align2::RIGHT_BOTTOM, DOWN, tiny.clone(), theme.muted);
            let at = corner - vec2(0.0, 11.0);
            painter.text(at, Align2::RIGHT_BOTTOM, "key →", tiny, theme.muted);
        }
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Attention of {}", panel.name())));
        let under = response.hover_pos().and_then(|at| cell_at(rect, grid.rows(), grid.cols(), at));
        let Some((row, column)) = under else { return };
        // The row and the column under the pointer.
        let stroke = Stroke::new(1.0, theme.accent);
        let top = rect.top() + row as f32 * cell;
        let beside = rect.left() + column as f32 * cell;
        let across = Rect::from_x_y_ranges(rect.x_range(), top..=top + cell);
        let down = Rect::from_x_y_ranges(beside..=beside + cell, rect.y_range());
        painter.rect_stroke(across, 0.0, stroke, StrokeKind::Outside);
        painter.rect_stroke(down, 0.0, stroke, StrokeKind::Outside);
        let name = |(place, word): (usize, Option<&String>)| {
            word.map_or_else(|| place.to_string(), |word| format!("{} ({place})", shown(word)))
        };
        let (query, key) = (name(panel.query(row)), name(panel.key(column)));
        let value = grid.get(row, column);
        let weight = if value.is_nan() { "may not be seen".to_owned() } else { Unit::Plain.format(value) };
        response.on_hover_text_at_pointer(format!("{query} looks at {key}: {weight}"));
    }
}

/// A word that reads upwards and ends at `at`.
fn upright(painter: &Painter, at: Pos2, text: &str, font: FontId, theme: &WindowTheme) {
    let galley = painter.layout_no_wrap(text.to_owned(), font, theme.muted);
    let middle = galley.size().y / 2.0;
    let shape = egui::epaint::TextShape::new(at - vec2(middle, 0.0), galley, theme.muted);
    painter.add(shape.with_angle(-std::f32::consts::FRAC_PI_2));
}
