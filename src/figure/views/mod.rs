//! The pictures, painted from their descriptions.

mod attention;
mod cost;
#[cfg(test)]
pub(super) mod gallery;
mod lines;
mod map;
mod overview;
#[cfg(test)]
pub(super) mod samples;
mod settling;
mod side_by_side;
mod similarity;
mod tiles;
mod training;
mod votes;

use super::export::{Figure, PictureSize, Sheet};
use super::page::LegendSwatch;
use crate::chart::{GroupMap, GroupStyle, Picture, Similarity, Theme, VoteBars};

impl Picture {
    /// Draws it, as wide as it is best looked at or as the sheet is.
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        match self {
            Self::Overview(view) => view.figure(sheet),
            Self::SideBySide(view) => view.figure(sheet),
            Self::Similarity(view) => view.figure(sheet),
            Self::Similarities(caption, layers) => Similarity::tiles(caption, layers, sheet),
            Self::Groups(view) => view.figure(sheet),
            Self::GroupMaps(caption, layers) => GroupMap::tiles(caption, layers, sheet),
            Self::Scores(view) => view.figure(sheet),
            Self::Votes(view) => view.figure(sheet),
            Self::VoteBars(caption, layers) => VoteBars::tiles(caption, layers, sheet),
            Self::Settling(view) => view.figure(sheet),
            Self::Quality(view) => view.figure(sheet),
            Self::TradeOff(view) => view.figure(sheet),
            Self::Cost(view) => view.figure(sheet),
            Self::Repair(view) => view.figure(sheet),
            Self::Training(view) => view.figure(sheet),
            Self::Attention(view) => view.figure(sheet),
        }
    }

    /// Draws it in this size, with the pixels of a PNG for each unit. What would be too wide for its words to be read on paper
    /// is laid out anew for the width that there is.
    pub fn printed(&self, theme: &Theme, size: PictureSize) -> (Figure, f64) {
        let figure = self.figure(theme);
        match size.widest() {
            Some(widest) if figure.scene.width > widest => {
                self.figure(Sheet { theme, width: Some(widest) }).sized(size)
            }
            _ => figure.sized(size),
        }
    }
}

/// Groups named one by one before the rest is summed up.
const NAMED_GROUPS: usize = 24;

/// The first groups of a legend, and how many more there are.
fn shortened_legend(mut entries: Vec<(LegendSwatch, String)>) -> Vec<(LegendSwatch, String)> {
    let rest = entries.len().saturating_sub(NAMED_GROUPS);
    if rest > 0 {
        entries.truncate(NAMED_GROUPS + 1);
        if let Some((_, name)) = entries.last_mut() {
            *name = format!("and {rest} more");
        }
    }
    entries
}

/// What the colors of `count` groups mean.
fn group_legend(theme: &Theme, count: usize) -> Vec<(LegendSwatch, String)> {
    let named = count.min(NAMED_GROUPS);
    let mut entries: Vec<_> =
        (0..named).map(|g| (LegendSwatch::Group(GroupStyle::of(theme, g)), format!("group {g}"))).collect();
    if count > named {
        let style = GroupStyle::of(theme, named);
        entries.push((LegendSwatch::Group(style), format!("and {} more, a notch for every 12", count - named)));
    }
    entries
}
