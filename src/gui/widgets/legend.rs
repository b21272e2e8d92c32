//! Keys to colours.

use eframe::egui::{Color32, RichText, Sense, Stroke, StrokeKind, Ui, vec2};

use super::super::theme::Theme;

/// A coloured square with its meaning; hollow where `fill` is absent.
pub fn swatch(ui: &mut Ui, theme: &Theme, fill: Option<Color32>, text: &str) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        let (rect, _) = ui.allocate_exact_size(vec2(11.0, 11.0), Sense::hover());
        match fill {
            Some(fill) => ui.painter().rect_filled(rect, 2.0, fill),
            None => ui.painter().rect_stroke(rect, 2.0, Stroke::new(1.0, theme.outline), StrokeKind::Inside),
        };
        ui.label(RichText::new(text).small().color(theme.muted));
    });
}
