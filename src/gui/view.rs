//! The tabs: their names, what they show, the keys that bring them forward.

use eframe::egui::Key;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// All heads of the model.
    #[default]
    Overview,
    /// How alike the heads of a layer are.
    Redundancy,
    /// The groups of a layer.
    Groups,
    /// The vote of a layer.
    Votes,
    /// Which heads stay and what that saves.
    Prune,
    Attention,
    Training,
}

impl View {
    /// Every view, in the order of the tabs.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

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

    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Overview => "Every head of the model as a cell",
            Self::Redundancy => "How alike the heads of a layer are, with their dendrogram",
            Self::Groups => "Map and silhouettes of a layer's groups; change their number",
            Self::Votes => "Votes of a layer with a threshold to drag",
            Self::Prune => "Which heads stay, what that saves, how good it is, and the export",
            Self::Attention => "Where heads look, over the tokens of an input",
            Self::Training => "Losses and silhouettes as training goes on",
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
