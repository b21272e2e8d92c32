//! Every head of the model as a cell.

mod cached;
mod react;
mod summary;

use std::sync::Arc;

use eframe::egui::{Button, ComboBox, RichText, ScrollArea, Ui};
use serde::{Deserialize, Serialize};

use self::cached::{Cached, Key};
use self::summary::Summaries;
use super::super::app::Cx;
use super::super::state::State;
use super::super::theme::color;
use super::super::widgets::{
    Background, Cell, HeadGrid, Mark, choice, color_bar, feature_picker, group_legend, swatch,
};
use super::{Draw, Key as PictureKey, OfAnalysis};
use crate::analysis::baseline;
use crate::chart::{AnalysisView, GroupStyle, Measure, Order, Unit};
use crate::error::Result;
use crate::network::{Head, Site};
use crate::words::counted;

/// What the colour of a cell says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Paint {
    /// The group of the head in its layer.
    #[default]
    Group,
    /// A number.
    Measure(Measure),
    /// Nothing but kept or pruned.
    State,
}

/// Up to so many heads, colours are made within a small part of a frame.
const QUICK: usize = 2048;

/// In which order heads of a layer stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sort {
    /// By index.
    #[default]
    Index,
    /// Heads of a group side by side.
    Group,
    /// Largest number first.
    Value,
}

/// What a click on a head does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Click {
    /// Keeps a head that would go, prunes one that would stay.
    #[default]
    Flip,
    /// Selects and changes nothing.
    Select,
}

/// What the overview remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overview {
    paint: Paint,
    sort: Sort,
    click: Click,
    /// Where a drag over heads began.
    #[serde(skip)]
    drag_from: Option<Head>,
    #[serde(skip)]
    cache: Option<Arc<Cached>>,
    #[serde(skip)]
    drawn: Background<Key, Arc<Cached>>,
    #[serde(skip)]
    summaries: Summaries,
}

/// A number in so few characters that it fits a cell.
fn short(unit: Unit, value: f64) -> String {
    match unit {
        _ if value.is_nan() => "–".to_owned(),
        Unit::Share => format!("{:.0} %", value * 100.0),
        _ if value.abs() >= 100.0 => format!("{value:.0}"),
        _ if value.abs() >= 10.0 => format!("{value:.1}"),
        _ => Unit::Plain.labels(&[value], 0.01).concat(),
    }
}

impl Overview {
    /// What its picture is made of.
    pub fn key(&self, state: &State) -> PictureKey {
        let measure = match &self.paint {
            Paint::Measure(measure) => {
                let all = state.results.as_ref().map(|r| Measure::available(&r.analysis)).unwrap_or_default();
                all.iter().position(|m| m == measure).map_or(0, |i| i + 1)
            }
            Paint::Group | Paint::State => 0,
        };
        PictureKey { feature: state.feature(), options: [measure, self.sort as usize, 0], ..PictureKey::of_plan(state) }
    }

    /// What makes its picture.
    pub fn picture(&self, state: &State) -> Result<Draw> {
        let measure = match &self.paint {
            Paint::Measure(measure) => Some(measure.clone()),
            Paint::Group | Paint::State => None,
        };
        let order = match self.sort {
            Sort::Index => Order::Index,
            Sort::Group => Order::Group,
            Sort::Value => Order::Value,
        };
        OfAnalysis { order: Some(order), ..OfAnalysis::default() }.draw(state, AnalysisView::Overview(measure))
    }

    /// Draws the overview.
    pub fn ui(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        let (state, theme) = (cx.state, cx.theme);
        let Some(model) = &state.model else { return };
        self.refresh(ui, cx);
        ui.horizontal_wrapped(|ui| self.toolbar(ui, cx));
        ui.horizontal_wrapped(|ui| self.legend(ui, cx));
        ui.add_space(6.0);
        let plan = state.draft.now().active();
        self.summaries.refresh(cx);
        let results = state.results.as_ref();
        let cache = self.cache.as_deref();
        // Colours and numbers are those that were made, until others are.
        let paint = match (results, cache) {
            (None, _) => &Paint::State,
            (_, Some(cache)) => &cache.key.1,
            (_, None) => &self.paint,
        };
        let selection = &state.selection.heads;
        let grid = HeadGrid {
            shape: &model.facts.shape,
            order: cache.and_then(|c| c.order.as_deref()),
            summaries: self.summaries.columns(),
            cursor: state.selection.cursor,
            site: state.selection.site,
        };
        let pointed = ScrollArea::both().auto_shrink(false).show(ui, |ui| {
            let row = |site: Site| {
                // What belongs to a layer is looked up once: a model can have 16,384 heads.
                let look = plan.at(site);
                let legal = state.legal_plan().map(|plan| plan.kept.get(site));
                let groups = cache.and_then(|c| c.groups.get(&site));
                let values = cache.and_then(|c| Some((c.values.as_ref()?.get(&site)?, c.scale)));
                move |head: usize| {
                    let (fill, notches) = match paint {
                        Paint::State => (theme.kept, 0),
                        Paint::Group => groups.and_then(|g| g.get(head)).map_or((theme.missing, 0), |g| {
                            let style = GroupStyle::of(theme.figure, *g);
                            (color(style.color), style.cycle)
                        }),
                        Paint::Measure(_) => {
                            let value = values.and_then(|(v, scale)| Some((*v.get(head)?, scale)));
                            let missing = theme.figure.missing;
                            (color(value.map_or(missing, |(v, scale)| scale.color(v, missing))), 0)
                        }
                    };
                    let selected = !selection.is_empty() && selection.contains(&Head::new(site, head));
                    let kept = match legal {
                        Some(kept) => kept.is_none_or(|kept| kept.binary_search(&head).is_ok()),
                        None => look.is_kept(head),
                    };
                    Cell { fill, kept, pinned: look.pin(head).is_some(), selected, notches }
                }
            };
            grid.show(ui, theme, row, |head| self.label(paint, head), |head| self.words(cx, head))
        });
        self.react(ui, cx, &pointed.inner);
    }

