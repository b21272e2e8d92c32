//! The tabs.

mod attention;
mod columns;
mod groups;
mod of_analysis;
mod overview;
mod prune;
mod redundancy;
mod shown;
mod table;
mod training;
mod votes;

use std::collections::BTreeMap;

use eframe::egui::{RichText, Ui};
use serde::{Deserialize, Serialize};

use self::of_analysis::OfAnalysis;
use self::shown::PictureCache;
pub(super) use self::shown::{Draw, PictureKey};
use crate::chart::{AnalysisView, HeadColor, Picture};
use crate::error::Result;
use crate::gui::context::Cx;
use crate::gui::state::State;
use crate::gui::view::View;
use crate::run::AttentionInput;

/// What each view remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Views {
    overview: overview::OverviewView,
    redundancy: redundancy::Redundancy,
    #[serde(skip)]
    prune: prune::Prune,
    attention: attention::Attention,
    #[serde(skip)]
    training: training::TrainingView,
    /// Views whose numbers are shown in place of their picture.
    tables: Vec<View>,
    #[serde(skip)]
    table: BTreeMap<View, table::TableView>,
    #[serde(skip)]
    shown: BTreeMap<View, PictureCache>,
}

/// Up to so many heads in a layer, its picture is made within a small part of a frame.
const QUICK: usize = 48;
/// The same for all layers together.
const QUICK_MODEL: usize = 512;

/// What a person chose in the views, and a workspace keeps.
#[derive(Clone, PartialEq)]
pub(super) struct ViewChoices {
    overview: overview::OverviewChoice,
    redundancy: redundancy::RedundancyChoice,
    attention: attention::AttentionChoice,
    tables: Vec<View>,
}

impl Views {
    /// What a person chose.
    pub(super) fn chosen(&self) -> ViewChoices {
        ViewChoices {
            overview: self.overview.chosen(),
            redundancy: self.redundancy.chosen(),
            attention: self.attention.chosen(),
            tables: self.tables.clone(),
        }
    }

    /// The text whose attention was asked for.
    pub(super) fn typed_input(&self) -> Option<AttentionInput> {
        self.attention.typed()
    }

    /// Empties the fields whose texts belong to one model.
    pub(super) fn forget_model(&mut self) {
        self.overview.forget_model();
        self.attention.forget_model();
        self.prune.forget_model();
        self.training.forget_model();
    }

    /// Whether the numbers of a view are shown in place of its picture.
    pub(super) fn is_table(&self, which: View) -> bool {
        self.tables.contains(&which)
    }

    /// Shows the numbers of a view in place of its picture, or the picture again.
    pub(super) fn toggle_table(&mut self, which: View) {
        if self.is_table(which) {
            self.tables.retain(|view| *view != which);
        } else {
            self.tables.push(which);
        }
    }

    /// What the color of a head says in the overview.
    pub(super) fn color_by(&mut self, color: HeadColor) {
        self.overview.color_by(color);
    }

    /// Draws a view; one that `is_asked` for gives the keyboard to its heads, where it shows them as cells.
    pub(super) fn ui(&mut self, which: View, ui: &mut Ui, cx: Cx<'_>, is_asked: bool) {
        other_settings(ui, cx, which);
        let key = self.key(which, cx.state);
        if self.is_table(which) {
            let mut table = self.table.remove(&which).unwrap_or_default();
            table.ui(ui, cx, which, key, || self.numbers(which, cx.state));
            self.table.insert(which, table);
            return;
        }
        let mut shown = self.shown.remove(&which).unwrap_or_default();
        let is_quick = match (key.site, &cx.state.results) {
            (Some(_), _) => cx.state.site_results().is_none_or(|site| site.heads <= QUICK),
            (None, Some(results)) => results.analysis.model.heads <= QUICK_MODEL,
            (None, None) => true,
        };
        let is_quick = is_quick && !(which == View::Prune && self.prune.is_slow(cx.state));
        let results = key.results;
        let made = shown.get(ui.ctx(), key, is_quick, || self.picture(which, cx.state));
        // What belongs to another result is not shown beside this one.
        let made = made.filter(|(key, _)| key.results == results).and_then(|(_, made)| made.as_ref().ok());
        let picture = made.map(|made| &**made);
        match which {
            View::Overview => self.overview.ui(ui, cx, picture, is_asked),
            View::Redundancy => self.redundancy.ui(ui, cx, made),
            View::Groups => groups::ui(ui, cx, picture),
            View::Votes => votes::ui(ui, cx, picture),
            View::Prune => self.prune.ui(ui, cx, picture),
            View::Attention => self.attention.ui(ui, cx, made),
            View::Training => self.training.ui(ui, cx, picture),
        }
        self.shown.insert(which, shown);
    }

    /// What the picture of a view is made of as things stand.
    pub(super) fn key(&self, which: View, state: &State) -> PictureKey {
        match which {
            View::Overview => self.overview.key(state),
            View::Redundancy => self.redundancy.key(state),
            View::Groups => groups::key(state),
            View::Votes => PictureKey::of_site(state),
            View::Prune => self.prune.key(state),
            View::Attention => self.attention.key(state),
            View::Training => training::key(state),
        }
    }

    /// What makes the picture of a view as it stands: the one that is painted, written as a table and saved.
    pub(super) fn picture(&self, which: View, state: &State) -> Result<Draw> {
        match which {
            View::Overview => self.overview.picture(state),
            View::Redundancy => self.redundancy.picture(state),
            View::Groups => groups::picture(state),
            View::Votes => OfAnalysis::of_site().draw(state, AnalysisView::Votes),
            View::Prune => self.prune.picture(state),
            View::Attention => self.attention.picture(state),
            View::Training => training::picture(state),
        }
    }

    /// What makes the numbers of a view: those of its picture, and of what stands beside it.
    fn numbers(&self, which: View, state: &State) -> Result<table::Collect> {
        let draw = self.picture(which, state)?;
        let (name, beside) = if which == View::Prune { self.prune.beside(state) } else { ("", Vec::new()) };
        Ok(Box::new(move || {
            let mut tables = draw()?.tables();
            if let Some((first, _)) = tables.first_mut().filter(|_| !beside.is_empty()) {
                *first = name;
            }
            tables.extend(beside);
            Ok(tables)
        }))
    }

    /// The picture that a view painted last.
    pub(super) fn painted(&self, which: View) -> Option<&Picture> {
        self.shown.get(&which)?.painted()
    }
}

/// Says where results are of other settings than those on the left.
fn other_settings(ui: &mut Ui, cx: Cx<'_>, which: View) {
    let shows_results = match which {
        View::Overview | View::Redundancy | View::Groups | View::Votes | View::Prune => true,
        View::Attention | View::Training => false,
    };
    if !shows_results || cx.state.differences.is_empty() {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let text = format!("Results of other settings ({})", cx.state.differences.join("; "));
        ui.label(RichText::new(text).small().color(cx.theme.warning))
            .on_hover_text("The settings on the left changed since this was computed: run again, or set them back");
    });
}
