//! Which heads stay, what that saves, how good it is, and the export.

mod compare;
mod cost;
mod export;
mod plans;
mod quality;

use eframe::egui::{ScrollArea, Ui};

use super::super::app::Cx;
use super::super::state::State;
use super::Draw;
use crate::error::{Error, Result};
use crate::figure;
use crate::figure::Caption;
use crate::figure::views::{CostBars, QualityCurves};

/// Width from which two columns stand side by side.
const TWO_COLUMNS: f32 = 560.0;

/// What the prune view remembers.
#[derive(Default)]
pub struct Prune {
    plans: plans::Plans,
    export: export::ExportPanel,
}

impl Prune {
    /// What draws its picture: the curve of quality where it was measured, else what the plan saves.
    pub fn picture(&self, state: &State, theme: &'static figure::Theme) -> Result<Draw> {
        if let Some(curves) = &state.curves {
            let drawn = QualityCurves::of(curves, None)?;
            return Ok(Box::new(move || Ok(drawn.figure(theme))));
        }
        let (Some(model), Some(Ok(outlook))) = (&state.model, &state.outlook) else {
            return Err(Error::new("there is no plan to draw"));
        };
        let rows = cost::rows(model, outlook).into_iter().map(|r| r.row).collect();
        let caption = Caption::new(format!("What {} saves", state.draft.now().active().name), model.facts.name.clone());
        let bars = CostBars { caption, rows };
        Ok(Box::new(move || Ok(bars.figure(theme))))
    }

    /// Draws the view: side by side where there is room, else one below the other.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            let room = ui.available_width();
            if room < TWO_COLUMNS {
                self.choice(ui, cx);
                Self::effect(ui, cx);
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
                    Self::effect(ui, cx);
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
    fn effect(ui: &mut Ui, cx: Cx<'_>) {
        cost::ui(ui, cx);
        compare::ui(ui, cx);
        quality::ui(ui, cx);
    }
}
