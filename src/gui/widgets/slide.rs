//! Sliders that can be seen.

use eframe::egui::{Response, Slider, SliderClamping, Ui};

use crate::gui::theme::WindowTheme;

/// Adds a slider with a rail that stands out from the canvas, which fields to type in do not have to.
pub(crate) fn slide(ui: &mut Ui, theme: &WindowTheme, slider: Slider<'_>) -> Response {
    ui.scope(|ui| {
        ui.visuals_mut().widgets.inactive.bg_fill = theme.track;
        // What is shown stays as it is, out of range or not, until a person changes it.
        ui.add(slider.clamping(SliderClamping::Edits))
    })
    .inner
}
