//! Which heads stay, what that saves, how good it is, and the export.

mod budget;
mod compare;
mod cost;
mod export;
mod plans;
mod progress;
mod quality;
mod repair;

use std::sync::Arc;

use eframe::egui::{Button, ScrollArea, Ui};

use super::shown::{Draw, PictureKey};
use crate::chart::{Picture, QualityCurves};
use crate::error::{Error, Result};
use crate::gui::context::Cx;
use crate::gui::state::State;

/// Width from which two columns stand side by side.
const TWO_COLUMNS: f32 = 560.0;

/// Which picture stands below the tables, and is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Quality of every method against the heads that it keeps.
    Curve,
    /// What each layer loses, without repair and with it.
    Layers,
    /// What the plan saves.
    Cost,
}

/// What the prune view remembers.
#[derive(Default)]
pub(super) struct Prune {
    plans: plans::Plans,
    export: export::ExportPanel,
    /// What a person chose to see.
    chosen: Option<Shows>,
}

impl Prune {
    pub(super) fn forget_model(&mut self) {
        self.export.forget_model();
    }

    /// The picture that is shown: the chosen one where there is such a thing.
    fn shows(&self, state: &State) -> Shows {
        let possible = |shows: &Shows| match shows {
            Shows::Curve => state.curves.is_some(),
            Shows::Layers => repair::has_bars(state),
            Shows::Cost => true,
        };
        // Without being asked, bars are those of a repair that was made.
        let usual = [Shows::Curve, Shows::Layers]
            .into_iter()
            .filter(|shows| *shows == Shows::Curve || state.repair_now().is_some());
        self.chosen.into_iter().chain(usual).find(possible).unwrap_or(Shows::Cost)
    }

    /// What the picture is made of.
    pub(super) fn key(&self, state: &State) -> PictureKey {
        let options = [self.shows(state) as usize, state.repairing.revision as usize, 0];
        PictureKey { results: None, measured: Some(state.measured_revision), options, ..PictureKey::of_plan(state) }
    }

    /// Whether its picture takes longer than a frame.
    pub(super) fn is_slow(&self, state: &State) -> bool {
        self.shows(state) == Shows::Layers
    }

    /// What makes the picture.
    pub(super) fn picture(&self, state: &State) -> Result<Draw> {
        match (self.shows(state), &state.curves) {
            (Shows::Curve, Some(curves)) => {
                let (curves, (kept, heads)) = (Arc::clone(curves), state.kept_heads());
                let plan = Some(kept as f64 / heads as f64);
                Ok(Box::new(move || Ok(Picture::Quality(QualityCurves { plan, ..QualityCurves::of(&curves, None)? }))))
            }
            (Shows::Layers, _) => repair::picture(state),
            _ => {
                let bars = cost::bars(state).ok_or_else(|| Error::new("there is no plan to draw"))?;
                Ok(Box::new(move || Ok(Picture::Cost(bars))))
            }
        }
    }

    /// Draws the view: side by side where there is room, else one below the other.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            let room = ui.available_width();
            if room < TWO_COLUMNS {
                self.choice(ui, cx);
                self.effect(ui, cx, picture);
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
                    self.effect(ui, cx, picture);
                });
            });
        });
    }

    /// What a person decides.
    fn choice(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        self.plans.ui(ui, cx);
        repair::choice_ui(ui, cx);
        budget::verdict(ui, cx);
        self.export.ui(ui, cx);
    }

    /// What comes of it.
    fn effect(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
        cost::ui(ui, cx);
        compare::ui(ui, cx);
        quality::ui(ui, cx);
        repair::result_ui(ui, cx);
        repair::quality_ui(ui, cx);
        let now = self.shows(cx.state);
        let has_curve = cx.state.curves.is_some();
        if has_curve || repair::has_bars(cx.state) {
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                for (shows, text, is_there) in [
                    (Shows::Curve, "Quality curve", has_curve),
                    (Shows::Layers, "What each layer loses", repair::has_bars(cx.state)),
                ] {
                    let label = Button::selectable(now == shows, text);
                    if is_there && ui.add(label).clicked() {
                        self.chosen = if now == shows { Some(Shows::Cost) } else { Some(shows) };
                    }
                }
            });
        }
        match now {
            Shows::Curve => quality::curve_ui(ui, cx, picture),
            Shows::Layers => repair::bars_ui(ui, cx, picture),
            Shows::Cost => {}
        }
    }
}
