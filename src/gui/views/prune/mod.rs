//! Which heads stay, what that saves, how good it is, and the export.

mod budget;
mod compare;
mod cost;
mod export;
mod plans;
mod progress;
mod quality;
mod repair;
mod tables;

use std::sync::Arc;

use eframe::egui::style::ScrollAnimation;
use eframe::egui::{Align, Button, CentralPanel, Frame, Margin, Panel, ScrollArea, Ui};

use super::shown::{Draw, PictureKey};
use crate::chart::{Picture, QualityCurves, Table};
use crate::error::{Error, Result};
use crate::evaluation::curve::Curves;
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::state::State;
use crate::gui::widgets::heading;

/// Width from which two columns stand side by side.
const TWO_COLUMNS: f32 = 620.0;
/// Height from which they are scrolled apart.
const PINNED: f32 = 360.0;
/// Room between two columns.
const GAP: f32 = 12.0;
/// Narrower than this, a legend takes several lines, of this height together.
const NARROW: f32 = 500.0;
const LINES: f32 = 120.0;
/// Frames until what stands above a picture that came has its height.
const SETTLES: u8 = 3;
/// Least and largest height of a picture with its legend.
const SMALLEST: f32 = 240.0;
const TALLEST: f32 = 520.0;

/// Width of a scroll bar under the pointer.
const BAR: f32 = 8.0;

/// Keeps room for scroll bars beside what is scrolled, so that none lies on the ends of its words.
fn reserve_bars(ui: &mut Ui) {
    let scroll = &mut ui.spacing_mut().scroll;
    (scroll.bar_width, scroll.floating_allocated_width) = (BAR, BAR);
}

/// Which picture stands above the tables, and is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Quality of every method against the heads that it keeps.
    Curve,
    /// What each layer loses, without repair and with it.
    Layers,
    /// What the plan saves.
    Cost,
}

/// What two of them are called.
const CURVE: &str = "Quality curve";
const LAYERS: &str = "What each layer loses";

/// What the prune view remembers.
#[derive(Default)]
pub(super) struct Prune {
    plans: plans::Plans,
    cost: cost::CostTable,
    export: export::ExportPanel,
    /// What a person chose to see.
    chosen: Option<Shows>,
    /// Frames in which the picture is still scrolled to.
    fresh: u8,
    /// The curve that was there in the last frame: one that was measured since comes to the front.
    seen: Option<Arc<Curves>>,
    measuring: Arrival,
    exporting: Arrival,
    /// Outcomes of exports that were there in the last frame.
    exports: u64,
}

/// What some work brings lies far from the button that begins it: it is brought into sight once.
#[derive(Default)]
struct Arrival {
    /// How far the area is scrolled in which it is told.
    scrolled: f32,
    /// That, and a number that changes with what came, when the work under way was first seen.
    began: Option<(f32, u64)>,
    /// Frames in which it is still scrolled to.
    fresh: u8,
}

impl Arrival {
    /// Looks whether the work ended, and whether it changed the number of what `came`. Who scrolled meanwhile looks at
    /// something else.
    fn follow(&mut self, is_under_way: bool, came: u64) {
        match self.began {
            None if is_under_way => self.began = Some((self.scrolled, came)),
            Some((scrolled, before)) if !is_under_way => {
                self.began = None;
                if scrolled == self.scrolled && before != came {
                    self.fresh = SETTLES;
                }
            }
            _ => {}
        }
    }

    /// Draws what came, and scrolls to it where it is new.
    fn show(&mut self, ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
        let told = ui.scope(add).response;
        if self.fresh > 0 {
            self.fresh -= 1;
            // Of what is taller than its place, the first lines.
            let align = (told.rect.height() > ui.clip_rect().height()).then_some(Align::TOP);
            told.scroll_to_me_animation(align, ScrollAnimation::none());
            ui.ctx().request_repaint();
        }
    }
}

impl Prune {
    /// Names, folders and pictures are those of one model.
    pub(super) fn forget_model(&mut self) {
        *self = Self::default();
    }

    /// Whether a whole curve came since the last frame, which is shown whatever was chosen before. Its points show as they come,
    /// but do not take the place of what a person looks at.
    fn takes_curve(&mut self, state: &State) -> bool {
        if state.jobs.get(JobKind::Curves).is_some() {
            return false;
        }
        let is_seen = match (&self.seen, &state.curves) {
            (Some(seen), Some(now)) => Arc::ptr_eq(seen, now),
            (None, None) => true,
            _ => false,
        };
        if is_seen {
            return false;
        }
        self.seen = state.curves.clone();
        self.chosen = state.curves.is_some().then_some(Shows::Curve);
        state.curves.is_some()
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
        // Plans that a worker counts, and an export, tell more of the same plans.
        let told = 2 * state.compared.len() + usize::from(state.export.done.is_some());
        let options = [self.shows(state) as usize, state.repairing.revision as usize, told];
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

    /// What its picture is called among its tables, and the tables of what stands below it.
    pub(super) fn beside(&self, state: &State) -> (&'static str, Vec<(&'static str, Table)>) {
        let mut below = tables::below(state);
        let name = match self.shows(state) {
            Shows::Curve => CURVE,
            Shows::Layers => LAYERS,
            // The picture is the first of them.
            Shows::Cost if below.is_empty() => "",
            Shows::Cost => below.remove(0).0,
        };
        (name, below)
    }

