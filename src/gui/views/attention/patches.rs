//! Weights of one query over the patches of an image.

use std::hash::Hash;

use eframe::egui::{CursorIcon, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::super::super::app::Cx;
use super::super::super::widgets::{MatrixTexture, cell_at, paint_texture};
use super::{Panel, TITLE, title};
use crate::chart::PatchImage;
use crate::chart::Unit;
use crate::run::Patterns;

/// Draws a panel of this size; returns the query that was clicked. `key` changes with its colours.
#[expect(clippy::too_many_arguments, reason = "one panel with its image, query, colours and size")]
pub(super) fn ui(
    ui: &mut Ui,
    cx: Cx<'_>,
    panel: &Panel<'_>,
    image: &PatchImage,
    patterns: &Patterns,
    query: usize,
    texture: &mut MatrixTexture,
    (key, size): (impl Hash, Vec2),
) -> Option<usize> {
    let theme = cx.theme;
    let (outer, response) = ui.allocate_exact_size(size, Sense::click());
    let painter = ui.painter_at(outer);
    title(ui, cx, outer.min, panel);
    let rect = Rect::from_min_max(outer.min + vec2(0.0, TITLE), outer.max);
    let key = (key, panel.site, query);
    let texture = texture.get_raster(ui, key, || image.under(panel.weights, query, &panel.scale));
    paint_texture(&painter, texture, rect);
    let patch = vec2(rect.width() / image.columns.max(1) as f32, rect.height() / image.rows.max(1) as f32);
    let place = |(row, column): (usize, usize)| {
        let corner: Pos2 = rect.min + vec2(column as f32 * patch.x, row as f32 * patch.y);
        Rect::from_min_size(pos2(corner.x, corner.y), patch)
    };
    if let Some(chosen) = image.patch(query) {
        painter.rect_stroke(place(chosen), 0.0, Stroke::new(3.0, theme.canvas), StrokeKind::Inside);
        painter.rect_stroke(place(chosen), 0.0, Stroke::new(1.5, theme.ink), StrokeKind::Inside);
    }
    response
        .widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Attention of {} on the image", panel.name())));
    let (row, column) = response.hover_pos().and_then(|at| cell_at(rect, image.rows, image.columns, at))?;
    painter.rect_stroke(place((row, column)), 0.0, Stroke::new(1.0, theme.accent), StrokeKind::Inside);
    let token = image.token(row, column);
    let names = patterns.queries.get(&panel.site);
    let name = names.and_then(|n| n.get(query)).cloned().unwrap_or_else(|| query.to_string());
    let weight = Unit::Plain.format(panel.weights.get(query, token));
    let response = response.on_hover_cursor(CursorIcon::PointingHand);
    let clicked = response.clicked();
    response.on_hover_text_at_pointer(format!("{name} looks at row {row}, column {column}: {weight}"));
    clicked.then_some(token)
}
