//! Losses, likeness of heads and silhouettes over the steps.

use std::path::Path;

use eframe::egui::{Ui, vec2};

use crate::chart::{Caption, TrainingCurves};
use crate::gui::theme::WindowTheme;
use crate::gui::widgets::PlotView;
use crate::run::TrainingProgress;
use crate::training::Stage;

/// Height of a plot with its legend.
const PLOT: f32 = 170.0;

/// What a run has reported so far.
pub(super) fn curves(out: &Path, told: &TrainingProgress) -> TrainingCurves {
    let caption = Caption::new(format!("Training of {}", out.display()), "");
    // A stage may have begun that has no record yet.
    TrainingCurves { events: events(told), ..TrainingCurves::of(&told.records, caption) }
}

fn events(told: &TrainingProgress) -> Vec<(f64, String)> {
    let of = |(step, stage): &(u64, Stage)| (*step as f64, stage.name().to_owned());
    told.stages.iter().filter(|(step, _)| *step > 0).map(of).collect()
}

/// Draws the plots one below the other.
pub(super) fn ui(ui: &mut Ui, theme: &WindowTheme, curves: &TrainingCurves) {
    for plot in curves.plots() {
        PlotView::new(&plot, vec2(ui.available_width(), PLOT)).show(ui, theme);
        ui.add_space(6.0);
    }
}
