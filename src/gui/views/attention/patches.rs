//! Weights of one query over the patches of an image.

use eframe::egui::{CursorIcon, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::panel::{PanelTexture, PanelView};
use crate::chart::{PatchImage, Unit};
use crate::gui::widgets::{cell_at, paint_texture};

impl PanelView<'_> {
    /// Draws what `query` looks at over the image; returns the query that was clicked.
    pub(super) fn over(
        &self,
        ui: &mut Ui,
        image: &PatchImage,
        query: usize,
        texture: &mut PanelTexture,
    ) -> Option<usize> {
        let (theme, panel) = (self.cx.theme, self.panel);
        let (rect, response) = self.place(ui, Sense::click());
        let painter = ui.painter_at(response.rect);
        let texture = texture.get_raster(ui, self.key.clone(), || {
            image.under(|token| panel.weight(query, token), &self.maps.scale(panel))
        });
        paint_texture(&painter, texture, rect);
        let patch = vec2(rect.width() / image.columns as f32, rect.height() / image.rows as f32);
        let place = |(row, column): (usize, usize)| {
            let corner: Pos2 = rect.min + vec2(column as f32 * patch.x, row as f32 * patch.y);
            Rect::from_min_size(pos2(corner.x, corner.y), patch)
        };
        if let Some(chosen) = image.patch(query) {
            painter.rect_stroke(place(chosen), 0.0, Stroke::new(3.0, theme.canvas), StrokeKind::Inside);
            painter.rect_stroke(place(chosen), 0.0, Stroke::new(1.5, theme.ink), StrokeKind::Inside);
        }
        response.widget_info(|| {
            WidgetInfo::labeled(Role::Image, true, format!("Attention of {} on the image", panel.name()))
        });
        let (row, column) = response.hover_pos().and_then(|at| cell_at(rect, image.rows, image.columns, at))?;
        painter.rect_stroke(place((row, column)), 0.0, Stroke::new(1.0, theme.accent), StrokeKind::Inside);
        let token = image.token(row, column);
        let name = panel.queries.get(query).cloned().unwrap_or_else(|| query.to_string());
        let weight = Unit::Plain.format(panel.weight(query, token));
        let response = response.on_hover_cursor(CursorIcon::PointingHand);
        let clicked = response.clicked();
        response.on_hover_text_at_pointer(format!("{name} looks at row {row}, column {column}: {weight}"));
        clicked.then_some(token)
    }
}
