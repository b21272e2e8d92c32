//! A seed as a person types it.

use eframe::egui::{Response, Ui};

use super::drag_value;

/// The largest seed that can be typed: the field computes in floats of 64 bits, which hold every whole number up to here.
const LARGEST_SEED: u64 = 1 << 53;

/// A field for `seed`. What is typed above [`LARGEST_SEED`] becomes it, so that what is shown is what is used; a larger one from
/// elsewhere stays as it is.
pub(in crate::gui) fn seed_field(ui: &mut Ui, seed: &mut u64) -> Response {
    let now = *seed;
    let exact = move |shown: f64, _| if shown == now as f64 { now.to_string() } else { format!("{shown:.0}") };
    let field = drag_value(seed).range(0..=LARGEST_SEED).custom_formatter(exact);
    let response = ui.add(field);
    // Assistive technology sets numbers without the bounds of the field.
    if *seed != now {
        *seed = (*seed).min(LARGEST_SEED);
    }
    response
}
