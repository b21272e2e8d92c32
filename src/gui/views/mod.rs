//! The tabs.

mod overview;

use eframe::egui::{Key, Ui};

use super::app::Cx;

/// One tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// All heads of the model.
    Overview,
}

impl View {
    /// Every view, in the order of the tabs.
    pub const ALL: [Self; 1] = [Self::Overview];

    /// The word on the tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
        }
    }

    /// What it shows.
    pub fn tooltip(self) -> &'static str {
        match self {
            Self::Overview => "Every head of the model as a cell",
        }
    }

    /// The key that brings it to the front, with Ctrl.
    pub fn key(self) -> Key {
        match self {
            Self::Overview => Key::Num1,
        }
    }
}

/// What each view remembers.
#[derive(Default)]
pub struct Views {
    overview: overview::Overview,
}

impl Views {
    /// Draws one view.
    pub fn ui(&mut self, which: View, ui: &mut Ui, cx: Cx<'_>) {
        match which {
            View::Overview => self.overview.ui(ui, cx),
        }
    }
}
