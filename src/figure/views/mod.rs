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

use super::export::Figure;
use super::page::LegendSwatch;
use crate::chart::{GroupMap, GroupStyle, Picture, Similarity, Theme, VoteBars};

impl Picture {
    pub fn figure(&self, theme: &Theme) -> Figure {
        match self {
            Self::Overview(view) => view.figure(theme),
            Self::SideBySide(view) => view.figure(theme),
            Self::Similarity(view) => view.figure(theme),
            Self::Similarities(caption, layers) => Similarity::tiles(caption, layers, theme),
            Self::Groups(view) => view.figure(theme),
            Self::GroupMaps(caption, layers) => GroupMap::tiles(caption, layers, theme),
            Self::Scores(view) => view.figure(theme),
            Self::Votes(view) => view.figure(theme),
            Self::VoteBars(caption, layers) => VoteBars::tiles(caption, layers, theme),
            Self::Settling(view) => view.figure(theme),
            Self::Quality(view) => view.figure(theme),
            Self::TradeOff(view) => view.figure(theme),
            Self::Cost(view) => view.figure(theme),
            Self::Repair(view) => view.figure(theme),
            Self::Training(view) => view.figure(theme),
            Self::Attention(view) => view.figure(theme),
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