    fn toolbar(&mut self, ui: &mut Ui, cx: Cx<'_>) {
        if let Some(results) = &cx.state.results {
            let label = ui.label(RichText::new("Colour").color(cx.theme.muted));
            let text = match &self.paint {
                Paint::Group => "Group".to_owned(),
                Paint::State => "Kept".to_owned(),
                Paint::Measure(measure) => measure.label(),
            };
            let combo = ComboBox::from_id_salt("paint").selected_text(text).width(130.0).show_ui(ui, |ui| {
                ui.selectable_value(&mut self.paint, Paint::Group, "Group")
                    .on_hover_text("Heads of a layer that compute alike; colours mean nothing across layers");
                for measure in Measure::available(&results.analysis) {
                    let meaning = measure.meaning();
                    let text = measure.label();
                    ui.selectable_value(&mut self.paint, Paint::Measure(measure), text).on_hover_text(meaning);
                }
                let entropy = Measure::Baseline(baseline::ENTROPY.to_owned());
                if !Measure::available(&results.analysis).contains(&entropy) {
                    ui.add_enabled(false, Button::selectable(false, entropy.label())).on_disabled_hover_text(
                        "Let the attention map vote in the next run: the entropy is measured along with it",
                    );
                }
                ui.selectable_value(&mut self.paint, Paint::State, "Kept").on_hover_text("Kept or pruned, no more");
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

    fn legend(&self, ui: &mut Ui, cx: Cx<'_>) {
        let theme = cx.theme;
        let state = cx.state;
        // Where colours say something else, kept and pruned are a matter of shape.
        let says_state = state.results.is_none() || self.paint == Paint::State;
        let sample = if says_state { theme.kept } else { theme.outline };
        swatch(ui, theme, Mark::Kept(sample), "kept");
        swatch(ui, theme, Mark::Pruned(sample), "pruned");
        if state.draft.now().active().pinned() > 0 {
            swatch(ui, theme, Mark::Pinned(sample), "pinned");
        }
        if state.model.as_ref().is_some_and(|m| m.facts.is_grouped()) && self.sort == Sort::Index {
            swatch(ui, theme, Mark::Plate, "share a key/value head");
        }
        let Some(results) = &cx.state.results else { return };
        match &self.paint {
            Paint::State => {}
            Paint::Group => {
                let of_map = results.analysis.sites.iter().filter_map(|s| s.features.get(&state.feature()?));
                group_legend(ui, theme, of_map.flat_map(|f| &f.groups).max().map_or(0, |g| g + 1));
            }
            Paint::Measure(measure) => {
                let Some(cache) = &self.cache else { return };
                let missing = cache.values.iter().flat_map(|v| v.values()).flatten().any(|v| v.is_nan());
                color_bar(ui, theme, &cache.scale, measure.unit(), missing.then_some("none"));
            }
        }
    }

    /// Computes values and orders again where what they come from changed.
    fn refresh(&mut self, ui: &Ui, cx: Cx<'_>) {
        let (Some(results), Some(map)) = (&cx.state.results, cx.state.feature()) else {
            self.cache = None;
            return;
        };
        let key = (results.revision, self.paint.clone(), self.sort, map);
        if self.cache.as_ref().is_some_and(|c| c.key == key) {
            return;
        }
        let analysis = Arc::clone(&results.analysis);
        let is_quick = analysis.model.heads <= QUICK;
        let made =
            self.drawn.get_keyed(ui.ctx(), key.clone(), is_quick, move || Ok(Arc::new(Cached::of(&analysis, key))));
        // While the next colours are being made, the last ones stay, if they are of this result.
        let of_this = |cache: &&Arc<Cached>| cache.key.0 == results.revision;
        self.cache = made.and_then(|(_, made)| made.as_ref().ok()).filter(of_this).map(Arc::clone);
    }

    /// What stands in a cell that has room: what its colour says, or which head it is where no numbers over the columns
    /// say so.
    fn label(&self, paint: &Paint, head: Head) -> String {
        match (paint, &self.cache) {
            (Paint::Measure(measure), Some(cache)) => short(measure.unit(), cache.value(head)),
            (Paint::Group, Some(cache)) if self.sort == Sort::Index => {
                cache.group(head).map_or_else(String::new, |group| group.to_string())
            }
            _ => head.head.to_string(),
        }
    }

    /// What a screen reader and the tooltip say of a head beside its state.
    fn words(&self, cx: Cx<'_>, head: Head) -> String {
        let Some(site) = cx.state.results.as_ref().and_then(|r| r.analysis.site(head.site)) else {
            return String::new();
        };
        let mut parts = vec![counted(site.votes.get(head.head).copied().unwrap_or(0), "votes")];
        if let Some(group) = cx.state.feature().and_then(|m| site.features.get(&m)?.groups.get(head.head)) {
            parts.push(format!("group {group}"));
        }
        if let (Paint::Measure(measure), Some(cache)) = (&self.paint, &self.cache) {
            let value = measure.unit().format(cache.value(head));
            parts.push(format!("{} {value}", measure.label().to_lowercase()));
        }
        parts.join(", ")
    }
}
