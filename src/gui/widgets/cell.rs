//! Cells of grids that hold several controls.

use eframe::egui::Ui;

/// A cell of a grid whose controls go on below where they have no room beside each other. A grid gives such a line the height of
/// one line, in the middle of its row, so that the next would reach into what is below; what goes down begins at the top.
pub(in crate::gui) fn wrapped_cell(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    ui.vertical(|ui| ui.horizontal_wrapped(add));
}
