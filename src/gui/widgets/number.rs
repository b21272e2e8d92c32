//! Numbers that stay as they are until a person changes them.

use eframe::egui::emath::{Numeric, round_to_decimals};
use eframe::egui::{DragValue, Response};

/// A field for `value`. One from elsewhere that is out of the range of what can be typed stays as it is until it is changed.
pub(in crate::gui) fn drag_value<N: Numeric>(value: &mut N) -> DragValue<'_> {
    DragValue::new(value).clamp_existing_to_range(false)
}

/// Shows `value` by the widget that `add` adds, rounded to `decimals`, and gives what a person made of it; `None` where it was
/// only shown. Widgets themselves count their rounding as a change.
pub(in crate::gui) fn edited(
    value: f64,
    decimals: usize,
    add: impl FnOnce(&mut f64) -> Response,
) -> (Response, Option<f64>) {
    let shown = round_to_decimals(value, decimals);
    let mut now = shown;
    let response = add(&mut now);
    (response, (now != shown).then_some(now))
}
