//! Every head of the model as a cell.

mod beside;
mod in_words;
mod react;
mod summary;

use std::sync::Arc;

use eframe::egui::{Button, ComboBox, RichText, ScrollArea, Ui};
use serde::{Deserialize, Serialize};

use self::summary::Summaries;
use super::of_analysis::OfAnalysis;
use super::shown::{Draw, PictureKey};
use crate::analysis::baseline;
use crate::chart::{AnalysisView, GroupStyle, HeadColor, Measure, Order, Overview as Drawn, Paint, Picture, Unit};
use crate::error::Result;
use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::state::State;
use crate::gui::theme::color;
use crate::gui::widgets::{HeadCell, HeadGrid, Swatch, choice, color_bar, feature_picker, group_legend, swatch};
use crate::network::{Head, Site};
use crate::words::{counted, printed};

/// In which order heads of a layer stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Sort {
    #[default]
    Index,
    /// Heads of a group side by side.
    Group,
    Value,
}

/// What a click on a head does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Click {
    /// Keeps a head that would go, prunes one that would stay.
    #[default]
    Flip,
    /// Selects and changes nothing.
    Select,
}

/// What the overview remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OverviewView {
    paint: HeadColor,
    sort: Sort,
    click: Click,
    /// Where a drag over heads began.
    #[serde(skip)]
    drag_from: Option<Head>,
    #[serde(skip)]
    summaries: Summaries,
}

/// Height from which words about the model stand below its heads.
const ROOM_FOR_WORDS: f32 = 260.0;
/// What stands in the cell of a head that is a group by itself, and the room that this takes.
const ALONE: &str = "alone";
const ROOM_FOR_ALONE: f32 = 30.0;

/// A number in so few characters that it fits a cell.
fn short(unit: Unit, value: f64) -> String {
    match unit {
        _ if value.is_nan() => "–".to_owned(),
        Unit::Share => printed(format!("{:.0} %", value * 100.0)),
        _ if value.abs() >= 100.0 => printed(format!("{value:.0}")),
        _ if value.abs() >= 10.0 => printed(format!("{value:.1}")),
        _ => Unit::Plain.labels(&[value], 0.01).concat(),
    }
}

/// The color by kinds, in the list.
const WHAT_IT_DOES: &str = "What it does";

pub(super) type OverviewChoice = (HeadColor, Sort, Click);

impl OverviewView {
    /// What a person chose.
    pub(super) fn chosen(&self) -> OverviewChoice {
        (self.paint.clone(), self.sort, self.click)
    }

    /// A measure of one model may be missing in the next; where a drag began, a head may be.
    pub(super) fn forget_model(&mut self) {
        if matches!(self.paint, HeadColor::Measure(_)) {
            self.paint = HeadColor::default();
        }
        self.drag_from = None;
    }

    /// What the color of a head says.
    pub(super) fn color_by(&mut self, color: HeadColor) {
        self.paint = color;
    }

    /// What its picture is made of.
    pub(super) fn key(&self, state: &State) -> PictureKey {
        let color = match &self.paint {
            HeadColor::Group => 0,
            HeadColor::State => 1,
            HeadColor::Kind => 2,
            HeadColor::Measure(measure) => {
                let all = state.results.as_ref().map(|r| Measure::available(&r.analysis)).unwrap_or_default();
                all.iter().position(|m| m == measure).map_or(usize::MAX, |i| i + 3)
            }
        };
        let beside = if state.beside.is_some() { state.comparisons } else { 0 };
        let options = [color, self.sort as usize, beside];
        PictureKey { feature: state.feature(), options, ..PictureKey::of_plan(state) }
    }

    /// What makes its picture.
    pub(super) fn picture(&self, state: &State) -> Result<Draw> {
        if let Some(found) = &state.beside {
            let found = Arc::clone(found);
            return Ok(Box::new(move || Ok(Picture::SideBySide(Box::new((*found).clone())))));
        }
        let order = match self.sort {
            Sort::Index => Order::Index,
            Sort::Group => Order::Group,
            Sort::Value => Order::Value,
        };
        OfAnalysis { order: Some(order), ..OfAnalysis::default() }
            .draw(state, AnalysisView::Overview(self.paint.clone()))
    }