    /// Draws the view: side by side where there is room, else one below the other.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>) {
        if self.takes_curve(cx.state) {
            self.fresh = SETTLES;
        }
        self.follow(cx.state);
        reserve_bars(ui);
        let room = ui.available_size();
        if room.x < TWO_COLUMNS || room.y < PINNED {
            let shown = ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                if room.x < TWO_COLUMNS {
                    self.steps(ui, cx);
                    self.export.write_ui(ui, cx);
                    self.effect(ui, cx, picture, room.y);
                    return;
                }
                let left = Self::left(room.x);
                ui.horizontal_top(|ui| {
                    ui.vertical(|ui| {
                        ui.set_width(left);
                        self.steps(ui, cx);
                        self.export.write_ui(ui, cx);
                    });
                    ui.add_space(GAP);
                    ui.vertical(|ui| {
                        ui.set_width(room.x - left - 3.0 * GAP);
                        self.effect(ui, cx, picture, room.y);
                    });
                });
            });
            self.measuring.scrolled = shown.state.clamped_offset().y;
            self.exporting.scrolled = self.measuring.scrolled;
            return;
        }
        // What is decided and what comes of it are scrolled apart, so that the one is seen while the other is changed; the
        // last step is always in sight.
        let left = Panel::left("prune steps").frame(Frame::new()).resizable(false).show_separator_line(false);
        let decided = left.exact_size(Self::left(room.x) + BAR).show(ui, |ui| {
            let foot = Frame::new().inner_margin(Margin { top: 6, ..Margin::ZERO });
            Panel::bottom("prune export").frame(foot).show(ui, |ui| self.export.write_ui(ui, cx));
            ScrollArea::vertical().id_salt("steps").auto_shrink(false).show(ui, |ui| self.steps(ui, cx))
        });
        self.exporting.scrolled = decided.inner.state.clamped_offset().y;
        let rest = Frame::new().inner_margin(Margin { left: GAP as i8, ..Margin::ZERO });
        let shown = CentralPanel::default().frame(rest).show(ui, |ui| {
            let area = ScrollArea::vertical().id_salt("effect").auto_shrink(false);
            area.show(ui, |ui| self.effect(ui, cx, picture, room.y))
        });
        self.measuring.scrolled = shown.inner.state.clamped_offset().y;
    }

    /// Looks whether a measurement or an export ended.
    fn follow(&mut self, state: &State) {
        self.measuring.follow(state.jobs.get(JobKind::Measure).is_some(), state.measured_revision);
        let exports = state.export.outcomes;
        // One that was refused at once was never under way.
        if std::mem::replace(&mut self.exports, exports) < exports && self.exporting.began.is_none() {
            self.exporting.fresh = SETTLES;
        }
        self.exporting.follow(state.jobs.get(JobKind::Export).is_some(), exports);
    }

    /// Width of what is decided, beside what comes of it.
    fn left(room: f32) -> f32 {
        (room * 0.40).clamp(250.0, 380.0)
    }

    /// What a person decides, step by step; the button of the last stands apart.
    fn steps(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        heading(ui, theme, "1. Choose");
        self.plans.ui(ui, cx);
        heading(ui, theme, "2. Repair");
        repair::choice_ui(ui, cx);
        heading(ui, theme, "3. Measure");
        quality::measure_ui(ui, cx);
        heading(ui, theme, "4. Export");
        budget::verdict(ui, cx);
        self.export.formats_ui(ui, cx);
        self.exporting.show(ui, |ui| export::result_ui(ui, cx));
    }

    /// What comes of it: the picture first, `tall` points of the view in all.
    fn effect(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>, tall: f32) {
        // Where the view is one column, a curve lies far below the button that measures it.
        if self.fresh > 0 {
            self.fresh -= 1;
            ui.scroll_to_cursor(Some(Align::TOP));
            ui.ctx().request_repaint();
        }
        let now = self.shows(cx.state);
        let has_curve = cx.state.curves.is_some();
        if has_curve || repair::has_bars(cx.state) {
            ui.add_space(6.0);
            ui.horizontal_wrapped(|ui| {
                for (shows, text, is_there) in
                    [(Shows::Curve, CURVE, has_curve), (Shows::Layers, LAYERS, repair::has_bars(cx.state))]
                {
                    // Framed where it is off too: else nothing says that it can be pressed.
                    let label = Button::selectable(now == shows, text).frame_when_inactive(true);
                    if is_there && ui.add(label).clicked() {
                        self.chosen = if now == shows { Some(Shows::Cost) } else { Some(shows) };
                    }
                }
            });
        }
        // Where the column is narrow, the legend stands in several lines.
        let least = if ui.available_width() < NARROW { SMALLEST + LINES } else { SMALLEST };
        let height = (tall * 0.56).clamp(least, TALLEST);
        // Bars of layers are as tall as the view; what was just measured does not wait below them.
        let is_first = now == Shows::Layers && cx.state.measured_now().is_some();
        if is_first {
            self.measuring.show(ui, |ui| quality::result_ui(ui, cx));
        }
        match now {
            Shows::Curve => quality::curve_ui(ui, cx, picture, height),
            Shows::Layers => repair::bars_ui(ui, cx, picture, height),
            Shows::Cost => {}
        }
        self.cost.ui(ui, cx);
        if !is_first {
            self.measuring.show(ui, |ui| quality::result_ui(ui, cx));
        }
        repair::result_ui(ui, cx);
        repair::quality_ui(ui, cx);
        compare::ui(ui, cx);
    }
}
