//! The tabs.

mod attention;
mod groups;
mod overview;
mod prune;
mod redundancy;
mod table;
mod training;
mod votes;

use std::collections::BTreeMap;
use std::sync::Arc;

use eframe::egui::{Key, Ui};
use serde::{Deserialize, Serialize};

use super::app::Cx;
use super::state::State;
use crate::error::{Error, Result};
use crate::figure::views::Order;
use crate::figure::{self, Figure};

/// One tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// All heads of the model.
    Overview,
    /// How alike the heads of a layer are.
    Redundancy,
    /// The groups of a layer.
    Groups,
    /// The vote of a layer.
    Votes,
    /// Which heads stay and what that saves.
    Prune,
    /// Where heads look.
    Attention,
    /// A training run.
    Training,
}

impl View {
    /// Every view, in the order of the tabs.
    pub const ALL: [Self; 7] =
        [Self::Overview, Self::Redundancy, Self::Groups, Self::Votes, Self::Prune, Self::Attention, Self::Training];

    /// The word on the tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Redundancy => "Redundancy",
            Self::Groups => "Groups",
            Self::Votes => "Votes",
            Self::Prune => "Prune",
            Self::Attention => "Attention",
            Self::Training => "Training",
        }
    }

    /// What it shows.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Overview => "Every head of the model as a cell",
            Self::Redundancy => "How alike the heads of a layer are, under their tree",
            Self::Groups => "Map and silhouettes of a layer's groups; change their number",
            Self::Votes => "Votes of a layer with a threshold to drag",
            Self::Prune => "Which heads stay, what that saves, how good it is, and the export",
            Self::Attention => "Where heads look, over the tokens of an input",
            Self::Training => "Losses and silhouettes as they happen",
        }
    }

    /// The key that brings it to the front, with Ctrl.
    pub fn key(self) -> Key {
        match self {
            Self::Overview => Key::Num1,
            Self::Redundancy => Key::Num2,
            Self::Groups => Key::Num3,
            Self::Votes => Key::Num4,
            Self::Prune => Key::Num5,
            Self::Attention => Key::Num6,
            Self::Training => Key::Num7,
        }
    }
}

/// What draws a picture, away from the window.
pub type Draw = Box<dyn FnOnce() -> Result<Figure> + Send>;

/// What each view remembers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Views {
    overview: overview::Overview,
    redundancy: redundancy::Redundancy,
    #[serde(skip)]
    groups: groups::Groups,
    #[serde(skip)]
    votes: votes::Votes,
    #[serde(skip)]
    prune: prune::Prune,
    attention: attention::Attention,
    #[serde(skip)]
    training: training::Training,
    /// Views whose numbers are shown in place of their picture.
    tables: Vec<View>,
    #[serde(skip)]
    table: BTreeMap<View, table::TableView>,
}

impl Views {
    /// Whether the numbers of a view are shown in place of its picture.
    pub fn is_table(&self, which: View) -> bool {
        self.tables.contains(&which)
    }

    /// Shows the numbers of a view in place of its picture, or the picture again.
    pub fn toggle_table(&mut self, which: View) {
        if self.is_table(which) {
            self.tables.retain(|view| *view != which);
        } else {
            self.tables.push(which);
        }
    }

    /// Draws one view.
    pub fn ui(&mut self, which: View, ui: &mut Ui, cx: Cx<'_>) {
        if self.is_table(which) {
            let mut table = self.table.remove(&which).unwrap_or_default();
            let settings = serde_json::to_string(&*self).unwrap_or_default();
            table.ui(ui, cx, which, &settings, || self.picture(which, cx.state, cx.theme.figure));
            self.table.insert(which, table);
            return;
        }
        match which {
            View::Overview => self.overview.ui(ui, cx),
            View::Redundancy => self.redundancy.ui(ui, cx),
            View::Groups => self.groups.ui(ui, cx),
            View::Votes => self.votes.ui(ui, cx),
            View::Prune => self.prune.ui(ui, cx),
            View::Attention => self.attention.ui(ui, cx),
            View::Training => self.training.ui(ui, cx),
        }
    }

    /// What draws the picture of a view as it stands.
    pub fn picture(&self, which: View, state: &State, theme: &'static figure::Theme) -> Result<Draw> {
        match which {
            View::Overview => self.overview.picture(state, theme),
            View::Redundancy => self.redundancy.picture(state, theme),
            View::Groups => self.groups.picture(state, theme),
            View::Votes => Picture::of_site().draw(state, theme, figure::View::Votes),
            View::Prune => self.prune.picture(state, theme),
            View::Attention => self.attention.picture(state, theme),
            View::Training => training::picture(state, theme),
        }
    }
}

/// A picture of the results, as the plan being edited stands.
#[derive(Default)]
struct Picture {
    /// Of the layer that is shown, or of all.
    of_site: bool,
    /// In which order heads stand.
    order: Option<Order>,
    /// Other groups for the layer that is shown.
    groups: Option<Vec<usize>>,
}

impl Picture {
    fn of_site() -> Self {
        Self { of_site: true, ..Self::default() }
    }

    /// What draws it.
    fn draw(self, state: &State, theme: &'static figure::Theme, view: figure::View) -> Result<Draw> {
        let results =
            state.results.as_ref().ok_or_else(|| Error::new("nothing was run yet").hint("press Run first"))?;
        let analysis = Arc::clone(&results.analysis);
        let (site, feature, plan) = (state.site().filter(|_| self.of_site), state.feature(), state.plan());
        Ok(Box::new(move || {
            let groups = self.groups.as_deref();
            let plan = plan.as_ref();
            figure::build(&analysis, &figure::Request { view, site, feature, plan, theme, order: self.order, groups })
        }))
    }
}
