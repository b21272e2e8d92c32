//! A training run as it happens.

use eframe::egui::Ui;

use super::super::app::Cx;
use super::super::widgets::empty;

/// What the training view remembers.
#[derive(Default)]
pub struct Training;

impl Training {
    /// Draws the view.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        empty(
            ui,
            cx,
            "No training run",
            "Train with the group constraint from the command line: pillars train MODEL --text FILE --out DIR",
            None,
        );
    }
}