    /// Draws the overview. Colors, numbers and order are those of the picture; what stays and what is pinned is the plan's,
    /// so that a click shows at once. One that `is_asked` for has the keyboard, so that arrow keys walk over the heads.
    pub(super) fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>, picture: Option<&Picture>, is_asked: bool) {
        let (state, theme) = (cx.state, cx.theme);
        let Some(model) = &state.model else { return };
        if let Some(found) = &state.beside {
            return beside::ui(ui, cx, found);
        }
        let drawn = match picture {
            Some(Picture::Overview(drawn)) if state.results.is_some() => Some(drawn),
            _ => None,
        };
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx));
        ui.horizontal_wrapped(|ui| legend(ui, cx, drawn));
        ui.add_space(6.0);
        let plan = state.draft.now().active();
        self.summaries.refresh(cx);
        if ui.available_height() >= ROOM_FOR_WORDS {
            in_words::below(ui, cx, self.summaries.sentences());
        }
        let selection = &state.selection.heads;
        let grid = HeadGrid {
            shape: &model.facts.shape,
            order: drawn.filter(|d| !d.is_straight()).map(|d| d.rows.as_slice()),
            summaries: self.summaries.columns(),
            bars: drawn.and_then(|d| d.layers.as_ref()),
            cursor: state.selection.cursor,
            site: state.selection.site,
            is_clickable: true,
        };
        let pointed = ScrollArea::both().auto_shrink(false).show(ui, |ui| {
            let row = |site: Site| {
                // What belongs to a layer is looked up once: a model can have 16,384 heads.
                let look = plan.at(site);
                let legal = state.legal_plan().map(|plan| plan.kept.get(site));
                let shown = drawn.and_then(|d| Some((&d.paint, d.rows.iter().find(|r| r.site == site)?)));
                move |head: usize| {
                    let missing = theme.figure.missing;
                    let (fill, notches) = match shown {
                        None | Some((Paint::Kept, _)) => (theme.kept, 0),
                        Some((Paint::Groups, row)) => row.groups.get(head).map_or((theme.missing, 0), |group| {
                            let style = GroupStyle::of(theme.figure, *group);
                            (color(style.color), style.cycle)
                        }),
                        Some((Paint::Kinds, row)) => row.kind(head).map_or((theme.missing, 0), |kind| {
                            let style = GroupStyle::of(theme.figure, kind.index());
                            (color(style.color), style.cycle)
                        }),
                        Some((Paint::Values { scale, .. }, row)) => (color(scale.color(row.value(head), missing)), 0),
                    };
                    let selected = !selection.is_empty() && selection.contains(&Head::new(site, head));
                    let kept = match legal {
                        Some(kept) => kept.is_none_or(|kept| kept.binary_search(&head).is_ok()),
                        None => look.is_kept(head),
                    };
                    HeadCell { fill, kept, pinned: look.pin(head).is_some(), selected, notches }
                }
            };
            grid.show(ui, theme, row, |head, room| label(drawn, head, room), |head| words(cx, drawn, head))
        });
        if is_asked {
            pointed.inner.response.request_focus();
        }
        self.react(ui, cx, drawn, &pointed.inner);
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        if let Some(results) = &cx.state.results {
            let label = ui.label(RichText::new("Color").color(cx.theme.muted));
            let text = match &self.paint {
                HeadColor::Group => "Group".to_owned(),
                HeadColor::State => "Kept".to_owned(),
                HeadColor::Kind => WHAT_IT_DOES.to_owned(),
                HeadColor::Measure(measure) => measure.label(),
            };
            let combo = ComboBox::from_id_salt("paint").selected_text(text).width(130.0).show_ui(ui, |ui| {
                ui.selectable_value(&mut self.paint, HeadColor::Group, "Group")
                    .on_hover_text("Heads of a layer that compute alike; colors mean nothing across layers");
                let (kinds, others): (Vec<_>, Vec<_>) =
                    Measure::available(&results.analysis).into_iter().partition(Measure::is_kind);
                if !kinds.is_empty() {
                    ui.selectable_value(&mut self.paint, HeadColor::Kind, WHAT_IT_DOES)
                        .on_hover_text("The kind of each head: previous token, induction, …");
                }
                for measure in others {
                    let (meaning, text) = (measure.meaning(), measure.label());
                    ui.selectable_value(&mut self.paint, HeadColor::Measure(measure), text).on_hover_text(meaning);
                }
                let entropy = Measure::Baseline(baseline::ENTROPY.to_owned());
                if !Measure::available(&results.analysis).contains(&entropy) {
                    ui.add_enabled(false, Button::selectable(false, entropy.label())).on_disabled_hover_text(
                        "Let the attention map vote in the next run: the entropy is measured along with it",
                    );
                }
                ui.selectable_value(&mut self.paint, HeadColor::State, "Kept")
                    .on_hover_text("Only whether a head stays");
                // What heads do, kind by kind.
                for measure in kinds {
                    let (meaning, text) = (measure.meaning(), measure.label());
                    ui.selectable_value(&mut self.paint, HeadColor::Measure(measure), text).on_hover_text(meaning);
                }
            });
            combo.response.labelled_by(label.id);
            feature_picker(ui, cx);
            choice(
                ui,
                cx,
                "Order",
                &mut self.sort,
                &[
                    (Sort::Index, "Index", "Heads as they are numbered"),
                    (Sort::Group, "Group", "Heads of a group side by side"),
                    (Sort::Value, "Value", "Largest number first"),
                ],
            );
        }
        choice(
            ui,
            cx,
            "Click",
            &mut self.click,
            &[
                (Click::Flip, "Keep or prune", "A click keeps a head that would go and prunes one that would stay"),
                (Click::Select, "Select", "A click selects and changes nothing"),
            ],
        );
    }
}

