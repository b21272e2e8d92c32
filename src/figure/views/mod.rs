//! The pictures, each from plain inputs.

mod attention;
mod cost;
mod curves;
#[cfg(test)]
pub(super) mod gallery;
mod map;
mod overview;
mod patches;
#[cfg(test)]
pub(super) mod samples;
mod scores;
mod settling;
mod similarity;
mod tiles;
mod tradeoff;
mod training;
mod votes;

use crate::figure::page::Sample;
use crate::figure::palette::GroupStyle;
use crate::figure::theme::Theme;

pub use attention::{AttentionMaps, AttentionPanel};
pub use cost::{CostBars, CostRow};
pub use curves::{MethodCurve, QualityCurves, RandomPoint};
pub use map::{GroupMap, QualityPoint};
pub use overview::{Order, Overview, OverviewRow, Paint};
pub use patches::PatchImage;
pub use scores::GroupScores;
pub use settling::Settling;
pub use similarity::{Likeness, Similarity};
pub use tradeoff::TradeOff;
pub use training::{TrainingCurves, TrainingPlot};
pub use votes::VoteBars;

/// Groups named one by one before the rest is summed up.
const NAMED_GROUPS: usize = 24;

/// What the colours of `count` groups mean.
fn group_legend(theme: &Theme, count: usize) -> Vec<(Sample, String)> {
    let named = count.min(NAMED_GROUPS);
    let mut entries: Vec<_> =
        (0..named).map(|g| (Sample::Group(GroupStyle::of(theme, g)), format!("group {g}"))).collect();
    if count > named {
        let style = GroupStyle::of(theme, named);
        entries.push((Sample::Group(style), format!("and {} more, a notch for every 12", count - named)));
    }
    entries
}
