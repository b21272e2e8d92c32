//! Bars of whole layers to the right of the heads.

use eframe::egui::{
    Align2, FontId, FontSelection, Id, Rect, Response, Role, Sense, TextWrapMode, Ui, WidgetInfo, WidgetText, pos2,
    vec2,
};

use super::HeadGrid;
use super::geometry::{Geometry, NUMBERS};
use crate::chart::LayerBars;
use crate::gui::theme::WindowTheme;

/// Room for the number behind a bar.
const NUMBER: f32 = 54.0;

impl HeadGrid<'_> {
    /// Draws a bar with its number beside every layer, a mark where chance would end; says what it is under the pointer.
    pub(super) fn layer_bars(&self, ui: &Ui, theme: &WindowTheme, geometry: &Geometry, grid: &Response) {
        let (Some(bars), Some((left, width))) = (self.bars, geometry.bars) else { return };
        let font = FontId::proportional(11.0);
        let left = geometry.origin.x + left;
        let title = WidgetText::from(bars.label.as_str()).into_galley(
            ui,
            Some(TextWrapMode::Truncate),
            width,
            FontSelection::FontId(font.clone()),
        );
        let above = pos2(left, geometry.origin.y - 5.0 - title.size().y);
        ui.painter().galley_with_override_text_color(above, title, theme.muted);
        let longest = width - NUMBER;
        let has_all = geometry.cell.y >= 12.0;
        for row in 0..self.shape.sites().len() {
            let (top, value) = (geometry.top(row), bars.values.get(row).copied().unwrap_or(f64::NAN));
            let place = Rect::from_min_size(pos2(left, top), vec2(width, geometry.cell.y));
            if !place.intersects(ui.clip_rect()) {
                continue;
            }
            let height = (geometry.cell.y * 0.55).clamp(2.0, 14.0);
            let rail = Rect::from_min_size(pos2(left, place.center().y - height / 2.0), vec2(longest, height));
            ui.painter().rect_filled(rail, 2.0, theme.track);
            if let Some(share) = LayerBars::length(value, bars.high) {
                let full = Rect::from_min_size(rail.min, vec2((longest * share as f32).max(1.0), height));
                ui.painter().rect_filled(full, 2.0, theme.accent);
            }
            let chance = bars.chance.get(row).copied();
            if let Some(share) = chance.and_then(|v| LayerBars::length(v, bars.high)) {
                let at = rail.left() + longest * share as f32;
                let mark = Rect::from_x_y_ranges(at - 1.0..=at + 1.0, rail.top() - 2.0..=rail.bottom() + 2.0);
                ui.painter().rect_filled(mark, 0.0, theme.ink);
            }
            if has_all || row % 2 == 0 {
                let at = pos2(rail.right() + 8.0, place.center().y);
                ui.painter().text(at, Align2::LEFT_CENTER, bars.unit.format(value), font.clone(), theme.ink);
            }
        }
        self.explain(ui, bars, geometry, grid.id.with("layer bars"), left, width);
    }

    /// What the bars mean, and the numbers of the layer under the pointer.
    fn explain(&self, ui: &Ui, bars: &LayerBars, geometry: &Geometry, id: Id, left: f32, width: f32) {
        let down = geometry.size.y - NUMBERS;
        let whole = Rect::from_min_size(pos2(left, geometry.origin.y - NUMBERS), vec2(width, down + NUMBERS));
        let response = ui.interact(whole, id, Sense::hover());
        let said = |row: usize| {
            let value = bars.unit.format(*bars.values.get(row)?);
            let chance = bars.chance.get(row).map(|v| format!(", mark {}", bars.unit.format(*v))).unwrap_or_default();
            Some(format!("{}: {value}{chance}", self.shape.sites().get(row)?.site))
        };
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Image, ui.is_enabled(), bars.label.as_str());
            let all: Vec<String> = (0..bars.values.len().min(256)).filter_map(said).collect();
            info.current_text_value = Some(all.join("; "));
            info
        });
        let row = response.hover_pos().and_then(|at| geometry.row_at(at.y));
        response.on_hover_ui_at_pointer(|ui| {
            if let Some(text) = row.and_then(said) {
                ui.strong(text);
            }
            ui.label(format!("{}: {}", bars.label, bars.meaning));
        });
    }
}
