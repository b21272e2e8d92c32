//! Which heads stay, what that saves, how good it is, and the export.

mod compare;
mod cost;
mod export;
mod plans;
mod quality;

use std::sync::Arc;

use eframe::egui::{ScrollArea, Ui};

use super::shown::{Draw, PictureKey};
use crate::chart::{Picture, QualityCurves};
use crate::error::{Error, Result};
use crate::gui::context::Cx;
use crate::gui::state::State;

/// Width from which two columns stand side by side.
const TWO_COLUMNS: f32 = 560.0;

/// What the prune view remembers.
#[derive(Default)]
pub(super) struct Prune {
    plans: plans::Plans,
    export: export::ExportPanel,
}

/// What the picture is made of.
pub(super) fn key(state: &State) -> PictureKey {
    PictureKey { results: None, measured: Some(state.measured_revision), ..PictureKey::of_plan(state) }
}

/// What makes the picture: the curve of quality where it was measured, else what the plan saves.
pub(super) fn picture(state: &State) -> Result<Draw> {
    if let Some(curves) = &state.curves {
        let (curves, (kept, heads)) = (Arc::clone(curves), state.kept_heads());
        let plan = Some(kept as f64 / heads.max(1) as f64);
        return Ok(Box::new(move || Ok(Picture::Quality(QualityCurves { plan, ..QualityCurves::of(&curves, None)? }))));
    }
    let bars = cost::bars(state).ok_or_else(|| Error::new("there is no plan to draw"))?;
    Ok(Box::new(move || Ok(Picture::Cost(bars))))
}

impl Prune {
    /// Draws the view: side by side where there is room, else one below the other.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            let room = ui.available_width();
            if room < TWO_COLUMNS {
                self.choice(ui, cx);
                Self::effect(ui, cx, picture);
                return;
            }
            let left = (room * 0.40).clamp(250.0, 380.0);
            ui.horizontal_top(|ui| {
                ui.vertical(|ui| {
                    ui.set_width(left);
                    self.choice(ui, cx);
                });
                ui.add_space(14.0);
                ui.vertical(|ui| {
                    ui.set_width((room - left - 36.0).max(220.0));
                    Self::effect(ui, cx, picture);
                });
            });
        });
    }

    /// What a person decides.
    fn choice(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        self.plans.ui(ui, cx);
        self.export.ui(ui, cx);
    }

    /// What comes of it.
    fn effect(ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
        cost::ui(ui, cx);
        compare::ui(ui, cx);
        quality::ui(ui, cx, picture);
    }
}
