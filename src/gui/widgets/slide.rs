//! Sliders that can be seen.

use eframe::egui::{Response, Slider, Ui};

use crate::gui::theme::WindowTheme;

/// Adds a slider with a rail that stands out from the canvas, which fields to type in do not have to.
pub(crate) fn slide(ui: &mut Ui, theme: &WindowTheme, slider: Slider<'_>) -> Response {
    ui.scope(|ui| {
        ui.visuals_mut().widgets.inactive.bg_fill = theme.track;
        ui.add(slider)
    })
    .inner
}