fn legend(ui: &mut Ui, cx: Cx<'_>, drawn: Option<&Drawn>) {
    let (theme, state) = (cx.theme, cx.state);
    // Where colors say something else, kept and pruned are a matter of shape.
    let says_state = drawn.is_none_or(|d| d.paint == Paint::Kept);
    let sample = if says_state { theme.kept } else { theme.outline };
    swatch(ui, theme, Swatch::Kept(sample), "kept");
    swatch(ui, theme, Swatch::Pruned(sample), "pruned");
    if state.draft.now().active().pinned() > 0 {
        swatch(ui, theme, Swatch::Pinned(sample), "pinned");
    }
    if state.model.as_ref().is_some_and(|m| m.facts.is_grouped()) && drawn.is_none_or(Drawn::is_straight) {
        swatch(ui, theme, Swatch::Plate, "share a key/value head");
    }
    let Some(drawn) = drawn else { return };
    match &drawn.paint {
        Paint::Kept => {}
        Paint::Kinds => {
            let (kinds, has_other) = drawn.kinds();
            for kind in kinds {
                let fill = color(GroupStyle::of(theme.figure, kind.index()).color);
                swatch(ui, theme, fill, "");
                let words = RichText::new(format!("{} ({})", kind.label(), kind.letters())).small();
                if ui.link(words).on_hover_text("Select the heads of this kind, to keep or pin them").clicked() {
                    let of_row = |row: &crate::chart::OverviewRow| {
                        let heads = (0..row.heads).filter(|head| row.kind(*head) == Some(kind));
                        heads.map(|head| Head::new(row.site, head)).collect::<Vec<_>>()
                    };
                    cx.send(Action::SelectAll(drawn.rows.iter().flat_map(of_row).collect()));
                }
            }
            if has_other {
                swatch(ui, theme, theme.missing, "no known pattern");
            }
        }
        Paint::Groups => {
            group_legend(ui, theme, drawn.rows.iter().flat_map(|r| &r.groups).max().map_or(0, |g| g + 1));
        }
        Paint::Values { label, unit, scale, .. } => {
            let missing = drawn.rows.iter().flat_map(|r| &r.values).any(|v| v.is_nan());
            color_bar(ui, theme, scale, (label, *unit), missing.then_some("none"));
        }
    }
}

fn row_of(drawn: &Drawn, site: Site) -> Option<&crate::chart::OverviewRow> {
    drawn.rows.iter().find(|row| row.site == site)
}

/// What stands in a cell that has room: what its color says, or which head it is where no numbers over the columns say so.
fn label(drawn: Option<&Drawn>, head: Head, room: f32) -> String {
    let row = drawn.and_then(|d| row_of(d, head.site));
    match (drawn.map(|d| &d.paint), row) {
        (Some(Paint::Values { unit, .. }), Some(row)) => short(*unit, row.value(head.head)),
        (Some(Paint::Kinds), Some(row)) if row.order.is_sorted() => {
            row.kind(head.head).map_or_else(String::new, |kind| kind.letters().to_owned())
        }
        (Some(Paint::Groups), Some(row)) if row.order.is_sorted() => match row.groups.get(head.head) {
            Some(group) if row.is_alone(*group) && room >= ROOM_FOR_ALONE => ALONE.to_owned(),
            group => group.map_or_else(String::new, ToString::to_string),
        },
        _ => head.head.to_string(),
    }
}

/// What a screen reader and the tooltip say of a head beside its state.
fn words(cx: Cx<'_>, drawn: Option<&Drawn>, head: Head) -> String {
    let Some(site) = cx.state.results.as_ref().and_then(|r| r.analysis.site(head.site)) else {
        return String::new();
    };
    let mut parts = vec![counted(site.votes.get(head.head).copied().unwrap_or(0), "votes")];
    let row = drawn.and_then(|d| row_of(d, head.site));
    if let Some(group) = row.and_then(|row| row.groups.get(head.head)) {
        let alone = if row.is_some_and(|row| row.is_alone(*group)) { ", alone in it" } else { "" };
        parts.push(format!("group {group}{alone}"));
    }
    if let (Some(Paint::Kinds), Some(kind)) = (drawn.map(|d| &d.paint), row.and_then(|row| row.kind(head.head))) {
        parts.push(kind.label().to_lowercase());
    }
    if let (Some(Paint::Values { label, unit, .. }), Some(row)) = (drawn.map(|d| &d.paint), row) {
        parts.push(format!("{} {}", label.to_lowercase(), unit.format(row.value(head.head))));
    }
    parts.join(", ")
}
